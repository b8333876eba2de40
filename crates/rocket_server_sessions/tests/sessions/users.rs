//! People and their sessions: signing in, seeing all of one's sessions, ending them from elsewhere.

use redis::Commands;
use rocket::http::Status;
use rocket_server_sessions::store::Store;
use rocket_server_sessions::testing::Call;

use crate::world::{REDIS, Visitor, World, on_every_store};

async fn signed_in<'w>(world: &'w World, user: &str, label: &str) -> Visitor<'w> {
    let mut visitor = world.visitor();
    assert_eq!(visitor.body(&format!("/log-in/{user}/{label}")).await, "logged in");
    visitor
}

on_every_store![
    async fn signing_in_keeps_the_data_and_changes_the_cookie(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/set/cart/apple").await;
        visitor.get("/count/a").await;
        let (before, id) = (visitor.cookie.clone(), visitor.body("/idle").await);
        assert_eq!(visitor.body("/user").await, "nobody");
        let page = visitor.get("/log-in/alice/phone").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 1));
        assert_ne!(visitor.cookie, before);
        assert_eq!(visitor.body("/idle").await, id);
        assert_eq!(visitor.body("/user").await, "alice");
        assert_eq!(visitor.body("/text/cart").await, "apple");
        assert_eq!(visitor.body("/fields").await, "2", "the layer's own fields are not shown");
    }

    async fn cookie_from_before_the_sign_in_shows_no_user(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut before = visitor.clone();
        visitor.get("/log-in/alice/phone").await;
        assert_eq!(before.body("/count/a").await, "2", "no count is lost");
        assert_eq!(before.body("/user").await, "nobody");
        world.advance(6);
        assert_eq!(before.body("/peek/a").await, "0");
        assert_eq!(visitor.body("/peek/a").await, "2");
    }

    async fn signing_in_beside_a_rotation_takes_a_session_of_its_own(world: World) {
        let mut thief = world.visitor();
        thief.get("/set/cart/apple").await;
        let mut visitor = thief.clone();
        thief.get("/regenerate").await;
        let page = visitor.get("/log-in/alice/phone").await;
        assert_eq!(page.set_cookies.len(), 1);
        assert_eq!(visitor.body("/user").await, "alice");
        assert_eq!(visitor.body("/text/cart").await, "apple");
        assert_eq!(thief.body("/user").await, "nobody");
        assert_ne!(thief.body("/idle").await, visitor.body("/idle").await);
    }

    async fn user_sees_all_sessions_the_latest_first(world: World) {
        let mut last = world.visitor();
        for label in ["desktop", "phone", "tablet"] {
            last = signed_in(&world, "alice", label).await;
            world.advance(1);
        }
        assert_eq!(last.body("/logins/alice").await, "tablet phone desktop");
    }

    async fn users_never_see_each_other(world: World) {
        let mut alice = signed_in(&world, "alice", "phone").await;
        let mut bob = signed_in(&world, "bob", "desktop").await;
        assert_eq!(alice.body("/logins/alice").await, "phone");
        assert_eq!(bob.body("/logins/bob").await, "desktop");
        assert_eq!(bob.body("/logins/carol").await, "");
        assert_eq!(bob.body("/log-out-everywhere/bob").await, "1");
        assert_eq!(alice.body("/user").await, "alice");
    }

    async fn login_shows_when_it_was_last_touched(world: World) {
        let mut visitor = signed_in(&world, "alice", "phone").await;
        let now = |world: &World| {
            use rocket_server_sessions::Clock;
            let now = world.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap();
            i64::try_from(now.as_secs()).unwrap()
        };
        // A tenth of the idle timeout later the session is touched, and its time to live is whole.
        world.advance(9_000);
        visitor.get("/count/a").await;
        let touched: i64 = visitor.body("/touched/alice").await.parse().unwrap();
        assert!((now(&world) - touched).abs() <= 2, "{touched}");
    }

    async fn session_is_ended_from_elsewhere(world: World) {
        let mut phone = signed_in(&world, "alice", "phone").await;
        let mut desktop = signed_in(&world, "alice", "desktop").await;
        phone.get("/count/a").await;
        assert_eq!(desktop.body("/log-out/alice/phone").await, "true");
        assert_eq!(desktop.body("/logins/alice").await, "desktop");
        assert_eq!(phone.body("/user").await, "nobody");
        assert_eq!(phone.body("/count/a").await, "1");
        assert_eq!(desktop.body("/user").await, "alice");
    }

    async fn session_of_somebody_else_is_not_ended(world: World) {
        let mut alice = signed_in(&world, "alice", "phone").await;
        let mut bob = signed_in(&world, "bob", "desktop").await;
        let id = alice.body("/idle").await;
        assert_eq!(bob.body(&format!("/log-out-id/bob/{id}")).await, "false");
        assert_eq!(alice.body("/user").await, "alice");
        assert_eq!(bob.body(&format!("/log-out-id/alice/{id}")).await, "true");
        assert_eq!(bob.body(&format!("/log-out-id/alice/{id}")).await, "false");
        assert_eq!(alice.body("/user").await, "nobody");
    }

    async fn others_are_ended_and_the_own_session_stays(world: World) {
        let mut others = Vec::new();
        for label in ["a", "b", "c"] {
            others.push(signed_in(&world, "alice", label).await);
        }
        let mut own = signed_in(&world, "alice", "own").await;
        assert_eq!(own.body("/log-out-others/alice").await, "3");
        assert_eq!(own.body("/logins/alice").await, "own");
        assert_eq!(own.body("/user").await, "alice");
        for other in &mut others {
            assert_eq!(other.body("/user").await, "nobody");
        }
    }

    async fn all_are_ended_and_the_own_cookie_is_cleared(world: World) {
        let mut phone = signed_in(&world, "alice", "phone").await;
        let mut own = signed_in(&world, "alice", "own").await;
        let mut copy = own.clone();
        let page = own.get("/log-out-everywhere/alice").await;
        assert_eq!(page.body, "2");
        assert!(page.set_cookies[0].contains("=; Max-Age=0; "), "{:?}", page.set_cookies);
        for visitor in [&mut phone, &mut copy] {
            assert_eq!(visitor.body("/user").await, "nobody");
        }
        assert_eq!(own.body("/logins/alice").await, "");
        assert_eq!(own.body("/log-out-everywhere/alice").await, "0");
    }

    async fn session_that_was_regenerated_is_still_found(world: World) {
        let mut phone = signed_in(&world, "alice", "phone").await;
        for _ in 0..3 {
            phone.get("/regenerate").await;
            world.advance(10);
        }
        assert_eq!(phone.body("/user").await, "alice");
        let mut admin = world.visitor();
        assert_eq!(admin.body("/logins/alice").await, "phone");
        assert_eq!(admin.body("/log-out-everywhere/alice").await, "1");
        assert_eq!(phone.body("/user").await, "nobody");
    }

    async fn ended_and_lapsed_sessions_leave_the_list(world: World) {
        let mut phone = signed_in(&world, "alice", "phone").await;
        let mut desktop = signed_in(&world, "alice", "desktop").await;
        world.store.take_calls();
        phone.get("/end").await;
        assert_eq!(world.store.take_calls().last(), Some(&Call::Strike(1)));
        assert_eq!(desktop.body("/logins/alice").await, "desktop");
    }

    async fn oldest_sign_in_ends_where_there_are_too_many(world: World) {
        let world = world.reconfigured("session.max_user_sessions", 2).await;
        let mut old = world.visitor();
        old.get("/count/a").await;
        let mut visitors = Vec::new();
        for label in ["a", "b", "c"] {
            world.advance(1);
            visitors.push(signed_in(&world, "alice", label).await);
        }
        assert_eq!(visitors[2].body("/logins/alice").await, "c b");
        assert_eq!(visitors[0].body("/user").await, "nobody");
        // The session is older than the others, but its sign-in is the latest.
        world.advance(1);
        assert_eq!(old.body("/log-in/alice/old").await, "logged in");
        assert_eq!(old.body("/logins/alice").await, "old c");
        assert_eq!(old.body("/peek/a").await, "1");
        assert_eq!(visitors[1].body("/user").await, "nobody");
        // A session that has ended takes nobody's place.
        visitors[2].get("/end").await;
        signed_in(&world, "alice", "d").await;
        assert_eq!(old.body("/user").await, "alice");
    }

    async fn session_that_changes_its_user_leaves_the_first_ones_list(world: World) {
        let mut visitor = signed_in(&world, "alice", "phone").await;
        assert_eq!(visitor.body("/log-in/bob/phone").await, "logged in");
        assert_eq!(visitor.body("/user").await, "bob");
        assert_eq!(visitor.body("/logins/alice").await, "");
        assert_eq!(visitor.body("/log-out-everywhere/alice").await, "0");
        assert_eq!(visitor.body("/user").await, "bob");
    }

    async fn session_that_signs_in_again_stands_once_on_the_list(world: World) {
        let mut visitor = signed_in(&world, "alice", "phone").await;
        let before = visitor.cookie.clone();
        assert_eq!(visitor.body("/log-in/alice/again").await, "logged in");
        assert_ne!(visitor.cookie, before);
        assert_eq!(visitor.body("/logins/alice").await, "again");
    }

    async fn anonymous_visitor_pays_nothing(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        world.store.take_calls();
        assert_eq!(visitor.body("/end").await, "ended");
        let asked = world.store.take_calls();
        assert!(matches!(&asked[..], [Call::Apply(_), Call::End]), "{asked:?}");
        assert_eq!(world.get("/log-in/alice/x", Some("__Host-session=")).await.status, Status::Ok);
        let asked = world.store.take_calls();
        assert!(
            matches!(&asked[..], [Call::Create(..), Call::Enlist, Call::Apply(_)]),
            "{asked:?}"
        );
    }

    async fn costs_are_as_documented(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        world.store.take_calls();
        visitor.get("/log-in/alice/x").await;
        let asked = world.store.take_calls();
        assert!(matches!(&asked[..], [Call::Rotate, Call::Enlist, Call::Apply(_)]), "{asked:?}");
        visitor.get("/logins/alice").await;
        assert_eq!(world.store.take_calls(), [Call::List, Call::Inspect(1)]);
        visitor.get("/logins/nobody").await;
        assert_eq!(world.store.take_calls(), [Call::List]);
        visitor.get("/regenerate").await;
        assert_eq!(world.store.take_calls(), [Call::Rotate, Call::Enlist]);
        visitor.get("/logins/alice").await;
        assert_eq!(world.store.take_calls(), [Call::List, Call::Inspect(1)]);
        let mut other = signed_in(&world, "alice", "y").await;
        world.store.take_calls();
        other.get("/log-out-others/alice").await;
        let asked = world.store.take_calls();
        assert!(
            matches!(
                &asked[..],
                [Call::List, Call::Inspect(1), Call::Apply(_), Call::End, Call::Strike(1)]
            ),
            "{asked:?}"
        );
        other.get("/end").await;
        let asked = world.store.take_calls();
        assert!(matches!(&asked[..], [Call::Apply(_), Call::End, Call::Strike(1)]), "{asked:?}");
    }

    async fn overlong_user_is_refused_and_an_overlong_label_is_cut(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get(&format!("/log-in/{}/x", "u".repeat(257))).await;
        assert_eq!((page.status.code, page.set_cookies.len()), (413, 0));
        assert_eq!(world.store.round_trips(), 0);
        visitor.get(&format!("/log-in/alice/{}", "l".repeat(500))).await;
        assert_eq!(visitor.body("/logins/alice").await, "l".repeat(120));
        let longest = world.get(&format!("/log-in/{}/phone", "u".repeat(256)), None).await;
        assert_eq!(longest.status, Status::Ok);
    }

    async fn odd_users_and_labels_survive(world: World) {
        let (user, label) = ("%7Ba%7D%20%22%E2%9C%93", "a%20b%20%20c%22%E2%9C%93%0Ad");
        let mut visitor = signed_in(&world, user, label).await;
        assert_eq!(visitor.body("/user").await, "{a} \"✓");
        assert_eq!(visitor.body(&format!("/logins/{user}")).await, "a b  c\"✓d");
    }
];

#[rocket::async_test]
async fn session_whose_sign_in_never_arrived_leaves_the_list() {
    let world = World::redis().await;
    let lose_users = || {
        for key in world.keys.of_type("hash") {
            let _: () = REDIS.connect().hdel(key, "@user").unwrap();
        }
    };
    signed_in(&world, "alice", "phone").await;
    lose_users();
    assert_eq!(world.get("/log-out-everywhere/alice", None).await.body, "1", "it may come yet");
    let mut visitor = signed_in(&world, "alice", "phone").await;
    lose_users();
    world.advance(61);
    assert_eq!(world.get("/log-out-everywhere/alice", None).await.body, "0");
    assert_eq!(visitor.body("/count/a").await, "1");
    assert_eq!(visitor.body("/count/a").await, "2", "it is nobody's, and lives on");
    assert_eq!(world.keys.of_type("hash").len(), 1, "and the list is empty");
}

#[rocket::async_test]
async fn signing_in_where_the_successor_cannot_be_seen_copies_no_emptiness() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.get("/set/cart/apple").await;
    let mut late = visitor.clone();
    visitor.get("/regenerate").await;
    let moved = world.keys.of_type("hash").pop().unwrap();
    let held: Vec<u8> = redis::cmd("DUMP").arg(&moved).query(&mut REDIS.connect()).unwrap();
    let _: () = REDIS.connect().del(&moved).unwrap();
    let page = late.get("/log-in/alice/phone").await;
    assert_eq!((page.status, page.set_cookies.len()), (Status::ServiceUnavailable, 0));
    redis::cmd("RESTORE").arg(&moved).arg(60_000).arg(held).exec(&mut REDIS.connect()).unwrap();
    late.body("/log-in/alice/phone").await;
    assert_eq!(late.body("/text/cart").await, "apple");
}

#[rocket::async_test]
async fn lapsed_session_leaves_the_list() {
    let world = World::memory().await;
    let mut phone = signed_in(&world, "alice", "phone").await;
    world.advance(80_000);
    let mut desktop = signed_in(&world, "alice", "desktop").await;
    world.advance(10_000);
    world.store.take_calls();
    assert_eq!(desktop.body("/logins/alice").await, "desktop");
    assert!(world.store.take_calls().contains(&Call::Strike(1)));
    assert_eq!(phone.body("/user").await, "nobody");
}

#[rocket::async_test]
async fn touch_shows_in_the_list_hours_later() {
    let world = World::memory().await;
    let mut phone = signed_in(&world, "alice", "phone").await;
    let first: u64 = phone.body("/touched/alice").await.parse().unwrap();
    world.advance(20_000);
    assert_eq!(world.visitor().body("/touched/alice").await, first.to_string());
    phone.get("/count/a").await;
    world.advance(20_000);
    let second: u64 = world.visitor().body("/touched/alice").await.parse().unwrap();
    assert_eq!(second - first, 20_000);
}

#[rocket::async_test]
async fn list_holds_no_name_and_no_secret_and_has_a_ttl() {
    let world = World::redis().await;
    let visitor = signed_in(&world, "alice@example.com", "phone").await;
    let mut redis = REDIS.connect();
    for key in REDIS.keys(&world.prefix) {
        assert!(!key.contains("alice"), "{key}");
        let ttl: i64 = redis.ttl(&key).unwrap();
        assert!(ttl > 86_000, "{key}: {ttl}");
    }
    let list = REDIS.keys(&format!("{}user:", world.prefix));
    assert_eq!(list.len(), 1);
    let held: Vec<String> = redis.hvals(&list[0]).unwrap();
    assert!(!held[0].contains(&visitor.cookie.unwrap()), "{held:?}");
}

#[rocket::async_test]
async fn what_leads_to_a_users_session_lasts_longer_than_the_session_can() {
    let world = World::redis().await;
    let mut visitor = signed_in(&world, "alice", "phone").await;
    visitor.get("/regenerate").await;
    let list = REDIS.keys(&format!("{}user:", world.prefix));
    let tombstones = world.keys.of_type("string");
    assert_eq!((list.len(), tombstones.len()), (1, 1));
    for key in [&list[0], &tombstones[0]] {
        let ttl: i64 = REDIS.connect().ttl(key).unwrap();
        assert!(ttl > 30 * 86_400, "{key}: {ttl}");
    }
}

#[rocket::async_test]
async fn sign_in_that_cannot_be_seen_stays_on_the_list_for_a_minute() {
    let world = World::memory().await;
    signed_in(&world, "alice", "phone").await;
    let entries = world.store.list("alice").await.unwrap();
    world.store.discard(entries[0].record).await.unwrap();
    for (seconds, left) in [(59, 1), (1, 0)] {
        world.advance(seconds);
        assert_eq!(world.visitor().body("/logins/alice").await, "");
        assert_eq!(world.store.list("alice").await.unwrap().len(), left);
    }
}

#[rocket::async_test]
async fn entry_that_is_damaged_is_passed_over() {
    let world = World::redis().await;
    let mut visitor = signed_in(&world, "alice", "phone").await;
    let list = &REDIS.keys(&format!("{}user:", world.prefix))[0];
    let mut redis = REDIS.connect();
    let _: () = redis.hset(list, "not-a-id", "x").unwrap();
    let _: () = redis.hset(list, visitor.body("/idle").await, "short").unwrap();
    assert_eq!(visitor.body("/logins/alice").await, "");
    let _: () = redis.set(list, "text").unwrap();
    assert_eq!(visitor.body("/logins/alice").await, "");
    assert_eq!(visitor.body("/user").await, "alice");
}

#[rocket::async_test]
async fn sign_in_that_a_replica_does_not_show_yet_is_ended_all_the_same() {
    // The record is taken away and put back, as a replica that lags would show it.
    let world = World::redis().await;
    let mut visitor = signed_in(&world, "alice", "phone").await;
    let mut redis = REDIS.connect();
    let keys = REDIS.keys(&world.prefix);
    let record = keys.iter().find(|it| !it.contains("user:")).unwrap();
    let _: () = redis.rename(record, "aside").unwrap();
    assert_eq!(visitor.body("/logins/alice").await, "");
    let _: () = redis.rename("aside", record).unwrap();
    assert_eq!(world.visitor().body("/log-out-everywhere/alice").await, "1");
    assert_eq!(visitor.body("/user").await, "nobody");
    // Later, what cannot be seen is gone.
    let mut other = signed_in(&world, "alice", "desktop").await;
    world.advance(61);
    let keys = REDIS.keys(&world.prefix);
    for record in keys.iter().filter(|it| !it.contains("user:")) {
        let _: () = redis.del(record).unwrap();
    }
    world.store.take_calls();
    other.get("/logins/alice").await;
    let asked = world.store.take_calls();
    assert_eq!(asked, [Call::List, Call::Inspect(1), Call::Strike(1)]);
}

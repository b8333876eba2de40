//! Users and their sessions: logging in, listing all sessions, destroying them from another device.

use std::time::{Duration, UNIX_EPOCH};

use redis::Commands;
use rocket::http::Status;
use rocket_server_sessions::Clock;
use rocket_server_sessions::store::Store;
use rocket_server_sessions::testing::Call;

use crate::world::{Visitor, World, on_every_store};

pub async fn logged_in<'w>(world: &'w World, user: &str, label: &str) -> Visitor<'w> {
    let mut visitor = world.visitor();
    assert_eq!(visitor.body(&format!("/log-in/{user}/{label}")).await, "logged in");
    visitor
}

/// The calls of a request to the store, including those in the background.
pub async fn calls(world: &World) -> Vec<Call> {
    world.settled().await;
    world.store.take_calls()
}

/// The key of a user's index, and that of their session's record.
fn index_and_record(world: &World) -> (String, String) {
    let (index, records): (Vec<_>, Vec<_>) =
        world.keys.of_type("hash").into_iter().partition(|key| key.contains("user:"));
    assert_eq!((index.len(), records.len()), (1, 1));
    (index[0].clone(), records[0].clone())
}

on_every_store![
    async fn user_sees_all_sessions_the_latest_first(world: World) {
        let mut last = world.visitor();
        for label in ["desktop", "phone", "tablet"] {
            last = logged_in(&world, "alice", label).await;
            world.advance(1).await;
        }
        assert_eq!(last.body("/sessions/alice").await, "tablet phone desktop");
    }

    async fn newest_session_is_first_among_log_ins_within_one_second(world: World) {
        let labels = ["a", "b", "c", "d", "e"];
        for label in labels {
            logged_in(&world, "alice", label).await;
            world.clock.advance(Duration::from_millis(7));
        }
        assert_eq!(world.visitor().body("/sessions/alice").await, "e d c b a");
    }

    async fn users_never_see_each_other(world: World) {
        let mut alice = logged_in(&world, "alice", "phone").await;
        let mut bob = logged_in(&world, "bob", "desktop").await;
        assert_eq!(alice.body("/sessions/alice").await, "phone");
        assert_eq!(bob.body("/sessions/bob").await, "desktop");
        assert_eq!(bob.body("/sessions/carol").await, "");
        assert_eq!(bob.body("/log-out-everywhere/bob").await, "1");
        assert_eq!(alice.body("/user").await, "alice");
    }

    async fn list_shows_when_a_session_was_last_seen(world: World) {
        let seconds = || world.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut visitor = logged_in(&world, "alice", "phone").await;
        let seen = async || world.visitor().body("/last-seen/alice").await.parse::<u64>().unwrap();
        let mut last = seconds();
        assert_eq!(seen().await, last, "when the user logged in");
        visitor.get("/count/a").await;
        for later in [1_000, 20_000, 20_000] {
            world.advance(later).await;
            assert_eq!(seen().await, last);
            visitor.get("/count/a").await;
            world.settled().await;
            if later > 8_640 {
                last = seconds();
            }
            assert_eq!(seen().await, last, "{later}");
        }
    }

    async fn session_is_destroyed_from_elsewhere(world: World) {
        let mut phone = logged_in(&world, "alice", "phone").await;
        let mut desktop = logged_in(&world, "alice", "desktop").await;
        phone.get("/count/a").await;
        assert_eq!(desktop.body("/log-out/alice/phone").await, "true");
        assert_eq!(desktop.body("/sessions/alice").await, "desktop");
        assert_eq!(phone.body("/user").await, "none");
        assert_eq!(phone.get("/count/a").await.status, Status::Conflict);
        world.advance(31).await;
        assert_eq!(phone.body("/count/a").await, "1");
        assert_eq!(desktop.body("/user").await, "alice");
    }

    async fn visitor_who_was_logged_out_elsewhere_is_told_so_and_can_log_in_at_once(world: World) {
        let mut phone = logged_in(&world, "alice", "phone").await;
        let mut desktop = logged_in(&world, "alice", "desktop").await;
        desktop.get("/log-out/alice/phone").await;
        for _ in 0..2 {
            let page = phone.get("/count/a").await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Conflict, 0));
            assert!(page.body.contains("Destroyed"), "{}", page.body);
            assert_eq!(phone.body("/peek/a").await, "0");
        }
        assert_eq!(phone.body("/log-in/alice/again").await, "logged in");
        assert_eq!(phone.body("/count/a").await, "1");
        assert_eq!(phone.body("/user").await, "alice");
    }

    async fn session_of_another_user_is_not_destroyed(world: World) {
        let mut alice = logged_in(&world, "alice", "phone").await;
        let mut bob = logged_in(&world, "bob", "desktop").await;
        let id = alice.body("/id").await;
        assert_eq!(bob.body(&format!("/log-out-id/bob/{id}")).await, "false");
        assert_eq!(alice.body("/user").await, "alice");
        assert_eq!(bob.body(&format!("/log-out-id/alice/{id}")).await, "true");
        assert_eq!(bob.body(&format!("/log-out-id/alice/{id}")).await, "false");
        assert_eq!(alice.body("/user").await, "none");
    }

    async fn destroy_others_keeps_the_current_session(world: World) {
        let mut others = Vec::new();
        for label in ["a", "b", "c"] {
            others.push(logged_in(&world, "alice", label).await);
        }
        let mut own = logged_in(&world, "alice", "own").await;
        assert_eq!(own.body("/log-out-others/alice").await, "3");
        assert_eq!(own.body("/sessions/alice").await, "own");
        assert_eq!(own.body("/user").await, "alice");
        for other in &mut others {
            assert_eq!(other.body("/user").await, "none");
        }
    }

    async fn destroy_all_clears_the_own_cookie_too(world: World) {
        let mut phone = logged_in(&world, "alice", "phone").await;
        let mut own = logged_in(&world, "alice", "own").await;
        let mut copy = own.clone();
        let page = own.get("/log-out-everywhere/alice").await;
        assert_eq!((page.body.as_str(), &own.cookie), ("2", &None));
        for visitor in [&mut phone, &mut copy] {
            assert_eq!(visitor.body("/user").await, "none");
        }
        assert_eq!(own.body("/sessions/alice").await, "");
        assert_eq!(own.body("/log-out-everywhere/alice").await, "0");
        assert_eq!(own.body("/count/a").await, "1", "a write works at once");
    }

    async fn session_that_was_regenerated_is_still_found(world: World) {
        let mut phone = logged_in(&world, "alice", "phone").await;
        for _ in 0..3 {
            phone.get("/regenerate").await;
            world.advance(10).await;
        }
        assert_eq!(phone.body("/user").await, "alice");
        let mut admin = world.visitor();
        assert_eq!(admin.body("/sessions/alice").await, "phone");
        assert_eq!(admin.body("/log-out-everywhere/alice").await, "1");
        assert_eq!(phone.body("/user").await, "none");
    }

    async fn destroyed_session_leaves_the_list(world: World) {
        let mut phone = logged_in(&world, "alice", "phone").await;
        let mut desktop = logged_in(&world, "alice", "desktop").await;
        phone.get("/destroy").await;
        assert_eq!(desktop.body("/sessions/alice").await, "desktop");
        world.settled().await;
        assert_eq!(world.store.index("alice").await.unwrap().len(), 1);
    }

    async fn expired_session_leaves_the_list(world: World) {
        let mut phone = logged_in(&world, "alice", "phone").await;
        phone.get("/count/a").await;
        world.advance(80_000).await;
        let mut desktop = logged_in(&world, "alice", "desktop").await;
        world.advance(3_000).await;
        desktop.get("/count/a").await;
        world.advance(10_000).await;
        assert_eq!(desktop.body("/sessions/alice").await, "desktop");
        world.settled().await;
        assert_eq!(world.store.index("alice").await.unwrap().len(), 1);
        assert_eq!(phone.body("/user").await, "none");
    }

    async fn session_without_a_log_in_costs_no_calls_for_users(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        calls(&world).await;
        assert_eq!(visitor.body("/user-only").await, "none");
        assert_eq!(calls(&world).await, []);
        visitor.get("/regenerate").await;
        assert!(matches!(calls(&world).await[..], [Call::Rotate(_)]));
        visitor.get("/destroy").await;
        assert_eq!(calls(&world).await, [Call::Destroy]);
    }

    async fn costs_are_as_documented(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/log-in/alice/x").await;
        assert!(matches!(calls(&world).await[..], [Call::IndexAdd, Call::Create(..)]));
        visitor.get("/user-only").await;
        assert!(matches!(calls(&world).await[..], [Call::Update(_), Call::Touch(_)]));
        visitor.get("/log-in/alice/x").await;
        let asked = calls(&world).await;
        let expected = [Call::IndexAdd, asked[1].clone(), Call::IndexRemove(1)];
        assert!(asked == expected && matches!(asked[1], Call::Rotate(_)), "{asked:?}");
        visitor.get("/sessions/alice").await;
        assert_eq!(calls(&world).await, [Call::Index, Call::Status(1)]);
        visitor.get("/sessions/bob").await;
        assert_eq!(calls(&world).await, [Call::Index]);
        let mut other = logged_in(&world, "alice", "y").await;
        calls(&world).await;
        other.get("/log-out-others/alice").await;
        assert_eq!(calls(&world).await, [Call::Index, Call::Destroy, Call::IndexRemove(1)]);
        other.get("/destroy").await;
        assert_eq!(calls(&world).await, [Call::Destroy, Call::IndexRemove(1)]);
    }

    async fn place_of_a_log_in_that_may_be_in_progress_stays_in_the_index(world: World) {
        let visitor = logged_in(&world, "alice", "phone").await;
        // The entry of an instance that died before it created the record.
        let mut entry = world.store.index("alice").await.unwrap().remove(0);
        entry.record.id =
            rocket_server_sessions::PublicId::parse("0190a0a0-0000-7000-8000-000000000000")
                .unwrap();
        entry.written = world.clock.now();
        let ttl = std::time::Duration::from_hours(24);
        world.store.index_add("alice", entry, ttl).await.unwrap();
        for (later, left) in [(500, 2), (200, 1)] {
            world.advance(later).await;
            assert_eq!(visitor.clone().body("/sessions/alice").await, "phone");
            world.settled().await;
            assert_eq!(world.store.index("alice").await.unwrap().len(), left);
        }
    }
];

#[rocket::async_test]
async fn session_without_its_user_leaves_the_list_and_stays_live() {
    let world = World::redis().await;
    let mut visitor = logged_in(&world, "alice", "phone").await;
    let (index, record) = index_and_record(&world);
    let mut redis = world.keys.connect_to(&record);
    let _: () = redis.hdel(&record, "@user").unwrap();
    assert_eq!(world.get("/log-out-everywhere/alice", None).await.body, "0");
    assert_eq!(visitor.body("/count/a").await, "1");
    world.settled().await;
    assert!(!redis.exists::<_, bool>(&index).unwrap());
}

#[rocket::async_test]
async fn index_holds_no_name_and_no_token_and_lives_as_long_as_a_session_can() {
    let world = World::redis().await;
    let mut visitor = logged_in(&world, "alice@example.com", "phone").await;
    let cookie = visitor.cookie.clone().unwrap();
    visitor.get("/regenerate").await;
    world.settled().await;
    let (index, record) = index_and_record(&world);
    assert!(!index.contains("alice") && !record.contains("alice"), "{index} {record}");
    let mut redis = world.keys.connect_to(&index);
    let ttl: i64 = redis.ttl(&index).unwrap();
    assert!(ttl > 400 * 86_400, "longer than any setting lets a session live: {ttl}");
    let held: Vec<String> = redis.hgetall(&index).unwrap();
    assert_eq!(held.len(), 2);
    assert!(!held.concat().contains(&cookie) && !held.concat().contains("alice"), "{held:?}");
}

#[rocket::async_test]
async fn damaged_entry_is_skipped() {
    let world = World::redis().await;
    let mut visitor = logged_in(&world, "alice", "phone").await;
    let (index, _) = index_and_record(&world);
    let mut redis = world.keys.connect_to(&index);
    let _: () = redis.hset(&index, "not-an-id", "x").unwrap();
    let _: () = redis.hset(&index, visitor.body("/id").await, "short").unwrap();
    assert_eq!(visitor.body("/sessions/alice").await, "phone");
    let _: () = redis.set_ex(&index, "text", 60).unwrap();
    // An empty list would mean that there are no sessions.
    assert_eq!(visitor.get("/sessions/alice").await.status, Status::ServiceUnavailable);
    assert_eq!(visitor.body("/user").await, "alice");
    let mut desktop = logged_in(&world, "alice", "desktop").await;
    assert_eq!(desktop.body("/sessions/alice").await, "desktop", "the next log-in repairs it");
}

#[rocket::async_test]
async fn session_that_a_replica_does_not_show_yet_is_destroyed_anyway() {
    // The record is removed and restored, as seen through a replica that lags.
    let world = World::redis().await;
    let mut visitor = logged_in(&world, "alice", "phone").await;
    let (_, record) = index_and_record(&world);
    let mut redis = world.keys.connect_to(&record);
    let aside = format!("{record}-aside");
    let _: () = redis.rename(&record, &aside).unwrap();
    assert_eq!(visitor.body("/sessions/alice").await, "");
    world.settled().await;
    let _: () = redis.rename(&aside, &record).unwrap();
    assert_eq!(world.visitor().body("/log-out-everywhere/alice").await, "1");
    assert_eq!(visitor.body("/user").await, "none");
}

//! What an application does while its store fails.

use std::net::TcpListener;
use std::time::Duration;

use rocket::http::Status;
use rocket_server_sessions::store::{
    PublicId, RecordId, RotateResult, Rotation, Store as _, StoreError, TimeToLive, TokenHash,
};

use crate::world::{REDIS, World, on_every_store};
use test_support::{RedisServer, wait_for};

const PATHS: [&str; 9] = [
    "/count/a",
    "/view/a",
    "/peek/a",
    "/set/a/x",
    "/text/a",
    "/take/a",
    "/regenerate",
    "/destroy",
    "/destroy-and-count",
];

/// The ids of the connections to a server, except this one.
fn others(own: &mut redis::Connection) -> Vec<u64> {
    let id: u64 = redis::cmd("CLIENT").arg("ID").query(own).unwrap();
    let list: String = redis::cmd("CLIENT").arg("LIST").query(own).unwrap();
    let ids = list.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next());
    ids.map(|it| it.parse().unwrap()).filter(|it| *it != id).collect()
}

on_every_store![
    async fn outage_is_a_503_with_retry_after_and_touches_no_cookie(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        for fault in [StoreError::refused("down"), StoreError::outcome_unknown("slow")] {
            world.store.fail(Some(fault.with_retry_after(Duration::from_secs(7))));
            for path in PATHS {
                let page = visitor.get(path).await;
                assert_eq!(page.status, Status::ServiceUnavailable, "{path}");
                assert_eq!(page.retry_after.as_deref(), Some("7"), "{path}");
                assert!(page.set_cookies.is_empty(), "{path}");
                assert!(!page.body.contains("down") && !page.body.contains("slow"), "{path}");
            }
            let new = world.get("/count/a", None).await;
            assert_eq!((new.status.code, new.set_cookies.len()), (503, 0));
            world.store.fail(None);
        }
        assert_eq!(visitor.body("/count/a").await, "2", "the session has not changed");
    }

    async fn request_waits_for_a_failed_store_once(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        world.store.fail(Some(StoreError::refused("down")));
        world.store.take_calls();
        visitor.get("/together").await;
        assert_eq!(world.store.round_trips(), 1);
    }

    async fn every_failure_of_a_request_says_when_to_try_again(world: World) {
        let fault = StoreError::refused("down").with_retry_after(Duration::from_secs(7));
        world.store.fail(Some(fault));
        let mut visitor = world.visitor();
        assert_eq!(visitor.body("/retry-after").await, "7");
    }

    async fn routes_without_a_session_are_not_affected(world: World) {
        world.store.fail(Some(StoreError::refused("down")));
        let mut visitor = world.visitor();
        assert_eq!(visitor.body("/plain").await, "plain");
        assert_eq!(visitor.body("/id").await, "none");
        assert_eq!(visitor.body("/peek/a").await, "0");
    }

    async fn outage_during_a_request_never_shows_half_a_session(world: World) {
        let world = world.reconfigured("session.on_outage", "anonymous").await;
        let mut visitor = world.visitor();
        visitor.body("/both/set/log-in").await;
        assert_eq!(visitor.body("/both/user/text").await, "alice, secret");
        world.store.fail_after(1, StoreError::refused("down"));
        assert_eq!(visitor.get("/both/user/text").await.status, Status::ServiceUnavailable);
    }

    async fn visitor_is_not_anonymous_if_only_one_call_failed(world: World) {
        let world = world.reconfigured("session.on_outage", "anonymous").await;
        let mut visitor = world.visitor();
        visitor.get("/log-in/alice/phone").await;
        let fault = StoreError::outcome_unknown("a reply was about another session");
        world.store.fail(Some(fault.with_retry_after(Duration::ZERO)));
        assert_eq!(visitor.get("/user").await.status, Status::ServiceUnavailable);
        world.store.fail(None);
        assert_eq!(visitor.body("/user").await, "alice");
    }

    async fn anonymous_visitors_read_nothing_write_nothing_and_keep_their_cookies(world: World) {
        let world = world.reconfigured("session.on_outage", "anonymous").await;
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/log-in/alice/phone").await;
        let cookie = visitor.cookie.clone();
        for fault in [StoreError::refused("down"), StoreError::outcome_unknown("slow")] {
            world.store.fail(Some(fault));
            let looks =
                [("/peek/a", "0"), ("/text/a", "none"), ("/fields", "0"), ("/user", "none")];
            for (path, nothing) in looks {
                let page = visitor.get(path).await;
                assert_eq!((page.status, page.body.as_str()), (Status::Ok, nothing), "{path}");
                assert!(page.set_cookies.is_empty() && page.retry_after.is_none(), "{path}");
            }
            for path in [
                "/count/a",
                "/view/a",
                "/set/a/x",
                "/take/a",
                "/remove/a",
                "/remove-items",
                "/regenerate",
                "/destroy",
            ] {
                let page = visitor.get(path).await;
                assert_eq!(page.status, Status::ServiceUnavailable, "{path}");
                assert!(page.set_cookies.is_empty(), "{path}");
            }
            let fault = StoreError::refused("down for long");
            world.store.fail(Some(fault.with_retry_after(Duration::from_secs(7))));
            let page = visitor.get("/look-and-count").await;
            assert_eq!(page.status, Status::ServiceUnavailable);
            assert_eq!(page.retry_after.as_deref(), Some("7"), "as the first read has found out");
        }
        world.store.fail(None);
        assert_eq!(visitor.cookie, cookie);
        assert_eq!(visitor.body("/count/a").await, "2", "the session has not changed");
    }

    async fn failure_during_a_log_in_does_not_say_that_nothing_was_changed(world: World) {
        // At that point, the first user's session is destroyed, and the second user's is not
        // created.
        for calls in [2, 3] {
            let mut visitor = world.visitor();
            visitor.body("/log-in/alice/phone").await;
            world.store.fail_after(0, StoreError::refused("down"));
            assert_eq!(visitor.body("/verdict/log-in-bob").await, "nothing was changed");
            world.store.fail_after(calls, StoreError::refused("down"));
            assert_eq!(visitor.body("/verdict/log-in-bob").await, "outcome unknown", "{calls}");
            world.store.fail(None);
            assert_eq!(visitor.body("/user").await, "none");
        }
    }

    async fn regenerate_that_the_store_refuses_leaves_the_session_and_its_user(world: World) {
        for calls in 0..3 {
            let mut visitor = world.visitor();
            visitor.body("/both/set/log-in").await;
            world.store.fail_after(calls, StoreError::refused("down"));
            assert_eq!(visitor.body("/verdict/regenerate").await, "nothing was changed");
            world.settled().await;
            world.store.fail(None);
            assert_eq!(visitor.body("/both/user/text").await, "alice, secret", "{calls}");
            assert_eq!(visitor.body("/log-out-everywhere/alice").await, "1", "{calls}");
        }
    }
];

#[rocket::async_test]
async fn connection_that_was_closed_while_idle_costs_no_request() {
    let redis = RedisServer::start();
    let world = World::on(&redis).await;
    let (mut visitor, mut own) = (world.visitor(), redis.connect());
    for expected in ["1", "2", "3", "4"] {
        assert_eq!(visitor.body("/count/a").await, expected);
        let kill = ["KILL", "TYPE", "normal", "SKIPME", "yes"];
        wait_for("Redis to close the connections", || {
            // A touch in the background may open another one.
            redis::cmd("CLIENT").arg(&kill).exec(&mut own).unwrap();
            others(&mut own).is_empty()
        });
    }
}

#[rocket::async_test]
async fn connection_on_which_redis_has_refused_a_request_is_not_reused() {
    // The next connection may lead to another server.
    let redis = RedisServer::start();
    let world = World::on(&redis).await;
    let (mut visitor, mut own) = (world.visitor(), redis.connect());
    let mut limit = |memory: &str| {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(memory).exec(&mut own).unwrap();
        others(&mut own)
    };
    visitor.body("/count/a").await;
    let before = limit("1");
    assert_eq!(visitor.get("/count/a").await.status, Status::ServiceUnavailable);
    limit("0");
    wait_for("the connection to be closed", || {
        let now = others(&mut redis.connect());
        before.iter().any(|id| !now.contains(id))
    });
    assert_eq!(visitor.body("/count/a").await, "2");
}

#[rocket::async_test]
async fn destroy_works_when_redis_has_no_memory_left() {
    let redis = RedisServer::start();
    let world = World::on(&redis).await;
    for start in ["/count/a", "/log-in/alice/phone"] {
        let mut visitor = world.visitor();
        visitor.body(start).await;
        let mut copy = visitor.clone();
        let mut own = redis.connect();
        let mut limit = |memory: &str| {
            redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(memory).exec(&mut own).unwrap();
        };
        limit("1");
        let page = visitor.get("/destroy").await;
        limit("0");
        assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 1), "{start}");
        assert_eq!(world.keys.of_type("hash").iter().filter(|it| !it.contains("user:")).count(), 0);
        assert_eq!(copy.body("/fields").await, "0", "{start}");
    }
}

#[rocket::async_test]
async fn rotation_that_was_given_up_on_is_settled_when_redis_has_no_memory_left() {
    let redis = RedisServer::start();
    let world = World::on(&redis).await;
    let mut visitor = world.visitor();
    visitor.body("/count/a").await;
    let key = world.keys.only();
    let (id, hash) = key.split_once('{').unwrap().1.split_once("}:").unwrap();
    let [token_hash, new] = [hash, &"A".repeat(22)].map(|it| TokenHash::parse(it).unwrap());
    let from = RecordId { id: PublicId::parse(id).unwrap(), token_hash };
    let to = RecordId { token_hash: new, ..from };
    let mut own = redis.connect();
    let mut limit = |memory: &str| {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(memory).exec(&mut own).unwrap();
    };
    limit("1");
    let is_there = world.store.settle(to).await;
    // The rotation arrives after all. It needs no memory to begin writing.
    let ttl = Duration::from_mins(1);
    let rotation = Rotation::new(from, to.token_hash, TimeToLive::fixed(ttl));
    let late = world.store.rotate(&rotation).await;
    limit("0");
    assert!(!is_there.unwrap());
    assert_eq!(late.unwrap(), RotateResult::Barred);
    assert_eq!(visitor.body("/count/a").await, "2");
}

#[rocket::async_test]
async fn write_that_was_never_sent_does_not_count_as_possibly_applied() {
    // It accepts connections, but never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", mute.local_addr().unwrap());
    let world = World::on_url(&url, &REDIS, Duration::from_millis(500)).await;
    for path in ["/verdict/view", "/verdict/log-in", "/verdict/set"] {
        assert_eq!(world.get(path, None).await.body, "nothing was changed", "{path}");
    }
}

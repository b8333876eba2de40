//! Records that vanish or are damaged while their cookie is valid: the session is replaced or
//! repaired, and no error is permanent.

use std::time::UNIX_EPOCH;

use redis::Commands;
use rocket::http::Status;
use rocket_server_sessions::Clock;

use crate::proxy::{self, Action, find};
use crate::world::{REDIS, World};

#[rocket::async_test]
async fn vanished_record_starts_a_new_session_with_a_new_id() {
    for path in ["/count/a", "/view/a", "/set/a/x"] {
        let world = World::redis().await;
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let (key, id) = (world.keys.only(), visitor.body("/id").await);
        let _: () = REDIS.connect().del(&key).unwrap();
        let page = visitor.get(path).await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 1), "{path}");
        assert_ne!(visitor.body("/id").await, id);
        assert_ne!(world.keys.only(), key, "the orphan is deleted");
        let ttl: i64 = REDIS.connect().ttl(world.keys.only()).unwrap();
        assert!(ttl > 0, "{ttl}");
    }
}

#[rocket::async_test]
async fn vanished_record_reads_as_empty_and_the_cookie_is_left_alone() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    let _: () = REDIS.connect().del(world.keys.only()).unwrap();
    for path in ["/peek/a", "/fields", "/text/a", "/take/a"] {
        let page = visitor.get(path).await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 0), "{path}");
    }
    assert!(REDIS.keys(&world.prefix).is_empty());
}

#[rocket::async_test]
async fn regenerating_or_destroying_a_vanished_record_leaves_no_key() {
    for path in ["/regenerate", "/destroy"] {
        let world = World::redis().await;
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let _: () = REDIS.connect().del(world.keys.only()).unwrap();
        assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
        assert_eq!(REDIS.keys(&world.prefix), Vec::<String>::new(), "{path}");
    }
}

#[rocket::async_test]
async fn touch_of_a_vanished_record_leaves_no_key() {
    let (world, trap) = proxy::trap().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    let lost = world.keys.only();
    trap.set(move |bytes| {
        let (at, lost) = (find(bytes, "EVAL")?, lost.clone());
        let delete = move || REDIS.connect().del::<_, ()>(&lost).unwrap();
        Some(Action::Split(at, Box::new(delete)))
    });
    visitor.get("/count/a").await;
    world.settled().await;
    assert!(trap.has_sprung(), "the record vanished before the touch");
    assert_eq!(world.keys.all(), Vec::<String>::new());
}

#[rocket::async_test]
async fn record_without_its_marker_counts_as_vanished() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    let _: () = REDIS.connect().hdel(world.keys.only(), "@id").unwrap();
    assert_eq!(visitor.body("/view/a").await, "1");
    assert_eq!(visitor.body("/view/a").await, "2");
    world.keys.only();
}

#[rocket::async_test]
async fn record_with_another_sessions_marker_is_never_shown() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.get("/set/a/theirs").await;
    let other = "0190a0a0-0000-7000-8000-000000000000";
    let _: () = REDIS.connect().hset(world.keys.only(), "@id", other).unwrap();
    assert_eq!(visitor.body("/text/a").await, "none");
    assert_eq!(visitor.body("/view/a").await, "1");
    assert_eq!(visitor.body("/view/a").await, "2", "the error is not permanent");
}

#[rocket::async_test]
async fn record_of_another_type_is_replaced_by_a_new_session() {
    for path in ["/count/a", "/view/a", "/set/a/x", "/take/a", "/fields"] {
        let world = World::redis().await;
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let (key, mut redis) = (world.keys.only(), REDIS.connect());
        let _: () = redis.del(&key).unwrap();
        let _: () = redis.rpush(&key, "x").unwrap();
        assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
        assert_eq!(visitor.body("/view/b").await, "1");
        assert_eq!(visitor.body("/view/b").await, "2");
    }
}

#[rocket::async_test]
async fn record_without_a_ttl_gets_one_at_the_next_touch() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    visitor.get("/count/a").await;
    let _: () = REDIS.connect().persist(world.keys.only()).unwrap();
    world.advance(8_641).await;
    visitor.get("/count/a").await;
    world.settled().await;
    let ttl: i64 = REDIS.connect().ttl(world.keys.only()).unwrap();
    assert!((86_390..=86_400).contains(&ttl), "{ttl}");
}

#[rocket::async_test]
async fn record_without_a_ttl_gets_one_when_it_is_regenerated() {
    for path in ["/regenerate", "/log-in/alice/phone"] {
        let world = World::redis().await;
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let _: () = REDIS.connect().persist(world.keys.only()).unwrap();
        visitor.body(path).await;
        world.keys.assert_all_have_a_ttl();
    }
}

#[rocket::async_test]
async fn every_key_always_has_the_prefix_and_a_ttl() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    let mut old = visitor.clone();
    for path in ["/count/a", "/count/a", "/regenerate", "/set/a/x", "/regenerate", "/destroy"] {
        visitor.get(path).await;
        old.cookie = old.cookie.or_else(|| visitor.cookie.clone());
        let keys = REDIS.keys(&world.prefix);
        assert!(!keys.is_empty());
        for key in keys {
            let ttl: i64 = REDIS.connect().ttl(&key).unwrap();
            assert!(ttl > 0, "{path}: {key} has no time to live");
            let rest = key.strip_prefix(&world.prefix).unwrap();
            let (id, token_hash) = rest.split_once("}:").unwrap();
            assert_eq!((id.len(), token_hash.len()), (37, 22), "{key}");
        }
    }
    assert_eq!(old.body("/peek/a").await, "0");
}

#[rocket::async_test]
async fn two_prefixes_on_one_redis_never_meet() {
    let (a, b) = (World::redis().await, World::redis().await);
    let mut visitor = a.visitor();
    visitor.get("/count/a").await;
    let key = a.keys.only();
    let mut same = b.visitor();
    same.cookie.clone_from(&visitor.cookie);
    assert_eq!(same.body("/count/a").await, "1");
    assert_eq!(visitor.body("/count/a").await, "2");
    assert_eq!(a.keys.only(), key);
}

#[rocket::async_test]
async fn record_is_human_readable() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    visitor.get("/set/b/hello").await;
    world.settled().await;
    let id = visitor.body("/id").await;
    let seen = world.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
    let held: std::collections::BTreeMap<String, String> =
        REDIS.connect().hgetall(world.keys.only()).unwrap();
    let expected =
        [("@id", id.as_str()), ("@seen", &seen), ("count:a", "1"), ("text:b", "\"hello\"")];
    assert_eq!(held, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
}

//! What becomes of an old session.

use redis::Commands;
use rocket::futures::future::join_all;
use rocket_server_sessions::Event;
use rocket_server_sessions::express::Import;

use super::{Migration, RECORD, SECRET, carry_over, signed};
use crate::world::{KEY, OTHER_KEY, OnEachStore, on_every_store, redis_store};

on_every_store![
    async fn session_continues_where_express_left_it(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        assert_eq!(visitor.body("/count/a").await, "4");
        assert_eq!(visitor.body("/text/a").await, "kept");
        assert_eq!(visitor.body("/count/a").await, "5");
        assert_eq!(old.record("id"), None);
        assert!(visitor.own.is_some() && visitor.old.is_none(), "the cookies were not exchanged");
        let events = old.world.take_events();
        let imported = events.iter().filter(|it| matches!(it, Event::Imported(_))).count();
        assert_eq!(imported, 1, "{events:?}");
    }

    async fn every_first_operation_imports(old: Migration) {
        for (number, (path, body)) in [
            ("/view/a", "4"),
            ("/peek/a", "3"),
            ("/text/a", "kept"),
            ("/fields", "2"),
            ("/append/list/x", "1"),
            ("/user", "none"),
            ("/regenerate", "regenerated"),
            ("/remember-for/14", ""),
            ("/log-in/alice/new", "logged in"),
        ]
        .into_iter()
        .enumerate()
        {
            let mut visitor = old.visitor(&format!("id{number}"), RECORD);
            assert_eq!(visitor.body(path).await, body, "{path}");
            assert_eq!(visitor.body("/text/a").await, "kept", "{path}");
        }
    }

    async fn requests_at_once_share_one_session(old: Migration) {
        let visitor = old.visitor("id", RECORD);
        let mut visitors = vec![visitor; 12];
        let bodies = join_all(visitors.iter_mut().map(|it| it.body("/count/a"))).await;
        let mut counts: Vec<u32> = bodies.iter().map(|it| it.parse().unwrap()).collect();
        counts.sort_unstable();
        assert_eq!(counts, (4..16).collect::<Vec<_>>());
        for (number, visitor) in visitors.iter_mut().enumerate() {
            assert_eq!(visitor.body("/count/a").await, (16 + number).to_string());
        }
    }

    async fn visitor_whose_first_response_was_lost_continues_in_the_same_session(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        assert_eq!(visitor.body("/count/a").await, "4");
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "5");
        old.world.advance(3600).await;
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "6");
        assert_eq!(visitor.body("/count/a").await, "7");
    }

    async fn record_that_express_writes_back_is_ignored_and_removed(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        visitor.get("/count/a").await;
        old.visitor("id", r#"{"views":100}"#);
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "5");
        assert_eq!(old.record("id"), None);
        visitor.get("/destroy").await;
        old.world.advance(31).await;
        old.visitor("id", r#"{"views":100}"#);
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "1");
    }

    async fn request_that_does_not_use_its_session_imports_nothing(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        assert_eq!(visitor.body("/plain").await, "plain");
        assert_eq!(visitor.body("/id").await, "none");
        assert_eq!((old.record("id").as_deref(), old.claims()), (Some(RECORD), 0));
    }

    async fn old_session_that_becomes_an_empty_one_is_removed(old: Migration) {
        let mut visitor = old.visitor("id", r#"{"cookie":{}}"#);
        assert_eq!(visitor.body("/fields").await, "0");
        assert_eq!((old.record("id"), visitor.own.clone()), (None, None));
        assert_eq!(visitor.body("/count/a").await, "1");
        assert_eq!(visitor.body("/count/a").await, "2");
    }

    async fn session_that_cannot_be_imported_is_kept_and_its_visitor_gets_a_new_one(
        old: Migration,
    ) {
        let large = format!(r#"{{"note":"{}"}}"#, "x".repeat(20_000));
        for (number, record) in [r#"{"views":"many"}"#, "no JSON", "[]", r#"{"user":""}"#, &large]
            .into_iter()
            .enumerate()
        {
            let id = format!("id{number}");
            let mut visitor = old.visitor(&id, record);
            assert_eq!(visitor.body("/count/a").await, "1", "{record}");
            assert_eq!(visitor.body("/count/a").await, "2", "{record}");
            assert_eq!(old.record(&id).as_deref(), Some(record));
        }
        let (mut visitor, key) = (old.visitor("hash", ""), old.key("hash"));
        let mut redis = old.server.connect_to(&key);
        redis.del::<_, ()>(&key).unwrap();
        redis.hset::<_, _, _, ()>(&key, "a", "b").unwrap();
        assert_eq!(visitor.body("/count/a").await, "1");
    }

    async fn old_cookie_leads_to_nothing_after_the_absolute_lifetime(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        visitor.get("/count/a").await;
        old.world.advance(31 * 24 * 3600).await;
        assert_eq!(visitor.without_our_cookie().body("/text/a").await, "none");
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "1");
    }

    async fn imported_session_has_its_full_idle_timeout_at_once(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        visitor.get("/count/a").await;
        old.world.advance(23 * 3600).await;
        assert_eq!(visitor.body("/count/a").await, "5");
    }
];

#[rocket::async_test]
async fn claim_of_an_earlier_key_is_understood_and_one_of_an_unknown_key_is_not_used() {
    let old = Migration::in_redis().await;
    let mut visitor = old.visitor("id", RECORD);
    assert_eq!(visitor.body("/count/a").await, "4");
    let (prefix, claims) = (old.old.clone(), old.claims.clone());
    let mut world = old.world;
    for (previous, count) in [(vec![KEY], "5"), (vec![], "1")] {
        let import = Import::new(SECRET, carry_over).prefix(&prefix);
        let import = import.redis(redis_store(&claims));
        world = world.reconfigured("secret_key", OTHER_KEY).await;
        world = world.reconfigured("session.previous_keys", previous).await;
        world = world.rebuilt(|it| it.import(import)).await;
        let header = format!("connect.sid={}", signed("id", SECRET));
        assert_eq!(world.get("/count/a", Some(&header)).await.body, count);
    }
}

//! Logging out: an old cookie gives access to nothing afterwards.

use std::time::SystemTime;

use rocket::http::Status;
use rocket_server_sessions::Clock;
use test_support::RedisServer;

use super::{Migration, RECORD};
use crate::world::{DEADLINE, World, on_every_store, open_store};

/// A session of Express in which Alice is logged in.
const OF_ALICE: &str = r#"{"user":"alice","note":"hers"}"#;

on_every_store![
    async fn user_stays_logged_in_and_can_be_logged_out_everywhere(old: Migration) {
        let mut visitor = old.visitor("id", r#"{"user":"alice","note":"hers"}"#);
        assert_eq!(visitor.body("/user").await, "alice");
        assert_eq!(visitor.body("/log-out-everywhere/alice").await, "1");
        for mut visitor in [visitor.clone(), visitor.without_our_cookie()] {
            assert_eq!(visitor.body("/user").await, "none");
            assert_eq!(visitor.body("/text/a").await, "none");
        }
    }

    async fn log_out_everywhere_ends_sessions_that_were_not_imported_yet(old: Migration) {
        for (path, user, is_kept) in
            [("/log-out-everywhere/alice", "alice", false), ("/log-out-others/bob", "bob", true)]
        {
            let record = OF_ALICE.replace("alice", user);
            let [mut reader, mut writer, mut other] = ["reader", "writer", "other"]
                .map(|it| old.visitor(&format!("{it}-{user}"), &record));
            let mut anonymous = old.visitor(&format!("anonymous-{user}"), RECORD);
            assert_eq!(other.body("/user").await, user);
            other.body(path).await;
            let expected = if is_kept { user } else { "none" };
            assert_eq!(other.body("/user").await, expected, "{path}: the visitor's own");
            assert_eq!(reader.body("/user").await, "none", "{path}");
            assert_eq!(reader.body("/text/a").await, "none", "{path}");
            assert_eq!(writer.body("/count/a").await, "1", "{path}: a new session");
            assert_eq!(anonymous.body("/count/a").await, "4", "{path}: nobody's");
            old.world.advance(31).await;
            let mut visitors = [reader.without_our_cookie(), writer.without_our_cookie(), reader];
            for visitor in &mut visitors {
                assert_eq!(visitor.body("/user").await, "none", "{path}");
                assert_eq!(visitor.body("/text/a").await, "none", "{path}");
            }
            let left = if is_kept { "before" } else { "" };
            assert_eq!(other.body(&format!("/sessions/{user}")).await, left, "{path}");
        }
    }

    async fn user_who_has_logged_in_at_express_after_a_log_out_everywhere_stays_logged_in(
        old: Migration,
    ) {
        let now = old.world.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        old.world.visitor().body("/log-out-everywhere/alice").await;
        old.world.advance(60).await;
        for (seconds, user) in [(-30, "none"), (0, "none"), (30, "alice")] {
            let at = now.checked_add_signed(seconds).unwrap();
            let record = format!(r#"{{"user":"alice","at":{at}}}"#);
            let mut visitor = old.visitor(&format!("id{seconds}"), &record);
            assert_eq!(visitor.body("/user").await, user, "{seconds}");
        }
    }

    async fn log_out_of_all_others_keeps_an_own_session_whose_cookie_has_never_arrived(
        old: Migration,
    ) {
        let mut visitor = old.visitor("id", OF_ALICE);
        assert_eq!(visitor.body("/user").await, "alice");
        assert_eq!(visitor.body("/log-out-others/alice").await, "0");
        assert_eq!(visitor.without_our_cookie().body("/user").await, "alice");
        let mut other = old.visitor("other", OF_ALICE);
        assert_eq!(other.body("/user").await, "none");
        old.world.advance(1).await;
        old.world.visitor().body("/log-out-everywhere/alice").await;
        assert_eq!(visitor.without_our_cookie().body("/user").await, "none");
    }

    async fn log_out_ends_the_old_cookie_too(old: Migration) {
        for (number, path) in ["/peek/a", "/destroy"].into_iter().enumerate() {
            let mut visitor = old.visitor(&format!("id{number}"), RECORD);
            visitor.get(path).await;
            assert_eq!(visitor.body("/destroy").await, "destroyed");
            let mut again = visitor.without_our_cookie();
            assert_eq!(again.body("/text/a").await, "none");
            assert_eq!(again.get("/count/a").await.status, Status::Conflict);
            old.world.advance(31).await;
            let mut again = visitor.without_our_cookie();
            assert_eq!(again.body("/text/a").await, "none");
            assert_eq!(again.body("/count/a").await, "1", "a new session");
            assert_eq!(again.old, None);
        }
    }

    async fn log_out_or_log_in_ends_the_old_session_of_a_browser_with_both_cookies(old: Migration) {
        for (number, path) in
            ["/destroy", "/log-out-everywhere/bob", "/log-in/bob/y"].into_iter().enumerate()
        {
            for is_imported in [false, true] {
                let id = format!("id{number}{is_imported}");
                let mut visitor = old.visitor(&id, r#"{"user":"alice","note":"hers"}"#);
                let cookie = visitor.old.clone();
                if is_imported {
                    assert_eq!(visitor.clone().body("/user").await, "alice");
                }
                visitor.old = None;
                visitor.body("/log-in/bob/x").await;
                visitor.old = cookie;
                assert_eq!(visitor.body("/user").await, "bob", "{path}");
                visitor.body(path).await;
                assert_eq!((visitor.old.clone(), old.record(&id)), (None, None), "{path}");
                let mut again = visitor.without_our_cookie();
                assert_eq!(again.body("/user").await, "none", "{path}");
            }
        }
    }

    async fn log_out_ends_an_old_session_that_cannot_be_carried_over(old: Migration) {
        for (number, record) in [r#"{"user":"alice","views":"many"}"#, "no JSON"].iter().enumerate()
        {
            let id = format!("id{number}");
            let mut visitor = old.visitor(&id, record);
            assert_eq!(visitor.body("/destroy").await, "destroyed");
            assert_eq!((visitor.old.clone(), old.record(&id)), (None, None), "{record}");
            assert_eq!(visitor.without_our_cookie().body("/user").await, "none");
        }
    }

    async fn imported_log_in_is_not_a_recent_one_unless_the_application_says_so(old: Migration) {
        let age = async |record: &str, id: &str| -> u64 {
            old.visitor(id, record).body("/logged-in-for").await.parse().unwrap()
        };
        assert!(age(r#"{"user":"alice"}"#, "unknown").await > 365 * 24 * 3600);
        let now = old.world.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let at = |seconds: u64| format!(r#"{{"user":"alice","at":{seconds}}}"#);
        assert_eq!(age(&at(now - 600), "known").await, 600);
        assert_eq!(age(&at(now + 600), "ahead").await, 0);
    }

    async fn old_cookie_gives_no_access_after_the_token_was_replaced(old: Migration) {
        for (number, path) in ["/regenerate", "/log-in/alice/x"].into_iter().enumerate() {
            let mut visitor = old.visitor(&format!("id{number}"), RECORD);
            visitor.get(path).await;
            assert_eq!(visitor.body("/text/a").await, "kept");
            for seconds in [0, 31] {
                old.world.advance(seconds).await;
                assert_eq!(visitor.without_our_cookie().body("/text/a").await, "none");
            }
        }
    }
];

#[rocket::async_test]
async fn log_out_everywhere_ends_the_sessions_that_are_listed_even_if_redis_is_full() {
    let redis = RedisServer::start();
    let world = World::on(&redis).await;
    let old = Migration::new(world, redis.client(), |it| open_store(it, &redis.url(), DEADLINE));
    let old = old.await;
    let mut visitor = old.visitor("id", OF_ALICE);
    assert_eq!(visitor.body("/user").await, "alice");
    let limit = |memory: &str| {
        let mut own = redis.connect();
        redis::cmd("CONFIG").arg(&["SET", "maxmemory", memory]).exec(&mut own).unwrap();
    };
    limit("1");
    let page = old.world.visitor().get("/log-out-everywhere/alice").await;
    assert_eq!(page.status, Status::ServiceUnavailable, "sessions that were not imported are left");
    limit("0");
    assert_eq!(visitor.body("/user").await, "none");
}

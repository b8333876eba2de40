//! How sessions are created, kept, regenerated and destroyed.

use rocket::http::Status;
use rocket_server_sessions::store::{Store, TOMBSTONE_TTL};

use crate::world::{World, on_every_store};

const DAY: u64 = 86_400;

on_every_store![
    async fn first_write_sets_one_cookie_and_later_ones_none(world: World) {
        let mut visitor = world.visitor();
        let first = visitor.get("/count/a").await;
        assert_eq!((first.body.as_str(), first.set_cookies.len()), ("1", 1));
        assert_eq!(first.cache_control.as_deref(), Some("no-store"));
        for _ in 0..5 {
            assert_eq!(visitor.get("/count/a").await.set_cookies, Vec::<String>::new());
        }
        world.advance(DAY / 2).await;
        assert_eq!(visitor.get("/count/a").await.set_cookies, Vec::<String>::new());
        assert_eq!(visitor.body("/peek/a").await, "7");
    }

    async fn session_that_is_not_used_costs_no_cookie_and_no_round_trip(world: World) {
        let mut visitor = world.visitor();
        for path in ["/plain", "/id", "/nowhere"] {
            assert!(visitor.get(path).await.set_cookies.is_empty());
        }
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn reading_or_removing_without_a_session_costs_no_round_trip(world: World) {
        let mut visitor = world.visitor();
        for path in ["/peek/a", "/fields", "/remove/a", "/take/a", "/regenerate", "/destroy"] {
            let page = visitor.get(path).await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 0), "{path}");
        }
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn store_is_named_without_a_round_trip(world: World) {
        let name = world.visitor().body("/store").await;
        assert_eq!(name, world.store.name());
        assert!(["memory", "Redis", "SQLite"].contains(&name.as_str()), "{name}");
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn regenerate_keeps_the_data_and_the_old_cookie_is_dead_at_once(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let mut old = visitor.clone();
        assert_eq!(visitor.get("/regenerate").await.set_cookies.len(), 1);
        assert_ne!(visitor.cookie, old.cookie);
        assert_eq!(old.body("/peek/a").await, "0");
        for path in ["/count/a", "/view/a", "/set/a/x", "/take/a", "/remove/a", "/verdict/pair"] {
            let page = old.get(path).await;
            assert_eq!(page.set_cookies, Vec::<String>::new(), "{path}");
            let is_conflict = page.status == Status::Conflict || page.body == "409";
            assert!(is_conflict, "{path}: {} {}", page.status, page.body);
        }
        assert_eq!(visitor.body("/count/a").await, "3", "none of these requests has changed it");
    }

    async fn token_that_died_long_ago_begins_a_new_session(world: World) {
        for end in ["/regenerate", "/destroy"] {
            let mut visitor = world.visitor();
            visitor.get("/count/a").await;
            let mut old = visitor.clone();
            visitor.get(end).await;
            world.advance(TOMBSTONE_TTL.as_secs() - 1).await;
            assert_eq!(old.get("/count/a").await.status, Status::Conflict, "{end}");
            world.advance(2).await;
            assert_eq!(old.body("/peek/a").await, "0", "{end}");
            let page = old.get("/count/a").await;
            assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 1), "{end}");
        }
    }

    async fn one_of_two_rotations_wins_and_the_other_changes_nothing(world: World) {
        let mut winner = world.visitor();
        winner.get("/count/a").await;
        winner.get("/count/a").await;
        let mut loser = winner.clone();
        assert_eq!(winner.get("/regenerate").await.set_cookies.len(), 1);
        let page = loser.get("/regenerate").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Conflict, 0));
        assert_eq!(winner.body("/count/a").await, "3");
    }

    async fn destroy_clears_the_cookie_and_nothing_comes_back(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/set/a/secret").await;
        let mut old = visitor.clone();
        let page = visitor.get("/destroy").await;
        let [removal] = &page.set_cookies[..] else { panic!("{:?}", page.set_cookies) };
        assert!(removal.starts_with("__Host-session=; "), "{removal}");
        for attribute in ["Max-Age=0", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(removal.contains(attribute), "{removal}");
        }
        assert_eq!(old.body("/text/a").await, "none");
        assert_eq!(old.body("/peek/a").await, "0");
        world.advance(20 * DAY).await;
        assert_eq!(old.body("/peek/a").await, "0");
    }

    async fn destroy_with_a_dead_token_never_succeeds_while_the_session_is_live(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut old = visitor.clone();
        visitor.get("/regenerate").await;
        let page = old.get("/destroy").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Conflict, 0));
        assert_eq!(visitor.body("/count/a").await, "2");
        // Destroying a destroyed session succeeds every time.
        let mut again = visitor.clone();
        visitor.get("/destroy").await;
        assert_eq!(again.body("/destroy").await, "destroyed");
    }

    async fn destroy_without_a_session_does_nothing(world: World) {
        for cookie in [None, Some("__Host-session=forged"), Some("__Host-session=")] {
            let page = world.get("/destroy", cookie).await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 0));
        }
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn write_in_progress_while_the_session_is_destroyed_conflicts(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut in_flight = visitor.clone();
        visitor.get("/destroy").await;
        for path in ["/count/a", "/view/a", "/set/a/x"] {
            let page = in_flight.get(path).await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Conflict, 0), "{path}");
        }
        let page = visitor.get("/count/a").await;
        assert_eq!(
            (page.body.as_str(), page.set_cookies.len()),
            ("1", 1),
            "the browser gets a new session"
        );
    }

    async fn regenerating_a_destroyed_session_does_not_revive_it(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut in_flight = visitor.clone();
        visitor.get("/destroy").await;
        let page = in_flight.get("/regenerate").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Conflict, 0));
        assert_eq!(in_flight.body("/peek/a").await, "0");
    }

    async fn two_guards_of_one_request_are_one_session(world: World) {
        let page = world.get("/two", None).await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("2", 1));
    }

    async fn parallel_first_writes_of_one_request_make_one_session(world: World) {
        let page = world.get("/together", None).await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("3", 1));
    }

    async fn error_status_still_delivers_the_cookie(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/fail").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::ImATeapot, 1));
        assert_eq!(visitor.body("/fields").await, "1");
    }

    async fn new_session_can_begin_in_the_request_that_destroyed_the_old_one(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let old = visitor.clone();
        let page = visitor.get("/destroy-and-count").await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 1));
        assert_ne!(visitor.cookie, old.cookie);
        assert_eq!(visitor.body("/fields").await, "1");
    }

    async fn write_after_the_headers_were_sent_creates_no_session(world: World) {
        let page = world.get("/late/count", None).await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("nothing was changed", 0));
        assert_eq!(world.store.round_trips(), 0);
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        assert_eq!(visitor.body("/late/count").await, "2", "a session that exists still works");
    }

    async fn redirected_visitor_sees_what_was_written(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/set/a/hello").await;
        assert_eq!(visitor.body("/text/a").await, "hello");
        assert_eq!(visitor.body("/take/a").await, "hello");
        assert_eq!(visitor.body("/take/a").await, "none");
    }

    async fn message_is_shown_once_in_the_round_trip_of_the_page(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/set/a/hello").await;
        visitor.get("/peek/a").await;
        world.settled().await;
        world.store.take_calls();
        assert_eq!(visitor.body("/shown-once/a").await, "hello");
        assert_eq!(world.store.round_trips(), 1);
        assert_eq!(visitor.body("/shown-once/a").await, "none");
    }
];

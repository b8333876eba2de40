//! How sessions begin, are kept, are rotated and end.

use std::time::Duration;

use rocket::http::Status;
use rocket_server_sessions::testing::Call;

use crate::world::{World, on_every_store};

fn ttl(call: Call) -> Option<Duration> {
    match call {
        Call::Apply(request) => request.ttl,
        other => panic!("{other:?}"),
    }
}

on_every_store![
    async fn first_write_sets_one_cookie_and_later_ones_none(world: World) {
        let mut visitor = world.visitor();
        let first = visitor.get("/count/a").await;
        assert_eq!((first.body.as_str(), first.set_cookies.len()), ("1", 1));
        assert_eq!(first.cache_control.as_deref(), Some("no-store"));
        // The second request proves that the visitor sends cookies back: the short time ends.
        assert_eq!(visitor.get("/count/a").await.set_cookies.len(), 1);
        for _ in 0..5 {
            assert_eq!(visitor.get("/count/a").await.set_cookies, Vec::<String>::new());
        }
        assert_eq!(visitor.body("/peek/a").await, "7");
    }

    async fn cookie_and_ttl_are_renewed_together_when_a_tenth_of_the_idle_timeout_has_passed(
        world: World,
    ) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        world.advance(86_400 / 10 - 1);
        world.store.take_calls();
        assert!(visitor.get("/view/a").await.set_cookies.is_empty());
        world.advance(1);
        let page = visitor.get("/view/a").await;
        assert!(page.set_cookies[0].contains("; Max-Age=86400; "), "{:?}", page.set_cookies);
        let ttls: Vec<_> = world.store.take_calls().into_iter().map(ttl).collect();
        assert_eq!(ttls, [None, Some(Duration::from_secs(86_460))]);
    }

    async fn reading_renews_the_session_too(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        for _ in 0..3 {
            world.advance(80_000);
            let page = visitor.get("/peek/a").await;
            assert_eq!((page.body.as_str(), page.set_cookies.len()), ("2", 1));
        }
    }

    async fn untouched_session_makes_no_cookie_and_asks_nobody(world: World) {
        let mut visitor = world.visitor();
        for path in ["/plain", "/idle", "/nowhere"] {
            assert!(visitor.get(path).await.set_cookies.is_empty());
        }
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn reading_or_removing_in_no_session_asks_nobody(world: World) {
        let mut visitor = world.visitor();
        for path in ["/peek/a", "/fields", "/remove/a", "/take/a", "/regenerate", "/end"] {
            let page = visitor.get(path).await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 0), "{path}");
        }
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn store_is_named_without_being_asked(world: World) {
        let name = if world.prefix.is_empty() { "memory" } else { "Redis" };
        assert_eq!(world.visitor().body("/store").await, name);
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn idle_session_lapses(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        world.advance(86_399);
        assert_eq!(visitor.body("/count/a").await, "3");
        world.advance(86_400);
        world.store.take_calls();
        assert_eq!(visitor.body("/idle").await, "nobody");
        assert_eq!(visitor.body("/peek/a").await, "0");
        assert_eq!(world.store.round_trips(), 0, "both clocks are in the cookie");
        assert_eq!(visitor.body("/count/a").await, "1");
    }

    async fn visitor_who_never_came_back_lapses_sooner(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/count/a").await;
        assert!(page.set_cookies[0].contains("; Max-Age=3600; "), "{:?}", page.set_cookies);
        let Some(Call::Create(_, ttl)) = world.store.take_calls().pop() else {
            panic!("no record")
        };
        assert_eq!(ttl, Duration::from_secs(3660));
        world.advance(3600);
        assert_eq!(visitor.body("/count/a").await, "1");
    }

    async fn used_session_ends_at_its_absolute_lifetime(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        for day in 0..29 {
            world.advance(if day == 0 { 3_000 } else { 86_399 });
            assert_ne!(visitor.body("/count/a").await, "1", "day {day}");
        }
        world.advance(86_399);
        let page = visitor.get("/count/a").await;
        assert!(!page.set_cookies[0].contains("Max-Age=86400"), "no longer than the session lives");
        world.advance(86_399);
        assert_eq!(visitor.body("/count/a").await, "1");
    }

    async fn regenerate_does_not_extend_the_lifetime(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let before = visitor.body("/idle").await;
        for day in 0..29 {
            world.advance(if day == 0 { 3_000 } else { 86_399 });
            visitor.get("/count/a").await;
            assert_eq!(visitor.body("/regenerate").await, "regenerated");
        }
        assert_eq!(visitor.body("/idle").await, before, "the id, and with it the birth, stays");
        world.advance(86_399);
        visitor.get("/count/a").await;
        world.advance(86_399);
        assert_eq!(visitor.body("/idle").await, "nobody");
    }

    async fn regenerate_keeps_the_data_and_kills_the_old_cookie_after_the_overlap(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let mut thief = visitor.clone();
        let page = visitor.get("/regenerate").await;
        assert_eq!(page.set_cookies.len(), 1);
        assert_ne!(visitor.cookie, thief.cookie);
        assert_eq!(visitor.body("/count/a").await, "3");
        world.advance(5);
        assert_eq!(thief.body("/peek/a").await, "0");
        assert_eq!(thief.body("/count/a").await, "1", "a new session");
        assert_eq!(visitor.body("/count/a").await, "4");
    }

    async fn request_in_flight_during_a_rotation_loses_no_count_and_gets_no_cookie(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let mut in_flight = visitor.clone();
        visitor.get("/regenerate").await;
        for expected in ["3", "4"] {
            let page = in_flight.get("/view/a").await;
            assert_eq!((page.body.as_str(), page.set_cookies.len()), (expected, 0));
        }
        assert_eq!(visitor.body("/count/a").await, "5");
    }

    async fn of_two_rotations_one_wins_and_the_other_follows(world: World) {
        let mut winner = world.visitor();
        winner.get("/count/a").await;
        winner.get("/count/a").await;
        let mut loser = winner.clone();
        assert_eq!(winner.get("/regenerate").await.set_cookies.len(), 1);
        let page = loser.get("/regenerate").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 0));
        assert_eq!(loser.body("/count/a").await, "3");
        assert_eq!(winner.body("/count/a").await, "4");
    }

    async fn end_clears_the_cookie_and_nothing_comes_back(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/set/a/secret").await;
        let mut old = visitor.clone();
        let page = visitor.get("/end").await;
        assert_eq!(
            page.set_cookies,
            ["__Host-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"]
        );
        assert_eq!(old.body("/text/a").await, "none");
        assert_eq!(old.body("/peek/a").await, "0");
        world.advance(20 * 86_400);
        assert_eq!(old.body("/peek/a").await, "0");
    }

    async fn end_after_a_rotation_ends_the_successor(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut old = visitor.clone();
        visitor.get("/regenerate").await;
        visitor.get("/regenerate").await;
        assert_eq!(old.body("/end").await, "ended");
        assert_eq!(visitor.body("/peek/a").await, "0");
    }

    async fn end_without_a_session_does_nothing(world: World) {
        for cookie in [None, Some("__Host-session=forged"), Some("__Host-session=")] {
            let page = world.get("/end", cookie).await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 0));
        }
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn end_by_a_cookie_from_before_the_overlap_leaves_the_session_alone(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut thief = visitor.clone();
        visitor.get("/regenerate").await;
        world.advance(5);
        let page = thief.get("/end").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 1));
        assert_eq!(thief.cookie, None);
        assert_eq!(visitor.body("/count/a").await, "2");
    }

    async fn write_in_flight_during_an_end_goes_to_a_new_session(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let id = visitor.body("/idle").await;
        let mut in_flight = visitor.clone();
        visitor.get("/end").await;
        for (path, expected) in [("/count/a", "1"), ("/view/a", "2")] {
            assert_eq!(in_flight.body(path).await, expected);
            assert_ne!(in_flight.body("/idle").await, id, "an id is never used again");
        }
    }

    async fn rotating_an_ended_session_does_not_revive_it(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut in_flight = visitor.clone();
        visitor.get("/end").await;
        let page = in_flight.get("/regenerate").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 0));
        assert_eq!(in_flight.body("/peek/a").await, "0");
        assert_eq!(in_flight.body("/count/a").await, "1");
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

    async fn session_can_begin_anew_in_the_request_that_ended_it(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let old = visitor.cookie.clone();
        let page = visitor.get("/anew").await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 1));
        assert_ne!(visitor.cookie, old);
        assert_eq!(visitor.body("/fields").await, "1");
    }

    async fn cookie_can_be_made_to_last_as_long_as_the_browser(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/remember/false").await;
        assert!(!page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
        let page = visitor.get("/count/a").await;
        assert!(!page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
        let page = visitor.get("/remember/true").await;
        assert!(page.set_cookies[0].contains("Max-Age=86400"), "{:?}", page.set_cookies);
        assert!(visitor.get("/count/a").await.set_cookies.is_empty());
    }

    async fn cookie_lasts_as_long_as_the_browser_where_the_settings_say_so(world: World) {
        let world = world.reconfigured("session.persistent", false).await;
        let mut visitor = world.visitor();
        for path in ["/count/a", "/count/a"] {
            let page = visitor.get(path).await;
            assert!(!page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
        }
        let page = world.get("/remember/true", None).await;
        assert!(page.set_cookies[0].contains("Max-Age=3600"), "{:?}", page.set_cookies);
    }

    async fn write_after_the_headers_have_gone_begins_no_session(world: World) {
        let page = world.get("/late/count", None).await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("nothing was changed", 0));
        assert_eq!(world.store.round_trips(), 0);
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        assert_eq!(visitor.body("/late/count").await, "1", "but one that is there goes on");
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
        world.store.take_calls();
        assert_eq!(visitor.body("/shown-once/a").await, "hello");
        assert_eq!(world.store.round_trips(), 1);
        assert_eq!(visitor.body("/shown-once/a").await, "none");
    }
];

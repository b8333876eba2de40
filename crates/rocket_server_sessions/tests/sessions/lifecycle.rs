//! How sessions are created, kept, regenerated and destroyed.

use std::time::Duration;

use rocket::http::Status;
use rocket_server_sessions::Event;
use rocket_server_sessions::store::TOMBSTONE_TTL;
use rocket_server_sessions::testing::Call;

use crate::world::{Page, World, on_every_store};

const DAY: u64 = 86_400;

/// The times to live that touches have set since the last time.
async fn touches(world: &World) -> Vec<u64> {
    world.settled().await;
    let touches = world.store.take_calls().into_iter().filter_map(|call| match call {
        Call::Touch(ttl) => Some(ttl.idle.as_secs()),
        _ => None,
    });
    touches.collect()
}

on_every_store![
    async fn remembered_session_outlives_the_idle_timeout_but_not_the_absolute_lifetime(
        world: World,
    ) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let page = visitor.get("/remember-for/14").await;
        assert!(page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
        for _ in 0..2 {
            world.advance(12 * DAY).await;
            assert_eq!(visitor.body("/peek/a").await, "1");
            visitor.get("/regenerate").await;
        }
        world.advance(7 * DAY).await;
        assert_eq!(visitor.body("/peek/a").await, "0");
    }

    async fn remembered_session_ends_if_it_is_not_used_for_that_long(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/remember-for/14").await;
        world.advance(14 * DAY + 1).await;
        assert_eq!(visitor.body("/peek/a").await, "0");
    }

    async fn session_that_is_logged_in_or_remembered_gets_its_full_time_at_once(world: World) {
        for (path, limit) in [
            ("/log-in/alice/phone", DAY),
            ("/both/log-in/regenerate", DAY),
            ("/both/count/log-in", DAY),
            ("/both/count/remember-for", 14 * DAY),
            ("/both/remember-for/count", 14 * DAY),
            ("/both/remember-for/log-in", 14 * DAY),
        ] {
            let mut visitor = world.visitor();
            visitor.get(path).await;
            world.advance(limit - 60).await;
            world.take_events();
            visitor.get("/peek/a").await;
            let is_return = |event: &Event| matches!(event, Event::Returned(_));
            assert_eq!(world.take_events().iter().filter(|it| is_return(it)).count(), 1, "{path}");
        }
    }

    async fn log_in_does_not_inherit_how_long_another_user_is_remembered(world: World) {
        let world = world.reconfigured("session.remember_me", false).await;
        for end in ["/id", "/log-out-everywhere/alice"] {
            let mut visitor = world.visitor();
            let is_persistent = |page: &Page| page.set_cookies[0].contains("Max-Age");
            assert!(is_persistent(&visitor.get("/both/remember/log-in").await));
            assert!(is_persistent(&visitor.get("/log-in/alice/phone").await), "it is still hers");
            world.get(end, None).await;
            let mut late = visitor.clone();
            assert!(!is_persistent(&visitor.get("/log-in/bob/phone").await), "{end}");
            assert!(is_persistent(&late.get("/both/remember/log-in-bob").await), "{end}");
        }
    }

    async fn session_may_be_remembered_before_it_begins(world: World) {
        let mut visitor = world.visitor();
        assert_eq!(visitor.get("/remember-for/14").await.set_cookies.len(), 0);
        visitor.get("/remember-for-and-count/14").await;
        visitor.get("/peek/a").await;
        world.advance(12 * DAY).await;
        assert_eq!(visitor.body("/peek/a").await, "1");
        visitor.get("/destroy-and-count").await;
        visitor.get("/peek/a").await;
        world.advance(2 * DAY).await;
        assert_eq!(visitor.body("/id").await.len(), 36, "the cookie is there");
        assert_eq!(visitor.body("/fields").await, "0", "the next session has the default again");
    }

    async fn session_that_is_gone_is_not_begun_by_remembering_it(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        world.advance(2 * DAY).await;
        world.store.take_calls();
        assert_eq!(visitor.get("/remember-for/14").await.set_cookies.len(), 0);
        assert_eq!(world.store.round_trips(), 1);
    }

    async fn session_after_a_destroy_has_the_defaults_again(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/remember/false").await;
        assert!(!page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
        let page = visitor.get("/destroy-and-count").await;
        assert!(page.set_cookies[0].contains("Max-Age=2"), "{:?}", page.set_cookies);
    }

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

    async fn session_is_touched_at_its_first_return_and_then_by_a_tenth_of_the_idle_timeout(
        world: World,
    ) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        assert_eq!(touches(&world).await, [0; 0]);
        visitor.get("/view/a").await;
        assert_eq!(touches(&world).await, [DAY], "the browser has sent the cookie back");
        visitor.get("/view/a").await;
        world.advance(DAY / 10 - 2).await;
        visitor.get("/view/a").await;
        assert_eq!(touches(&world).await, [0; 0]);
        world.advance(3).await;
        assert_eq!(visitor.get("/view/a").await.set_cookies, Vec::<String>::new());
        assert_eq!(touches(&world).await, [DAY]);
    }

    async fn reading_touches_the_session_too(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        for _ in 0..3 {
            world.advance(80_000).await;
            let page = visitor.get("/peek/a").await;
            assert_eq!((page.body.as_str(), page.set_cookies.len()), ("2", 0));
        }
    }

    async fn touch_that_fails_is_repeated_by_the_next_request(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        world.store.fail_after(1, rocket_server_sessions::store::StoreError::refused("down"));
        assert_eq!(visitor.body("/count/a").await, "2", "and is no request's failure");
        world.settled().await;
        world.store.fail(None);
        world.store.take_calls();
        visitor.get("/count/a").await;
        assert_eq!(touches(&world).await, [DAY]);
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
        let name = if world.prefix.is_empty() { "memory" } else { "Redis" };
        assert_eq!(world.visitor().body("/store").await, name);
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn idle_session_expires(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        world.advance(DAY - 1).await;
        assert_eq!(visitor.body("/count/a").await, "3");
        world.advance(DAY).await;
        let page = visitor.get("/peek/a").await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("0", 0));
        let page = visitor.get("/count/a").await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 1));
    }

    async fn session_whose_cookie_never_came_back_expires_sooner(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let Some(Call::Create(_, ttl)) = world.store.take_calls().pop() else { panic!() };
        assert_eq!(ttl, Duration::from_hours(1));
        world.advance(3600).await;
        assert_eq!(visitor.body("/count/a").await, "1");
    }

    async fn used_session_expires_at_its_absolute_lifetime(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/count/a").await;
        assert!(page.set_cookies[0].contains("; Max-Age=259"), "{:?}", page.set_cookies);
        visitor.get("/count/a").await;
        for day in 0..29 {
            world.advance(DAY - 1).await;
            assert_ne!(visitor.body("/count/a").await, "1", "day {day}");
        }
        let last = touches(&world).await.pop().unwrap();
        assert!(last < 2 * DAY && last > 0, "no longer than the session lives: {last}");
        world.advance(DAY + 60).await;
        world.store.take_calls();
        assert_eq!(visitor.body("/peek/a").await, "0");
        assert_eq!(world.store.round_trips(), 0, "its age is in the cookie");
        assert_eq!(visitor.body("/count/a").await, "1");
    }

    async fn regenerate_does_not_extend_the_lifetime(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let before = visitor.body("/id").await;
        for day in 0..29 {
            world.advance(if day == 0 { 3_000 } else { DAY - 1 }).await;
            visitor.get("/count/a").await;
            let page = visitor.get("/regenerate").await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 1), "day {day}");
        }
        assert_eq!(visitor.body("/id").await, before, "the id tells when it was created");
        world.advance(DAY - 1).await;
        visitor.get("/count/a").await;
        world.advance(DAY - 1).await;
        assert_eq!(visitor.body("/id").await, "none");
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
        assert_eq!(visitor.body("/count/a").await, "3", "and none of that has reached it");
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

    async fn of_two_rotations_one_wins_and_the_other_changes_nothing(world: World) {
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

    async fn destroy_by_a_dead_token_never_says_ok_while_the_session_lives(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut old = visitor.clone();
        visitor.get("/regenerate").await;
        let page = old.get("/destroy").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Conflict, 0));
        assert_eq!(visitor.body("/count/a").await, "2");
        // If it was destroyed, it says so as often as it is asked.
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

    async fn write_under_way_while_the_session_is_destroyed_conflicts(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut in_flight = visitor.clone();
        visitor.get("/destroy").await;
        for path in ["/count/a", "/view/a", "/set/a/x"] {
            let page = in_flight.get(path).await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Conflict, 0), "{path}");
        }
        let page = visitor.get("/count/a").await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 1), "the browser goes on");
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

    async fn cookie_can_be_made_to_last_as_long_as_the_browser(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/remember/false").await;
        assert!(!page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
        assert!(!page.set_cookies[0].contains("Expires"), "{:?}", page.set_cookies);
        let page = visitor.get("/regenerate").await;
        assert!(!page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
        let page = visitor.get("/remember/true").await;
        assert!(page.set_cookies[0].contains("Max-Age=259"), "{:?}", page.set_cookies);
        let page = visitor.get("/regenerate").await;
        assert!(page.set_cookies[0].contains("Max-Age=259"), "{:?}", page.set_cookies);
    }

    async fn cookie_lasts_as_long_as_the_browser_if_the_settings_say_so(world: World) {
        let world = world.reconfigured("session.remember_me", false).await;
        let page = world.get("/count/a", None).await;
        assert!(!page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
        let page = world.get("/remember/true", None).await;
        assert!(page.set_cookies[0].contains("Max-Age=259"), "{:?}", page.set_cookies);
    }

    async fn write_after_the_headers_have_left_creates_no_session(world: World) {
        let page = world.get("/late/count", None).await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("nothing was changed", 0));
        assert_eq!(world.store.round_trips(), 0);
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        assert_eq!(visitor.body("/late/count").await, "2", "but one that is there goes on");
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

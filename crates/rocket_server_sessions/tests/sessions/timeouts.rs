//! How long sessions and their cookies are kept.

use std::time::Duration;

use rocket::http::Status;
use rocket_server_sessions::Event;
use rocket_server_sessions::testing::Call;

use crate::world::{Page, World, on_every_store};

const DAY: u64 = 86_400;

/// The times to live that touches have set since the last call.
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

    async fn session_that_is_logged_in_or_remembered_gets_its_full_idle_timeout_at_once(
        world: World,
    ) {
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
            assert!(
                is_persistent(&visitor.get("/log-in/alice/phone").await),
                "the same user is still remembered"
            );
            world.get(end, None).await;
            let mut late = visitor.clone();
            assert!(!is_persistent(&visitor.get("/log-in/bob/phone").await), "{end}");
            assert!(is_persistent(&late.get("/both/remember/log-in-bob").await), "{end}");
        }
    }

    async fn visitor_is_remembered_before_or_after_the_log_in_whoever_was_logged_in(world: World) {
        for path in ["/both/remember-for/log-in-bob", "/both/log-in-bob/remember-for"] {
            for start in ["/id", "/count/a", "/log-in/bob/phone", "/log-in/alice/phone"] {
                let mut visitor = world.visitor();
                visitor.get(start).await;
                let page = visitor.get(path).await;
                assert!(page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
                world.advance(13 * DAY).await;
                assert_eq!(visitor.body("/user").await, "bob", "{start} {path}");
                world.advance(15 * DAY).await;
                assert_eq!(visitor.body("/user").await, "none", "{start} {path}");
            }
        }
    }

    async fn log_in_does_not_restart_the_absolute_lifetime_of_a_guests_session(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/remember-for-and-count/28").await;
        world.advance(27 * DAY).await;
        visitor.get("/log-in/alice/phone").await;
        world.advance(2 * DAY).await;
        assert_eq!(visitor.body("/user").await, "alice");
        world.advance(DAY + 60).await;
        assert_eq!(visitor.body("/user").await, "none");
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

    async fn remember_me_does_not_recreate_a_session_that_is_gone(world: World) {
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
        assert_eq!(visitor.body("/count/a").await, "2", "a failed touch fails no request");
        world.settled().await;
        world.store.fail(None);
        world.store.take_calls();
        visitor.get("/count/a").await;
        assert_eq!(touches(&world).await, [DAY]);
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

    async fn session_whose_cookie_was_never_sent_back_expires_sooner(world: World) {
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
];

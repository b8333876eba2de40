//! The events that an observer receives.

use std::collections::BTreeSet;

use rocket_server_sessions::{Event, PublicId, Rejection};

use crate::world::{NAME, Visitor, World, on_every_store};

async fn id(visitor: &mut Visitor<'_>) -> PublicId {
    PublicId::parse(&visitor.body("/id").await).unwrap()
}

on_every_store![
    async fn life_of_a_session_causes_events(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let session = id(&mut visitor).await;
        assert_eq!(world.take_events(), [Event::Created(session)]);
        for _ in 0..3 {
            visitor.get("/count/a").await;
            world.settled().await;
        }
        assert_eq!(world.take_events(), [Event::Returned(session), Event::Touched(session)]);
        visitor.get("/regenerate").await;
        assert_eq!(world.take_events(), [Event::Regenerated(session)]);
        visitor.get("/log-in/alice/phone").await;
        assert_eq!(world.take_events(), [Event::LoggedIn(session)]);
        visitor.get("/destroy").await;
        visitor.get("/destroy").await;
        assert_eq!(world.take_events(), [Event::Destroyed(session)]);
    }

    async fn log_in_without_a_session_causes_two_events(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/log-in/alice/phone").await;
        let session = id(&mut visitor).await;
        assert_eq!(world.take_events(), [Event::Created(session), Event::LoggedIn(session)]);
    }

    async fn session_that_is_destroyed_from_elsewhere_causes_an_event(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/log-in/alice/phone").await;
        let session = id(&mut visitor).await;
        world.take_events();
        world.get("/log-out-everywhere/alice", None).await;
        assert_eq!(world.take_events(), [Event::Destroyed(session)]);
    }

    async fn value_of_an_older_release_counts_as_missing_and_causes_an_event(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/set/a/old").await;
        let session = id(&mut visitor).await;
        visitor.get("/id").await;
        let undecodable = Event::Undecodable(session, "text");
        for path in ["/lenient/a", "/lenient-snapshot/a"] {
            world.settled().await;
            visitor.get("/text/a").await;
            world.settled().await;
            world.take_events();
            assert_eq!(visitor.body(path).await, "0", "{path}");
            assert_eq!(world.take_events(), [undecodable], "{path}");
        }
        assert_eq!(visitor.body("/text/a").await, "old", "it was not changed");
        assert_eq!(visitor.body("/lenient-update/a").await, "1");
        assert_eq!(visitor.body("/lenient/a").await, "1");
    }

    async fn expiry_causes_an_event(world: World) {
        let world = world.reconfigured("session.absolute_lifetime", "36h").await;
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let session = id(&mut visitor).await;
        world.settled().await;
        world.take_events();
        let mut idle = visitor.clone();
        world.advance(86_400).await;
        idle.get("/count/a").await;
        let new = id(&mut idle).await;
        let missing = Event::Rejected(Rejection::Missing(session));
        assert_eq!(world.take_events(), [missing, Event::Created(new)]);
        world.advance(86_400).await;
        visitor.get("/peek/a").await;
        assert_eq!(world.take_events(), [Event::Expired(session)]);
    }

    async fn rejected_cookies_cause_events_with_the_reason(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let session = id(&mut visitor).await;
        let mut old = visitor.clone();
        visitor.get("/regenerate").await;
        let mut destroyed = visitor.clone();
        let other = world.get("/count/a", None).await.set_cookies[0].clone();
        let other = other.split(';').next().unwrap();
        let both = format!("{NAME}={}; {other}", visitor.cookie.clone().unwrap());
        world.take_events();

        for path in ["/count/a", "/peek/a"] {
            old.get(path).await;
            let stale = Event::Rejected(Rejection::StaleToken(session));
            assert_eq!(world.take_events(), [stale], "{path}");
        }
        visitor.get("/destroy").await;
        world.take_events();
        for path in ["/count/a", "/peek/a"] {
            destroyed.get(path).await;
            let after_destroy = Event::Rejected(Rejection::Destroyed(session));
            assert_eq!(world.take_events(), [after_destroy], "{path}");
        }
        for (cookies, why) in
            [("__Host-session=forged", Rejection::CutOff), (&both, Rejection::Ambiguous)]
        {
            world.get("/id", Some(cookies)).await;
            assert_eq!(world.take_events(), [Event::Rejected(why)]);
        }
    }

    async fn requests_without_a_session_cause_no_event(world: World) {
        for cookies in [None, Some(""), Some("theme=dark"), Some("__Host-session=")] {
            world.get("/peek/a", cookies).await;
        }
        assert_eq!(world.take_events(), []);
    }

    async fn events_contain_no_secret(world: World) {
        let mut visitor = world.visitor();
        for path in ["/count/a", "/regenerate", "/log-in/alice/phone", "/destroy"] {
            let before = visitor.cookie.clone();
            visitor.get(path).await;
            let cookies: Vec<_> = before.iter().chain(&visitor.cookie).collect();
            let events = world.take_events();
            assert!(!events.is_empty(), "{path}");
            for event in events {
                let text = format!("{event} {event:?}");
                assert!(!text.contains("alice"), "{text}");
                assert!(cookies.iter().all(|cookie| !text.contains(*cookie)), "{text}");
            }
        }
    }
];

#[test]
fn every_event_has_its_own_text_and_names_its_session() {
    let session = PublicId::parse("01a20ae1-f18c-7d29-891b-262bdedc1ea2").unwrap();
    let events = [
        Event::Created(session),
        Event::Returned(session),
        Event::Quoted(session),
        Event::Touched(session),
        Event::Regenerated(session),
        Event::LoggedIn(session),
        Event::Destroyed(session),
        Event::Expired(session),
        Event::Rejected(Rejection::Destroyed(session)),
        Event::Rejected(Rejection::StaleToken(session)),
        Event::Rejected(Rejection::Missing(session)),
    ];
    let texts: BTreeSet<String> = events.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), events.len(), "{texts:?}");
    assert!(texts.iter().all(|text| text.contains(&session.to_string())), "{texts:?}");
}

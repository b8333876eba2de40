//! What an observer hears.

use std::collections::BTreeSet;

use rocket_server_sessions::{Deadline, Event, PublicId, Rejection};

use crate::world::{Visitor, World, on_every_store};

async fn id(visitor: &mut Visitor<'_>) -> PublicId {
    PublicId::parse(&visitor.body("/idle").await).unwrap()
}

on_every_store![
    async fn life_of_a_session_is_heard(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let session = id(&mut visitor).await;
        assert_eq!(world.take_events(), [Event::Created(session)]);
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        assert_eq!(world.take_events(), [Event::Touched(session)]);
        visitor.get("/regenerate").await;
        assert_eq!(world.take_events(), [Event::Regenerated(session)]);
        visitor.get("/log-in/alice/phone").await;
        let heard =
            [Event::Regenerated(session), Event::Touched(session), Event::LoggedIn(session)];
        assert_eq!(world.take_events(), heard);
        visitor.get("/end").await;
        visitor.get("/end").await;
        assert_eq!(world.take_events(), [Event::Destroyed(session)]);
    }

    async fn both_deadlines_are_heard(world: World) {
        let world = world.reconfigured("session.absolute_lifetime", "36h").await;
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let session = id(&mut visitor).await;
        world.take_events();
        world.advance(86_400);
        visitor.get("/peek/a").await;
        assert_eq!(world.take_events(), [Event::Expired(session, Deadline::Idle)]);
        world.advance(86_400);
        visitor.get("/peek/a").await;
        assert_eq!(world.take_events(), [Event::Expired(session, Deadline::Absolute)]);
    }

    async fn rejected_cookies_are_heard_with_the_reason(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let session = id(&mut visitor).await;
        let mut old = visitor.clone();
        visitor.get("/regenerate").await;
        let mut ended = visitor.clone();
        let other = world.get("/count/a", None).await.set_cookies[0].clone();
        let other = other.split(';').next().unwrap();
        let both = format!("{}={}; {other}", crate::world::NAME, visitor.cookie.clone().unwrap());
        world.take_events();

        world.advance(6);
        old.get("/count/a").await;
        let heard = world.take_events();
        assert_eq!(heard[0], Event::Rejected(Rejection::StaleToken(session)), "{heard:?}");

        visitor.get("/end").await;
        world.take_events();
        ended.get("/count/a").await;
        let heard = world.take_events();
        assert_eq!(heard[0], Event::Rejected(Rejection::Destroyed(session)), "{heard:?}");

        for (cookies, why) in
            [("__Host-session=forged", Rejection::InvalidCookie), (&both, Rejection::Ambiguous)]
        {
            world.get("/idle", Some(cookies)).await;
            assert_eq!(world.take_events(), [Event::Rejected(why)]);
        }
    }

    async fn nobody_hears_of_requests_without_a_session(world: World) {
        for cookies in [None, Some(""), Some("theme=dark"), Some("__Host-session=")] {
            world.get("/peek/a", cookies).await;
        }
        assert_eq!(world.take_events(), []);
    }

    async fn events_hold_no_secret(world: World) {
        let mut visitor = world.visitor();
        for path in ["/count/a", "/regenerate", "/log-in/alice/phone", "/end"] {
            visitor.get(path).await;
            if let Some(cookie) = &visitor.cookie {
                for event in world.take_events() {
                    let text = format!("{event} {event:?}");
                    assert!(!text.contains("alice") && !text.contains(cookie), "{text}");
                }
            }
        }
    }
];

#[test]
fn every_event_reads_differently_and_names_its_session() {
    let session = PublicId::parse("01a20ae1-f18c-7d29-891b-262bdedc1ea2").unwrap();
    let events = [
        Event::Created(session),
        Event::Touched(session),
        Event::Regenerated(session),
        Event::LoggedIn(session),
        Event::Destroyed(session),
        Event::Expired(session, Deadline::Idle),
        Event::Expired(session, Deadline::Absolute),
        Event::Rejected(Rejection::Destroyed(session)),
        Event::Rejected(Rejection::StaleToken(session)),
        Event::Rejected(Rejection::Missing(session)),
    ];
    let texts: BTreeSet<String> = events.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), events.len(), "{texts:?}");
    assert!(texts.iter().all(|text| text.contains(&session.to_string())), "{texts:?}");
}

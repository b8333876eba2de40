//! Operations after the headers of the response are sent: in a stream or a websocket.

use std::time::Duration;

use rocket_server_sessions::store::StoreError;

use crate::proxy;
use crate::world::{Held, Verdicts, Visitor, World, on_every_store};

on_every_store![
    async fn identity_cannot_change_after_the_headers_were_sent(world: World) {
        for change in ["regenerate", "log-in"] {
            let mut visitor = world.visitor();
            visitor.get("/count/a").await;
            visitor.get("/count/a").await;
            let page = visitor.get(&format!("/late/{change}")).await;
            let seen = (page.body.as_str(), page.set_cookies.len());
            assert_eq!(seen, ("nothing was changed", 0), "{change}");
            world.advance(6).await;
            assert_eq!(visitor.body("/count/a").await, "3", "{change}: the session is still there");
        }
    }

    async fn stream_works_again_after_an_outage_and_ends_with_the_lifetime(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut stream = visitor.clone();
        let page = stream
            .get_held("/stream/4/count", async || {
                let gate = &world.gate;
                let mut is_down = false;
                // Up, down, up; then the lifetime ends.
                for _ in 0..3 {
                    gate.open();
                    gate.reached().await;
                    is_down = !is_down;
                    world.store.fail(is_down.then(|| StoreError::refused("down")));
                }
                world.store.fail(None);
                world.clock.advance(Duration::from_hours(744));
            })
            .await;
        assert_eq!(page.body, "2, nothing was changed, 3, 409, ");
    }
];

#[rocket::async_test]
async fn identity_does_not_change_if_the_response_overtakes_the_task_that_changes_it() {
    for (user, change) in [("alice", "regenerate"), ("alice", "log-in"), ("bob", "log-in")] {
        let world = World::holding(Held::IndexAdd).await;
        let mut visitor = world.visitor();
        visitor.get_held(&format!("/log-in/{user}/phone"), async || ()).await;
        let page = visitor.get(&format!("/overtaken/{change}")).await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("answered", 0));
        world.gate.open();
        world.gate.reached().await;
        world.gate.open();
        let verdicts = world.client.rocket().state::<Verdicts>().unwrap();
        assert_eq!(*verdicts.lock().unwrap(), ["nothing was changed"], "{change}");
        world.settled().await;
        assert_eq!(visitor.body("/user").await, user, "{change}");
        assert_eq!(visitor.body(&format!("/sessions/{user}")).await, "phone", "{change}");
    }
}

#[rocket::async_test]
async fn session_is_not_created_if_the_response_overtakes_the_task_that_logs_in() {
    let world = World::holding(Held::IndexAdd).await;
    let mut visitor = world.visitor();
    visitor.get("/overtaken/log-in").await;
    world.gate.open();
    world.gate.reached().await;
    world.gate.open();
    let verdicts = world.client.rocket().state::<Verdicts>().unwrap();
    assert_eq!(*verdicts.lock().unwrap(), ["nothing was changed"]);
    assert_eq!(visitor.body("/sessions/alice").await, "");
}

#[rocket::async_test]
async fn each_operation_of_a_stream_has_a_deadline_of_its_own() {
    let (world, pause) = proxy::paused().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    let cookie = visitor.cookie;
    let world = world.with_deadline(Duration::from_millis(300)).await;
    let mut visitor = Visitor { cookie, ..world.visitor() };
    *pause.lock().unwrap() = Duration::from_millis(40);
    let page = visitor
        .get_held("/stream/12/count", async || {
            for _ in 0..11 {
                world.gate.open();
                world.gate.reached().await;
            }
        })
        .await;
    assert_eq!(page.body, "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, ");
}

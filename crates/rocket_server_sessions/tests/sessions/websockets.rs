//! A session in a websocket of `rocket_ws`, over a real connection. Each text that the browser
//! sends is the name of a step, which the server takes and answers.

use std::time::Duration;

use rocket_server_sessions::store::StoreError;

use crate::proxy;
use crate::world::{NAME, Server, Socket, Visitor, World, on_every_store};

/// Serves the world's application, and opens a websocket with the visitor's cookie.
async fn open(world: &World, visitor: &Visitor<'_>) -> (Server, Socket) {
    let server = world.serve().await;
    let cookie = format!("{NAME}={}", visitor.cookie.as_deref().unwrap());
    let origin = format!("http://{}", server.address);
    let socket = server.socket("/socket", &cookie, &origin).await.unwrap();
    (server, socket)
}

on_every_store![
    async fn websocket_works_again_after_an_outage(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let (server, mut socket) = open(&world, &visitor).await;
        assert_eq!(socket.ask("count").await.unwrap(), "2");
        for expected in ["3", "4"] {
            world.store.fail(Some(StoreError::refused("down")));
            assert_eq!(socket.ask("count").await.unwrap(), "nothing was changed");
            assert_eq!(socket.ask("text").await.unwrap(), "nothing was changed");
            world.store.fail(None);
            assert_eq!(socket.ask("count").await.unwrap(), expected);
        }
        assert_eq!(
            visitor.body("/count/a").await,
            "5",
            "the websocket has used the visitor's session"
        );
        drop(socket);
        server.stop().await;
    }

    async fn websocket_ends_with_the_absolute_lifetime(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let (server, mut socket) = open(&world, &visitor).await;
        assert_eq!(socket.ask("count").await.unwrap(), "2");
        world.clock.advance(Duration::from_hours(744));
        for step in ["count", "text", "set", "destroy"] {
            assert_eq!(socket.ask(step).await.unwrap(), "409", "{step}");
        }
        drop(socket);
        server.stop().await;
    }

    async fn websocket_ends_with_its_session(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let (server, mut socket) = open(&world, &visitor).await;
        assert_eq!(socket.ask("count").await.unwrap(), "2");
        visitor.get("/destroy").await;
        for step in ["count", "text", "set"] {
            assert_eq!(socket.ask(step).await.unwrap(), "409", "{step}");
        }
        drop(socket);
        server.stop().await;
    }

    async fn websocket_sets_no_cookie(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let (server, mut socket) = open(&world, &visitor).await;
        for step in ["regenerate", "log-in", "remember", "remember-for"] {
            assert_eq!(socket.ask(step).await.unwrap(), "nothing was changed", "{step}");
        }
        assert_eq!(socket.ask("count").await.unwrap(), "2");
        assert_eq!(visitor.body("/count/a").await, "3", "the browser's cookie is still valid");
        drop(socket);
        server.stop().await;
    }
];

#[rocket::async_test]
async fn each_operation_of_a_websocket_has_a_deadline_of_its_own() {
    let (world, pause) = proxy::paused().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    let cookie = visitor.cookie;
    let world = world.with_deadline(Duration::from_millis(300)).await;
    let visitor = Visitor { cookie, ..world.visitor() };
    let (server, mut socket) = open(&world, &visitor).await;
    *pause.lock().unwrap() = Duration::from_millis(40);
    for expected in 2..=13 {
        assert_eq!(socket.ask("count").await.unwrap(), expected.to_string());
    }
    *pause.lock().unwrap() = Duration::from_millis(450);
    assert_eq!(socket.ask("count").await.unwrap(), "outcome unknown");
    *pause.lock().unwrap() = Duration::ZERO;
    // The store may refuse requests until it has noticed that the server answers again.
    let mut answer = "nothing was changed".to_owned();
    while answer == "nothing was changed" {
        rocket::tokio::time::sleep(Duration::from_millis(20)).await;
        answer = socket.ask("count").await.unwrap();
    }
    assert_eq!(answer, "15", "the increment that was not answered in time was made once");
    drop(socket);
    server.stop().await;
}

//! What each operation costs: round trips counted by a spy, commands counted by Redis itself.

use crate::world::{World, on_both_stores};

on_both_stores![each_operation_but_the_end_is_one_round_trip];

async fn each_operation_but_the_end_is_one_round_trip(world: World) {
    let mut visitor = world.visitor();
    visitor.get("/set/a/x").await;
    visitor.get("/count/a").await;
    for path in [
        "/count/a",
        "/view/a",
        "/peek/a",
        "/set/a/y",
        "/text/a",
        "/take/a",
        "/remove/a",
        "/fields",
        "/regenerate",
    ] {
        world.store.take_calls();
        visitor.get(path).await;
        assert_eq!(world.store.round_trips(), 1, "{path}");
    }
    world.store.take_calls();
    visitor.get("/end").await;
    assert_eq!(world.store.round_trips(), 2, "a look, whether it was rotated, and the end");
}

/// A Redis of the test's own, since it counts commands.
mod commands {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use cloud_run_sessions::session::store::{Redis, Settings};
    use cloud_run_sessions::session::{Config, Sessions};
    use rocket::local::asynchronous::Client;
    use rocket::tokio::time::sleep;

    use crate::support::RedisServer;
    use crate::world::{figment, routes};

    #[rocket::async_test]
    async fn each_operation_sends_the_commands_of_the_table() {
        let server = RedisServer::start();
        let settings = Settings::from_config(&Config::default(), &server.url().as_str().into());
        let store = Arc::new(Redis::open(&settings).unwrap());
        let rocket =
            rocket::custom(figment()).attach(Sessions::with_store(store)).mount("/", routes());
        let client = Client::tracked(rocket).await.unwrap();
        for (path, expected) in [
            ("/count/a", "exec:1 expire:1 hset:1 multi:1"),
            ("/count/a", "expire:1 hincrby:1 hmget:1"),
            ("/count/a", "hincrby:1 hmget:1"),
            ("/count/new", "hincrby:1 hmget:1"),
            ("/view/a", "hgetall:1 hincrby:1"),
            ("/peek/a", "hmget:1"),
            ("/fields", "hgetall:1"),
            ("/set/a/x", "hget:1 hgetall:1 hset:1"),
            ("/take/a", "exec:1 hdel:1 hget:1 hmget:1 multi:1"),
            ("/remove/a", "hdel:1 hmget:1"),
            ("/regenerate", "exec:1 hmget:1 multi:1 rename:1 set:1"),
            ("/view/a", "hgetall:1 hincrby:1"),
            ("/end", "exec:1 get:1 hmget:1 multi:1 set:1"),
            ("/end", ""),
            ("/count/a", "exec:1 expire:1 hset:1 multi:1"),
            ("/count/a", "expire:1 hincrby:1 hmget:1"),
            (
                "/bind/alice/x",
                "exec:1 expire:2 hget:1 hgetall:1 hmget:2 hset:2 multi:1 rename:1 set:1",
            ),
            ("/logins/alice", "hgetall:1 hmget:1 pttl:1"),
            ("/regenerate", "exec:1 expire:1 hgetall:1 hmget:1 hset:1 multi:1 rename:1 set:1"),
            ("/end", "exec:1 get:1 hdel:1 hmget:1 multi:1 set:1"),
        ] {
            // Within a millisecond of another, a touch lengthens nothing, and is asked for once more.
            sleep(Duration::from_millis(2)).await;
            server.reset_commands();
            client.get(path).dispatch().await;
            assert_eq!(listed(&server.commands()), expected, "{path}");
        }
    }

    fn listed(commands: &BTreeMap<String, u64>) -> String {
        // A new connection's greeting is not a request's, and may come at any time.
        let asked = commands.iter().filter(|(name, _)| *name != "ping");
        let list: Vec<_> = asked.map(|(name, count)| format!("{name}:{count}")).collect();
        list.join(" ")
    }
}

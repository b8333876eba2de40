//! The rights that sessions need in Redis, as `docs/operations.md` lists them.

use std::collections::BTreeSet;

use redis::Commands;
use rocket::http::Status;

use crate::world::{DEADLINE, World};
use test_support::RedisServer;
use test_support::cluster::Cluster;

const DOCUMENTED: &str = include_str!("../../../../docs/operations.md");

#[rocket::async_test]
async fn documented_rights_are_enough_for_every_operation_and_none_is_superfluous() {
    let line = DOCUMENTED.lines().map(str::trim).find(|it| it.starts_with("ACL SETUSER")).unwrap();
    let line = line.replace("PASSWORD", "word").replace("~session:*", "~t*");
    let (redis, mut parts) = (RedisServer::start(), line.split(' '));
    let mut command = redis::cmd(parts.next().unwrap());
    let exact = command.arg(parts.collect::<Vec<_>>());
    let _: () = exact.query(&mut redis.connect()).unwrap();

    let url = format!("redis://sessions:word@127.0.0.1:{}", redis.port);
    let world = World::on_url(&url, &redis, DEADLINE).await;
    redis.reset_commands();
    let mut visitor = world.visitor();
    let all = ["/count/a", "/count/a", "/view/a", "/set/a/x", "/text/a", "/take/a", "/remove/a"];
    for path in all.into_iter().chain(["/fields", "/verdict/pair", "/remember-only/true"]) {
        assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
    }
    let mut late = visitor.clone();
    for path in ["/regenerate", "/log-in/alice/phone", "/user", "/sessions/alice"] {
        assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
    }
    for path in all {
        let is_read = path == "/text/a";
        let expected = if is_read { Status::Ok } else { Status::Conflict };
        assert_eq!(late.get(path).await.status, expected, "{path}: by a dead token");
    }
    for path in ["/log-in/bob/phone", "/regenerate", "/log-out-everywhere/bob", "/destroy"] {
        assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
    }
    // A first write that is given up is settled.
    visitor.cookie = None;
    for polls in 1..4 {
        visitor.clone().get(&format!("/give-up/{polls}/count")).await;
    }
    visitor.get("/count/b").await;
    world.settled().await;
    let used: BTreeSet<String> =
        redis.commands().into_keys().filter(|name| name != "auth").collect();
    // A record that has vanished, and what an increment leaves in its place.
    for key in redis.keys("t") {
        let _: () = redis.connect().del(key).unwrap();
    }
    redis.reset_commands();
    assert_eq!(visitor.body("/count/b").await, "1", "in a new session");
    let later = redis.commands().into_keys();
    let used: BTreeSet<String> = used.into_iter().chain(later).collect();

    let allowed: BTreeSet<String> =
        line.split(" +").skip(1).map(|it| it.trim().to_owned()).collect();
    assert_eq!(used, allowed);
}

#[rocket::async_test]
async fn documented_rights_are_enough_in_a_cluster() {
    let line = DOCUMENTED.lines().map(str::trim).find(|it| it.starts_with("ACL SETUSER")).unwrap();
    let further = DOCUMENTED.replace('\n', " ");
    assert!(further.contains("needs `+cluster|slots +asking` as well"));
    let line = line.replace("PASSWORD", "word").replace("~session:*", "~t*");
    let cluster = Cluster::start(0);
    for server in &cluster.servers {
        let mut command = redis::cmd("ACL");
        command
            .arg(line.split(' ').skip(1).collect::<Vec<_>>())
            .arg(&["+cluster|slots", "+asking"]);
        let _: () = command.query(&mut server.connect()).unwrap();
    }
    let url = cluster.url().replace("://", "://sessions:word@");
    let world = World::through(&url).await;
    let mut visitor = world.visitor();
    for path in ["/count/a", "/view/a", "/regenerate", "/log-in/alice/phone", "/sessions/alice"] {
        assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
    }
    let key = cluster.keys("t").into_iter().find(|key| key.contains("{0")).unwrap();
    let slot = cluster.slot(&key);
    let to = cluster.masters().into_iter().find(|it| it.port != cluster.owner(slot).port).unwrap();
    let mut amid = None;
    cluster.move_slot(slot, to, || {
        amid = Some(rocket::tokio::task::block_in_place(|| {
            rocket::tokio::runtime::Handle::current().block_on(visitor.get("/view/a"))
        }));
    });
    assert_eq!(amid.unwrap().status, Status::Ok, "by ASKING");
}

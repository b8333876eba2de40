//! The least rights in Redis, as `docs/operations.md` has them.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::Commands;
use rocket::http::Status;

use crate::world::World;
use test_support::RedisServer;
use test_support::cluster::Cluster;

const DOCUMENTED: &str = include_str!("../../../../docs/operations.md");

#[rocket::async_test]
async fn documented_rights_are_enough_for_a_whole_life_and_none_is_too_many() {
    let line = DOCUMENTED.lines().map(str::trim).find(|it| it.starts_with("ACL SETUSER")).unwrap();
    let line = line.replace("PASSWORD", "word").replace("~session:*", "~t*");
    let (redis, mut parts) = (RedisServer::start(), line.split(' '));
    let mut command = redis::cmd(parts.next().unwrap());
    let exact = command.arg(parts.collect::<Vec<_>>());
    let _: () = exact.query(&mut redis.connect()).unwrap();

    let url = format!("redis://sessions:word@127.0.0.1:{}", redis.port);
    let world = World::on_url(&url, &redis).await;
    redis.reset_commands();
    let mut visitor = world.visitor();
    for path in ["/count/a", "/count/a", "/view/a", "/set/a/x", "/text/a", "/take/a", "/remove/a"] {
        assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
    }
    let mut late = visitor.clone();
    world.clock.advance(Duration::from_secs(10_000));
    for path in ["/fields", "/regenerate", "/log-in/alice/phone", "/user", "/logins/alice"] {
        assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
    }
    assert_eq!(late.body("/count/a").await, "4", "by the tombstone");
    for path in ["/log-out-everywhere/alice", "/view/a", "/end", "/count/b"] {
        assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
    }
    let used: BTreeSet<String> =
        redis.commands().into_keys().filter(|name| name != "auth").collect();
    for key in redis.keys("t") {
        let _: () = redis.connect().del(key).unwrap();
    }
    assert_eq!(visitor.body("/count/b").await, "1", "lost, and begun anew");

    let mut allowed: BTreeSet<String> =
        line.split(" +").skip(1).map(|it| it.trim().to_owned()).collect();
    allowed.remove("unlink");
    assert_eq!(used, allowed);
    assert!(redis.commands().contains_key("unlink"));
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
    for path in ["/count/a", "/view/a", "/regenerate", "/log-in/alice/phone", "/logins/alice"] {
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

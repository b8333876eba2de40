//! Simultaneous requests of one visitor to two processes. Whichever is first, no count is lost, no
//! destroyed session comes back, no rotation has two successors, and every key expires.

use std::collections::BTreeSet;
use std::thread::scope;

use redis::{Commands, Connection};

use test_support::RedisServer;
use test_support::app::{App, Reply, Visitor, send};

const ROUNDS: usize = 1_000;

const DESTROY: &str = "/session/destroy";
const REGENERATE: &str = "/session/regenerate";

/// Two processes on one Redis.
struct Arena {
    redis: Connection,
    apps: [App; 2],
    _server: RedisServer,
}

/// What is left in Redis after a round. Every key must have a time to live.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    records: usize,
    tombstones: usize,
}

impl Arena {
    fn new() -> Self {
        let server = RedisServer::start();
        let apps = [App::on_redis(&server.url()), App::on_redis(&server.url())];
        Self { redis: server.connect(), apps, _server: server }
    }

    /// A visitor with two views, in an empty Redis.
    fn round(&mut self) -> Visitor {
        redis::cmd("FLUSHALL").exec(&mut self.redis).unwrap();
        let mut visitor = self.apps[0].visitor();
        visitor.get("/foo");
        assert_eq!(visitor.at(&self.apps[1]).get("/foo").views(), 2);
        visitor.get("/bar");
        visitor
    }

    /// Sends requests with the visitor's cookie at the same time, alternating between the processes.
    fn race(&self, visitor: &Visitor, requests: &[&str]) -> Vec<Reply> {
        scope(|threads| {
            let running: Vec<_> = requests
                .iter()
                .zip(self.apps.iter().cycle())
                .map(|(request, app)| threads.spawn(|| ask(&visitor.at(app), request)))
                .collect();
            running.into_iter().map(|it| it.join().unwrap()).collect()
        })
    }

    fn left(&mut self) -> Left {
        let keys: Vec<String> = self.redis.keys("*").unwrap();
        let mut left = Left::default();
        for key in keys {
            let ttl: i64 = self.redis.ttl(&key).unwrap();
            assert!(ttl > 0, "{key} has no time to live");
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut self.redis).unwrap();
            match kind.as_str() {
                "hash" => left.records += 1,
                "string" => left.tombstones += 1,
                other => panic!("{key} is a {other}"),
            }
        }
        left
    }
}

/// Posts to the session's actions, and views pages.
fn ask(visitor: &Visitor, path: &str) -> Reply {
    if !path.starts_with("/session/") {
        return visitor.clone().get(path);
    }
    let cookie = visitor.cookie.as_ref().map(|it| format!("Cookie: {it}\r\n")).unwrap_or_default();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{cookie}");
    let reply = send(visitor.port, &head);
    assert_eq!(reply.status, 303, "{}", reply.head);
    reply
}

fn given(reply: &Reply) -> Option<String> {
    let pair = reply.header("set-cookie")?.split(';').next()?;
    let (_, value) = pair.split_once('=')?;
    (!value.is_empty()).then(|| pair.to_owned())
}

fn with(visitor: &Visitor, cookie: String) -> Visitor {
    Visitor { cookie: Some(cookie), ..visitor.clone() }
}

#[test]
fn session_that_ends_beside_a_view_stays_ended() {
    let mut arena = Arena::new();
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &[DESTROY, "/foo", "/foo"]);
        let news: Vec<_> = replies[1..].iter().filter_map(given).collect();
        for reply in &replies[1..] {
            let is_new = given(reply).is_some();
            assert!(if is_new { reply.views() == 1 } else { [3, 4].contains(&reply.views()) });
        }
        assert_eq!(arena.left(), Left { records: news.len(), tombstones: 1 });
        for cookie in news {
            assert_eq!(with(&visitor, cookie).get("/foo").views(), 2);
        }
        assert_eq!(visitor.clone().get("/foo").views(), 1, "the old cookie leads nowhere");
    }
}

#[test]
fn session_that_is_ended_twice_at_once_is_ended() {
    let mut arena = Arena::new();
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &[DESTROY, DESTROY]);
        assert!(replies.iter().all(|it| given(it).is_none()));
        assert_eq!(arena.left(), Left { records: 0, tombstones: 1 });
    }
}

#[test]
fn session_that_ends_beside_a_rotation_has_no_successor() {
    let mut arena = Arena::new();
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &[DESTROY, REGENERATE]);
        assert_eq!(arena.left().records, 0);
        for cookie in replies.iter().filter_map(given) {
            assert_eq!(with(&visitor, cookie).get("/foo").views(), 1);
        }
    }
}

#[test]
fn views_beside_a_rotation_all_count_in_its_one_successor() {
    let mut arena = Arena::new();
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &["/foo", REGENERATE, "/foo", "/foo"]);
        let cookies: Vec<_> = replies.iter().filter_map(given).collect();
        assert_eq!(cookies.len(), 1, "only the rotation gives a cookie");
        let views: BTreeSet<_> =
            replies.iter().filter(|it| it.status == 200).map(Reply::views).collect();
        assert_eq!(views, [3, 4, 5].into());
        assert_eq!(arena.left(), Left { records: 1, tombstones: 1 });
        assert_eq!(with(&visitor, cookies[0].clone()).get("/foo").views(), 6);
    }
}

#[test]
fn two_rotations_at_once_have_one_successor() {
    let mut arena = Arena::new();
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &[REGENERATE, REGENERATE]);
        let cookies: Vec<_> = replies.iter().filter_map(given).collect();
        assert_eq!(cookies.len(), 1);
        // The loser may have left a tombstone of its own between the old record and the new one.
        let Left { records, tombstones } = arena.left();
        assert!(records == 1 && (1..=2).contains(&tombstones), "{records} {tombstones}");
        assert_eq!(with(&visitor, cookies[0].clone()).get("/foo").views(), 3);
    }
}

#[test]
fn first_views_at_once_are_sessions_of_their_own() {
    let mut arena = Arena::new();
    for _ in 0..ROUNDS {
        redis::cmd("FLUSHALL").exec(&mut arena.redis).unwrap();
        let stranger = arena.apps[0].visitor();
        let replies = arena.race(&stranger, &["/foo"; 4]);
        let cookies: BTreeSet<_> = replies.iter().filter_map(given).collect();
        assert_eq!(cookies.len(), 4);
        assert!(replies.iter().all(|it| it.views() == 1));
        assert_eq!(arena.left(), Left { records: 4, tombstones: 0 });
        let visitor = with(&stranger, cookies.first().unwrap().clone());
        let views: BTreeSet<_> =
            arena.race(&visitor, &["/foo"; 3]).iter().map(Reply::views).collect();
        assert_eq!(views, [2, 3, 4].into(), "both clocks are set anew, and no view is lost");
    }
}

//! Concurrent requests of one visitor to two processes: in any order, no count is lost, no
//! destroyed session is revived, no rotation has two successors, and every key expires.

use std::collections::BTreeSet;
use std::thread::scope;

use redis::{Commands, Connection};

use test_support::RedisServer;
use test_support::app::{App, Reply, Visitor};

const ROUNDS: usize = 1_000;

const DESTROY: &str = "/session/destroy";
const REGENERATE: &str = "/session/regenerate";

/// Two processes on one Redis.
struct Arena {
    redis: Connection,
    apps: [App; 2],
    _server: RedisServer,
}

/// What Redis contains after a round. Checks that every key has a time to live.
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

    /// Sends requests with the visitor's cookie at the same time, in turn to both processes.
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

/// Sends a POST to the session's actions, and a GET to pages.
fn ask(visitor: &Visitor, path: &str) -> Reply {
    if path.starts_with("/session/") {
        visitor.clone().post(path)
    } else {
        visitor.clone().get(path)
    }
}

fn given(reply: &Reply) -> Option<String> {
    let pair = reply.header("set-cookie")?.split(';').next()?;
    let (_, value) = pair.split_once('=')?;
    (!value.is_empty()).then(|| pair.to_owned())
}

fn with(visitor: &Visitor, cookie: String) -> Visitor {
    Visitor { cookie: Some(cookie), ..visitor.clone() }
}

/// How the requests of all rounds have ended.
#[derive(Default)]
struct Outcomes {
    done: usize,
    conflicts: usize,
    /// The view was counted just before its session moved, and could not be shown.
    unknown: usize,
}

impl Outcomes {
    fn note(&mut self, reply: &Reply) {
        match reply.status {
            200 | 303 => self.done += 1,
            409 => self.conflicts += 1,
            503 => self.unknown += 1,
            other => panic!("status {other}: {}", reply.head),
        }
    }
}

impl Drop for Outcomes {
    fn drop(&mut self) {
        let Self { done, conflicts, unknown } = self;
        println!("{done} done, {conflicts} conflicts, {unknown} of unknown outcome");
    }
}

fn is_done(reply: &Reply) -> bool {
    [200, 303].contains(&reply.status)
}

#[test]
fn session_that_is_destroyed_beside_a_view_stays_destroyed() {
    let (mut arena, mut outcomes) = (Arena::new(), Outcomes::default());
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &[DESTROY, "/foo", "/foo"]);
        assert_eq!(replies[0].status, 303);
        for reply in &replies[1..] {
            outcomes.note(reply);
            assert_eq!(given(reply), None, "a view that comes too late begins no session");
            assert!(!is_done(reply) || [3, 4].contains(&reply.views()));
        }
        assert_eq!(arena.left(), Left { records: 0, tombstones: 1 });
        let late = visitor.clone().get("/foo");
        assert_eq!((late.status, given(&late)), (409, None), "its cookie is dead");
    }
}

#[test]
fn session_that_is_destroyed_twice_at_once_is_destroyed_and_both_are_told_so() {
    let mut arena = Arena::new();
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &[DESTROY, DESTROY]);
        assert!(replies.iter().all(|it| it.status == 303 && given(it).is_none()));
        assert_eq!(arena.left(), Left { records: 0, tombstones: 1 });
    }
}

#[test]
fn of_a_destruction_and_a_rotation_at_once_one_wins_and_the_other_is_told_so() {
    let (mut arena, mut outcomes) = (Arena::new(), Outcomes::default());
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &[DESTROY, REGENERATE]);
        for reply in &replies {
            outcomes.note(reply);
        }
        let [destroy, regenerate] = [&replies[0], &replies[1]];
        assert_ne!(is_done(destroy), is_done(regenerate));
        let records = usize::from(is_done(regenerate));
        assert_eq!(arena.left(), Left { records, tombstones: 1 });
        match given(regenerate) {
            Some(cookie) => assert_eq!(with(&visitor, cookie).get("/foo").views(), 3),
            None => assert!(!is_done(regenerate)),
        }
    }
}

#[test]
fn views_beside_a_rotation_count_once_each_in_its_one_successor() {
    let (mut arena, mut outcomes) = (Arena::new(), Outcomes::default());
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &["/foo", REGENERATE, "/foo", "/foo"]);
        let cookies: Vec<_> = replies.iter().filter_map(given).collect();
        assert_eq!(cookies.len(), 1, "only the rotation gives a cookie");
        let (mut views, mut unknown) = (Vec::new(), 0);
        for reply in [&replies[0], &replies[2], &replies[3]] {
            outcomes.note(reply);
            unknown += u64::from(reply.status == 503);
            views.extend(is_done(reply).then(|| reply.views()));
        }
        assert_eq!(arena.left(), Left { records: 1, tombstones: 1 });
        let next = with(&visitor, cookies[0].clone()).get("/foo").views();
        let most = 3 + views.len() as u64 + unknown;
        assert!((most - unknown..=most).contains(&next), "{next} after {views:?}");
        let distinct: BTreeSet<_> = views.iter().collect();
        assert_eq!(distinct.len(), views.len(), "each shows a count of its own");
        assert!(views.iter().all(|it| (3..next).contains(it)));
    }
}

#[test]
fn of_two_rotations_at_once_one_wins_and_the_other_is_told_so() {
    let (mut arena, mut outcomes) = (Arena::new(), Outcomes::default());
    for _ in 0..ROUNDS {
        let visitor = arena.round();
        let replies = arena.race(&visitor, &[REGENERATE, REGENERATE]);
        for reply in &replies {
            outcomes.note(reply);
        }
        assert_eq!(replies.iter().filter(|it| is_done(it)).count(), 1);
        let cookies: Vec<_> = replies.iter().filter_map(given).collect();
        assert_eq!(cookies.len(), 1);
        assert_eq!(arena.left(), Left { records: 1, tombstones: 1 });
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
        assert_eq!(views, [2, 3, 4].into(), "no view is lost");
    }
}

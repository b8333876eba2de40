//! Imports that are cut off, and what other requests do between their steps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocket::http::Status;
use rocket::tokio::runtime::Runtime;
use rocket::tokio::time::sleep;
use rocket_server_sessions::Clock;
use rocket_server_sessions::express::Import;
use rocket_server_sessions::store::StoreError;

use super::{Migration, RECORD, SECRET, Visitor, carry_over};
use crate::proxy::{self, Action, Trap, find, trap_before};
use crate::world::{OnEachStore, REDIS, World, new_prefix, on_every_store, redis_store};

/// Two instances on one Redis, and what happens between two chunks of commands of the first.
struct Instances {
    first: Migration,
    second: &'static Migration,
    plan: Arc<Mutex<Option<Planned>>>,
}

type Planned = (usize, Box<dyn FnOnce(&[u8]) -> Action + Send>);

impl Instances {
    async fn new() -> Self {
        let plan = Arc::<Mutex<Option<Planned>>>::default();
        let planned = plan.clone();
        let url = proxy::start(move |bytes| {
            let mut plan = planned.lock().unwrap();
            match plan.take() {
                Some((0, act)) => act(bytes),
                Some((chunks, act)) => {
                    *plan = Some((chunks - 1, act));
                    Action::Forward
                }
                None => Action::Forward,
            }
        });
        let first = Migration::through(&url).await;
        let world = first.world.instance_ahead_by(0).await;
        let import = Import::new(SECRET, carry_over).prefix(&first.old);
        let import = import.redis(redis_store(&first.claims));
        let (old, claims) = (first.old.clone(), first.claims.clone());
        let world = world.rebuilt(|it| it.import(import)).await;
        let server = Box::new(REDIS.client());
        let second = Box::leak(Box::new(Migration { world, old, claims, server }));
        // Both have a connection from now on.
        for instance in [&first, &*second] {
            instance.visitor("warm", RECORD).get("/count/a").await;
        }
        Self { first, second, plan }
    }

    /// Plans an action for the chunk after this many others.
    fn plan(&self, chunks: usize, act: impl FnOnce(&[u8]) -> Action + Send + 'static) {
        *self.plan.lock().unwrap() = Some((chunks, Box::new(act)));
    }

    /// Whether it has happened. Cancels it otherwise.
    fn has_happened(&self) -> bool {
        self.plan.lock().unwrap().take().is_none()
    }
}

/// A migration from a Redis with a trap before it.
struct Trapped {
    old: Migration,
    trap: Trap,
}

/// Where an import is cut off: at a script for the Redis of Express, which is sent or not, or at a call
/// of the new sessions' store.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Old { script: &'static str, is_sent: bool },
    New { call: usize },
}

/// What the two scripts contain.
const CLAIM: &str = "local record = redis.pcall";
const CLOSE: &str = "redis.call('DEL', KEYS[1])\nlocal claim";

/// After each step, and in the middle of it.
const CUTS: [Cut; 7] = [
    Cut::Old { script: CLAIM, is_sent: false },
    Cut::Old { script: CLAIM, is_sent: true },
    Cut::New { call: 0 },
    Cut::Old { script: CLOSE, is_sent: false },
    Cut::Old { script: CLOSE, is_sent: true },
    Cut::New { call: 1 },
    Cut::New { call: 2 },
];

impl Trapped {
    async fn new(world: World) -> Self {
        let (url, trap) = trap_before(REDIS.port);
        let old = Migration::beside(world, &url).await;
        // From now on, there is a connection.
        old.visitor("warm", RECORD).get("/count/a").await;
        Self { old, trap }
    }

    /// A visitor whose import is cut off.
    async fn cut_off(&self, cut: Cut, user: &str) -> Visitor<'_> {
        let record = format!(r#"{{"user":"{user}","note":"hers"}}"#);
        let mut visitor = self.old.visitor(&format!("of-{user}"), &record);
        match cut {
            Cut::Old { script, is_sent } => self.trap.set(move |bytes| {
                find(bytes, script)?;
                Some(if is_sent { Action::CloseAfter(bytes.len()) } else { Action::Close })
            }),
            Cut::New { call } => {
                self.old.world.store.fail_after(call, StoreError::refused("down"));
            }
        }
        let page = visitor.get("/user").await;
        // The reply to what was sent may be faster. Then the response is lost.
        let may_succeed = matches!(cut, Cut::Old { is_sent: true, .. });
        let is_cut = page.status == Status::ServiceUnavailable;
        assert!(is_cut || may_succeed, "{cut:?}: {} {}", page.status, page.body);
        assert!(self.trap.has_sprung(), "{cut:?}");
        self.old.world.store.fail(None);
        visitor.without_our_cookie()
    }
}

impl OnEachStore for Trapped {
    async fn in_memory() -> Self {
        Self::new(World::memory().await).await
    }

    async fn in_redis() -> Self {
        Self::new(World::redis().await).await
    }

    async fn in_a_cluster() -> Self {
        Self::new(World::cluster().await).await
    }

    #[cfg(feature = "sqlite")]
    async fn in_sqlite() -> Self {
        Self::new(World::sqlite().await).await
    }
}

on_every_store![
    async fn log_out_everywhere_ends_an_import_that_was_cut_off_anywhere(at: Trapped) {
        for (number, cut) in CUTS.into_iter().enumerate() {
            let user = format!("alice{number}");
            let mut visitor = at.cut_off(cut, &user).await;
            at.old.world.visitor().body(&format!("/log-out-everywhere/{user}")).await;
            at.old.world.advance(31).await;
            assert_eq!(patiently(&mut visitor, "/user").await, "none", "{cut:?}");
            assert_eq!(visitor.body("/text/a").await, "none", "{cut:?}");
        }
    }

    async fn session_that_its_user_has_listed_and_ended_stays_ended_wherever_its_import_was_cut_off(
        at: Trapped,
    ) {
        let mut listed = 0;
        for (number, cut) in CUTS.into_iter().enumerate() {
            let user = format!("alice{number}");
            let mut visitor = at.cut_off(cut, &user).await;
            let mut other = at.old.world.visitor();
            let is_listed = other.body(&format!("/sessions/{user}")).await == "before";
            let is_ended = other.body(&format!("/log-out/{user}/before")).await == "true";
            assert_eq!(is_ended, is_listed, "{cut:?}");
            at.old.world.advance(31).await;
            // What was not listed is imported now.
            let expected = if is_listed { "none" } else { user.as_str() };
            assert_eq!(patiently(&mut visitor, "/user").await, expected, "{cut:?}");
            listed += usize::from(is_listed);
        }
        assert!((1..CUTS.len()).contains(&listed), "{listed}");
    }
];

/// Requests a page, again while the store is down.
async fn patiently(visitor: &mut Visitor<'_>, path: &str) -> String {
    for _ in 0..100 {
        let page = visitor.get(path).await;
        match page.status {
            Status::Ok => return page.body,
            Status::ServiceUnavailable => sleep(Duration::from_millis(100)).await,
            status => panic!("{path}: {status} {}", page.body),
        }
    }
    panic!("the store does not recover");
}

/// A process that dies looks like a connection that breaks: its commands are executed or not, and
/// no others follow.
#[rocket::async_test]
async fn import_that_is_interrupted_anywhere_is_completed_by_the_next_request() {
    let instances = Instances::new().await;
    let mut points = 0;
    for user in ["", r#","user":"alice""#] {
        let record = RECORD.replace(r#","note""#, &format!(r#"{user},"note""#));
        for is_sent in [false, true] {
            for chunk in 0.. {
                let id = new_prefix();
                let mut visitor = instances.first.visitor(&id, &record);
                instances.plan(chunk, move |bytes| {
                    if is_sent { Action::CloseAfter(bytes.len()) } else { Action::Close }
                });
                let page = visitor.get("/count/a").await;
                if !instances.has_happened() {
                    assert_eq!(page.status, Status::Ok);
                    break;
                }
                points += 1;
                let context = format!("{user} {is_sent} {chunk}: {}", page.status);
                assert!(page.status == Status::Ok || visitor.own.is_none(), "{context}");
                let count = patiently(&mut visitor, "/peek/a").await;
                assert!(["3", "4"].contains(&count.as_str()), "{context}: {count}");
                assert_eq!(visitor.body("/text/a").await, "kept", "{context}");
                assert_eq!(instances.first.record(&id), None, "{context}");
                let is_alice = visitor.body("/user").await == "alice";
                assert_eq!(is_alice, !user.is_empty(), "{context}");
                let mut again = visitor.without_our_cookie();
                assert_eq!(again.body("/peek/a").await, count, "{context}: one session");
                visitor.body("/destroy").await;
                instances.first.world.advance(31).await;
                let mut again = visitor.without_our_cookie();
                assert_eq!(again.body("/text/a").await, "none", "{context}: logged out");
            }
        }
    }
    assert!(points >= 14, "claim, index, create, close, each cut twice: {points}");
    let records = instances.first.world.keys.of_type("hash");
    let left: Vec<_> = records.iter().filter(|it| !it.contains("user:")).collect();
    assert_eq!(left.len(), 5, "those that were not cut off: {left:?}");
}

#[rocket::async_test]
async fn concurrent_requests_end_in_one_session_and_none_undoes_a_log_out() {
    let instances = Instances::new().await;
    let mut points = 0;
    for meanwhile in [&["/count/a"][..], &["/count/a", "/destroy"], &["/log-in/alice/x"]] {
        for user in ["", r#","user":"alice""#] {
            let record = RECORD.replace(r#","note""#, &format!(r#"{user},"note""#));
            for chunk in 0.. {
                let id = new_prefix();
                let mut visitor = instances.first.visitor(&id, &record);
                let mut other = Visitor {
                    migration: instances.second,
                    id,
                    old: visitor.old.clone(),
                    own: None,
                };
                let result = Arc::<Mutex<_>>::default();
                let sent = result.clone();
                instances.plan(chunk, move |_| {
                    let work = move || {
                        let runtime = Runtime::new().unwrap();
                        let bodies = runtime.block_on(async {
                            let mut bodies = Vec::new();
                            for path in meanwhile {
                                bodies.push(other.body(path).await);
                            }
                            bodies
                        });
                        *sent.lock().unwrap() = Some((bodies, other.own));
                    };
                    Action::Split(0, Box::new(work))
                });
                let page = visitor.get("/count/a").await;
                if !instances.has_happened() {
                    assert_eq!(page.status, Status::Ok);
                    break;
                }
                points += 1;
                let (bodies, own) = result.lock().unwrap().take().expect("it was waited for");
                let context =
                    format!("{meanwhile:?} {user} {chunk}: {} {}", page.status, page.body);
                let mut other = Visitor { own, old: None, ..visitor.clone() };
                if meanwhile.len() == 2 {
                    assert_eq!(bodies, ["4", "destroyed"], "{context}");
                    instances.first.world.advance(31).await;
                } else if meanwhile[0] == "/count/a" {
                    let mut counts = [page.body.as_str(), bodies[0].as_str()];
                    counts.sort_unstable();
                    assert_eq!(counts, ["4", "5"], "{context}");
                    assert_eq!(visitor.body("/count/a").await, "6", "{context}");
                    assert_eq!(other.body("/count/a").await, "7", "{context}");
                    continue;
                } else {
                    assert_eq!(other.body("/text/a").await, "kept", "{context}");
                }
                // The old cookie gives access to nothing, nor does what this request was given.
                for mut visitor in [visitor.without_our_cookie(), visitor.clone()] {
                    visitor.old = None;
                    assert_eq!(visitor.body("/text/a").await, "none", "{context}");
                }
                let mut visitor = visitor.without_our_cookie();
                assert_eq!(visitor.body("/text/a").await, "none", "{context}");
            }
        }
    }
    assert!(points >= 20, "{points}");
}

#[rocket::async_test]
async fn log_out_everywhere_between_any_two_steps_ends_the_import() {
    let instances = Instances::new().await;
    for chunk in 0.. {
        let user = format!("alice{chunk}");
        let record = format!(r#"{{"user":"{user}","note":"hers"}}"#);
        let mut visitor = instances.first.visitor(&user, &record);
        let mut other = instances.second.world.visitor();
        let path = format!("/log-out-everywhere/{user}");
        instances.plan(chunk, move |_| {
            let work = move || drop(Runtime::new().unwrap().block_on(other.body(&path)));
            Action::Split(0, Box::new(work))
        });
        let page = visitor.get("/user").await;
        if !instances.has_happened() {
            assert_eq!(page.body, user);
            assert!(chunk >= 5, "claim, create, close, index, read: {chunk}");
            break;
        }
        let is_none = page.status == Status::Ok && page.body == "none";
        assert!(
            is_none || page.status == Status::Conflict,
            "{chunk}: {} {}",
            page.status,
            page.body
        );
        for seconds in [0, 31] {
            instances.first.world.advance(seconds).await;
            for mut visitor in [visitor.clone(), visitor.without_our_cookie()] {
                assert_eq!(visitor.body("/user").await, "none", "{chunk}");
                assert_eq!(visitor.body("/text/a").await, "none", "{chunk}");
            }
        }
    }
}

#[rocket::async_test]
async fn log_out_everywhere_beside_a_log_out_of_all_others_is_not_forgotten() {
    let instances = Instances::new().await;
    let (first, second) = (&instances.first, instances.second);
    for chunk in 0.. {
        let user = format!("alice{chunk}");
        let record = format!(r#"{{"user":"{user}","note":"hers"}}"#);
        let everywhere = format!("/log-out-everywhere/{user}");
        first.world.visitor().body(&everywhere).await;
        first.world.advance(3600).await;
        second.world.clock.advance(
            first.world.clock.now().duration_since(second.world.clock.now()).unwrap_or_default(),
        );
        let mut own = first.world.visitor();
        own.body(&format!("/log-in/{user}/own")).await;
        let mut old = first.visitor(&user, &record);
        instances.plan(chunk, move |_| {
            let work = move || {
                Runtime::new().unwrap().block_on(async {
                    second.world.clock.advance(Duration::from_secs(1));
                    second.world.visitor().body(&everywhere).await;
                    second.world.settled().await;
                });
            };
            Action::Split(0, Box::new(work))
        });
        own.get(&format!("/log-out-others/{user}")).await;
        first.world.settled().await;
        second.world.settled().await;
        let has_happened = instances.has_happened();
        assert_eq!(old.body("/user").await, "none", "{chunk}");
        if !has_happened {
            assert!(chunk >= 2, "read, revoke: {chunk}");
            break;
        }
    }
}

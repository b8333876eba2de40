//! Random sequences of requests, some with old cookies. Each store must behave like a model of
//! sessions.

mod reference;
mod steps;

use std::time::Duration;

use proptest::test_runner::{Config as Cases, TestRunner};
use redis::Commands;
use rocket::http::Status;
use rocket::tokio::runtime::Runtime;
use rocket_server_sessions::Clock;

use crate::world::{CLUSTER, NAME, REDIS, World};
use reference::{Cookie, Reference, Token};
use steps::Step;

/// Time also passes in Redis itself, so the steps keep this distance from every expiry.
const MARGIN: Duration = Duration::from_secs(5);

/// The settings that the model assumes. The lifetime is so short that sessions reach it.
async fn configured(world: World) -> World {
    world.reconfigured("session.absolute_lifetime", "36h").await
}

/// Takes the steps in a world and in the model, and compares each response.
async fn compare(world: World, steps: &[Step], flush: impl Fn(&World)) {
    let world = configured(world).await;
    let mut model = Reference::default();
    let mut held: [Vec<(String, Token)>; 3] = Default::default();
    for (number, step) in steps.iter().enumerate() {
        let (visitor, age, what) = match step {
            Step::Visit { visitor, age, what } => (*visitor, *age, *what),
            Step::Advance(seconds) => {
                world.advance(*seconds).await;
                continue;
            }
            Step::Flush => {
                world.settled().await;
                flush(&world);
                model.flush();
                continue;
            }
        };
        while model.is_near_an_expiry(world.clock.now(), MARGIN) {
            world.advance(11).await;
        }
        let held = &mut held[visitor];
        let chosen = held.len().checked_sub(age + 1).map(|at| held[at].clone());
        let now = world.clock.now();
        let expected = model.visit(chosen.as_ref().map(|it| it.1), what, now);
        let header = chosen.map(|(value, _)| format!("{NAME}={value}"));
        let page = world.get(&what.path(), header.as_deref()).await;
        world.settled().await;
        let found = (page.status == Status::Ok).then_some(page.body.as_str());
        assert_eq!(found, expected.body.as_deref(), "step {number}: {step:?}: {}", page.status);
        assert!(found.is_some() || page.status == Status::Conflict, "step {number}: {step:?}");
        match (expected.cookie, page.set_cookies.as_slice()) {
            (Cookie::Kept, []) => {}
            (Cookie::Cleared, [header]) if header.contains("Max-Age=0;") => {}
            (Cookie::Set(token), [header]) if !header.contains("Max-Age=0;") => {
                let (_, rest) = header.split_once('=').unwrap();
                held.push((rest.split(';').next().unwrap().to_owned(), token));
            }
            (expected, found) => panic!("step {number}, {step:?}: {expected:?}, {found:?}"),
        }
    }
    if !world.prefix.is_empty() {
        compare_times(&world, &mut model).await;
    }
}

/// Every record and every tombstone in Redis lives as long as the model says.
async fn compare_times(world: &World, model: &mut Reference) {
    while model.is_near_an_expiry(world.clock.now(), MARGIN) {
        world.advance(11).await;
    }
    let now = world.clock.now();
    model.expire(now);
    for (kind, expected) in ["hash", "string"].into_iter().zip(model.times_to_live(now)) {
        let is_index = |key: &String| key.contains("user:");
        let mut found: Vec<u64> = world
            .keys
            .of_type(kind)
            .iter()
            .filter(|key| !is_index(key))
            .map(|key| world.keys.connect_to(key).ttl(key).unwrap())
            .collect();
        found.sort_unstable();
        let is_near = |(a, b): (&u64, &u64)| a.abs_diff(*b) <= MARGIN.as_secs();
        assert_eq!(found.len(), expected.len(), "{kind}: {found:?}, {expected:?}");
        assert!(found.iter().zip(&expected).all(is_near), "{kind}: {found:?}, {expected:?}");
    }
}

fn run(cases: u32, one: impl Fn(Vec<Step>)) {
    let config = Cases { cases, failure_persistence: None, ..Cases::default() };
    let result = TestRunner::new(config).run(&steps::any(), |steps| {
        one(steps);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn sessions_in_redis_behave_like_the_model() {
    let runtime = Runtime::new().unwrap();
    run(150, |steps| {
        runtime.block_on(compare(runtime.block_on(World::redis()), &steps, |world| {
            for key in REDIS.keys(&world.prefix) {
                redis::cmd("DEL").arg(key).exec(&mut REDIS.connect()).unwrap();
            }
        }));
    });
}

#[test]
fn sessions_in_a_cluster_behave_like_the_model() {
    let runtime = Runtime::new().unwrap();
    run(30, |steps| {
        runtime.block_on(compare(runtime.block_on(World::cluster()), &steps, |world| {
            for key in CLUSTER.keys(&world.prefix) {
                redis::cmd("DEL").arg(&key).exec(&mut CLUSTER.connect(&key)).unwrap();
            }
        }));
    });
}

#[test]
fn sessions_in_memory_behave_like_the_model() {
    let runtime = Runtime::new().unwrap();
    run(300, |mut steps| {
        // Records leave the memory store only when they expire.
        steps.retain(|step| !matches!(step, Step::Flush));
        runtime.block_on(compare(runtime.block_on(World::memory()), &steps, |_| {}));
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn sessions_in_sqlite_behave_like_the_model() {
    let runtime = Runtime::new().unwrap();
    run(100, |mut steps| {
        steps.retain(|step| !matches!(step, Step::Flush));
        runtime.block_on(compare(runtime.block_on(World::sqlite()), &steps, |_| {}));
    });
}

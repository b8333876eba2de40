//! Crowds and overload: many requests at once, more than Redis can answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use test_support::app::{App, KEY, KeepAlive, Visitor};
use test_support::{RedisServer, wait_for};

use crate::proxy::{self, Proxy};
use crate::trial::Usage;

/// So many visitors at once, each on a connection that is open already: their statuses, and what
/// the slowest of them has waited.
fn crowd(visitor: &Visitor, number: usize) -> (BTreeMap<u16, usize>, Duration) {
    let start = Barrier::new(number);
    let replies: Vec<_> = scope(|threads| {
        let all: Vec<_> = (0..number)
            .map(|_| {
                let start = &start;
                threads.spawn(move || {
                    let mut connection = KeepAlive::open(visitor.port);
                    start.wait();
                    connection.view(visitor.cookie.as_deref().unwrap())
                })
            })
            .collect();
        all.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let mut statuses = BTreeMap::new();
    for (status, _) in &replies {
        *statuses.entry(*status).or_insert(0) += 1;
    }
    (statuses, replies.iter().map(|(_, took)| *took).max().unwrap())
}

#[test]
fn a15_crowds_on_a_stalled_redis_wait_once_and_are_served_again() {
    for number in [200, 500] {
        let redis = RedisServer::start();
        let app = App::on_redis(&redis.url());
        let mut visitor = app.visitor();
        visitor.get("/foo");
        visitor.get("/foo");
        let (_, steady) = crowd(&visitor, number);
        let before = Usage::of(app.pid());
        redis.signal("STOP");
        let (statuses, first) = crowd(&visitor, number);
        assert_eq!(statuses, BTreeMap::from([(503, number)]));
        let (statuses, second) = crowd(&visitor, number);
        assert_eq!(statuses, BTreeMap::from([(503, number)]));
        let one = visitor.get("/foo").took;
        println!(
            "A15 {number} at once: {first:?}; with the breaker open {second:?}, one alone {one:?}; \
             {before:?}, then {:?}",
            Usage::of(app.pid())
        );
        // So many at once take a busy test machine its own time, without a fault too.
        assert!(first < Duration::from_millis(1_250) + 2 * steady, "{first:?}, steady {steady:?}");
        assert!(second < Duration::from_millis(250) + 2 * steady, "{second:?}, steady {steady:?}");
        redis.signal("CONT");
        let start = Instant::now();
        wait_for("Redis to be found again", || visitor.get("/foo").status == 200);
        assert!(start.elapsed() < Duration::from_secs(3));
        assert_eq!(crowd(&visitor, number).0, BTreeMap::from([(200, number)]));
        before.assert_regained(app.pid());
    }
}

/// Visitors who come again as soon as they are answered, for a while: how many were served and
/// refused each second, and the longest wait beyond that of somebody who needs no store.
fn rush(visitor: &Visitor, number: usize, lasting: Duration) -> (u64, u64, Duration) {
    let until = Instant::now() + lasting;
    let (served, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let longest = Mutex::new(Duration::ZERO);
    let aside = Mutex::new(Duration::ZERO);
    scope(|threads| {
        threads.spawn(|| {
            let mut other = Visitor { cookie: None, ..visitor.clone() };
            while Instant::now() < until {
                let took = other.get("/health/live").took;
                let mut aside = aside.lock().unwrap();
                *aside = took.max(*aside);
            }
        });
        for _ in 0..number {
            threads.spawn(|| {
                let mut connection = KeepAlive::open(visitor.port);
                let mut slowest = Duration::ZERO;
                while Instant::now() < until {
                    let (status, took) = connection.view(visitor.cookie.as_deref().unwrap());
                    slowest = slowest.max(took);
                    match status {
                        200 => served.fetch_add(1, Ordering::Relaxed),
                        503 => {
                            // What `Retry-After` asks for is a second; these ask much sooner.
                            sleep(Duration::from_millis(50));
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        other => panic!("{other}"),
                    };
                }
                let mut longest = longest.lock().unwrap();
                *longest = slowest.max(*longest);
            });
        }
    });
    let each_second = |count: u64| count * 1_000 / u64::try_from(lasting.as_millis()).unwrap();
    let (longest, aside) = (longest.into_inner().unwrap(), aside.into_inner().unwrap());
    println!("{number} visitors: longest {longest:?}, aside {aside:?}");
    let longest = longest.saturating_sub(aside);
    (each_second(served.into_inner()), each_second(refused.into_inner()), longest)
}

#[test]
fn overload_leaves_the_goodput_and_refuses_the_rest_quickly() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port);
    // A slow Redis and a short queue make a peak that a test machine can surpass fivefold.
    let settings = "{connections=1, queue=64}";
    let app = App::start(&[
        ("REDIS_URL", &proxy.url()),
        ("ROCKET_SECRET_KEY", KEY),
        ("ROCKET_SESSION", settings),
    ]);
    let mut visitor = app.visitor();
    visitor.get("/foo");
    visitor.get("/foo");
    proxy.set(proxy::late(Duration::from_millis(200)));
    let (peak, refused, usual) = rush(&visitor, 64, Duration::from_secs(3));
    println!("peak: {peak}/s served, {refused}/s refused");
    let (goodput, refused, longest) = rush(&visitor, 320, Duration::from_secs(3));
    println!("overload: {goodput}/s served, {refused}/s refused");
    assert!(goodput * 10 >= peak * 8, "{goodput} of {peak}");
    assert!(refused > 0 && longest < Duration::from_secs(1) + usual, "{refused}, {longest:?}");
    let (after, refused, _) = rush(&visitor, 32, Duration::from_secs(1));
    assert!(after > 0 && refused == 0, "{after}, {refused}");
}

//! Crowds: many requests at the same moment.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread::scope;
use std::time::{Duration, Instant};

use test_support::app::{App, KeepAlive, Visitor};
use test_support::{RedisServer, wait_for};

use crate::trial::Usage;

/// Many visitors at once, each on a connection that is already open. Returns the number of responses
/// by status, and the longest time.
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
        // Even without a fault, a crowd takes time on a busy machine.
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

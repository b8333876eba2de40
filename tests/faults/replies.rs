//! Replies of Redis that are late, cut off or wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::Commands;

use test_support::app::App;
use test_support::{RedisServer, wait_for};

use crate::proxy::{self, Fault, Proxy, Wire};
use crate::stub::{self, Stub};
use crate::trial::Trial;

/// A trial on a wire that has a fault for a while.
fn on_a_faulty_wire(name: &str, fault: Fault, lasting: Duration) -> (RedisServer, Trial) {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port);
    let mut trial = Trial::start(name, &redis, &proxy.url());
    proxy.set(fault);
    trial.with_fault(lasting);
    proxy.set(proxy::faultless());
    trial.assert_recovers();
    trial.keep(proxy);
    (redis, trial)
}

#[test]
fn a05_connection_that_is_never_greeted_is_a_503_within_a_second() {
    let name = "A5 commands arrive, replies are swallowed";
    let (redis, trial) = on_a_faulty_wire(name, proxy::swallowing(), Duration::from_secs(3));
    trial.end(&redis, 1..=1);
}

#[test]
fn a06_late_replies_are_waited_for_up_to_the_deadline() {
    for (late, outages) in [(50, 0..=0), (200, 0..=0), (500, 0..=4), (1000, 1..=1)] {
        let name = format!("A6 replies are {late} ms late");
        let (redis, trial) = on_a_faulty_wire(
            &name,
            proxy::late(Duration::from_millis(late)),
            Duration::from_secs(2),
        );
        if *outages.end() == 0 {
            trial.assert_all_served();
        }
        trial.end(&redis, outages);
    }
}

#[test]
fn a07_reply_that_trickles_in_is_held_to_the_deadline() {
    let name = "A7 one byte every 100 ms";
    let (redis, trial) = on_a_faulty_wire(
        name,
        proxy::trickling(Duration::from_millis(100)),
        Duration::from_secs(3),
    );
    trial.end(&redis, 1..=1);
}

#[test]
fn a08_reset_after_any_number_of_bytes_is_a_503() {
    for bytes in [0, 1, 4, 8, 20, 100] {
        let name = format!("A8 reset after {bytes} bytes");
        let fault = proxy::cut_after(bytes, Wire::reset);
        let (redis, trial) = on_a_faulty_wire(&name, fault, Duration::from_millis(700));
        trial.end(&redis, 1..=1);
    }
}

#[test]
fn a09_end_of_file_after_any_number_of_bytes_is_a_503() {
    for bytes in [0, 1, 4, 8, 20, 100] {
        let name = format!("A9 end of file after {bytes} bytes");
        let fault = proxy::cut_after(bytes, Wire::end);
        let (redis, trial) = on_a_faulty_wire(&name, fault, Duration::from_millis(700));
        trial.end(&redis, 1..=1);
    }
}

#[test]
fn a12_garbage_before_a_reply_is_a_503_and_is_forgotten() {
    for (what, bytes) in [
        ("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("binary garbage", (0..=255).collect()),
        ("a huge text", b"$99999999999\r\n".to_vec()),
        ("a negative length", b"$-7\r\n".to_vec()),
        ("a huge list", b"*1000000000\r\n".to_vec()),
        ("deep nesting", b"*1\r\n".repeat(100_000)),
        ("a line without an end", vec![b'+'; 1 << 20]),
        ("an extra reply", b":1\r\n".to_vec()),
    ] {
        let name = format!("A12 {what} before each reply");
        let (redis, trial) =
            on_a_faulty_wire(&name, proxy::injecting(bytes), Duration::from_millis(1500));
        trial.end(&redis, 1..=4);
    }
}

#[test]
fn a12_replies_to_nothing_reach_no_visitor() {
    let redis = RedisServer::start();
    let stub = Stub::before(redis.port);
    let mut trial = Trial::start("A12 two replies for one command, once", &redis, &stub.url());
    let once = AtomicU32::new(8);
    stub.set(Arc::new(move |name| {
        let left = |left: u32| left.checked_sub(1);
        let is_due = || once.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok();
        (name == "HGETALL" && is_due()).then(|| b"*0\r\n*0\r\n".to_vec())
    }));
    // A wrong reply looks like a lost record, so the counts of these visitors are not checked here.
    let mut stranger = trial.app.visitor();
    for _ in 0..12 {
        stranger.get("/bar");
        stranger.cookie = None;
    }
    stub.set(stub::silent());
    trial.assert_recovers();
    trial.end(&redis, 0..=1);
}

#[test]
fn a21_view_whose_reply_is_lost_is_counted_once() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port);
    let app = App::on_redis(&proxy.url());
    let mut visitor = app.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
    let key = redis.keys("session:").remove(0);
    // The touch, which no response waits for.
    wait_for("the session to be touched", || redis.connect().hexists(&key, "@seen").unwrap());
    proxy.set(proxy::cut_after(0, Wire::end));
    assert_eq!(visitor.get("/foo").status, 503);
    proxy.set(proxy::faultless());
    let held: u64 = redis.connect().hget(key, "views:/foo").unwrap();
    assert_eq!(held, 3, "counted, and not sent again");
    wait_for("Redis to be found again", || visitor.get("/bar").status == 200);
    assert_eq!(visitor.get("/foo").views(), 4);
}

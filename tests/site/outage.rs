//! Redis is down or slow: pages answer 503 in time, everything else works as usual, and the application
//! recovers by itself.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use test_support::app::{App, Reply, Visitor};
use test_support::{RedisServer, free_port, wait_for};

const IN_TIME: Duration = Duration::from_millis(1_100);
const AT_ONCE: Duration = Duration::from_millis(100);
const HEALING: Duration = Duration::from_secs(3);

fn assert_unavailable(reply: &Reply, within: Duration) {
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.took < within, "{:?}", reply.took);
    assert!(reply.header("retry-after").is_some(), "{}", reply.head);
    assert_eq!(reply.header("set-cookie"), None);
    assert!(reply.header("content-security-policy").is_some());
}

fn assert_unaffected(app: &App) {
    for path in ["/health/live", "/health/ready", "/static/style.css", "/about"] {
        let reply = app.visitor().get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.took < AT_ONCE, "{path} took {:?}", reply.took);
    }
}

/// Waits until the page answers again, and returns its count.
fn healed(visitor: &mut Visitor) -> u64 {
    let start = Instant::now();
    loop {
        let reply = visitor.get("/foo");
        if reply.status == 200 {
            assert!(start.elapsed() < HEALING, "{:?}", start.elapsed());
            return reply.views();
        }
        assert_unavailable(&reply, IN_TIME);
        assert!(start.elapsed() < HEALING, "not healed after {:?}", start.elapsed());
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn stalled_redis_is_a_503_in_time_and_the_session_goes_on_afterwards() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    assert_eq!(visitor.get("/foo").views(), 2);
    redis.signal("STOP");
    let sent = visitor.get("/foo");
    assert_unavailable(&sent, IN_TIME);
    assert!(sent.body.contains("may have been counted"), "{}", sent.body);
    assert_unaffected(&app);
    for _ in 0..5 {
        let refused = visitor.get("/foo");
        assert_unavailable(&refused, AT_ONCE);
        assert!(refused.body.contains("Nothing was counted"), "{}", refused.body);
    }
    assert_unavailable(&app.visitor().get("/foo"), AT_ONCE);
    redis.signal("CONT");
    let views = healed(&mut visitor);
    assert!((3..=4).contains(&views), "{views}: the one that was sent and not answered may count");
}

#[test]
fn stalled_redis_under_load_keeps_no_visitor_waiting() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    redis.signal("STOP");
    scope(|threads| {
        for _ in 0..200 {
            let mut visitor = visitor.clone();
            threads.spawn(move || {
                assert_unavailable(&visitor.get("/foo"), Duration::from_millis(1_500));
            });
        }
    });
    redis.signal("CONT");
    healed(&mut visitor);
}

#[test]
fn application_starts_without_redis_and_heals_when_it_comes() {
    let port = free_port();
    let app = App::on_redis(&format!("redis://127.0.0.1:{port}"));
    let mut visitor = app.visitor();
    assert_unavailable(&visitor.get("/foo"), Duration::from_millis(300));
    assert_unavailable(&visitor.get("/foo"), AT_ONCE);
    assert_unaffected(&app);
    let _redis = RedisServer::start_with(port, "");
    assert_eq!(healed(&mut visitor), 1);
}

#[test]
fn killed_redis_that_comes_back_empty_starts_new_sessions() {
    let port = free_port();
    let redis = RedisServer::start_with(port, "");
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
    drop(redis);
    wait_for("the outage to show", || visitor.get("/foo").status == 503);
    let _redis = RedisServer::start_with(port, "");
    assert_eq!(healed(&mut visitor), 1);
}

#[test]
fn idle_connections_that_were_closed_cost_no_request() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    for expected in 1..=10 {
        assert_eq!(visitor.get("/foo").views(), expected);
        redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .exec(&mut redis.connect())
            .unwrap();
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn html_of_an_outage_says_that_the_counts_are_safe() {
    let app = App::on_redis("redis://127.0.0.1:1");
    let reply = test_support::app::send(app.port, "GET /foo HTTP/1.1\r\nHost: localhost\r\n");
    assert_unavailable(&reply, Duration::from_millis(300));
    assert!(reply.body.contains("Your counts are safe"), "{}", reply.body);
    assert!(reply.body.contains("/static/style."));
}

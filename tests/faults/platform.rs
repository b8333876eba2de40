//! What the platform does to an instance: it stops it, freezes it and runs several of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use redis::Commands;

use crate::process::App;
use crate::proxy::{self, Proxy};
use crate::support::{RedisServer, wait_for};

/// A request that the application may be too far gone to answer.
fn try_get(app_port: u16, cookie: &str) -> Option<u16> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", app_port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!(
        "GET /foo HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
         Cookie: {cookie}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    reply.split(' ').nth(1)?.parse().ok()
}

#[test]
fn term_under_load_loses_no_count_and_ends_within_the_platforms_patience() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port);
    let app = App::on_redis(&proxy.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    visitor.get("/foo");
    // Every request is under way for a while, so that some are when the signal comes.
    proxy.set(proxy::late(Duration::from_millis(100)));
    let (port, cookie) = (app.port, visitor.cookie.clone().unwrap());
    let (served, sent) = (AtomicU64::new(2), AtomicU64::new(2));
    let is_over = AtomicBool::new(false);
    let (succeeded, log, took) = scope(|threads| {
        for _ in 0..20 {
            threads.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    sent.fetch_add(1, Ordering::Relaxed);
                    if try_get(port, &cookie) == Some(200) {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    sleep(Duration::from_millis(5));
                }
            });
        }
        wait_for("requests to be under way", || served.load(Ordering::Relaxed) > 20);
        let start = Instant::now();
        app.signal("TERM");
        let (succeeded, log) = app.finish();
        is_over.store(true, Ordering::Relaxed);
        (succeeded, log, start.elapsed())
    });
    assert!(succeeded, "{log}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let (served, sent) = (served.into_inner(), sent.into_inner());
    let key = redis.keys("session:").remove(0);
    let counted: u64 = redis.connect().hget(key, "views:/foo").unwrap();
    println!("SIGTERM under load: {served} served, {counted} counted, ended after {took:?}");
    assert!((served..=sent).contains(&counted), "{served} served, {counted} counted");
    // Those that were under way were answered: at most one for each visitor was not.
    assert!(counted - served <= 20, "{served} served, {counted} counted");
}

#[test]
fn instance_that_was_frozen_while_its_connections_died_serves_the_first_burst() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port);
    let app = App::on_redis(&proxy.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    visitor.get("/foo");
    let burst = |from: u64| {
        let mut views: Vec<_> = scope(|threads| {
            let all: Vec<_> = (0..50)
                .map(|_| {
                    let mut visitor = visitor.clone();
                    threads.spawn(move || visitor.get("/foo").views())
                })
                .collect();
            all.into_iter().map(|it| it.join().unwrap()).collect()
        });
        views.sort_unstable();
        assert_eq!(views, (from..from + 50).collect::<Vec<_>>());
    };
    burst(3);
    app.signal("STOP");
    // It cannot notice; how long it stays frozen makes no difference to what it finds.
    proxy.close_connections();
    app.signal("CONT");
    burst(53);
}

#[test]
fn instance_that_was_frozen_in_an_outage_does_not_refuse_when_it_wakes() {
    let redis = RedisServer::start();
    let mut proxy = Proxy::before(redis.port);
    let app = App::on_redis(&proxy.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    visitor.get("/foo");
    proxy.close();
    wait_for("the breaker to open", || visitor.get("/foo").status == 503);
    app.signal("STOP");
    proxy.open();
    let start = Instant::now();
    wait_for("the probe to be overdue", || start.elapsed() > Duration::from_millis(3_500));
    app.signal("CONT");
    assert_eq!(visitor.get("/foo").views(), 3);
}

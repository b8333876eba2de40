//! Redis stops, disappears or does not let the application in, under load.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use test_support::app::App;
use test_support::{RedisServer, free_port, wait_for};

use crate::proxy::{Deaf, Proxy};
use crate::trial::{Trial, log_of_an_outage};

#[test]
fn a02_killed_redis_that_comes_back_with_its_log_has_lost_no_count() {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id();
    let directory = format!("{}/aof-{number}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&directory).unwrap();
    let options = format!("--dir {directory} --appendonly yes --appendfsync always");
    let port = free_port();
    let redis = RedisServer::start_with(port, &options);
    let mut trial = Trial::start("A2 Redis is killed and restarted", &redis, &redis.url());
    scope(|threads| {
        threads.spawn(|| {
            sleep(Duration::from_millis(40));
            redis.signal("KILL");
        });
        trial.with_fault(Duration::from_secs(2)).assert_outage();
    });
    drop(redis);
    let redis = RedisServer::start_with(port, &options);
    trial.assert_recovers();
    trial.end(&redis, 1..=1);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a03_closed_port_is_a_503_at_once() {
    let redis = RedisServer::start();
    let mut proxy = Proxy::before(redis.port);
    let mut trial = Trial::start("A3 the port is closed", &redis, &proxy.url());
    proxy.close();
    trial.with_fault(Duration::from_secs(2)).assert_outage();
    proxy.open();
    trial.assert_recovers();
    trial.end(&redis, 1..=1);
}

#[test]
fn a04_stopped_redis_is_a_503_within_a_second_and_nothing_else_notices() {
    let redis = RedisServer::start();
    let mut trial = Trial::start("A4 Redis is stopped (SIGSTOP)", &redis, &redis.url());
    redis.signal("STOP");
    trial.with_fault(Duration::from_secs(3)).assert_outage();
    redis.signal("CONT");
    trial.assert_recovers();
    trial.end(&redis, 1..=1);
}

#[test]
fn a05_swallowed_connect_is_a_503_within_a_second() {
    let redis = RedisServer::start();
    let mut proxy = Proxy::before(redis.port);
    let mut trial = Trial::start("A5 connections are swallowed", &redis, &proxy.url());
    proxy.close();
    let deaf = Deaf::at(proxy.port);
    trial.with_fault(Duration::from_secs(3)).assert_outage();
    drop(deaf);
    proxy.open();
    trial.assert_recovers();
    trial.end(&redis, 1..=1);
}

#[test]
fn a16_full_redis_is_not_stormed_with_connections() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port);
    let mut trial = Trial::start("A16 maxclients is reached", &redis, &proxy.url());
    let mut connection = redis.connect();
    redis::cmd("CONFIG").arg(&["SET", "maxclients", "1"]).exec(&mut connection).unwrap();
    proxy.close_connections();
    let before = proxy.accepted();
    trial.with_fault(Duration::from_secs(3)).assert_outage();
    let attempts = proxy.accepted() - before;
    assert!(attempts <= 40, "{attempts} connections in three seconds");
    redis::cmd("CONFIG").arg(&["SET", "maxclients", "1000"]).exec(&mut connection).unwrap();
    trial.assert_recovers();
    trial.end(&redis, 1..=1);
}

#[test]
fn a18_unknown_host_is_a_503_at_once() {
    let app = App::on_redis("redis://no-such-host.invalid:6379");
    let mut visitor = app.visitor();
    wait_for("the breaker to open", || visitor.get("/foo").took < Duration::from_millis(100));
    for _ in 0..10 {
        let reply = visitor.get("/foo");
        assert!(reply.status == 503 && reply.took < Duration::from_millis(250), "{:?}", reply.took);
    }
    let log = log_of_an_outage(&app);
    assert_eq!(log.matches("ERROR Redis is unavailable").count(), 1, "{log}");
}

#[test]
fn a19_killed_clients_lose_no_count() {
    let redis = RedisServer::start();
    let mut trial = Trial::start("A19 CLIENT KILL every 100 ms", &redis, &redis.url());
    scope(|threads| {
        threads.spawn(|| {
            let until = Instant::now() + Duration::from_secs(2);
            let mut connection = redis.connect();
            while Instant::now() < until {
                redis::cmd("CLIENT")
                    .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
                    .exec(&mut connection)
                    .unwrap();
                sleep(Duration::from_millis(100));
            }
        });
        trial.with_fault(Duration::from_secs(2));
    });
    trial.assert_recovers();
    trial.end(&redis, 0..=5);
}

#[test]
fn b01_real_replica_that_becomes_the_master_is_used_again() {
    let redis = RedisServer::start();
    let mut trial = Trial::start("B1 the server becomes a replica", &redis, &redis.url());
    let mut connection = redis.connect();
    let upstream = free_port().to_string();
    redis::cmd("REPLICAOF").arg(&["127.0.0.1", &upstream]).exec(&mut connection).unwrap();
    trial.with_fault(Duration::from_secs(2)).assert_outage();
    redis::cmd("REPLICAOF").arg(&["NO", "ONE"]).exec(&mut connection).unwrap();
    trial.assert_recovers();
    trial.end(&redis, 1..=1);
}

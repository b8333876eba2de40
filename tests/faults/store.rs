//! Redis away, slow, broken or lying, under load.

use std::time::Duration;

use crate::proxy::{self, Proxy};
use crate::support::RedisServer;
use crate::trial::Trial;

const SECOND: Duration = Duration::from_secs(1);

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

#[test]
fn a4_stopped_redis_is_a_503_within_a_second_and_nothing_else_notices() {
    let redis = RedisServer::start();
    let mut trial = Trial::start("A4 Redis is stopped (SIGSTOP)", &redis, &redis.url());
    redis.signal("STOP");
    trial.storm(3 * SECOND).assert_outage();
    redis.signal("CONT");
    trial.heal();
    trial.end(&redis, 1..=1);
}

#[test]
fn a3_closed_port_is_a_503_at_once() {
    let redis = RedisServer::start();
    let mut proxy = Proxy::before(redis.port);
    let mut trial = Trial::start("A3 the port is closed", &redis, &proxy.url());
    proxy.close();
    trial.storm(2 * SECOND).assert_outage();
    proxy.open();
    trial.heal();
    trial.end(&redis, 1..=1);
}

#[test]
fn a7_reply_that_trickles_in_is_held_to_the_deadline() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port);
    let mut trial = Trial::start("A7 one byte every 100 ms", &redis, &proxy.url());
    proxy.set(proxy::trickling(millis(100)));
    trial.storm(3 * SECOND).assert_outage();
    proxy.set(proxy::faultless());
    trial.heal();
    trial.end(&redis, 1..=1);
}

//! Redis answers, and refuses: rights, memory, quotas, replicas.

use std::thread::sleep;
use std::time::{Duration, Instant};

use test_support::app::{App, KEY};
use test_support::{RedisServer, wait_for};

use crate::stub::{self, Script, Stub};
use crate::trial::{Trial, log_of_an_outage};

/// A trial on a server that answers by a script for a while: no visitor is served, and the server gets
/// few commands besides the probes. The log says what to do.
fn on_a_scripted_server(name: &str, script: Script, remedy: &str) {
    let redis = RedisServer::start();
    let stub = Stub::before(redis.port);
    let mut trial = Trial::start(name, &redis, &stub.url());
    stub.set(script);
    stub.take_seen();
    trial.with_fault(Duration::from_secs(2)).assert_outage();
    let asked = stub.take_seen().len();
    assert!(asked <= 200, "a storm of {asked} commands");
    let log = trial.app.log();
    assert!(log.contains(remedy), "{name}:\n{log}");
    stub.set(stub::silent());
    trial.assert_recovers();
    trial.end(&redis, 1..=1);
}

#[test]
fn b01_to_b07_servers_that_refuse_are_a_503_and_are_left_alone() {
    for (name, error, remedy) in [
        (
            "B1 READONLY",
            "READONLY You can't write against a read only replica.",
            "name the master in `url`",
        ),
        ("B2 MASTERDOWN", "MASTERDOWN Link with MASTER is down.", "name the master in `url`"),
        (
            "B3 OOM",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "its memory is full: raise `maxmemory`",
        ),
        ("B5 NOAUTH", "NOAUTH Authentication required.", "the user and the password in `url`"),
        (
            "B6 NOPERM",
            "NOPERM this user has no permissions to run the 'hincrby' command",
            "the user may not run HINCRBY: give it `+hincrby`",
        ),
        ("B7 LOADING", "LOADING Redis is loading the dataset in memory", "data: wait"),
        ("B7 MISCONF", "MISCONF Redis is configured to save RDB snapshots", "its log"),
        ("B7 BUSY", "BUSY Redis is busy running a script.", "`SCRIPT KILL`"),
        ("B7 CLUSTERDOWN", "CLUSTERDOWN The cluster is down", "`CLUSTER INFO`"),
        ("B7 an unknown error", "ERR whatever", "Redis refused: ERR"),
    ] {
        on_a_scripted_server(name, stub::refusing(error), remedy);
    }
}

#[test]
fn b05_wrong_password_is_a_503_and_the_log_names_the_remedy_and_not_the_password() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    redis::cmd("CONFIG").arg(&["SET", "requirepass", "correct"]).exec(&mut connection).unwrap();
    for url in ["redis://default:hunter2@", "redis://:hunter2@", "redis://"] {
        let app = App::on_redis(&format!("{url}127.0.0.1:{}", redis.port));
        let mut visitor = app.visitor();
        for _ in 0..5 {
            assert_eq!(visitor.get("/foo").status, 503);
        }
        let log = log_of_an_outage(&app);
        assert!(log.contains("check the user and the password in `url`"), "{url}:\n{log}");
        assert_eq!(log.matches("ERROR Redis is unavailable").count(), 1, "{log}");
        assert!(!log.contains("hunter2") && !log.contains(KEY), "{log}");
    }
}

#[test]
fn b06_user_without_the_rights_that_sessions_need_is_a_503() {
    let redis = RedisServer::start();
    redis::cmd("ACL")
        .arg(&["SETUSER", "reader", "on", ">hunter2", "~*", "+@read", "+ping", "+auth"])
        .exec(&mut redis.connect())
        .unwrap();
    let app = App::on_redis(&format!("redis://reader:hunter2@127.0.0.1:{}", redis.port));
    let mut visitor = app.visitor();
    for _ in 0..20 {
        let reply = visitor.get("/foo");
        assert_eq!((reply.status, reply.header("set-cookie")), (503, None));
    }
    let log = log_of_an_outage(&app);
    assert!(log.contains("NOPERM") && !log.contains("hunter2"), "{log}");
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    assert_eq!(redis.keys(""), Vec::<String>::new());
}

#[test]
fn b06_single_right_that_is_missing_is_named_though_all_else_goes_on() {
    let redis = RedisServer::start();
    redis::cmd("ACL")
        .arg(&["SETUSER", "most", "on", ">hunter2", "~*", "+@all", "-rename"])
        .exec(&mut redis.connect())
        .unwrap();
    let app = App::on_redis(&format!("redis://most:hunter2@127.0.0.1:{}", redis.port));
    let mut visitor = app.visitor();
    for view in 1..=10 {
        assert_eq!(visitor.get("/foo").views(), view);
        let reply = visitor.post("/session/regenerate");
        assert_eq!((reply.status, reply.header("set-cookie")), (503, None));
    }
    let log = app.log();
    assert_eq!(log.matches("may not run RENAME: give it `+rename`").count(), 1, "{log}");
    assert_eq!(log.matches("ERROR").count(), 0, "{log}");
}

#[test]
fn b03_redis_without_memory_is_a_503_and_keeps_what_it_has() {
    let redis = RedisServer::start();
    let mut trial = Trial::start("B3 maxmemory is reached", &redis, &redis.url());
    let mut connection = redis.connect();
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut connection).unwrap();
    trial.with_fault(Duration::from_secs(2)).assert_outage();
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).exec(&mut connection).unwrap();
    trial.assert_recovers();
    trial.end(&redis, 1..=1);
}

#[test]
fn b03_visitors_who_only_read_do_not_reopen_and_reclose_the_log() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    visitor.get("/foo");
    let mut connection = redis.connect();
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut connection).unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        visitor.get("/foo");
        visitor.get("/session");
        sleep(Duration::from_millis(5));
    }
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).exec(&mut connection).unwrap();
    wait_for("writes to work again", || visitor.get("/foo").status == 200);
    let log = app.log();
    let lines = log.matches("Redis is unavailable").count() + log.matches("answers again").count();
    assert!(lines <= 8, "{log}");
}

#[test]
fn b18_used_up_quota_is_a_503_and_is_not_asked_again_for_seconds() {
    for error in [
        "ERR max requests limit exceeded. Limit: 500000, Usage: 500000.",
        "ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.",
        "ERR DB capacity quota exceeded.",
    ] {
        let redis = RedisServer::start();
        let stub = Stub::before(redis.port);
        let app = App::on_redis(&stub.url());
        let mut visitor = app.visitor();
        visitor.get("/foo");
        stub.set(stub::refusing_all(error));
        assert_eq!(visitor.get("/foo").status, 503);
        stub.take_seen();
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            let reply = visitor.get("/foo");
            assert_eq!(reply.status, 503);
            let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!(wait >= 10, "{wait}");
            sleep(Duration::from_millis(10));
        }
        let billed: Vec<_> = stub.take_seen().into_iter().filter(|name| name != "PING").collect();
        assert_eq!(billed, Vec::<String>::new());
        let log = log_of_an_outage(&app);
        assert!(log.contains(error), "{log}");
        assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    }
}

//! What `check` finds, and the remedies that it suggests.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rocket_server_sessions::{Report, Verdict, check};
use test_support::cluster::Cluster;
use test_support::{RedisServer, free_port};

use crate::world::figment;

pub fn report(url: &str) -> Report {
    check(&figment().merge(("session.url", url)))
}

/// The step that fails is the last one, and its text holds the remedy.
pub fn assert_fails(report: &Report, step: &str, remedy: &str) {
    let shown = report.to_string();
    let last = report.findings().last().unwrap();
    assert!(!report.is_ok() && last.verdict == Verdict::Failed, "{shown}");
    assert!(last.what == step && last.text.contains(remedy), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

/// Accepts connections, and answers everything with these bytes.
fn stub(reply: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 1024];
            while stream.read(&mut buffer).is_ok_and(|it| it > 0) {
                stream.write_all(reply.as_bytes()).unwrap();
            }
        }
    });
    port
}

#[test]
fn right_server_passes_every_step_and_nothing_is_written() {
    let redis = RedisServer::start();
    let report = report(&format!("redis://localhost:{}/3", redis.port));
    let steps: Vec<_> = report.findings().iter().map(|it| it.what).collect();
    assert_eq!(
        steps,
        ["DNS", "connection", "authentication", "version", "round trip", "rights"],
        "{report}"
    );
    assert!(report.is_ok() && report.to_string().contains("redis 7."), "{report}");
    let commands: Vec<_> = redis.commands().into_keys().collect();
    assert_eq!(commands, ["exec", "hello", "multi", "ping", "select"]);
}

#[test]
fn settings_are_shown_with_their_place_and_without_secrets() {
    let figment = figment()
        .merge(("session.url", "redis://default:hunter2@127.0.0.1:1"))
        .merge(("session.previous_keys", vec![crate::world::KEY]));
    let text = check(&figment).to_string();
    let line = |key: &str| text.lines().find(|it| it.starts_with(key)).unwrap().to_owned();
    let url = line("session.url");
    assert!(url.contains("redis://127.0.0.1:1") && url.contains("check.rs:"), "{url}");
    assert!(line("session.queue").ends_with("default"), "{text}");
    assert!(line("secret_key").contains("[redacted]"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains(crate::world::KEY), "{text}");
}

#[test]
fn all_invalid_settings_are_reported_without_connecting() {
    let figment = figment().merge(("session.queue", 0)).merge(("port", "http"));
    let report = check(&figment);
    assert!(!report.is_ok());
    let text = report.to_string();
    assert!(text.contains("`port`") && text.contains("`session.queue`"), "{text}");
    assert_eq!(report.findings().len(), 2, "{text}");
}

#[test]
fn wrong_address_is_reported_at_the_step_that_fails() {
    assert_fails(&report("redis://nowhere.invalid"), "DNS", "check the host");
    let port = free_port();
    let url = format!("redis://:hunter2@127.0.0.1:{port}");
    assert_fails(&report(&url), "connection", "nothing listens there");
}

#[test]
fn refused_login_is_reported_with_a_remedy() {
    let open = RedisServer::start();
    let closed = RedisServer::start_with(free_port(), "--requirepass word");
    for (port, rest, remedy) in [
        (closed.port, ":hunter2@", "check the user and the password"),
        (closed.port, "alice:hunter2@", "check the user and the password"),
        (closed.port, "", "it requires a password"),
        (open.port, ":hunter2@", "the server has no password"),
        (open.port, "alice:hunter2@", "check the user and the password"),
    ] {
        assert_fails(&report(&format!("redis://{rest}127.0.0.1:{port}")), "authentication", remedy);
    }
    let url = format!("redis://127.0.0.1:{}/99", open.port);
    assert_fails(&report(&url), "authentication", "fewer databases");
}

#[test]
fn missing_rights_are_named_as_acl_rules() {
    let redis = RedisServer::start();
    let rights = |rights: &[&str]| {
        let mut command = redis::cmd("ACL");
        command.arg(&["SETUSER", "alice", "reset", "on", ">hunter2"]).arg(rights);
        command.exec(&mut redis.connect()).unwrap();
        check(
            &figment()
                .merge(("session.url", format!("redis://alice:hunter2@127.0.0.1:{}", redis.port)))
                .merge(("session.prefix", "shop:")),
        )
    };
    let all = rights(&["~shop:*", "+@all"]);
    assert!(all.is_ok(), "{all}");
    let some = rights(&["~shop:*", "+@all", "-eval", "-hincrby"]);
    let finding = some.findings().iter().find(|it| it.verdict == Verdict::Failed).unwrap();
    assert_eq!(finding.text, "the user may not run HINCRBY, EVAL: give it `+hincrby +eval`");
    let keys = rights(&["~session:*", "+@all"]);
    assert!(keys.to_string().contains("give it `~shop:*`"), "{keys}");
    let only = rights(&["~shop:*", "+@all", "-exec"]);
    assert!(only.to_string().contains("may not run EXEC: give it `+exec`"), "{only}");
    let none = rights(&["~shop:*", "+@all", "-multi"]);
    assert!(none.to_string().contains("`+multi +exec +hset +hget +hmget +hgetall"), "{none}");
    assert!(redis.keys("").is_empty(), "no command was executed");
}

#[test]
fn full_server_is_reported() {
    let redis = RedisServer::start_with(free_port(), "--maxmemory 1");
    let report = report(&redis.url());
    assert_fails(&report, "rights", "HSET fails with OOM");
    assert_fails(&report, "rights", "raise `maxmemory`");
}

#[test]
fn replica_is_refused() {
    let master = RedisServer::start();
    let options = format!("--replicaof 127.0.0.1 {}", master.port);
    let replica = RedisServer::start_with(free_port(), &options);
    let report = report(&replica.url());
    assert!(!report.is_ok() && report.to_string().contains("name the master"), "{report}");
}

#[test]
fn old_server_is_refused_by_its_version() {
    // A server before 6.0 knows no HELLO.
    let report = report(&format!("redis://127.0.0.1:{}", stub("-ERR unknown command `HELLO`\r\n")));
    assert!(!report.is_ok(), "{report}");
    let redis = stub(
        "*6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.0.16\r\n$4\r\nrole\r\n$6\r\nmaster\r\n",
    );
    let report = crate::check::report(&format!("redis://127.0.0.1:{redis}"));
    let text = report.to_string();
    assert!(!report.is_ok() && text.contains("Redis 6.0.16; it is too old"), "{text}");
    assert!(text.contains("6.2 or later"), "{text}");
}

#[test]
fn hanging_server_is_reported_within_seconds() {
    let redis = RedisServer::start();
    redis.signal("STOP");
    let start = Instant::now();
    let report = report(&redis.url());
    redis.signal("CONT");
    assert_fails(&report, "answer", "is it stopped or busy?");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn cluster_and_single_server_are_not_mistaken_for_each_other() {
    let cluster = Cluster::start(0);
    let right = report(&cluster.url());
    assert!(right.is_ok(), "{right}");
    // Each check uses a random key, which belongs to another server in two of three cases.
    let mut servers = cluster.servers.iter().cycle().take(30);
    let is_told = |report: &Report| report.to_string().contains("write `redis-cluster://`");
    assert!(servers.any(|it| is_told(&report(&it.url()))));
    let redis = RedisServer::start();
    let report = report(&redis.url().replace("redis://", "redis-cluster://"));
    assert!(!report.is_ok() && report.to_string().contains("not part of a cluster"), "{report}");
}

//! Redis away, slow, broken or lying, under load.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use redis::Commands;

use test_support::app::{App, KEY, Visitor};
use crate::proxy::{self, Deaf, Fault, Proxy, Wire};
use crate::stub::{self, Script, Stub};
use test_support::{RedisServer, free_port, wait_for};
use crate::trial::{Connection, Trial, Usage, assert_keys_are_ours_and_mortal};

const SECOND: Duration = Duration::from_secs(1);

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// What the application has written, once it has said that Redis is away.
fn log_of_an_outage(app: &App) -> String {
    wait_for("the log", || app.log().contains("ERROR Redis is unavailable"));
    app.log()
}

/// A trial on a wire that has a fault for a while.
fn on_a_faulty_wire(name: &str, fault: Fault, lasting: Duration) -> (RedisServer, Trial) {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port);
    let mut trial = Trial::start(name, &redis, &proxy.url());
    proxy.set(fault);
    trial.storm(lasting);
    proxy.set(proxy::faultless());
    trial.heal();
    trial.keep(proxy);
    (redis, trial)
}

/// A trial on a server that answers by a script for a while: nobody is served, and the server is
/// not asked much more often than it is probed.
fn on_a_scripted_server(name: &str, script: Script) {
    let redis = RedisServer::start();
    let stub = Stub::before(redis.port);
    let mut trial = Trial::start(name, &redis, &stub.url());
    stub.set(script);
    stub.take_seen();
    trial.storm(2 * SECOND).assert_outage();
    let asked = stub.take_seen().len();
    assert!(asked <= 200, "a storm of {asked} commands");
    stub.set(stub::silent());
    trial.heal();
    trial.end(&redis, 1..=1);
}

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
            sleep(millis(40));
            redis.signal("KILL");
        });
        trial.storm(2 * SECOND).assert_outage();
    });
    drop(redis);
    let redis = RedisServer::start_with(port, &options);
    trial.heal();
    trial.end(&redis, 1..=1);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a03_closed_port_is_a_503_at_once() {
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
fn a04_stopped_redis_is_a_503_within_a_second_and_nothing_else_notices() {
    let redis = RedisServer::start();
    let mut trial = Trial::start("A4 Redis is stopped (SIGSTOP)", &redis, &redis.url());
    redis.signal("STOP");
    trial.storm(3 * SECOND).assert_outage();
    redis.signal("CONT");
    trial.heal();
    trial.end(&redis, 1..=1);
}

#[test]
fn a05_swallowed_connect_is_a_503_within_a_second() {
    let redis = RedisServer::start();
    let mut proxy = Proxy::before(redis.port);
    let mut trial = Trial::start("A5 connections are swallowed", &redis, &proxy.url());
    proxy.close();
    let deaf = Deaf::at(proxy.port);
    trial.storm(3 * SECOND).assert_outage();
    drop(deaf);
    proxy.open();
    trial.heal();
    trial.end(&redis, 1..=1);
}

#[test]
fn a05_connection_that_is_never_greeted_is_a_503_within_a_second() {
    let name = "A5 commands arrive, replies are swallowed";
    let (redis, trial) = on_a_faulty_wire(name, proxy::swallowing(), 3 * SECOND);
    trial.end(&redis, 1..=1);
}

#[test]
fn a06_late_replies_are_waited_for_up_to_the_deadline() {
    for (late, outages) in [(50, 0..=0), (200, 0..=0), (500, 0..=4), (1000, 1..=1)] {
        let name = format!("A6 replies are {late} ms late");
        let (redis, trial) = on_a_faulty_wire(&name, proxy::late(millis(late)), 2 * SECOND);
        if *outages.end() == 0 {
            trial.assert_unnoticed();
        }
        trial.end(&redis, outages);
    }
}

#[test]
fn a07_reply_that_trickles_in_is_held_to_the_deadline() {
    let name = "A7 one byte every 100 ms";
    let (redis, trial) = on_a_faulty_wire(name, proxy::trickling(millis(100)), 3 * SECOND);
    trial.end(&redis, 1..=1);
}

#[test]
fn a08_reset_after_any_number_of_bytes_is_a_503() {
    for bytes in [0, 1, 4, 8, 20, 100] {
        let name = format!("A8 reset after {bytes} bytes");
        let fault = proxy::cut_after(bytes, Wire::reset);
        let (redis, trial) = on_a_faulty_wire(&name, fault, millis(700));
        trial.end(&redis, 1..=1);
    }
}

#[test]
fn a09_end_of_file_after_any_number_of_bytes_is_a_503() {
    for bytes in [0, 1, 4, 8, 20, 100] {
        let name = format!("A9 end of file after {bytes} bytes");
        let fault = proxy::cut_after(bytes, Wire::end);
        let (redis, trial) = on_a_faulty_wire(&name, fault, millis(700));
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
        ("one reply too many", b":1\r\n".to_vec()),
    ] {
        let name = format!("A12 {what} before each reply");
        let (redis, trial) = on_a_faulty_wire(&name, proxy::injecting(bytes), millis(1500));
        trial.end(&redis, 1..=4);
    }
}

#[test]
fn a12_replies_to_nothing_are_nobodys() {
    let redis = RedisServer::start();
    let stub = Stub::before(redis.port);
    let mut trial = Trial::start("A12 two replies for one command, once", &redis, &stub.url());
    let once = AtomicU32::new(8);
    stub.set(std::sync::Arc::new(move |name| {
        let left = |left: u32| left.checked_sub(1);
        let is_due = || once.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok();
        (name == "HGETALL" && is_due()).then(|| b"*0\r\n*0\r\n".to_vec())
    }));
    // What was answered wrongly looks like a lost record; so nobody is asked to judge it here.
    let mut stranger = trial.app.visitor();
    for _ in 0..12 {
        stranger.get("/bar");
        stranger.cookie = None;
    }
    stub.set(stub::silent());
    trial.heal();
    trial.end(&redis, 0..=1);
}

/// So many visitors at once, each on a connection that is open already: their statuses, and what
/// the slowest of them has waited.
fn crowd(visitor: &Visitor, number: usize) -> (BTreeMap<u16, usize>, Duration) {
    let start = Barrier::new(number);
    let replies: Vec<_> = scope(|threads| {
        let all: Vec<_> = (0..number)
            .map(|_| {
                let start = &start;
                threads.spawn(move || {
                    let mut connection = Connection::open(visitor.port);
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
        let (_, calm) = crowd(&visitor, number);
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
        assert!(first < millis(1_250) + 2 * calm, "{first:?}, calm {calm:?}");
        assert!(second < millis(250) + 2 * calm, "{second:?}, calm {calm:?}");
        redis.signal("CONT");
        let start = Instant::now();
        wait_for("Redis to be found again", || visitor.get("/foo").status == 200);
        assert!(start.elapsed() < 3 * SECOND);
        assert_eq!(crowd(&visitor, number).0, BTreeMap::from([(200, number)]));
        before.assert_regained(app.pid());
    }
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
    trial.storm(3 * SECOND).assert_outage();
    let attempts = proxy.accepted() - before;
    assert!(attempts <= 40, "{attempts} connections in three seconds");
    redis::cmd("CONFIG").arg(&["SET", "maxclients", "1000"]).exec(&mut connection).unwrap();
    trial.heal();
    trial.end(&redis, 1..=1);
}

#[test]
fn a18_unknown_host_is_a_503_at_once() {
    let app = App::on_redis("redis://no-such-host.invalid:6379");
    let mut visitor = app.visitor();
    wait_for("the breaker to open", || visitor.get("/foo").took < millis(100));
    for _ in 0..10 {
        let reply = visitor.get("/foo");
        assert!(reply.status == 503 && reply.took < millis(250), "{:?}", reply.took);
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
            let until = Instant::now() + 2 * SECOND;
            let mut connection = redis.connect();
            while Instant::now() < until {
                redis::cmd("CLIENT")
                    .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
                    .exec(&mut connection)
                    .unwrap();
                sleep(millis(100));
            }
        });
        trial.storm(2 * SECOND);
    });
    trial.heal();
    trial.end(&redis, 0..=5);
}

#[test]
fn a21_view_whose_reply_is_lost_is_counted_once() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port);
    let app = App::on_redis(&proxy.url());
    let mut visitor = app.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
    proxy.set(proxy::cut_after(0, Wire::end));
    assert_eq!(visitor.get("/foo").status, 503);
    proxy.set(proxy::faultless());
    let key = redis.keys("session:").remove(0);
    let held: u64 = redis.connect().hget(key, "views:/foo").unwrap();
    assert_eq!(held, 3, "counted, and not sent again");
    wait_for("Redis to be found again", || visitor.get("/bar").status == 200);
    assert_eq!(visitor.get("/foo").views(), 4);
}

#[test]
fn b01_to_b07_servers_that_refuse_are_a_503_and_are_left_alone() {
    for (name, error) in [
        ("B1 READONLY", "READONLY You can't write against a read only replica."),
        ("B2 MASTERDOWN", "MASTERDOWN Link with MASTER is down."),
        ("B3 OOM", "OOM command not allowed when used memory > 'maxmemory'."),
        ("B5 NOAUTH", "NOAUTH Authentication required."),
        ("B6 NOPERM", "NOPERM this user has no permissions to run the command"),
        ("B7 LOADING", "LOADING Redis is loading the dataset in memory"),
        ("B7 MISCONF", "MISCONF Redis is configured to save RDB snapshots"),
        ("B7 BUSY", "BUSY Redis is busy running a script."),
        ("B7 CLUSTERDOWN", "CLUSTERDOWN The cluster is down"),
        ("B7 an error nobody knows", "ERR whatever"),
    ] {
        on_a_scripted_server(name, stub::refusing(error));
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
        let cookie = visitor.cookie.clone().unwrap();
        let head = format!(
            "POST /session/regenerate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\
             Cookie: {cookie}\r\n"
        );
        let reply = test_support::app::send(app.port, &head);
        assert_eq!((reply.status, reply.header("set-cookie")), (503, None));
    }
    let log = app.log();
    assert_eq!(log.matches("NOPERM for rename; give the user the rights").count(), 1, "{log}");
    assert_eq!(log.matches("ERROR").count(), 0, "{log}");
}

#[test]
fn b01_real_replica_that_becomes_the_master_is_used_again() {
    let redis = RedisServer::start();
    let mut trial = Trial::start("B1 the server becomes a replica", &redis, &redis.url());
    let mut connection = redis.connect();
    let upstream = free_port().to_string();
    redis::cmd("REPLICAOF").arg(&["127.0.0.1", &upstream]).exec(&mut connection).unwrap();
    trial.storm(2 * SECOND).assert_outage();
    redis::cmd("REPLICAOF").arg(&["NO", "ONE"]).exec(&mut connection).unwrap();
    trial.heal();
    trial.end(&redis, 1..=1);
}

#[test]
fn b03_redis_without_memory_is_a_503_and_keeps_what_it_has() {
    let redis = RedisServer::start();
    let mut trial = Trial::start("B3 maxmemory is reached", &redis, &redis.url());
    let mut connection = redis.connect();
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut connection).unwrap();
    trial.storm(2 * SECOND).assert_outage();
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).exec(&mut connection).unwrap();
    trial.heal();
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
    let until = Instant::now() + 3 * SECOND;
    while Instant::now() < until {
        visitor.get("/foo");
        visitor.get("/session");
        sleep(millis(5));
    }
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).exec(&mut connection).unwrap();
    wait_for("writes to work again", || visitor.get("/foo").status == 200);
    let log = app.log();
    let lines = log.matches("Redis is unavailable").count() + log.matches("answers again").count();
    assert!(lines <= 8, "{log}");
}

#[test]
fn b04_b16_b17_lost_and_older_records_are_never_an_error() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    visitor.get("/foo");
    let key = redis.keys("session:").remove(0);
    let older: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut redis.connect()).unwrap();
    visitor.get("/foo");
    redis::cmd("RESTORE")
        .arg(&key)
        .arg(60_000)
        .arg(older)
        .arg("REPLACE")
        .exec(&mut redis.connect())
        .unwrap();
    assert_eq!(visitor.get("/foo").views(), 3, "an older count goes on");
    for lose in [&["UNLINK", key.as_str()][..], &["FLUSHALL"]] {
        redis::cmd(lose[0]).arg(&lose[1..]).exec(&mut redis.connect()).unwrap();
        let cookie = visitor.cookie.clone();
        let reply = visitor.get("/foo");
        assert_eq!(reply.views(), 1, "a new session begins");
        assert_ne!(visitor.cookie, cookie, "under a new id");
        assert_eq!(visitor.get("/foo").views(), 2);
        assert_keys_are_ours_and_mortal(&redis);
        assert!(!redis.keys("").contains(&key), "the old id is not used again");
    }
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
        let until = Instant::now() + 2 * SECOND;
        while Instant::now() < until {
            let reply = visitor.get("/foo");
            assert_eq!(reply.status, 503);
            let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!(wait >= 10, "{wait}");
            sleep(millis(10));
        }
        let billed: Vec<_> = stub.take_seen().into_iter().filter(|name| name != "PING").collect();
        assert_eq!(billed, Vec::<String>::new());
        let log = log_of_an_outage(&app);
        assert!(log.contains(error), "{log}");
        assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    }
}

//! Metrics: off by default, never public, and correct.

#![expect(clippy::float_cmp, reason = "what is counted is whole")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};

use test_support::app::{App, KEY, Reply, Visitor, run_to_end, send};
use test_support::{RedisServer, free_port, wait_for};

/// An application whose metrics are on.
struct Measured {
    app: App,
    port: u16,
}

impl Measured {
    fn start(env: &[(&str, &str)]) -> Self {
        let port = free_port();
        let text = port.to_string();
        let app = App::start(&[env, &[("ROCKET_METRICS_PORT", &text)]].concat());
        Self { app, port }
    }

    fn on_redis(url: &str) -> Self {
        let measured = Self::start(&[("REDIS_URL", url), ("ROCKET_SECRET_KEY", KEY)]);
        measured.app.wait_for_check();
        measured
    }

    fn get(&self, path: &str) -> Reply {
        send(self.port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"))
    }

    fn text(&self) -> String {
        let reply = self.get("/metrics");
        assert_eq!(reply.status, 200);
        let kind = reply.header("content-type").unwrap();
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        reply.body
    }

    /// The value of every sample, by its `name{labels}`.
    fn samples(&self) -> BTreeMap<String, f64> {
        let text = self.text();
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let value: f64 = value.parse().expect(line);
            assert_eq!(samples.insert(series.to_owned(), value), None, "twice: {line}");
        }
        samples
    }
}

/// The ports on which a process listens, from Linux's `/proc`.
fn listening(pid: u32) -> Vec<u16> {
    let mut sockets = Vec::new();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("these tests read /proc, which Linux has: run them there, or in a container")
    {
        let link = fs::read_link(descriptor.unwrap().path()).unwrap_or_default();
        let inode = link.to_str().and_then(|it| it.strip_prefix("socket:[")?.strip_suffix(']'));
        sockets.extend(inode.map(str::to_owned));
    }
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let rows = table.lines().map(|it| it.split_whitespace().collect::<Vec<_>>());
    let own = rows.filter(|row| row[3] == "0A" && sockets.iter().any(|it| it == row[9]));
    own.map(|row| u16::from_str_radix(row[1].split_once(':').unwrap().1, 16).unwrap()).collect()
}

#[test]
fn metrics_are_off_by_default() {
    let app = App::start(&[]);
    assert_eq!(app.visitor().get("/metrics").status, 404);
    assert_eq!(listening(app.pid()), [app.port]);
}

#[test]
fn metrics_are_for_the_loopback_alone() {
    let measured = Measured::start(&[("ROCKET_ADDRESS", "0.0.0.0")]);
    let mut ports = listening(measured.app.pid());
    ports.sort_unstable();
    let mut expected = [measured.app.port, measured.port];
    expected.sort_unstable();
    assert_eq!(ports, expected);
    assert_eq!(measured.app.visitor().get("/metrics").status, 404, "on the public port");
    assert!(TcpStream::connect(("127.0.0.2", measured.app.port)).is_ok());
    assert!(TcpStream::connect(("127.0.0.2", measured.port)).is_err());
    // The address at which Google's collector reaches the instance that it runs in.
    assert!(TcpStream::connect(("0.0.0.0", measured.port)).is_ok());
}

#[test]
fn metrics_port_has_nothing_but_metrics() {
    let measured = Measured::start(&[]);
    for path in ["/", "/foo", "/metrics/", "/health/live"] {
        assert_eq!(measured.get(path).status, 404, "{path}");
    }
    let reply = send(measured.port, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n");
    assert_eq!(reply.status, 405);
    assert_eq!(send(measured.port, "nonsense\r\n").status, 400);
    assert!(measured.text().contains("site_views_total{page=\"/foo\"} 0\n"));
}

#[test]
fn metrics_tell_what_was_done_and_what_it_costs() {
    let redis = RedisServer::start();
    let measured = Measured::on_redis(&redis.url());
    redis.reset_commands();
    let mut visitor = measured.app.visitor();
    for path in ["/foo", "/foo", "/foo", "/bar"] {
        visitor.get(path);
    }
    assert_eq!(visitor.post("/session/regenerate").status, 303);
    assert_eq!(visitor.post("/session/destroy").status, 303);
    let forged = Some("session=forged".to_owned());
    Visitor { port: measured.app.port, cookie: forged }.get("/session");

    let samples = measured.samples();
    for (series, expected) in [
        ("site_views_total{page=\"/\"}", 0),
        ("site_views_total{page=\"/foo\"}", 3),
        ("site_views_total{page=\"/bar\"}", 1),
        ("session_events_total{event=\"created\"}", 1),
        ("session_events_total{event=\"returned\"}", 1),
        ("session_events_total{event=\"quoted\"}", 0),
        ("session_events_total{event=\"touched\"}", 1),
        ("session_events_total{event=\"regenerated\"}", 1),
        ("session_events_total{event=\"logged_in\"}", 0),
        ("session_events_total{event=\"destroyed\"}", 1),
        ("session_events_total{event=\"expired\"}", 0),
        ("session_events_total{event=\"rejected\"}", 1),
        ("session_rejections_total{reason=\"cut_off\"}", 1),
        ("session_rejections_total{reason=\"malformed\"}", 0),
        ("session_rejections_total{reason=\"invalid_cookie\"}", 0),
        ("session_rejections_total{reason=\"unreadable_header\"}", 0),
        ("session_rejections_total{reason=\"missing\"}", 0),
        ("session_store_seconds_count{operation=\"create\",outcome=\"ok\"}", 1),
        ("session_store_seconds_count{operation=\"update\",outcome=\"ok\"}", 3),
        ("session_store_seconds_count{operation=\"touch\",outcome=\"ok\"}", 1),
        ("session_store_seconds_count{operation=\"update\",outcome=\"refused\"}", 0),
        ("session_store_seconds_count{operation=\"rotate\",outcome=\"ok\"}", 1),
        ("session_store_seconds_count{operation=\"destroy\",outcome=\"ok\"}", 1),
        ("session_redis_queue_depth", 0),
        ("session_redis_breaker_open", 0),
    ] {
        assert_eq!(samples.get(series), Some(&f64::from(expected)), "{series}: {samples:#?}");
    }
    // Requests are sent one at a time, so each is a batch of its own.
    let calls = samples["session_redis_batch_size_count"];
    assert_eq!(calls, samples["session_redis_batch_size_sum"]);
    assert_eq!(calls, samples["session_redis_batch_size_bucket{le=\"1\"}"]);
    let commands = redis.commands();
    // Every new connection begins with a PING, which is not billed.
    let billed = commands.iter().filter(|(name, _)| *name != "ping").map(|(_, calls)| calls);
    let billed = u32::try_from(billed.sum::<u64>()).unwrap();
    assert!(billed > 12, "{commands:?}");
    assert_eq!(samples["session_redis_commands_total"], f64::from(billed), "{commands:?}");
}

#[test]
fn outage_shows_in_the_metrics_until_it_is_over() {
    let redis = RedisServer::start();
    let measured = Measured::on_redis(&redis.url());
    let mut visitor = measured.app.visitor();
    visitor.get("/foo");
    redis.signal("STOP");
    for _ in 0..3 {
        assert_eq!(visitor.get("/foo").status, 503);
    }
    let during = measured.samples();
    let calls = |samples: &BTreeMap<String, f64>, outcome| {
        let name = "session_store_seconds_count{operation=\"update\",outcome=";
        samples[&format!("{name}\"{outcome}\"}}")]
    };
    assert_eq!(during["session_redis_breaker_open"], 1.0);
    assert_eq!((calls(&during, "unknown"), calls(&during, "refused")), (1.0, 2.0));
    assert_eq!(during["site_views_total{page=\"/foo\"}"], 1.0, "only the view that was answered");
    redis.signal("CONT");
    wait_for("the page to answer again", || visitor.get("/foo").status == 200);
    let after = measured.samples();
    assert_eq!(after["session_redis_breaker_open"], 0.0);
    assert_eq!(after["session_redis_queue_depth"], 0.0);
}

#[test]
fn metrics_name_no_visitor_and_do_not_grow_with_them() {
    let redis = RedisServer::start();
    let measured = Measured::on_redis(&redis.url());
    let mut cookies = Vec::new();
    let mut visit = |times| {
        for _ in 0..times {
            let mut visitor = measured.app.visitor();
            visitor.get("/foo");
            visitor.get("/nowhere");
            assert_eq!(visitor.post("/session/regenerate").status, 303);
            cookies.push(visitor.cookie.unwrap());
        }
        measured.text()
    };
    let before = visit(1);
    let text = visit(20);
    assert_eq!(before.lines().count(), text.lines().count());
    for cookie in cookies {
        let value = cookie.split_once('=').unwrap().1;
        assert!(!text.contains(value) && !text.contains(&value[..16]), "{text}");
    }
    for key in redis.keys("session:") {
        for part in key.split(['{', '}', ':']).filter(|it| it.len() > 8) {
            assert!(!text.contains(part), "{part}: {text}");
        }
    }
    assert!(!text.contains(KEY) && !text.contains("nowhere"), "{text}");
}

#[test]
fn metrics_port_that_cannot_be_had_ends_the_launch_and_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().port().to_string();
    for (value, expected) in
        [("http", "65535"), ("70000", "65535"), ("-1", "65535"), (&taken, &taken)]
    {
        let port = free_port().to_string();
        let (succeeded, log) = run_to_end(&[("PORT", &port), ("ROCKET_METRICS_PORT", value)]);
        assert!(!succeeded, "{log}");
        let named = log.to_lowercase();
        for text in ["metrics_port", "rocket_", expected] {
            assert!(named.contains(text), "{text} is missing:\n{log}");
        }
    }
}

#[test]
fn metrics_take_no_thread_of_requests_and_end_with_the_application() {
    let workers = |app: &App| {
        let threads = fs::read_dir(format!("/proc/{}/task", app.pid())).unwrap();
        let names =
            threads.filter_map(|it| fs::read_to_string(it.unwrap().path().join("comm")).ok());
        names.filter(|it| it.contains("worker")).count()
    };
    let env = [("ROCKET_WORKERS", "2"), ("ROCKET_PROFILE", "release")];
    let (plain, measured) = (App::start(&env), Measured::start(&env));
    for _ in 0..10 {
        measured.text();
    }
    assert!(workers(&plain) >= 2);
    // Rocket's threads for files have the same name, and come and go.
    wait_for("as many threads as without metrics", || workers(&measured.app) <= workers(&plain));
    measured.app.signal("TERM");
    let port = measured.port;
    let (succeeded, log) = measured.app.finish();
    assert!(succeeded, "{log}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

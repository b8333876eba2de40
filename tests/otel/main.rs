//! The traces that a collector receives from the real binary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod collector;

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use collector::Collector;
use test_support::app::{App, KEY, run_to_end, send};
use test_support::{free_port, wait_for};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const PARENT: u64 = 0xb7ad_6b71_6920_3331;

/// Far less than the ten seconds that a collector gets, and enough for a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// An application that sends its spans every 20 ms.
fn traced(port: u16) -> App {
    let url = format!("http://127.0.0.1:{port}");
    let delay = ("OTEL_BSP_SCHEDULE_DELAY", "20");
    App::start(&[(ENDPOINT, &url), delay, ("ROCKET_SECRET_KEY", KEY)])
}

/// Views Foo with these headers, and returns the cookie that it sets.
fn view(app: &App, headers: &str) -> String {
    let reply = send(app.port, &format!("GET /foo?q=PRIVATE HTTP/1.1\r\nHost: x\r\n{headers}"));
    assert_eq!(reply.status, 200, "{}", reply.head);
    let cookie = reply.header("set-cookie").and_then(|it| it.split(';').next());
    cookie.unwrap_or_default().to_owned()
}

/// Stops the application, which sends the spans that are left, and returns its log.
fn end(app: App) -> String {
    app.signal("TERM");
    let (succeeded, log) = app.finish();
    assert!(succeeded, "{log}");
    log
}

fn count(bytes: &[u8], part: impl AsRef<[u8]>) -> usize {
    let part = part.as_ref();
    bytes.windows(part.len()).filter(|it| *it == part).count()
}

#[test]
fn store_calls_are_spans_in_their_requests_span_in_the_callers_trace() {
    for header in [
        format!("traceparent: 00-{TRACE:032x}-{PARENT:016x}-01\r\n"),
        format!("X-Cloud-Trace-Context: {TRACE:032x}/{PARENT};o=1\r\n"),
    ] {
        let collector = Collector::start();
        let app = traced(collector.port());
        view(&app, &header);
        end(app);
        let bytes = collector.received();
        for text in ["session_store", "operation", "create", "memory", "outcome", "GET /<page>"] {
            assert!(count(&bytes, text) > 0, "{text}: {}", String::from_utf8_lossy(&bytes));
        }
        assert!(count(&bytes, "cloud-run-sessions") > 0);
        let spans = count(&bytes, TRACE.to_be_bytes());
        assert_eq!(spans, 1 + count(&bytes, "session_store"), "all are in the trace");
        assert_eq!(count(&bytes, PARENT.to_be_bytes()), 1, "the store's are in the request's");
    }
}

#[test]
fn request_that_the_caller_does_not_sample_is_not_sent() {
    let collector = Collector::start();
    let app = traced(collector.port());
    view(&app, &format!("traceparent: 00-{TRACE:032x}-{PARENT:016x}-00\r\n"));
    view(&app, "");
    end(app);
    let bytes = collector.received();
    assert_eq!(count(&bytes, "GET /<page>"), 1, "only the other request");
    assert_eq!(count(&bytes, TRACE.to_be_bytes()), 0);
}

#[test]
fn spans_tell_no_cookie_no_secret_and_no_query() {
    let collector = Collector::start();
    let app = traced(collector.port());
    let cookie = view(&app, "");
    view(&app, &format!("Cookie: {cookie}\r\n"));
    end(app);
    let bytes = collector.received();
    assert!(count(&bytes, "session_store") >= 2);
    let value = cookie.split_once('=').unwrap().1;
    assert_eq!(count(&bytes, &value[..16]), 0);
    for text in [KEY, "PRIVATE", "Cookie"] {
        assert_eq!(count(&bytes, text), 0, "{text}");
    }
}

#[test]
fn collector_that_hangs_costs_no_request_and_no_exit() {
    // Connections are accepted, and nothing is ever sent.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = traced(silent.local_addr().unwrap().port());
    view(&app, "");
    let (_held, _) = silent.accept().unwrap();
    let start = Instant::now();
    for _ in 0..200 {
        let start = Instant::now();
        view(&app, "");
        assert!(start.elapsed() < SOON);
    }
    println!("200 views beside a collector that hangs: {:?}", start.elapsed());
    let start = Instant::now();
    let log = end(app);
    println!("from SIGTERM to the end: {:?}", start.elapsed());
    assert!(start.elapsed() < SOON, "{log}");
}

#[test]
fn collector_that_is_away_is_logged_once_and_found_again() {
    let port = free_port();
    let app = traced(port);
    let missing = || app.log().matches("does not accept traces").count();
    wait_for("the log to say that there is no collector", || {
        view(&app, "");
        missing() > 0
    });
    for _ in 0..20 {
        view(&app, "");
        std::thread::sleep(Duration::from_millis(25));
    }
    assert_eq!(missing(), 1, "{}", app.log());
    let collector = Collector::on(port);
    wait_for("the collector to be found", || {
        view(&app, "");
        app.log().contains("accepts traces again")
    });
    end(app);
    assert!(count(&collector.received(), "session_store") > 0);
}

#[test]
fn without_a_collector_nothing_is_recorded() {
    let sends = |app: &App| {
        let threads = fs::read_dir(format!("/proc/{}/task", app.pid())).unwrap();
        let mut names =
            threads.filter_map(|it| fs::read_to_string(it.ok()?.path().join("comm")).ok());
        names.any(|it| it.starts_with("OpenTelemetry"))
    };
    let collector = Collector::start();
    assert!(sends(&traced(collector.port())));
    for env in [&[][..], &[(ENDPOINT, "")]] {
        let app = App::start(env);
        view(&app, "");
        assert!(!sends(&app));
    }
}

#[test]
fn collector_that_cannot_be_spoken_to_ends_the_launch_and_is_named() {
    for url in ["https://127.0.0.1:4318", "127.0.0.1:4318", "http://a b"] {
        let port = free_port().to_string();
        let (succeeded, log) = run_to_end(&[("PORT", &port), (ENDPOINT, url)]);
        assert!(!succeeded && log.contains(ENDPOINT) && log.contains(url), "{log}");
    }
}

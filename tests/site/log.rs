//! The log, for Cloud Logging and for people.

use redis::Commands;
use serde_json::Value;

use test_support::app::{App, KEY, run_to_end, send};
use test_support::{RedisServer, wait_for};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn on_cloud_run_every_line_is_json_and_bears_the_trace_of_its_request() {
    let redis = RedisServer::start();
    let app = App::start(&[
        ("REDIS_URL", &redis.url()),
        ("ROCKET_SECRET_KEY", KEY),
        ("K_SERVICE", "counter"),
        ("GOOGLE_CLOUD_PROJECT", "project-1"),
    ]);
    let mut visitor = app.visitor();
    visitor.get("/foo");
    let key = redis.keys("session:").remove(0);
    let cookie = visitor.cookie.clone().unwrap();
    for traced in ["traceparent: 00-TRACE-00000000000000ff-01\r\n", ""] {
        let _: () = redis.connect().hset(&key, "views:/foo", "rubbish").unwrap();
        let head = format!("GET /foo HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n{traced}");
        assert_eq!(send(app.port, &head.replace("TRACE", TRACE)).status, 200);
    }
    app.signal("TERM");
    let (_, log) = app.finish();
    assert!(!log.contains('\u{1b}'), "{log}");
    let lines: Vec<Value> = log.lines().map(|it| serde_json::from_str(it).expect(it)).collect();
    let launch = lines.iter().find(|it| it["message"].as_str().unwrap().contains("has launched"));
    assert_eq!(launch.unwrap()["severity"], "INFO");
    for line in &lines {
        let severity = line["severity"].as_str().unwrap();
        assert!(["ERROR", "WARNING", "INFO", "DEBUG"].contains(&severity), "{line}");
        assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
    }
    let damaged: Vec<_> = lines
        .iter()
        .filter(|it| it["message"].as_str().unwrap().starts_with("the count in"))
        .collect();
    let [traced, bare] = damaged[..] else { panic!("{log}") };
    assert_eq!(traced["severity"], "WARNING");
    assert_eq!(
        traced["logging.googleapis.com/trace"],
        format!("projects/project-1/traces/{TRACE}")
    );
    assert_eq!(traced["logging.googleapis.com/spanId"], "00000000000000ff");
    assert_eq!(traced["logging.googleapis.com/trace_sampled"], true);
    assert_eq!(bare.get("logging.googleapis.com/trace"), None);
}

#[test]
fn elsewhere_lines_are_for_people() {
    let app = App::start(&[]);
    wait_for("the launch", || app.log().contains("has launched"));
    let log = app.log();
    assert!(log.contains("WARN ") && !log.contains("\"severity\""), "{log}");
}

#[test]
fn launch_is_no_warning() {
    let log_at = |level| {
        let app = App::start(&[("RUST_LOG", level)]);
        app.signal("TERM");
        app.finish().1
    };
    let log = log_at("info");
    assert!(log.contains("INFO Rocket has launched from http://127.0.0.1:"), "{log}");
    let log = log_at("warn");
    assert!(!log.contains("Rocket has launched"), "{log}");
}

#[test]
fn why_a_launch_fails_is_logged_at_any_level() {
    let running = App::start(&[]);
    let taken = running.port.to_string();
    for level in ["off", "wran", "rocket=off", ""] {
        for (port, why) in [("abc", "ERROR `port` must be a number"), (&taken, "in use")] {
            let (succeeded, log) = run_to_end(&[("RUST_LOG", level), ("PORT", port)]);
            assert!(!succeeded && (log.contains(why) || log.contains("wran")), "{level}: {log}");
        }
    }
}

#[test]
fn empty_level_is_the_default() {
    let app = App::start(&[("RUST_LOG", "")]);
    wait_for("the launch", || app.log().contains("INFO Rocket has launched"));
    assert!(app.log().contains("WARN sessions live in this process's memory"), "{}", app.log());
}

#[test]
fn requests_are_not_logged_by_the_application() {
    let app = App::start(&[]);
    let mut visitor = app.visitor();
    for (path, status) in [("/foo", 200), ("/nowhere", 404), ("/session/destroy", 404)] {
        assert_eq!(visitor.get(path).status, status, "{path}");
    }
    for (request, status) in [
        ("GET / HTTP/1.1\r\nSec-Purpose: prefetch\r\n", 425),
        ("GET /foo HTTP/1.1\r\nX-Purpose: preview\r\n", 425),
        ("GET /session HTTP/1.1\r\nSec-Purpose: prefetch;prerender\r\n", 425),
        ("POST /session/destroy HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n", 403),
    ] {
        let request = format!("{request}Host: localhost\r\nContent-Length: 0\r\n");
        assert_eq!(send(app.port, &request).status, status, "{request}");
    }
    app.signal("TERM");
    let (_, log) = app.finish();
    let (_, after) = log.split_once("Rocket has launched").unwrap();
    assert_eq!(after.lines().skip(1).filter(|it| !it.contains("hutdown")).count(), 0, "{log}");
}

//! How the environment configures the process, and what a mistake leads to.

use std::time::{Duration, Instant};

use test_support::app::{App, KEY, run_to_end, send};
use test_support::{RedisServer, free_port};

#[test]
fn port_beats_everything() {
    let app = App::start(&[("ROCKET_PORT", "1"), ("ROCKET_PROFILE", "release")]);
    assert_eq!(app.visitor().get("/health/live").status, 200);
}

#[test]
fn rocket_variables_work_as_rocket_users_expect() {
    let port = free_port().to_string();
    let env = [("ROCKET_PORT", port.as_str()), ("ROCKET_SESSION", "{idle_timeout=0}")];
    let (succeeded, log) = run_to_end(&env);
    assert!(!succeeded && log.contains("idle_timeout") && log.contains("ROCKET_"), "{log}");
}

#[test]
fn release_without_redis_and_key_runs_and_warns() {
    let app = App::start(&[("ROCKET_PROFILE", "release")]);
    let mut visitor = app.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
    app.signal("TERM");
    let (succeeded, log) = app.finish();
    assert!(succeeded, "{log}");
    assert!(log.contains("WARN sessions live in this process's memory"), "{log}");
    assert!(log.contains("WARN no `secret_key` is set"), "{log}");
}

#[test]
fn empty_redis_url_is_none() {
    let app = App::start(&[("REDIS_URL", "")]);
    assert_eq!(app.visitor().get("/foo").views(), 1);
}

#[test]
fn mistakes_end_the_launch_and_name_the_key_the_place_and_the_remedy() {
    let session = |text| [("ROCKET_SESSION", text), ("ROCKET_SECRET_KEY", KEY)];
    for (env, expected) in [
        (session("{idel_timeout=60}"), ["idel_timeout", "ROCKET_", "idle_timeout"]),
        (session("{cookie_name=\"sid\"}"), ["cookie_name", "ROCKET_", "__Host-"]),
        (
            [("REDIS_URL", "http://u:hunter2@h"), ("ROCKET_SECRET_KEY", KEY)],
            ["url", "REDIS_URL", "rediss://"],
        ),
        (
            [("REDIS_URL", "redis://u:hunter2@x.upstash.io:6379"), ("ROCKET_SECRET_KEY", KEY)],
            ["url", "REDIS_URL", "rediss://"],
        ),
        (
            [("REDIS_URL", "redis://127.0.0.1:1"), ("ROCKET_PROFILE", "release")],
            ["ROCKET_SECRET_KEY", "secret_key", "openssl rand -base64 32"],
        ),
        ([("PORT", "http"), ("ROCKET_SECRET_KEY", KEY)], ["port", "PORT", "u16"]),
    ] {
        let (succeeded, log) = run_to_end(&env);
        assert!(!succeeded, "{log}");
        for text in expected {
            // Variables have capital letters.
            let is_named = log.to_lowercase().contains(&text.to_lowercase());
            assert!(is_named, "{text} is missing:\n{log}");
        }
        assert!(!log.contains("hunter2") && !log.contains(KEY), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn log_holds_no_cookie_and_no_password() {
    let app = App::start(&[
        ("REDIS_URL", "redis://default:hunter2@127.0.0.1:1"),
        ("ROCKET_SECRET_KEY", KEY),
    ]);
    let mut visitor = app.visitor();
    visitor.cookie = Some("__Host-session=opensesame".into());
    for path in ["/foo", "/session", "/nowhere"] {
        visitor.get(path);
    }
    app.signal("TERM");
    let (_, log) = app.finish();
    assert!(log.contains("ERROR Redis is unavailable"), "{log}");
    for secret in ["hunter2", "opensesame", KEY] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn term_ends_the_process_quickly_and_cleanly() {
    let app = App::start(&[]);
    send(app.port, "GET /foo HTTP/1.1\r\nHost: localhost\r\n");
    let start = Instant::now();
    app.signal("TERM");
    let (succeeded, log) = app.finish();
    assert!(succeeded && start.elapsed() < Duration::from_secs(2), "{log}");
}

#[test]
fn key_is_rotated_by_its_variables_and_nobody_is_logged_out() {
    const NEW: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
    let redis = RedisServer::start();
    let url = redis.url();
    let start = |key: &str, previous: &str| {
        let keys = [("ROCKET_SECRET_KEY", key), ("PREVIOUS_SECRET_KEYS", previous)];
        App::start(&[&keys[..], &[("REDIS_URL", &url)]].concat())
    };
    let before = start(KEY, "\n");
    let mut visitor = before.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
    let both = start(KEY, &format!("{NEW},\n"));
    let mut elsewhere = visitor.at(&both);
    assert_eq!(elsewhere.get("/foo").views(), 3);
    let swapped = start(NEW, &format!("{KEY}, {NEW}"));
    let mut later = elsewhere.at(&swapped);
    assert_eq!(later.get("/foo").views(), 4);
    assert_ne!(later.cookie, visitor.cookie, "sealed anew");
    let after = start(NEW, "");
    assert_eq!(later.at(&after).get("/foo").views(), 5);
    assert_eq!(visitor.at(&after).get("/foo").views(), 1, "a cookie of the key that is gone");
}

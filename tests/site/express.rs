//! Sessions of the Express demo, and the settings that import them.

use std::process::Command;

use redis::Commands;
use test_support::app::{App, KEY, Visitor, run_to_end};
use test_support::{RedisServer, target_dir};

/// A cookie that express-session has signed with "keyboard cat"; see `tests/express/fixtures.js`.
const COOKIE: &str = "connect.sid=s%3APZ2oUXaX3o7pHMcz2Yzhf8QK4sW3w0Pa.SQnvpUDs5QrRB7lmSWOR6RiMH%2B5khCbiS5alEeAPgC8";
const RECORD: &str = "sess:PZ2oUXaX3o7pHMcz2Yzhf8QK4sW3w0Pa";

/// An application that takes over from Express, and a visitor whom Express knows.
fn take_over(redis: &RedisServer, views: &str) -> (App, Visitor) {
    take_over_with(redis, views, "keyboard cat")
}

fn take_over_with(redis: &RedisServer, views: &str, secret: &str) -> (App, Visitor) {
    let record = format!(r#"{{"cookie":{{"path":"/"}},"views":{views}}}"#);
    redis.connect().set_ex::<_, _, ()>(RECORD, record, 600).unwrap();
    let url = redis.url();
    let secret = ("EXPRESS_SECRET", secret);
    let app = App::start(&[("REDIS_URL", &url), ("ROCKET_SECRET_KEY", KEY), secret]);
    let visitor = Visitor { cookie: Some(COOKIE.to_owned()), ..app.visitor() };
    (app, visitor)
}

#[test]
fn counts_of_each_path_go_on() {
    let redis = RedisServer::start();
    let (_app, mut visitor) = take_over(&redis, r#"{"/foo":3,"/":1,"/elsewhere":9}"#);
    assert_eq!(visitor.get("/foo").views(), 4);
    assert_eq!(visitor.get("/").views(), 2);
    assert_eq!(visitor.get("/bar").views(), 1);
    assert_eq!(redis.keys("sess:"), Vec::<String>::new());
}

#[test]
fn one_count_is_that_of_the_home_page() {
    let redis = RedisServer::start();
    let (_app, mut visitor) = take_over(&redis, "7");
    assert_eq!(visitor.get("/foo").views(), 1);
    assert_eq!(visitor.get("/").views(), 8);
}

#[test]
fn session_page_shows_what_express_has_counted() {
    let redis = RedisServer::start();
    let (_app, mut visitor) = take_over(&redis, "7");
    let shown = visitor.get("/session");
    assert!(shown.status == 200 && shown.body.contains("\"views\":7"), "{}", shown.body);
    assert_eq!(visitor.get("/").views(), 8);
}

#[test]
fn counts_that_are_no_numbers_begin_again_and_are_logged() {
    let redis = RedisServer::start();
    let (app, mut visitor) = take_over(&redis, r#"{"/foo":"many"}"#);
    assert_eq!(visitor.get("/foo").views(), 1);
    let log = app.log();
    assert!(log.contains("ERROR a session of Express cannot be imported"), "{log}");
}

#[test]
fn old_cookie_is_removed_with_the_scope_in_the_settings() {
    let redis = RedisServer::start();
    let url = redis.url();
    let express = r#"{secret="keyboard cat",cookie_domain="example.com",cookie_path="/shop"}"#;
    let env =
        [("REDIS_URL", url.as_str()), ("ROCKET_SECRET_KEY", KEY), ("ROCKET_EXPRESS", express)];
    let app = App::start(&env);
    let mut visitor = Visitor { cookie: Some(COOKIE.to_owned()), ..app.visitor() };
    let reply = visitor.get("/");
    let removal = reply.head.lines().find(|it| it.contains("connect.sid=;")).unwrap();
    assert!(removal.contains("Domain=example.com") && removal.contains("Path=/shop"), "{removal}");
}

#[test]
fn newline_after_the_secret_does_not_count() {
    let redis = RedisServer::start();
    let (_app, mut visitor) = take_over_with(&redis, "7", "keyboard cat\n");
    assert_eq!(visitor.get("/").views(), 8);
}

#[test]
fn wrong_secret_is_logged_with_what_to_do() {
    let redis = RedisServer::start();
    let (app, mut visitor) = take_over_with(&redis, "7", "keyboard dog");
    assert_eq!(visitor.get("/").views(), 1);
    let log = app.log();
    let expected =
        "WARN a cookie `connect.sid` of Express is signed with none of the import's secrets";
    assert!(log.contains(expected) && log.contains("check that the secrets are exactly"), "{log}");
    assert!(!log.contains("keyboard"), "{log}");
}

#[test]
fn secret_in_place_of_the_table_is_refused_and_not_shown() {
    let (succeeded, log) = run_to_end(&[("ROCKET_EXPRESS", "keyboard cat")]);
    assert!(!succeeded && log.contains("`express` must be a table"), "{log}");
    assert!(!log.contains("keyboard"), "{log}");
}

#[test]
fn check_reports_an_import_that_the_launch_refuses() {
    for (env, expected) in [
        (("EXPRESS_SECRET", "keyboard cat"), "`session.url` is not set"),
        (("ROCKET_EXPRESS", "{secret=\"cat\",cookie_name=\"a=b\"}"), "has a `cookie_name` that no"),
    ] {
        let mut command = Command::new(target_dir().join("cloud-run-sessions"));
        let output = command.arg("check").env_clear().envs([env]).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && shown.contains(expected), "{env:?}: {shown}");
    }
}

#[test]
fn missing_right_to_the_old_keys_is_told_by_the_check_and_by_the_launch() {
    let redis = RedisServer::start();
    let rights = ["SETUSER", "alice", "on", ">word", "~session:*", "+@all"];
    redis::cmd("ACL").arg(&rights).exec(&mut redis.connect()).unwrap();
    let url = format!("redis://alice:word@127.0.0.1:{}", redis.port);
    let env = [
        ("REDIS_URL", url.as_str()),
        ("ROCKET_SECRET_KEY", KEY),
        ("EXPRESS_SECRET", "keyboard cat"),
    ];
    let expected = "the user may not use keys that begin with `sess:`: give it `~sess:*`";
    let mut command = Command::new(target_dir().join("cloud-run-sessions"));
    let output = command.arg("check").env_clear().envs(env).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && shown.contains(expected), "{shown}");
    let app = App::start(&env);
    app.wait_for_check();
    let log = app.log();
    assert!(log.contains("WARN checked the store at launch: import failed: rights: "), "{log}");
    assert!(log.contains(expected) && !log.contains("word@"), "{log}");
}

#[test]
fn setting_that_cannot_work_stops_the_launch_and_is_named() {
    for (env, expected) in [
        (("ROCKET_EXPRESS", "{secret=\"\"}"), "`express.secret` is invalid"),
        (("ROCKET_EXPRESS", "{secrets=\"cat\"}"), "`express.secrets` is not a setting"),
        (("ROCKET_EXPRESS", "{prefix=\"sess:\"}"), "`express.secret` is invalid"),
        (("ROCKET_EXPRESS", "{secret=[]}"), "`express.secret` is invalid"),
        (
            ("ROCKET_EXPRESS", "{secret=\"cat\",cookie_domain=\"a b\"}"),
            "has a `cookie_domain` that",
        ),
        (
            ("ROCKET_EXPRESS", "{secret=\"cat\",cookie_path=\"shop\"}"),
            "has a `cookie_path` that no",
        ),
        (("EXPRESS_SECRET", "keyboard cat"), "`session.url` is not set"),
    ] {
        let (succeeded, log) = run_to_end(&[env]);
        assert!(!succeeded && log.contains(expected), "{env:?}: {log}");
    }
}

//! Sessions of the Express demo, and the settings that take them over.

use redis::Commands;
use test_support::RedisServer;
use test_support::app::{App, KEY, Visitor, run_to_end};

/// A cookie that express-session has signed with "keyboard cat"; see `tests/express/fixtures.js`.
const COOKIE: &str = "connect.sid=s%3APZ2oUXaX3o7pHMcz2Yzhf8QK4sW3w0Pa.SQnvpUDs5QrRB7lmSWOR6RiMH%2B5khCbiS5alEeAPgC8";
const RECORD: &str = "sess:PZ2oUXaX3o7pHMcz2Yzhf8QK4sW3w0Pa";

/// An application that takes over from Express, and a visitor whom Express knows.
fn take_over(redis: &RedisServer, views: &str) -> (App, Visitor) {
    let record = format!(r#"{{"cookie":{{"path":"/"}},"views":{views}}}"#);
    redis.connect().set_ex::<_, _, ()>(RECORD, record, 600).unwrap();
    let url = redis.url();
    let secret = ("EXPRESS_SECRET", "keyboard cat");
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
    assert!(!log.contains("many"), "{log}");
}

#[test]
fn setting_that_cannot_work_stops_the_launch_and_is_named() {
    for (env, expected) in [
        (("ROCKET_EXPRESS", "{secret=\"\"}"), "`express.secret` is invalid"),
        (("ROCKET_EXPRESS", "{secrets=\"cat\"}"), "`express.secrets` is not a setting"),
        (("ROCKET_EXPRESS", "{prefix=\"sess:\"}"), "`express.secret` is invalid"),
        (("ROCKET_EXPRESS", "{secret=[]}"), "`express.secret` is invalid"),
        (("EXPRESS_SECRET", "keyboard cat"), "`session.url` is not set"),
    ] {
        let (succeeded, log) = run_to_end(&[env]);
        assert!(!succeeded && log.contains(expected), "{env:?}: {log}");
    }
}

//! The count continues, no matter which instance answers.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread::scope;

use redis::Commands;

use test_support::app::App;
use test_support::{RedisServer, wait_for};

#[test]
fn count_goes_on_over_a_restart_and_over_two_instances() {
    let redis = RedisServer::start();
    let first = App::on_redis(&redis.url());
    let mut visitor = first.visitor();
    for expected in 1..=3 {
        assert_eq!(visitor.get("/foo").views(), expected);
    }
    drop(first);
    let (a, b) = (App::on_redis(&redis.url()), App::on_redis(&redis.url()));
    assert_eq!(visitor.at(&a).get("/foo").views(), 4);
    assert_eq!(visitor.at(&b).get("/foo").views(), 5);
    let keys = redis.keys("");
    assert_eq!(keys.len(), 1, "{keys:?}");
    let held: std::collections::BTreeMap<String, String> =
        redis.connect().hgetall(&keys[0]).unwrap();
    assert_eq!(held["views:/foo"], "5");
}

#[test]
fn two_thousand_parallel_views_over_two_instances_lose_none() {
    const VIEWS: u64 = 2_000;
    let redis = RedisServer::start();
    let apps = [App::on_redis(&redis.url()), App::on_redis(&redis.url())];
    let mut visitor = apps[0].visitor();
    visitor.get("/foo");
    let seen = Mutex::new(BTreeSet::new());
    scope(|threads| {
        for number in 0..100 {
            let mut visitor = visitor.at(&apps[number % 2]);
            let seen = &seen;
            threads.spawn(move || {
                for _ in 0..VIEWS / 100 {
                    let views = visitor.get("/foo").views();
                    assert!(seen.lock().unwrap().insert(views), "{views} was seen twice");
                }
            });
        }
    });
    let expected: BTreeSet<u64> = (2..=VIEWS + 1).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn every_page_counts_exactly_in_parallel_over_two_instances() {
    const PAGES: [&str; 3] = ["/", "/foo", "/bar"];
    let redis = RedisServer::start();
    let apps = [App::on_redis(&redis.url()), App::on_redis(&redis.url())];
    let mut visitor = apps[0].visitor();
    visitor.get("/");
    scope(|threads| {
        for number in 0..24 {
            let mut visitor = visitor.at(&apps[number % 2]);
            threads.spawn(move || {
                for turn in 0..30 {
                    visitor.get(PAGES[(number + turn) % 3]).views();
                }
            });
        }
    });
    let page: serde_json::Value = serde_json::from_str(&visitor.get("/").body).unwrap();
    assert_eq!(page["pages"], serde_json::json!({ "/": 242, "/foo": 240, "/bar": 240 }));
}

#[test]
fn a_view_is_two_commands_and_nothing_else() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    visitor.get("/foo");
    // The second view touches the session in the background.
    let key = redis.keys("session:").remove(0);
    wait_for("the touch", || redis.connect().hexists(&key, "@seen").unwrap());
    redis.reset_commands();
    for _ in 0..10 {
        visitor.get("/foo");
    }
    let commands = redis.commands();
    let expected = [("hgetall".to_owned(), 10), ("hincrby".to_owned(), 10)];
    assert_eq!(commands, expected.into());
}

#[test]
fn forged_cookies_and_unknown_pages_leave_nothing_in_redis() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    let good = visitor.cookie.clone().unwrap();
    redis.reset_commands();
    for number in 0..200 {
        visitor.cookie = Some(format!("session=forged{number}"));
        assert_eq!(visitor.get("/nowhere").status, 404);
        visitor.cookie = Some(good.replacen(['a', 'b', 'c'], "_", 1));
        assert_eq!(visitor.get("/session").status, 200);
    }
    assert_eq!(redis.commands(), [].into());
    assert_eq!(redis.keys("").len(), 1);
}

//! What operators rely on: settings that are refused, checks and costs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::Commands;
use rocket::figment::Figment;
use rocket_server_sessions::express::Import;
use rocket_server_sessions::store::Memory;
use rocket_server_sessions::testing::Call;
use rocket_server_sessions::{Report, Session, Verdict};
use test_support::{RedisServer, free_port};

use super::{Migration, RECORD, SECRET, carry_over, signed};
use crate::cost::documented_imports;
use crate::proxy::{self, Action};
use crate::world::{CLUSTER, DEADLINE, OnEachStore, World, figment, open_store};

#[rocket::async_test]
async fn forged_or_missing_cookie_costs_no_round_trip() {
    let chunks = Arc::<AtomicUsize>::default();
    let counted = chunks.clone();
    let url = proxy::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Action::Forward
    });
    let old = Migration::through(&url).await;
    for cookie in [None, Some(signed("id", "guessed")), Some("s%3Aid.AAAA".to_owned())] {
        let mut visitor = old.visitor("id", RECORD);
        visitor.old = cookie;
        for path in ["/text/a", "/user", "/destroy", "/fields"] {
            visitor.body(path).await;
        }
    }
    assert_eq!(chunks.load(Ordering::SeqCst), 0);
}

#[rocket::async_test]
async fn import_that_cannot_work_fails_the_launch_and_says_why() {
    let errors = |figment: Figment, import: Import| {
        let opened = Session::fairing().import(import).open(&figment);
        let errors = opened.err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect::<String>()
    };
    let import = |secret| Import::new(secret, carry_over);
    let with_url = || figment().merge(("session.url", "redis://127.0.0.1:1"));
    assert!(errors(figment(), import(SECRET)).starts_with("`session.url` is not set"));
    assert!(errors(with_url(), import("")).contains("empty secret"));
    assert_eq!(errors(with_url(), import(SECRET)), "");
}

const DOCUMENTED: &str = include_str!("../../../../../docs/operations.md");

/// A Redis with a user who has these rights, and a URL to it.
fn redis_with_rights(rights: &[&str]) -> (RedisServer, String) {
    let redis = RedisServer::start();
    give_rights(&redis, rights);
    let url = format!("redis://alice:hunter2@127.0.0.1:{}", redis.port);
    (redis, url)
}

fn give_rights(redis: &RedisServer, rights: &[&str]) {
    let mut command = redis::cmd("ACL");
    command.arg(&["SETUSER", "alice", "reset", "on", ">hunter2"]).arg(rights);
    command.exec(&mut redis.connect()).unwrap();
}

fn check(url: &str, import: Import) -> Report {
    Session::fairing().import(import).check(&figment().merge(("session.url", url)))
}

/// What the check finds about the import.
fn of_import(report: &Report) -> (Verdict, &str) {
    let found = report.findings().iter().find(|it| it.what == "import");
    found.map_or_else(|| panic!("{report}"), |it| (it.verdict, it.text.as_str()))
}

#[test]
fn check_names_the_rights_to_old_keys_that_are_missing() {
    let import = || Import::new(SECRET, carry_over);
    let all = ["~session:*", "~sess:*", "+@all"];
    let (redis, url) = redis_with_rights(&all);
    let right = check(&url, import());
    assert!(right.is_ok(), "{right}");
    assert_eq!(of_import(&right), (Verdict::Ok, "old sessions, `sess:*`, can be read and removed"));

    for (rights, import, remedy) in [
        (&["~session:*", "+@all"][..], import(), "give it `~sess:*`"),
        (&["~session:*", "%R~sess:*", "+@all"], import(), "give it `~sess:*`"),
        (&all, import().prefix("shop:"), "give it `~shop:*`"),
    ] {
        give_rights(&redis, rights);
        let report = check(&url, import);
        let (verdict, text) = of_import(&report);
        assert!(!report.is_ok() && verdict == Verdict::Failed, "{report}");
        assert!(text.starts_with("rights: the user may not use keys") && text.contains(remedy));
        assert!(!report.to_string().contains("hunter2"), "{report}");
    }
    assert!(redis.keys("").is_empty(), "nothing is carried out");
}

#[test]
fn check_tries_a_redis_that_only_the_import_uses() {
    let (redis, url) = redis_with_rights(&["~claims:*", "~sess:*", "+@all"]);
    let import =
        |url: &str| Import::new(SECRET, carry_over).redis(open_store("claims:", url, DEADLINE));
    // Sessions in memory.
    let check = |url| Session::fairing().import(import(url)).check(&figment());
    assert!(check(&url).is_ok(), "{}", check(&url));
    for (rights, expected) in [
        (&["~sess:*", "+@all"][..], "give it `~claims:*`"),
        (&["~*", "+@all", "-eval", "-get"], "may not run GET, EVAL: give it `+get +eval`"),
        (&["~*", "+@all", "-multi"], "`+multi +exec +get +del +set +eval`"),
    ] {
        give_rights(&redis, rights);
        let report = check(&url);
        let (verdict, text) = of_import(&report);
        assert!(verdict == Verdict::Failed && text.contains(expected), "{report}");
    }
    let report = check(&format!("redis://127.0.0.1:{}", free_port()));
    let (verdict, text) = of_import(&report);
    assert!(verdict == Verdict::Failed && text.starts_with("connection: "), "{report}");
    let own = Session::fairing().store(Memory::new(10)).import(import(&redis.url()));
    let report = own.check(&figment().merge(("session.url", "redis://127.0.0.1:1")));
    assert!(report.is_ok() && report.to_string().contains("own, memory, is not checked"));
}

#[test]
fn check_finds_old_keys_in_a_cluster() {
    // Each check uses a random key, whose server is another one in two of three cases.
    for _ in 0..8 {
        let report = check(&CLUSTER.url(), Import::new(SECRET, carry_over));
        assert_eq!(of_import(&report).0, Verdict::Ok, "{report}");
    }
}

#[test]
fn check_tells_what_the_launch_refuses() {
    let report = check("redis://127.0.0.1:1", Import::new(SECRET, carry_over).cookie_domain("a b"));
    assert!(report.to_string().contains("has a `cookie_domain` that is no host name"), "{report}");
    let report = Session::fairing().import(Import::new(SECRET, carry_over)).check(&figment());
    assert!(report.to_string().contains("`session.url` is not set"), "{report}");
}

#[rocket::async_test]
async fn documented_rights_and_those_to_old_keys_are_enough() {
    let line = DOCUMENTED.lines().map(str::trim).find(|it| it.starts_with("ACL SETUSER")).unwrap();
    let rights: Vec<_> = line.split(' ').filter(|it| it.starts_with('+')).collect();
    let (redis, url) = redis_with_rights(&[&["~t*", "~sess-*"], &rights[..]].concat());
    let world = World::on_url(&url, &redis, DEADLINE).await;
    let open = |prefix: &str| open_store(prefix, &url, DEADLINE);
    let old = Migration::new(world, redis.client(), open).await;
    let mut visitor = old.visitor("id", r#"{"user":"alice","views":3}"#);
    assert_eq!(visitor.body("/count/a").await, "4");
    assert_eq!(visitor.without_our_cookie().body("/count/a").await, "5");
    assert_eq!(visitor.body("/log-out-everywhere/alice").await, "1");
    assert_eq!(old.record("id"), None);
}

#[rocket::async_test]
async fn log_out_everywhere_costs_one_round_trip_more_beside_an_import() {
    let old = Migration::in_memory().await;
    let mut visitor = old.world.visitor();
    for (path, calls) in [
        ("/log-out-others/alice", &[Call::Index, Call::IndexAdd, Call::Destroy][..]),
        ("/log-out-everywhere/alice", &[Call::Index, Call::IndexAdd, Call::Destroy]),
        ("/log-out/alice/x", &[Call::Index, Call::Status(1), Call::Index, Call::Destroy]),
    ] {
        old.world.visitor().body("/log-in/alice/x").await;
        if path.contains("others") {
            visitor.body("/log-in/bob/y").await;
        }
        old.world.settled().await;
        old.world.store.take_calls();
        visitor.body(path).await;
        let made = old.world.store.take_calls();
        assert!(made.starts_with(calls), "{path}: {made:?}");
    }
}

#[rocket::async_test]
async fn import_costs_what_the_documentation_says() {
    let server = RedisServer::start();
    let mut measured = BTreeMap::new();
    for (row, operation) in [
        ("of a session that is imported", 1),
        ("of one with a user who is logged in", 1),
        ("of one that was imported before", 1),
        ("of one that was imported before, with a user", 1),
        ("without a record", 0),
    ] {
        let trips = Arc::<AtomicUsize>::default();
        let counted = trips.clone();
        let url = proxy::before(server.port, move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Action::Forward
        });
        let world = World::on_url(&url, &server, DEADLINE).await;
        let open = |prefix: &str| open_store(prefix, &url, DEADLINE);
        let old = Migration::new(world, server.client(), open).await;
        old.visitor("warm", r#"{"user":"warm"}"#).get("/peek/a").await;
        let record = if row.contains("user") { r#"{"user":"alice","views":3}"# } else { RECORD };
        let mut visitor = old.visitor("id", record);
        if row.contains("before") {
            visitor.clone().get("/peek/a").await;
        } else if row.contains("without") {
            let key = old.key("id");
            server.connect().del::<_, ()>(&key).unwrap();
        }
        old.world.settled().await;
        old.world.store.take_calls();
        server.reset_commands();
        trips.store(0, Ordering::SeqCst);
        visitor.body("/peek/a").await;
        old.world.settled().await;
        let (mut commands, mut trips) =
            (server.commands(), trips.load(Ordering::SeqCst) - operation);
        let calls = old.world.store.take_calls();
        let touches = calls.iter().filter(|it| matches!(it, Call::Touch(_))).count();
        trips -= touches;
        let mut aside = ["hmget"].repeat(operation);
        aside.extend(["eval", "hmget", "hset", "expire"].repeat(touches));
        for command in aside {
            *commands.get_mut(command).unwrap() -= 1;
        }
        commands.retain(|name, count| *count > 0 && name != "ping");
        measured.insert(row, (trips, commands));
    }
    let documented = documented_imports().into_iter().map(|(row, (trips, commands))| {
        let mut counts = BTreeMap::new();
        for command in commands.into_iter().flatten() {
            *counts.entry(command).or_insert(0) += 1;
        }
        (row, (trips, counts))
    });
    assert_eq!(measured, documented.collect());
}

#[cfg(feature = "sqlite")]
#[test]
fn import_with_a_sqlite_file_asks_for_the_redis_of_express() {
    let database = crate::world::database::Database::new();
    let figment = figment().merge(("session.url", database.url()));
    let opened = Session::fairing().import(Import::new(SECRET, carry_over)).open(&figment);
    let text = opened.expect_err("there is no Redis")[0].to_string();
    assert!(text.contains("names a SQLite file") && text.contains("`Import::redis`"), "{text}");
}

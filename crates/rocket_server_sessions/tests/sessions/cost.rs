//! What each operation costs, as `docs/cost.md` says: round trips counted by a spy, commands by
//! Redis itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rocket::http::Status;
use rocket::tokio::time::sleep;

use crate::world::{Visitor, World, on_every_store};
use test_support::RedisServer;

const DOCUMENTED: &str = include_str!("../../docs/cost.md");

/// What is done for each row. The last step is the one that is measured; `a` and `b` are visitors,
/// `old` is `a` as it was at `keep`, and `{b}` is the id of b's session.
const ROWS: &[(&str, &[&str])] = &[
    ("any look, or `end`, without a session", &["a /end"]),
    ("any look by a cookie that was not sealed by us", &["forge", "a /fields"]),
    ("a first write, of any kind", &["a /view/a"]),
    ("`get`", &["a /view/a", "a /view/a", "a /peek/a"]),
    ("`snapshot`", &["a /view/a", "a /view/a", "a /fields"]),
    ("`increment`", &["a /view/a", "a /view/a", "a /count/a"]),
    ("`insert`", &["a /view/a", "a /view/a", "a /set/a/x"]),
    ("`remove`", &["a /view/a", "a /view/a", "a /remove/a"]),
    ("`take`", &["a /view/a", "a /view/a", "a /take/a"]),
    ("a view: a batch with one increment", &["a /view/a", "a /view/a", "a /view/b"]),
    ("a batch that takes and increments", &["a /view/a", "a /view/a", "a /shown-once/a"]),
    ("a view, when a touch is due", &["a /view/a", "a /view/a", "advance", "a /view/a"]),
    ("`regenerate`", &["a /view/a", "a /view/a", "a /regenerate"]),
    ("`end`", &["a /view/a", "a /view/a", "a /end"]),
    ("`user`, where nobody has signed in", &["a /view/a", "a /view/a", "a /signed-in"]),
    ("`user`, where somebody has", &["a /log-in/alice/x", "a /signed-in"]),
    ("`bind`, without a session", &["a /log-in/alice/x"]),
    ("`bind`, with one", &["a /view/a", "a /view/a", "a /log-in/alice/x"]),
    ("`bind`, with one of the same user", &["a /log-in/alice/x", "a /log-in/alice/x"]),
    ("`regenerate` of a user's session", &["a /log-in/alice/x", "a /regenerate"]),
    ("`end` of a user's session", &["a /log-in/alice/x", "a /end"]),
    (
        "`UserSessions::logins`, of two sessions",
        &["a /log-in/alice/x", "b /log-in/alice/y", "a /logins/alice"],
    ),
    ("`UserSessions::end`", &["a /log-in/alice/x", "b /log-in/alice/y", "a /log-out-id/alice/{b}"]),
    (
        "`UserSessions::destroy_others`, of one other",
        &["a /log-in/alice/x", "b /log-in/alice/y", "a /log-out-others/alice"],
    ),
    ("`UserSessions::destroy_all`, of one", &["a /log-in/alice/x", "b /log-out-everywhere/alice"]),
    (
        "a view by the cookie from before a rotation",
        &["a /view/a", "a /view/a", "keep", "a /regenerate", "old /view/a"],
    ),
    (
        "a view after the session was ended elsewhere",
        &["a /view/a", "a /view/a", "keep", "a /end", "old /view/a"],
    ),
    ("a view of a record that has vanished", &["a /view/a", "a /view/a", "flush", "a /view/a"]),
    (
        "an `insert` that makes the record too large",
        &["a /view/a", "a /view/a", "limit", "a /set/a/long"],
    ),
];

/// A row of the documentation: round trips, and the commands of each.
fn documented() -> BTreeMap<&'static str, (usize, Vec<Vec<String>>)> {
    let rows = DOCUMENTED.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.split('|').map(str::trim).collect();
        let trips = cells.get(1)?.parse().ok()?;
        let commands = cells[2].split(';').map(|trip| trip.trim().trim_matches('`'));
        let commands = commands
            .filter(|trip| !trip.is_empty())
            .map(|trip| trip.split(' ').map(str::to_lowercase).collect());
        Some((cells[0], (trips, commands.collect())))
    });
    rows.collect()
}

/// Takes the steps on an empty Redis; round trips and commands of the last.
async fn measure(server: &RedisServer, steps: &[&str]) -> (usize, BTreeMap<String, u64>) {
    let flush = || redis::cmd("FLUSHALL").exec(&mut server.connect()).unwrap();
    flush();
    let mut world = World::on(server).await;
    if steps.contains(&"limit") {
        world = world.reconfigured("session.max_field_size", 10).await;
        world = world.reconfigured("session.max_record_size", 18).await;
    }
    let [mut a, mut b, mut old]: [Visitor<'_>; 3] = std::array::from_fn(|_| world.visitor());
    for step in steps {
        let Some((who, path)) = step.split_once(' ') else {
            match *step {
                "advance" => world.advance(10_000),
                "flush" => flush(),
                "forge" => a.cookie = Some("forged".to_owned()),
                "keep" => old = a.clone(),
                "limit" => {}
                other => panic!("{other} is no step"),
            }
            continue;
        };
        let path = path.replace("{b}", &b.get("/idle").await.body);
        let visitor = match who {
            "a" => &mut a,
            "b" => &mut b,
            _ => &mut old,
        };
        // Within a millisecond of another, a touch lengthens nothing, and is asked for once more.
        sleep(Duration::from_millis(2)).await;
        world.store.take_calls();
        server.reset_commands();
        let status = visitor.get(&path).await.status;
        assert!([Status::Ok, Status::PayloadTooLarge].contains(&status), "{path}: {status}");
    }
    (world.store.round_trips(), server.commands())
}

on_every_store![
    async fn a_view_is_one_round_trip(world: World) {
        let mut visitor = world.visitor();
        for _ in 0..3 {
            world.store.take_calls();
            visitor.get("/view/a").await;
            assert_eq!(world.store.round_trips(), 1);
        }
    }
];

#[rocket::async_test]
async fn every_operation_costs_what_the_documentation_says() {
    let (server, documented) = (RedisServer::start(), documented());
    let names = |rows: &[(&'static str, &[&str])]| rows.iter().map(|row| row.0).collect();
    let (tested, told): (BTreeSet<_>, _) = (names(ROWS), documented.keys().copied().collect());
    assert_eq!(tested, told, "every row is carried out, and there is no other");
    for (name, steps) in ROWS {
        let (trips, commands) = &documented[name];
        assert_eq!(*trips, commands.len(), "{name}: a group for each round trip");
        let mut expected = BTreeMap::new();
        for command in commands.iter().flatten() {
            *expected.entry(command.clone()).or_insert(0) += 1;
        }
        let (round_trips, mut sent) = measure(&server, steps).await;
        // A new connection's greeting is not a request's, and may come at any time.
        sent.remove("ping");
        assert_eq!((round_trips, sent), (*trips, expected), "{name}");
    }
}

#[rocket::async_test]
async fn answered_writes_are_not_asked_about_afterwards() {
    let server = RedisServer::start();
    let world = World::on(&server).await;
    let mut visitor = world.visitor();
    for path in ["/count/a", "/view/a", "/set/a/x", "/take/a", "/count/a"] {
        visitor.get(path).await;
    }
    // By then, a write that nobody has answered would be looked after.
    sleep(Duration::from_millis(2100)).await;
    server.reset_commands();
    for expected in 4..10 {
        assert_eq!(visitor.body("/count/a").await, expected.to_string());
    }
    assert_eq!(server.commands().get("expire"), None);
}

//! What each operation costs, as `docs/cost.md` says: round trips counted on the wire, commands by
//! Redis itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rocket::tokio::time::sleep;
use rocket_server_sessions::testing::Call;

use crate::proxy::{self, Action, find};
use crate::world::{DEADLINE, Visitor, World, on_every_store};
use test_support::RedisServer;

const DOCUMENTED: &str = include_str!("../../docs/cost.md");

/// The steps for each row, of which the last one is measured. `a` and `b` are visitors, `old` is
/// `a` as it was at `keep`, and `{b}` is the id of b's session.
const ROWS: &[(&str, &[&str])] = &[
    ("any read, or `destroy`, without a session", &["a /destroy"]),
    ("any read with a cookie that is not valid", &["forge", "a /fields"]),
    ("the first write, of any kind", &["a /view/a"]),
    ("`get`, `get_or_default`, `contains_key`", &["a /view/a", "a /view/a", "a /peek/a"]),
    ("`snapshot`", &["a /view/a", "a /view/a", "a /fields"]),
    ("`increment`", &["a /view/a", "a /view/a", "a /count/a"]),
    ("`increment` of a type other than `i64`", &["a /view/a", "a /view/a", "a /add-to-small/1"]),
    ("a view: a batch with one increment", &["a /view/a", "a /view/a", "a /view/b"]),
    ("`remove`", &["a /view/a", "a /view/a", "a /remove/a"]),
    ("`insert`", &["a /view/a", "a /view/a", "a /set/a/x"]),
    ("`update`", &["a /append/a/x", "a /view/a", "a /append/a/y"]),
    ("`remove_items`, of two items", &["a /set/a/x", "a /set/b/x", "a /remove-items"]),
    ("`clear`", &["a /view/a", "a /view/a", "a /clear"]),
    ("`take`", &["a /view/a", "a /view/a", "a /take/a"]),
    ("a batch that takes and increments", &["a /view/a", "a /view/a", "a /shown-once/a"]),
    ("`remember_me` with a duration", &["a /view/a", "a /view/a", "a /remember-for/14"]),
    ("`regenerate`", &["a /view/a", "a /view/a", "a /regenerate"]),
    ("`destroy`", &["a /view/a", "a /view/a", "a /destroy"]),
    ("`user`, without a log-in", &["a /view/a", "a /view/a", "a /user-only"]),
    ("`user`, after a log-in", &["a /log-in/alice/x", "a /user-only"]),
    ("`User`, without a log-in", &["a /view/a", "a /view/a", "a /account"]),
    (
        "`User`, in any number of guards, and `logged_in_within`",
        &["a /log-in/alice/x", "a /thrice"],
    ),
    (
        "`log_in` with data, with a session",
        &["a /view/a", "a /view/a", "a /log-in-only-as/alice/x"],
    ),
    ("`log_in`, without a session", &["a /log-in/alice/x"]),
    ("`log_in`, with one", &["a /view/a", "a /view/a", "a /log-in/alice/x"]),
    ("`regenerate`, after a log-in", &["a /log-in/alice/x", "a /regenerate"]),
    ("`destroy`, after a log-in", &["a /log-in/alice/x", "a /destroy"]),
    (
        "`UserSessions::list`, of two sessions",
        &["a /log-in/alice/x", "b /log-in/alice/y", "a /sessions/alice"],
    ),
    (
        "`UserSessions::destroy`",
        &["a /log-in/alice/x", "b /log-in/alice/y", "a /log-out-id/alice/{b}"],
    ),
    (
        "`UserSessions::destroy_others`, of one other",
        &["a /log-in/alice/x", "b /log-in/alice/y", "a /log-out-others/alice"],
    ),
    ("`UserSessions::destroy_all`, of one", &["a /log-in/alice/x", "b /log-out-everywhere/alice"]),
    (
        "a view with a token that was rotated or destroyed in the last 30 seconds: 409",
        &["a /view/a", "a /view/a", "keep", "a /regenerate", "old /view/a"],
    ),
    ("a view of a record that has vanished", &["a /view/a", "a /view/a", "flush", "a /view/a"]),
    (
        "an `increment` whose sum does not fit into its type",
        &["a /set-small/255", "a /small", "a /add-to-small/1"],
    ),
    (
        "an `insert` that would make the record too large",
        &["a /view/a", "a /view/a", "limit", "a /set/a/long"],
    ),
    (
        "a view that would make the record too large",
        &["a /view/a", "a /view/a", "limit", "a /view/longer"],
    ),
];

/// The section about imports. A suite of its own executes its rows.
const IMPORTS: &str = "## Imports from Express";

/// Rows of the documentation: round trips, and the commands of each.
type Rows = BTreeMap<&'static str, (usize, Vec<Vec<String>>)>;

fn documented() -> Rows {
    let (before, rest) = DOCUMENTED.split_once(IMPORTS).unwrap();
    let (_, after) = rest.split_once("\n## ").unwrap();
    [before, after].into_iter().flat_map(rows).collect()
}

#[cfg(feature = "express")]
pub fn documented_imports() -> Rows {
    let (_, rest) = DOCUMENTED.split_once(IMPORTS).unwrap();
    rows(rest.split("\n## ").next().unwrap())
}

fn rows(section: &'static str) -> Rows {
    let rows = section.lines().filter_map(|line| {
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

/// Takes the steps on an empty Redis. Returns the round trips that the last step waits for, and its
/// commands.
async fn measure(server: &RedisServer, steps: &[&str]) -> (usize, BTreeMap<String, u64>) {
    let flush = || redis::cmd("FLUSHALL").exec(&mut server.connect()).unwrap();
    flush();
    let trips = Arc::new(AtomicUsize::new(0));
    let counted = trips.clone();
    let url = proxy::before(server.port, move |bytes| {
        // Commands without a key are a connection's greeting.
        counted.fetch_add(usize::from(find(bytes, ":{").is_some()), Ordering::SeqCst);
        Action::Forward
    });
    let mut world = World::on_url(&url, server, DEADLINE).await;
    if steps.contains(&"limit") {
        world = world.reconfigured("session.max_field_size", 10).await;
        world = world.reconfigured("session.max_record_size", 18).await;
    }
    let [mut a, mut b, mut old]: [Visitor<'_>; 3] = std::array::from_fn(|_| world.visitor());
    for step in steps {
        let Some((who, path)) = step.split_once(' ') else {
            match *step {
                "flush" => flush(),
                "forge" => a.cookie = Some("forged".to_owned()),
                "keep" => old = a.clone(),
                "limit" => {}
                other => panic!("unknown step {other}"),
            }
            continue;
        };
        let path = path.replace("{b}", &b.get("/id").await.body);
        let visitor = match who {
            "a" => &mut a,
            "b" => &mut b,
            _ => &mut old,
        };
        world.settled().await;
        world.store.take_calls();
        server.reset_commands();
        trips.store(0, Ordering::SeqCst);
        let status = visitor.get(&path).await.status;
        assert!([200, 409, 413].contains(&status.code), "{path}: {status}");
    }
    world.settled().await;
    let mut commands = server.commands();
    let mut trips = trips.load(Ordering::SeqCst);
    for call in world.store.take_calls() {
        // Work that no request waits for is documented separately.
        let aside: &[&str] = match call {
            Call::Touch(_) => &["eval", "hmget", "hset", "expire"],
            Call::IndexRemove(_) => &["hdel"],
            _ => continue,
        };
        trips -= 1;
        for command in aside {
            *commands.get_mut(*command).unwrap() -= 1;
        }
    }
    commands.retain(|_, count| *count > 0);
    (trips, commands)
}

on_every_store![
    async fn a_view_is_one_round_trip(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/view/a").await;
        visitor.get("/view/a").await;
        world.settled().await;
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
    assert_eq!(tested, told, "every row of the documentation is tested");
    let mut wrong = Vec::new();
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
        if (round_trips, &sent) != (*trips, &expected) {
            wrong.push(format!("{name}: {round_trips} round trips, {sent:?}"));
        }
    }
    assert!(wrong.is_empty(), "docs/cost.md is wrong:\n{}", wrong.join("\n"));
}

#[rocket::async_test]
async fn answered_writes_are_not_checked_afterwards() {
    let server = RedisServer::start();
    let world = World::on(&server).await;
    let mut visitor = world.visitor();
    for path in ["/count/a", "/view/a", "/set/a/x", "/take/a", "/count/a"] {
        visitor.get(path).await;
    }
    // By then, the store would check the key of a write without an answer.
    sleep(Duration::from_millis(2100)).await;
    server.reset_commands();
    for expected in 4..10 {
        assert_eq!(visitor.body("/count/a").await, expected.to_string());
    }
    assert_eq!(server.commands().get("expire"), None);
}

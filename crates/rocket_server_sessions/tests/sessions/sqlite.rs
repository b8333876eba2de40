//! What the SQLite store does with its file: it keeps it, shares it, bounds it, and says what is wrong
//! with it.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::tokio::time::sleep;
use rocket_server_sessions::store::{
    IndexEntry, Op, PublicId, RecordId, Selection, Sqlite, Store, StoreErrorKind, TokenHash,
    Update, UpdateResult, Values,
};
use rocket_server_sessions::testing::ManualClock;
use rocket_server_sessions::{Config, Session, Verdict, check};
use rusqlite::Connection;

use crate::world::database::Database;
use crate::world::{figment, routes};

const HOUR: Duration = Duration::from_hours(1);

/// A record of a session of its own.
fn record(number: usize) -> RecordId {
    let id = PublicId::parse("01a20d6d-5a00-71c7-a340-8ca596f18ea6").unwrap();
    RecordId { id, token_hash: TokenHash::parse(&format!("{number:A>21}A")).unwrap() }
}

fn increment() -> Update {
    let field = "views".to_owned();
    let op = Op::Increment { field, by: 1, range: i64::MIN..=i64::MAX };
    Update::new(vec![op], Selection::All)
}

async fn create(store: &Sqlite, number: usize) {
    assert!(store.create(record(number), &Values::new(), HOUR).await.unwrap());
}

/// The count after one more.
async fn count(store: &Sqlite, number: usize) -> Option<String> {
    match store.update(record(number), &increment()).await.unwrap() {
        UpdateResult::Applied(mut applied) => applied.fields.remove("views"),
        UpdateResult::Gone => None,
        other => panic!("{other:?}"),
    }
}

fn refusal(path: &Path) -> String {
    Sqlite::open(path).err().expect("the file cannot be used").to_string()
}

#[rocket::async_test]
async fn records_outlive_the_store() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    create(&store, 1).await;
    assert_eq!(count(&store, 1).await.unwrap(), "1");
    drop(store);
    let store = Sqlite::open(database.path()).unwrap();
    assert_eq!(count(&store, 1).await.unwrap(), "2");
}

#[rocket::async_test]
async fn two_stores_on_one_file_count_exactly() {
    let database = Database::new();
    let stores = [(); 2].map(|()| Arc::new(Sqlite::open(database.path()).unwrap()));
    create(&stores[0], 1).await;
    let calls = (0..400).map(|number| {
        let store = stores[number % 2].clone();
        rocket::tokio::spawn(async move { count(&store, 1).await.unwrap() })
    });
    let mut counts = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        counts.push(call.await.unwrap().parse::<usize>().unwrap());
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=400).collect::<Vec<_>>());
}

#[rocket::async_test]
async fn file_does_not_grow_by_what_has_expired() {
    let (database, clock) = (Database::new(), ManualClock::now());
    let store = Sqlite::with_clock(database.path(), clock.clone()).unwrap();
    let rows = || -> i64 {
        let file = Connection::open(database.path()).unwrap();
        file.query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap()
    };
    for number in 0..100 {
        create(&store, number).await;
    }
    assert_eq!(rows(), 100);
    clock.advance(HOUR);
    for number in 100..200 {
        create(&store, number).await;
    }
    create(&store, 200).await;
    assert_eq!(rows(), 101, "only what is alive");
}

#[rocket::async_test]
async fn call_that_nobody_waits_for_any_more_happens_once_or_not_at_all() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    create(&store, 1).await;
    let (update, mut context) = (increment(), Context::from_waker(Waker::noop()));
    for _ in 0..200 {
        let mut call = pin!(store.update(record(1), &update));
        assert!(matches!(call.as_mut().poll(&mut context), Poll::Pending | Poll::Ready(Ok(_))));
    }
    let counted: usize = count(&store, 1).await.unwrap().parse().unwrap();
    assert!((1..=201).contains(&counted), "{counted}");
    assert_eq!(count(&store, 1).await.unwrap(), (counted + 1).to_string());
}

#[rocket::async_test]
async fn file_that_another_process_has_locked_is_refused_in_time_and_heals() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    create(&store, 1).await;
    let other = Connection::open(database.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let error = store.update(record(1), &increment()).await.unwrap_err();
    assert!(start.elapsed() < Config::default().deadline, "{:?}", start.elapsed());
    assert_eq!(error.kind, StoreErrorKind::Refused);
    let path = database.path().display().to_string();
    assert!(error.message.contains(&path) && error.message.contains("locked"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(count(&store, 1).await.unwrap(), "1");
}

#[rocket::async_test]
async fn lock_that_is_held_for_a_moment_is_waited_for() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    create(&store, 1).await;
    let other = Connection::open(database.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (counted, ()) = rocket::tokio::join!(count(&store, 1), async {
        sleep(Duration::from_millis(50)).await;
        other.execute_batch("COMMIT").unwrap();
    });
    assert_eq!(counted.unwrap(), "1");
}

#[rocket::async_test]
async fn reader_of_the_file_holds_nobody_up() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    create(&store, 1).await;
    let reader = Connection::open(database.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM entry").unwrap();
    assert_eq!(count(&store, 1).await.unwrap(), "1");
}

#[cfg(unix)]
#[rocket::async_test]
async fn what_is_written_after_the_file_was_deleted_is_in_the_new_file() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    create(&store, 1).await;
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{end}", database.path().display())).unwrap();
    }
    assert_eq!(count(&store, 1).await, None, "the session is gone");
    create(&store, 2).await;
    let other = Sqlite::open(database.path()).unwrap();
    assert_eq!(count(&other, 2).await.unwrap(), "1");
}

#[cfg(unix)]
#[rocket::async_test]
async fn only_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    create(&store, 1).await;
    for end in ["", "-wal", "-shm"] {
        let path = format!("{}{end}", database.path().display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[rocket::async_test]
async fn damaged_record_is_replaced_and_a_damaged_list_of_sessions_is_not_taken_for_empty() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    create(&store, 1).await;
    create(&store, 2).await;
    let entry = IndexEntry { record: record(1), written: SystemTime::now() };
    store.index_add("alice", entry, HOUR).await.unwrap();
    let file = Connection::open(database.path()).unwrap();
    let damage = "UPDATE entry SET content = '{' WHERE key != ?1";
    file.execute(damage, [format!("{}:{}", record(2).id, record(2).token_hash.encode())]).unwrap();
    assert_eq!(count(&store, 1).await, None);
    create(&store, 1).await;
    assert_eq!(count(&store, 1).await.unwrap(), "1");
    let error = store.index("alice").await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused);
    // A call beside it is not affected.
    let (failed, counted) = rocket::tokio::join!(store.index("alice"), count(&store, 2));
    assert!(failed.is_err() && counted.is_some());
}

#[test]
fn file_of_something_else_is_refused_and_left_alone() {
    let database = Database::new();
    let path = database.path();
    std::fs::write(&path, "Dear diary, ".repeat(100)).unwrap();
    assert!(refusal(&path).contains("it is not a SQLite database"), "{}", refusal(&path));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "Dear diary, ".repeat(100));
    std::fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE customer (name); PRAGMA user_version = 1").unwrap();
    assert!(refusal(&path).contains("the database of another application"), "{}", refusal(&path));
    let mode: String = other.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete", "not changed");
}

#[test]
fn file_of_an_unknown_release_is_refused_with_the_number_of_its_layout() {
    let database = Database::new();
    let path = database.path();
    drop(Sqlite::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 7").unwrap();
    assert!(refusal(&path).contains("has layout 7, and this release knows only layout 1"));
}

#[test]
fn file_that_cannot_be_created_is_refused_with_its_whole_path() {
    let database = Database::new();
    let path = database.path().join("nowhere/sessions.db");
    let text = refusal(&path);
    assert!(
        text.contains(&path.display().to_string()) && text.contains("folder must exist"),
        "{text}"
    );
    let folder = database.path().parent().unwrap().to_owned();
    assert!(refusal(&folder).contains("cannot be opened"), "{}", refusal(&folder));
}

#[rocket::async_test]
async fn application_on_a_file_keeps_its_sessions_and_tells_at_launch_what_is_wrong_with_it() {
    let database = Database::new();
    let figment = figment().merge(("session.url", database.url()));
    let launch = || {
        let rocket = rocket::custom(figment.clone()).attach(Session::fairing());
        Client::tracked(rocket.mount("/", routes()))
    };
    let client = launch().await.unwrap();
    assert_eq!(client.get("/store").dispatch().await.into_string().await.unwrap(), "SQLite");
    let response = client.get("/count/a").dispatch().await;
    let cookie = response.cookies().iter().next().unwrap().clone().into_owned();
    drop(response);
    drop(client);
    let client = launch().await.unwrap();
    let response = client.get("/count/a").cookie(cookie).dispatch().await;
    assert_eq!(response.into_string().await.unwrap(), "2");
    let wrong = figment.merge(("session.url", "sqlite:/nowhere/at/all.db"));
    let errors = Session::fairing().open(&wrong).err().unwrap();
    let text = errors[0].to_string();
    assert!(
        text.starts_with("`session.url` names a file that cannot be used: `/nowhere"),
        "{text}"
    );
}

#[test]
fn check_reports_the_file_and_creates_none() {
    let database = Database::new();
    let report = || check(&figment().merge(("session.url", database.url())));
    let before = report();
    assert!(before.is_ok() && before.to_string().contains("does not exist yet"), "{before}");
    assert!(!database.path().exists());
    drop(Sqlite::open(database.path()).unwrap());
    let found = report();
    let text = found.to_string();
    assert!(found.is_ok() && text.contains("SQLite 3.") && text.contains("sessions.db`"), "{text}");
    Connection::open(database.path()).unwrap().execute_batch("PRAGMA user_version = 7").unwrap();
    let wrong = report();
    assert!(!wrong.is_ok() && wrong.to_string().contains("has layout 7"), "{wrong}");
    let nowhere = check(&figment().merge(("session.url", "sqlite:/nowhere/sessions.db")));
    let last = nowhere.findings().last().unwrap();
    assert!(last.verdict == Verdict::Failed && last.text.contains("create it"), "{nowhere}");
}

#[rocket::async_test]
async fn release_on_a_file_needs_a_secret_key() {
    let database = Database::new();
    let release = Figment::from(rocket::Config::release_default())
        .select("release")
        .merge(("session.url", database.url()));
    let errors =
        |figment: &Figment| Session::fairing().open(figment).err().map(|it| it[0].to_string());
    let text = errors(&release).expect("there is no key");
    assert!(text.contains("`secret_key` is not set"), "{text}");
    assert_eq!(errors(&release.merge(("secret_key", crate::world::KEY))), None);
}

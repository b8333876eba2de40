//! What the SQLite store does with its file: it keeps it, shares it, limits its size, and reports
//! what is wrong with it.

use std::future::Future;
use std::panic::panic_any;
use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant, SystemTime};

use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::tokio::time::sleep;
use rocket_server_sessions::store::{
    IndexEntry, LoggedIn, Op, PublicId, RecordId, Selection, Sqlite, Store, StoreErrorKind,
    TokenHash, Update, UpdateResult, Values,
};
use rocket_server_sessions::testing::ManualClock;
use rocket_server_sessions::{Clock, Config, Session, Verdict, check};
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
    Sqlite::open(path).expect_err("the file cannot be used").to_string()
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
async fn expired_records_do_not_make_the_file_grow() {
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
    assert_eq!(rows(), 101, "only live records");
}

#[rocket::async_test]
async fn abandoned_call_is_made_once_if_it_has_begun_and_not_at_all_otherwise() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    create(&store, 1).await;
    let other = Connection::open(database.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (update, mut context) = (increment(), Context::from_waker(Waker::noop()));
    {
        let mut begun = pin!(store.update(record(1), &update));
        assert!(begun.as_mut().poll(&mut context).is_pending());
        // The thread takes it, and waits for the lock.
        sleep(Duration::from_millis(150)).await;
        for _ in 0..200 {
            let mut waiting = pin!(store.update(record(1), &update));
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
    }
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&store, 1).await.unwrap(), "2");
}

#[rocket::async_test]
async fn call_fails_in_time_while_another_process_holds_the_lock_and_succeeds_afterwards() {
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
async fn lock_that_is_held_briefly_is_waited_for() {
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
async fn reader_of_the_file_delays_no_call() {
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
async fn damaged_record_is_deleted_and_a_damaged_list_of_sessions_is_rebuilt() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    let file = Connection::open(database.path()).unwrap();
    let entry = |number| IndexEntry { record: record(number), written: SystemTime::now() };
    let login = |name| LoggedIn::new(name, "laptop", SystemTime::now()).fields().into();
    create(&store, 1).await;
    for (number, name) in [(2, "alice"), (3, "alice"), (4, "bob")] {
        store.index_add(name, entry(number), HOUR).await.unwrap();
        assert!(store.create(record(number), &login(name), HOUR).await.unwrap());
    }
    for damage in [
        "content = '{'",
        "content = CAST(x'7bff7d' AS TEXT)",
        "kind = CAST(x'ff' AS TEXT)",
        "kind = 'sessoin'",
    ] {
        let damage = |key: &str| {
            let sql = format!("UPDATE entry SET {damage} WHERE key = ?1");
            assert_eq!(file.execute(&sql, [key]).unwrap(), 1);
        };
        damage(&format!("{}:{}", record(1).id, record(1).token_hash.encode()));
        assert_eq!(count(&store, 1).await, None);
        create(&store, 1).await;
        assert_eq!(count(&store, 1).await.unwrap(), "1");
        damage("user:alice");
        let listed = |list: Vec<IndexEntry>| list.iter().map(|it| it.record).collect::<Vec<_>>();
        let all = [record(2), record(3)];
        // A session that cannot be read is in no list.
        damage(&format!("{}:{}", record(4).id, record(4).token_hash.encode()));
        assert_eq!(listed(store.index("alice").await.unwrap()), all, "no session is missing");
        damage("user:alice");
        assert_eq!(listed(store.index_add("alice", entry(3), HOUR).await.unwrap()), all);
        damage("user:alice");
        store.index_remove("alice", &[record(1)]).await.unwrap();
        assert_eq!(listed(store.index("alice").await.unwrap()), all);
    }
}

/// A clock that panics when told to.
#[derive(Clone, Default)]
struct PanickingClock(Arc<AtomicBool>);

impl Clock for PanickingClock {
    fn now(&self) -> SystemTime {
        if self.0.swap(false, Ordering::Relaxed) {
            panic_any("the clock has stopped");
        }
        SystemTime::now()
    }
}

#[rocket::async_test]
async fn panic_of_the_clock_ends_one_call_and_not_the_store() {
    let (database, clock) = (Database::new(), PanickingClock::default());
    let store = Sqlite::with_clock(database.path(), clock.clone()).unwrap();
    create(&store, 1).await;
    clock.0.store(true, Ordering::Relaxed);
    let error = store.update(record(1), &increment()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::OutcomeUnknown, "{error}");
    assert_eq!(count(&store, 1).await.unwrap(), "1");
}

/// Another process opens the file, asks it and closes it.
fn ask_in_another_process(path: &Path, sql: &str) -> String {
    let script = "import sqlite3, sys\n\
                  file = sqlite3.connect(sys.argv[1])\n\
                  print(file.execute(sys.argv[2]).fetchone()[0])\n\
                  file.close()";
    let output = Command::new("python3").args(["-c", script]).arg(path).arg(sql).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[rocket::async_test]
async fn another_process_that_closes_the_file_leaves_the_running_store_its_wal() {
    let database = Database::new();
    let path = database.path();
    let figment = figment().merge(("session.url", database.url()));
    let rocket = rocket::custom(figment.clone()).attach(Session::fairing());
    let client = Client::tracked(rocket.mount("/", routes())).await.unwrap();
    let visit = async || client.get("/count/a").dispatch().await.into_string().await.unwrap();
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(visit().await, "1");
    // A launch does this in the background.
    assert!(check(&figment).is_ok());
    let mut last = 1;
    for number in 0..200 {
        create(&store, number).await;
        last += 1;
        assert_eq!(visit().await, last.to_string());
        if number % 50 == 0 {
            let records = ask_in_another_process(&path, "SELECT count(*) FROM entry");
            assert_eq!(records, (number + 2).to_string());
        }
    }
    let ask = |sql| ask_in_another_process(&path, sql);
    assert_eq!(ask("SELECT count(*) FROM entry"), "201");
    assert_eq!(
        ask("SELECT max(json_extract(content, '$.\"count:a\"')) FROM entry"),
        last.to_string()
    );
    assert_eq!(ask("PRAGMA integrity_check"), "ok");
}

#[rocket::async_test]
async fn wal_that_has_grown_under_a_reader_shrinks_afterwards() {
    let database = Database::new();
    let store = Sqlite::open(database.path()).unwrap();
    let wal = || std::fs::metadata(database.path().with_extension("db-wal")).unwrap().len();
    let limit = 16 * 1024 * 1024;
    let fields = Values::from([("note".to_owned(), "x".repeat(1024 * 1024))]);
    let reader = Connection::open(database.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM entry").unwrap();
    for number in 0..20 {
        assert!(store.create(record(number), &fields, HOUR).await.unwrap());
    }
    assert!(wal() > limit, "{}", wal());
    reader.execute_batch("ROLLBACK").unwrap();
    for number in 20..23 {
        create(&store, number).await;
    }
    assert!(wal() <= limit, "{}", wal());
}

#[cfg(unix)]
#[test]
fn check_warns_of_a_file_that_others_can_read() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let database = Database::new();
    drop(Sqlite::open(database.path()).unwrap());
    let report = || check(&figment().merge(("session.url", database.url())));
    assert!(!report().to_string().contains("chmod"), "{}", report());
    set_permissions(database.path(), Permissions::from_mode(0o644)).unwrap();
    let told = format!("`{0}` has mode 644", database.path().display());
    let report = report();
    let found = report.findings().iter().find(|it| it.text.starts_with(&told)).unwrap();
    assert!(found.verdict == Verdict::Warning && found.text.contains("chmod 600"), "{found:?}");
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
    assert!(refusal(&folder).contains("cannot be used"), "{}", refusal(&folder));
}

#[rocket::async_test]
async fn application_on_a_file_keeps_its_sessions_and_an_unusable_file_is_refused() {
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

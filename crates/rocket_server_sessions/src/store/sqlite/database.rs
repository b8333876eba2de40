//! Opens the file, and begins transactions.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, TransactionBehavior};

use super::failure::refused;
use super::rows::{Rows, SCHEMA};
use crate::clock::Clock;
use crate::store::error::StoreError;

/// Marks a file as one that holds sessions: `PRAGMA application_id`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"rsss");

/// The layout of the file: `PRAGMA user_version`.
const LAYOUT: i32 = 1;

/// How long to wait between two attempts to get the lock.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// The size to which SQLite truncates the `-wal` file after a reader has kept it from being reused.
/// Without a limit, the file never shrinks. It is normally 4 MiB.
const WAL_SIZE_LIMIT: i64 = 16 * 1024 * 1024;

/// A file of sessions. It is opened again if it has failed, and if it was moved or deleted:
/// what is written to a deleted file is lost.
pub(super) struct Database {
    pub(super) path: PathBuf,
    clock: Arc<dyn Clock>,
    /// How long to wait for another process' lock.
    lock_timeout: Duration,
    open: Open,
    has_failed: bool,
}

struct Open {
    connection: Connection,
    identity: Option<Identity>,
}

impl Database {
    /// Opens the file, and creates it if there is none. A relative path is relative to the working
    /// directory.
    pub(super) fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        lock_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let path = std::path::absolute(path)
            .map_err(|error| StoreError::refused(format!("`{}`: {error}", path.display())))?;
        let open = Open::new(&path, lock_timeout)?;
        Ok(Self { path, clock, lock_timeout, open, has_failed: false })
    }

    /// Begins a transaction in which no other process can write. If it is dropped, nothing has
    /// changed.
    pub(super) fn begin(&mut self) -> Result<Rows<'_>, StoreError> {
        let is_another = self.open.identity != identity(&self.path);
        if self.has_failed || is_another {
            self.open = Open::new(&self.path, self.lock_timeout)?;
            self.has_failed = false;
        }
        if is_another {
            log::warn!(
                "`{}` is no longer the file that held the sessions: that file was moved, deleted \
                 or replaced, or its disk is not mounted. From now on, sessions are kept in the \
                 file at this path, which was created if it was missing. If this was not \
                 intended, stop the application and put the old file back",
                self.path.display()
            );
        }
        let transaction = self
            .open
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| {
                self.has_failed = !is_busy(&error);
                refused(&self.path, &error)
            })?;
        Ok(Rows::new(transaction, self.clock.now()))
    }

    /// Opens the file again for the next transaction.
    pub(super) fn mark_failed(&mut self) {
        self.has_failed = true;
    }
}

impl Open {
    fn new(path: &Path, lock_timeout: Duration) -> Result<Self, StoreError> {
        create(path).map_err(|error| {
            StoreError::refused(format!(
                "`{}` cannot be opened ({error}): its folder must exist, and the user who runs the \
                 application must be allowed to write to both",
                path.display()
            ))
        })?;
        let start = Instant::now();
        loop {
            match connect(path, lock_timeout) {
                // SQLite does not always wait for the lock here.
                Err(Unusable::Sqlite(error))
                    if is_busy(&error) && start.elapsed() < lock_timeout =>
                {
                    sleep(RETRY_INTERVAL);
                }
                Err(Unusable::Sqlite(error)) => return Err(refused(path, &error)),
                Err(Unusable::Other(why)) => {
                    return Err(StoreError::refused(format!("`{}` {why}", path.display())));
                }
                Ok(connection) => return Ok(Self { connection, identity: identity(path) }),
            }
        }
    }
}

enum Unusable {
    Sqlite(Error),
    Other(String),
}

impl From<Error> for Unusable {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

fn is_busy(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Creates the file if there is none, so that only its owner can read it.
///
/// Nothing in the process may open and close a file that SQLite has open: on POSIX, closing any
/// descriptor of a file drops all locks of the process on it. Another process that closes the file
/// would then assume that it is the last one, and delete the WAL that this one still writes to. So
/// an existing file is not touched here, and no other store in the process can open a file that is
/// still being created.
fn create(path: &Path) -> std::io::Result<()> {
    static CREATING: Mutex<()> = Mutex::new(());
    let _creating = CREATING.lock();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created.map(drop),
    }
}

fn connect(path: &Path, lock_timeout: Duration) -> Result<Connection, Unusable> {
    // Without `SQLITE_OPEN_URI`, so that no character of the path is special.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(wait_for_lock(lock_timeout)))?;
    // Check before anything is written: the file may belong to another application.
    let content = check(&connection)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        let why = "is on a file system without shared memory, which SQLite's WAL mode needs; \
                   choose a folder on a local disk";
        return Err(Unusable::Other(why.to_owned()));
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_SIZE_LIMIT, |_| Ok(()))?;
    if content == Content::None {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if check(&transaction)? == Content::None {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
        }
        transaction.commit()?;
    }
    Ok(connection)
}

/// Tries again at short intervals. SQLite's own handler backs off, so it may never get the lock
/// while two other processes are busy.
fn wait_for_lock(timeout: Duration) -> impl FnMut(i32) -> bool {
    let mut since = Instant::now();
    move |attempt| {
        if attempt == 0 {
            since = Instant::now();
        }
        let is_in_time = since.elapsed() < timeout;
        if is_in_time {
            sleep(RETRY_INTERVAL);
        }
        is_in_time
    }
}

#[derive(PartialEq, Eq)]
enum Content {
    None,
    Sessions,
}

/// What the file contains. Anything unknown is an error.
fn check(connection: &Connection) -> Result<Content, Unusable> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, layout) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, layout, tables) {
        (APPLICATION_ID, LAYOUT, _) => Ok(Content::Sessions),
        (0, 0, 0) => Ok(Content::None),
        (APPLICATION_ID, other, _) => Err(Unusable::Other(format!(
            "has layout {other}, and this release knows only layout {LAYOUT}; run the release that \
             made it, or choose another file"
        ))),
        _ => Err(Unusable::Other(
            "is the database of another application; choose another file".to_owned(),
        )),
    }
}

/// Distinguishes a file from another one at the same path.
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|it| (it.dev(), it.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<Identity> {
    None
}

//! The store: each call of the contract, sent to the thread that owns the connection.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::database::Database;
use super::worker::Worker;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::debug::opaque_debug;
use crate::store::contract::{DestroyResult, RecordStatus, Store};
use crate::store::entries::Entries;
use crate::store::error::StoreError;
use crate::store::record::{IndexEntry, RecordId, Values};
use crate::store::rotation::{RotateResult, Rotation};
use crate::store::time_to_live::TimeToLive;
use crate::store::update::{Update, UpdateResult};

/// Keeps sessions in a SQLite file, on one machine: they outlive the process, and need no server.
///
/// Processes on the same machine can share the file. The file must be on a local disk. SQLite keeps
/// two more files beside it, which end in `-wal` and `-shm` and belong to it.
///
/// An answered call survives a crash of the process. If the machine loses power, the last half
/// minute may be lost.
///
/// Other programs may open the file while the store uses it. Code in the same process may only open
/// it through the same SQLite library: on Unix, closing the file in any other way drops the locks
/// that the store holds.
///
/// The setting `url = "sqlite:sessions.db"` opens it too.
///
/// ```
/// use rocket_server_sessions::Session;
/// use rocket_server_sessions::store::Sqlite;
///
/// # let path = std::env::temp_dir().join(format!("sessions-doc-{}.db", std::process::id()));
/// let store = Sqlite::open(&path)?;
/// let rocket = rocket::build().attach(Session::fairing().store(store));
/// # drop(rocket);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), rocket_server_sessions::store::StoreError>(())
/// ```
pub struct Sqlite {
    worker: Worker,
}

opaque_debug!("Sqlite", Sqlite);

impl Sqlite {
    /// Opens a file, or creates it if there is none. A relative path is relative to the working
    /// directory.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file cannot be opened or created, or belongs to another application or
    /// to an unknown release. The message names the file and says what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::with_clock(path, SystemClock)
    }

    /// Opens a file whose records expire by `clock`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn with_clock(path: impl AsRef<Path>, clock: impl Clock) -> Result<Self, StoreError> {
        Self::from_config(path.as_ref(), &Config::default(), Arc::new(clock))
    }

    /// Uses the settings `deadline` and `queue`.
    pub(crate) fn from_config(
        path: &Path,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        // Half of the deadline, so that a call can still say what it has waited for.
        let database = Database::open(path, clock, config.deadline / 2)?;
        let worker = Worker::start(database, config.queue)
            .map_err(|error| StoreError::refused(format!("a thread cannot be started: {error}")))?;
        Ok(Self { worker })
    }
}

#[rocket::async_trait]
impl Store for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    async fn create(
        &self,
        record: RecordId,
        fields: &Values,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let fields = fields.clone();
        self.worker.run(move |rows| rows.create(record, &fields, ttl)).await
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        let update = update.clone();
        self.worker.run(move |rows| rows.update(record, &update)).await
    }

    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: TimeToLive,
    ) -> Result<(), StoreError> {
        self.worker.run(move |rows| rows.touch(record, seen, ttl)).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        let rotation = rotation.clone();
        self.worker.run(move |rows| rows.rotate(&rotation)).await
    }

    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        let user = user.map(str::to_owned);
        self.worker.run(move |rows| rows.destroy(record, user.as_deref())).await
    }

    async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        self.worker.run(move |rows| rows.settle(record)).await
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        let records = records.to_vec();
        self.worker.run(move |rows| rows.status(&records)).await
    }

    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        let user = user.to_owned();
        self.worker.run(move |rows| rows.index_add(&user, &entry, ttl)).await
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        let user = user.to_owned();
        self.worker.run(move |rows| rows.index(&user)).await
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError> {
        let (user, records) = (user.to_owned(), records.to_vec());
        self.worker.run(move |rows| rows.index_remove(&user, &records)).await
    }
}

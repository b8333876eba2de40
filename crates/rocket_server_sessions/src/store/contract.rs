//! The trait `Store`.

use std::time::{Duration, SystemTime};

use super::error::StoreError;
use super::logged_in::LoggedIn;
use super::record::{Death, IndexEntry, RecordId, Values};
use super::rotation::{RotateResult, Rotation};
use super::time_to_live::TimeToLive;
use super::update::{Update, UpdateResult};

/// The time to live of a tombstone. Longer than a typical request, so that late requests with the
/// old token get a conflict.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(30);

/// A session store. See the [module documentation](super) for the contract.
#[rocket::async_trait]
pub trait Store: Send + Sync + 'static {
    /// A display name: `"memory"`, `"SQLite"`, `"Redis"`.
    fn name(&self) -> &'static str;

    /// Whether other processes may use the same records. If so, they need the same `secret_key`,
    /// and the launch fails without one, except in the `debug` profile.
    fn is_shared(&self) -> bool {
        true
    }

    /// Creates a record with its marker. Returns `false`, and changes nothing, if there is already
    /// a record or a tombstone at its id.
    async fn create(
        &self,
        record: RecordId,
        fields: &Values,
        ttl: Duration,
    ) -> Result<bool, StoreError>;

    /// Changes a record and reads it. If the record is dead, gone or too large, this may take a
    /// second round trip.
    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError>;

    /// Resets a record's time to live and stores the time in it. Does nothing unless the record is
    /// live.
    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: TimeToLive,
    ) -> Result<(), StoreError>;

    /// Moves a record to a new token, leaves a tombstone at its old id, and logs a user in if the
    /// rotation names one.
    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError>;

    /// Deletes a record, and then leaves a tombstone at its id if there is memory for it. If `user`
    /// is given, only a record in which they are logged in is deleted.
    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError>;

    /// Returns `true` if the record exists. Otherwise writes a tombstone, so that a pending call
    /// cannot create it, and returns `false`.
    async fn settle(&self, record: RecordId) -> Result<bool, StoreError>;

    /// Returns the status of each record, in the same order.
    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError>;

    /// Adds an entry to a user's index, resets its time to live to `ttl`, and returns the index.
    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError>;

    /// Returns a user's index, in no particular order.
    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError>;

    /// Removes records from a user's index.
    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError>;
}

/// The result of [`Store::destroy`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DestroyResult {
    /// The record was deleted. Contains the user who was logged in.
    Destroyed(Option<String>),
    /// The record does not belong to the given user. Nothing was changed.
    NotTheirs,
    /// The token was dead already.
    Dead(Death),
    /// There was no record.
    Gone,
}

/// The status of a [`RecordId`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordStatus {
    /// A live record.
    Live {
        /// The time that was last stored, as in [`Applied::seen`](super::Applied::seen).
        seen: Option<SystemTime>,
        /// The user who is logged in.
        user: Option<LoggedIn>,
    },
    /// A tombstone.
    Dead,
    /// Neither a record nor a tombstone.
    Gone,
}

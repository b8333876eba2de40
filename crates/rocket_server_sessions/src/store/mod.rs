//! The contract of a session store, and the stores of this crate.
//!
//! A [`Store`] keeps one record per session. A record is stored under its [`RecordId`], which is in
//! one of three states:
//!
//! | state | content | result of an operation |
//! |---|---|---|
//! | live | the session's fields, and its marker | the record |
//! | dead | a tombstone, for a short time | [`Death`]: the token was destroyed or rotated |
//! | gone | no record (the key is missing, or holds something else) | `Gone`; the store is not changed |
//!
//! The marker is whatever tells a store that a record is a session's: in Redis, the field `@id`, which
//! holds the public id; in a map or a table, the entry itself. Only [`create`](Store::create) writes
//! it, so dead and gone records cannot come back. A store that creates a key as a side effect of
//! another change (as `HINCRBY` does) takes it for gone if the marker is missing.
//!
//! To check a store of your own, call [`conformance`](crate::testing::conformance) in a test. Every record, tombstone and index has a time to live.
//!
//! Every call is atomic and one round trip, unless its documentation says otherwise. Stores must
//! not retry a call that may have been applied.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

pub use crate::id::{PublicId, TokenHash};
use crate::id::{from_unix, unix, whole_seconds};

mod instrumented;
mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod wrap;

pub(crate) use instrumented::Instrumented;
pub use memory::Memory;
#[cfg(feature = "redis")]
pub use redis::{OpenError, Redis, Settings};
pub(crate) use wrap::{Call, Wrap};

/// The fields of a record: names and JSON strings. Names that begin with `@` are reserved.
pub type Values = BTreeMap<String, String>;

/// The id that a record is stored under: the session's public id, and the hash of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The session's public id. It also determines the cluster slot.
    pub id: PublicId,
    /// The hash of the session's token.
    pub token_hash: TokenHash,
}

/// One change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a field to a JSON string.
    Insert(String, String),
    /// Adds to a field that holds an integer. A missing field counts as 0.
    Increment(String, i64),
    /// Deletes a field.
    Remove(String),
    /// Reads a field and deletes it.
    Take(String),
    /// Deletes all fields, except those whose names begin with `@`.
    Clear,
    /// Sets a field to a JSON string if it still holds what was read.
    CompareExchange {
        /// The field.
        field: String,
        /// The text that it must hold, exactly. `None` if it must not exist.
        current: Option<String>,
        /// The JSON string to set.
        new: String,
    },
}

impl Op {
    /// The field that it changes; empty if it changes all.
    pub(crate) fn field(&self) -> &str {
        match self {
            Self::Insert(name, _)
            | Self::Increment(name, _)
            | Self::Remove(name)
            | Self::Take(name)
            | Self::CompareExchange { field: name, .. } => name,
            Self::Clear => "",
        }
    }

    /// Makes the change to fields in memory.
    pub(crate) fn apply(&self, fields: &mut Values) -> OpResult {
        match self {
            Self::Insert(name, value) => {
                fields.insert(name.clone(), value.clone());
                OpResult::Done
            }
            Self::Increment(name, by) => {
                let held = fields.get(name).map_or(Some(0), |text| integer(text));
                let Some(sum) = held.and_then(|held| held.checked_add(*by)) else {
                    return OpResult::NotAnInteger;
                };
                fields.insert(name.clone(), sum.to_string());
                OpResult::Count(sum)
            }
            Self::Remove(name) => {
                fields.remove(name);
                OpResult::Done
            }
            Self::Take(name) => OpResult::Taken(fields.remove(name)),
            Self::Clear => {
                fields.retain(|name, _| name.starts_with('@'));
                OpResult::Done
            }
            Self::CompareExchange { field, current, new } => {
                let held = fields.get(field);
                if held != current.as_ref() {
                    return OpResult::Changed(held.cloned());
                }
                fields.insert(field.clone(), new.clone());
                OpResult::Done
            }
        }
    }
}

/// Parses an integer like Redis, which rejects `+1` and `01`.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// The result of one [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// The operation was applied.
    Done,
    /// The field's value after an increment.
    Count(i64),
    /// The increment was refused: the field is not an integer, or the sum does not fit into 64 bits.
    NotAnInteger,
    /// The value of a taken field, if it existed.
    Taken(Option<String>),
    /// The compare-exchange was not applied: the field holds this text, or does not exist.
    Changed(Option<String>),
}

/// Which fields an [`Update`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    /// The named fields.
    Some(Vec<String>),
    /// All fields.
    All,
}

/// Changes to a record, and the fields to read afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The changes, in order. Either all of them are attempted or none is.
    pub ops: Vec<Op>,
    /// What to read after the changes.
    pub read: Fields,
    /// The maximum size of the record: the bytes of its names and values. If an insert or a
    /// new field would make the record larger, the whole update is rejected with
    /// [`UpdateResult::TooLarge`]. `None` disables the check.
    pub max_size: Option<usize>,
}

impl Update {
    /// Applies the update to the fields of a live record in memory, with its limit. `seen` becomes
    /// [`Applied::seen`].
    ///
    /// For stores that hold a lock or a transaction meanwhile.
    pub fn apply(&self, fields: &mut Values, seen: Option<SystemTime>) -> UpdateResult {
        let mut new = fields.clone();
        let results: Vec<_> = self.ops.iter().map(|op| op.apply(&mut new)).collect();
        let grows = self.ops.iter().zip(&results).any(|(op, result)| match op {
            Op::Insert(..) => true,
            Op::CompareExchange { .. } => *result == OpResult::Done,
            Op::Increment(name, _) => !fields.contains_key(name),
            Op::Remove(_) | Op::Take(_) | Op::Clear => false,
        });
        let size = size(&new);
        if grows && self.max_size.is_some_and(|limit| size > limit) {
            return UpdateResult::TooLarge(size);
        }
        *fields = new;
        let own = |name: &String| Some((name.clone(), fields.get(name)?.clone()));
        let fields = match &self.read {
            Fields::Some(names) => names.iter().filter_map(own).collect(),
            Fields::All => fields.clone(),
        };
        UpdateResult::Applied(Applied { results, fields, seen })
    }

    /// An update that only reads.
    pub(crate) fn look(read: Fields) -> Self {
        Self { ops: Vec::new(), read, max_size: None }
    }
}

/// The size of a record, as [`Update::max_size`] counts it.
pub(crate) fn size(fields: &Values) -> usize {
    let sizes = fields.iter().filter(|(name, _)| !name.starts_with('@'));
    sizes.map(|(name, value)| name.len() + value.len()).sum()
}

/// The result of an update of a live record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// One for each [`Op`], in order.
    pub results: Vec<OpResult>,
    /// The fields that were read, without the marker and the time of the last touch.
    pub fields: Values,
    /// When the record's time to live was last set by a [`touch`](Store::touch) or a
    /// [`rotate`](Store::rotate), to the second. `None` if that has not happened since
    /// the record was created.
    pub seen: Option<SystemTime>,
}

/// The result of an [`Update`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateResult {
    /// The record is live, and the update was applied.
    Applied(Applied),
    /// The record would exceed the limit. Contains the size that it would have. Nothing was
    /// changed.
    TooLarge(usize),
    /// The token is dead. Nothing was changed.
    Dead(Death),
    /// There is no such record. Nothing was changed or created.
    Gone,
}

/// Why a token is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its session was destroyed.
    Destroyed,
    /// Its session has another token now.
    Rotated,
}

/// Replaces a session's token, which moves its record to a new [`RecordId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The record's current id.
    pub from: RecordId,
    /// The hash of the new token.
    pub to: TokenHash,
    /// The record's time to live from now on.
    pub ttl: TimeToLive,
    /// The time to store as last seen; `None` if the browser has not yet sent the cookie back.
    pub seen: Option<SystemTime>,
    /// The user to log in, if any.
    pub user: Option<LoggedIn>,
    /// Fields to set. Empty unless a user is logged in.
    pub fields: Values,
}

/// How long a record lives from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeToLive {
    /// The idle timeout of records that have none of their own.
    pub idle: Duration,
    /// The most that any record gets: the rest of the absolute lifetime.
    pub max: Duration,
}

impl TimeToLive {
    /// The same for all records.
    #[must_use]
    pub fn fixed(ttl: Duration) -> Self {
        Self { idle: ttl, max: ttl }
    }

    /// The time to live of a record with these fields. A record may have a longer idle timeout of its
    /// own in the field `@idle`, in seconds.
    #[must_use]
    pub fn of(self, fields: &Values) -> Duration {
        let own = fields.get(IDLE).and_then(|it| it.parse().ok()).map(Duration::from_secs);
        self.idle.max(own.unwrap_or_default()).min(self.max)
    }
}

/// The field with the record's own idle timeout, in seconds.
pub(crate) const IDLE: &str = "@idle";

/// The user who is logged in to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// The application's name for the user.
    pub user: String,
    /// The time of the log-in, in whole seconds.
    pub since: SystemTime,
    /// The label that was passed to [`log_in`](crate::Session::log_in).
    pub label: String,
}

impl LoggedIn {
    pub(crate) fn new(user: &str, label: &str, since: SystemTime) -> Self {
        let since = whole_seconds(since);
        Self { user: user.to_owned(), since, label: label.to_owned() }
    }

    /// The fields that a store sets in the user's record. They begin with `@`, and are read like any
    /// other. The name is a plain string, so that scripts can compare it.
    #[must_use]
    pub fn fields(&self) -> [(String, String); 2] {
        let login = format!("{} {}", unix(self.since).as_secs(), self.label);
        [(USER.to_owned(), self.user.clone()), (LOGIN.to_owned(), login)]
    }

    /// Reads the user from a record's fields.
    #[must_use]
    pub fn from_fields(fields: &Values) -> Option<Self> {
        Some(Self::read(fields.get(USER)?, fields.get(LOGIN).map_or("", String::as_str)))
    }

    fn read(user: &str, login: &str) -> Self {
        let (since, label) = login.split_once(' ').unwrap_or((login, ""));
        Self::new(user, label, from_unix(since.parse().unwrap_or_default()))
    }
}

/// The field with the name of the logged-in user.
pub(crate) const USER: &str = "@user";

/// The field with the time of the log-in (Unix seconds) and the label.
pub(crate) const LOGIN: &str = "@login";

/// The result of a [`Rotation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotateResult {
    /// The record was moved, and its old id has a tombstone.
    Rotated,
    /// Another user was logged in. That session was destroyed. Contains the user's name.
    OtherUser(String),
    /// The new id is occupied. Nothing was changed.
    Barred,
    /// The token is dead. Nothing was changed.
    Dead(Death),
    /// There is no such record. Nothing was changed.
    Gone,
}

/// The result of [`Store::destroy`].
#[derive(Clone, Debug, PartialEq, Eq)]
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
pub enum RecordStatus {
    /// A live record.
    Live {
        /// When its time to live was last set, as in [`Applied::seen`].
        seen: Option<SystemTime>,
        /// The user who is logged in.
        user: Option<LoggedIn>,
    },
    /// A tombstone.
    Dead,
    /// Neither a record nor a tombstone.
    Gone,
}

/// The id of a record that is, was, or is about to be a session of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The record's id.
    pub record: RecordId,
    /// When the entry was written, to the second.
    pub written: SystemTime,
}

/// An error of a store.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// Whether the call may have been applied.
    pub kind: StoreErrorKind,
    /// How long to wait before trying again. Zero if only this call failed.
    pub retry_after: Duration,
    /// A message for the log, without secrets or keys.
    pub message: String,
}

/// Whether the call behind a [`StoreError`] may have been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The call was not applied.
    Refused,
    /// The call was sent but not answered, so it may have been applied.
    OutcomeUnknown,
}

impl StoreError {
    /// Creates an error for a call that was not applied.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::Refused, message)
    }

    /// Creates an error for a call that was sent but not answered, so that it may have been applied.
    pub fn unanswered(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::OutcomeUnknown, message)
    }

    fn new(kind: StoreErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, retry_after: Duration::from_secs(1), message: message.to_string() }
    }
}

/// The time to live of a tombstone. Longer than a typical request, so that late requests with the
/// old token get a conflict.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(30);

/// A session store. See the [module documentation](self) for the contract.
#[rocket::async_trait]
pub trait Store: Send + Sync + 'static {
    /// A display name: `"memory"`, `"Redis"`.
    fn name(&self) -> &'static str;

    /// Whether other processes may use the same records. If so, they need the same `secret_key`,
    /// and the launch fails without one, except in the `debug` profile.
    fn is_shared(&self) -> bool {
        true
    }

    /// Creates a record with its marker. Returns `false`, and changes nothing, if its id is
    /// occupied.
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

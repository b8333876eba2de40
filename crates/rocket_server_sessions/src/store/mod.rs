//! The seam between sessions and where they live.
//!
//! A [`Store`] keeps records. A record is found by its [`RecordId`] and is in one of four states:
//!
//! | state | what stands there | what a write gets |
//! |---|---|---|
//! | live | fields, and the marker that names the session | [`Answer::Live`] |
//! | gone | nothing, or fields without the marker | [`Answer::Gone`] |
//! | ended | a tombstone | [`Answer::Tombstone`] |
//! | rotated | a tombstone that names the successor | [`Answer::Tombstone`] |
//!
//! Every call is one round trip. A store never retries what may have been applied, never brings a
//! tombstone back to life, and gives every record a time to live. Expired records are gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use super::id::{TokenHash, PublicId};

mod memory;
mod observed;
#[cfg(feature = "redis")]
mod redis;

pub use memory::Memory;
pub(super) use observed::Instrumented;
#[cfg(feature = "redis")]
pub use redis::{OpenError, Redis, Settings};

/// The fields of a record: names, and JSON texts. Names that begin with `@` are the layer's own.
pub type Fields = BTreeMap<String, String>;

/// Where a record is found: the session's id, and the token_hash of its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Whose record it is. All of a session's records share it, and with it one cluster slot.
    pub id: PublicId,
    /// Which of the session's secrets opens it.
    pub token_hash: TokenHash,
}

/// What a [`Request`] does to a record, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a field to a JSON text.
    Insert(String, String),
    /// Adds to a field that holds an integer; a missing one counts as 0.
    Increment(String, i64),
    /// Deletes a field.
    Remove(String),
    /// Reads a field and deletes it, as one step.
    Take(String),
}

impl Op {
    /// The field that it changes.
    pub(crate) fn field(&self) -> &str {
        match self {
            Self::Insert(name, _)
            | Self::Increment(name, _)
            | Self::Remove(name)
            | Self::Take(name) => name,
        }
    }

    /// Makes the change to fields in memory.
    pub(crate) fn carry_out(&self, fields: &mut Fields) -> Outcome {
        match self {
            Self::Insert(name, value) => {
                Outcome::Replaced(fields.insert(name.clone(), value.clone()))
            }
            Self::Increment(name, by) => {
                let held = fields.get(name).map_or(Ok(0), |text| text.parse::<i64>());
                let Some(sum) = held.ok().and_then(|held| held.checked_add(*by)) else {
                    return Outcome::NotAnInteger;
                };
                fields.insert(name.clone(), sum.to_string());
                Outcome::Count(sum)
            }
            Self::Remove(name) => {
                fields.remove(name);
                Outcome::Done
            }
            Self::Take(name) => Outcome::Taken(fields.remove(name)),
        }
    }
}

/// What a [`Request`] wants to see, as it stands after the changes. Whether the record is live, it
/// sees in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// These fields.
    Some(Vec<String>),
    /// Every field.
    Everything,
}

/// One round trip's worth of work on one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The changes.
    pub ops: Vec<Op>,
    /// What to read after the changes.
    pub read: Read,
    /// Where set, a live record's time to live starts anew with this length.
    pub ttl: Option<Duration>,
}

impl Request {
    /// A request that only reads.
    pub(crate) fn look(read: Read) -> Self {
        Self { ops: Vec::new(), read, ttl: None }
    }
}

/// A session in the list of its user's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where its record was then; a rotation may lead on from there.
    pub record: RecordId,
    /// When the entry was written, to the second.
    pub written: SystemTime,
}

/// How a record stands, seen from its user's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no record, or none that this read could see.
    Gone,
    /// There is a tombstone.
    Tombstone,
    /// There is a record.
    Live {
        /// What its field [`USER`] holds.
        user: Option<String>,
        /// The rest of its time to live.
        ttl: Duration,
    },
}

/// The field that says which user is signed in.
pub const USER: &str = "@user";

/// What one [`Op`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// An insertion was done; this is what the field held before.
    Replaced(Option<String>),
    /// The field's number after an increment.
    Count(i64),
    /// The increment was refused: the field holds no integer, or the sum leaves 64 bits.
    NotAnInteger,
    /// What a taken field held.
    Taken(Option<String>),
}

/// A live record's answer to a [`Request`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// One for each [`Op`], in order.
    pub outcomes: Vec<Outcome>,
    /// What was asked to be read, without the marker.
    pub fields: Fields,
}

/// A record's answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The record is live, and the request was carried out.
    Live(Live),
    /// There is no such record. Where the request wrote, it may have left a stub: [`Store::discard`] it.
    Gone,
    /// The session was ended or its secret rotated; [`Store::trace`] says which. It may have
    /// happened in the midst of the request: these are the outcomes of the first changes, which
    /// were made in the record before it moved. The others were not made.
    Tombstone(Vec<Outcome>),
}

/// What stands in a record's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Nothing.
    Gone,
    /// A live record.
    Live,
    /// The tombstone of an ended session.
    Ended,
    /// The tombstone of a rotated secret.
    Rotated(Successor),
}

/// Where a rotation has moved a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successor {
    /// The token_hash of the new secret.
    pub token_hash: TokenHash,
    /// Until when a request that still holds the old secret may follow.
    pub until: SystemTime,
}

/// A change of a session's secret.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// The record as it is found now.
    pub from: RecordId,
    /// Where it moves, and how long the old secret still leads there.
    pub to: Successor,
    /// How long the tombstone in the old place lasts.
    pub tombstone_ttl: Duration,
    /// Where set, the moved record's time to live starts anew with this length.
    pub ttl: Option<Duration>,
}

/// Why a store gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// Whether the work may have been done all the same.
    pub kind: StoreErrorKind,
    /// When it is worth asking again.
    pub retry_after: Duration,
    /// For the log: what happened, without secrets or keys.
    pub message: String,
}

/// Whether the work behind a [`StoreError`] may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// It was not.
    Refused,
    /// It was sent and not answered: nobody knows.
    OutcomeUnknown,
}

impl StoreError {
    /// Nothing was changed.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::Refused, message)
    }

    /// The work was sent, and no answer came.
    pub fn unanswered(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::OutcomeUnknown, message)
    }

    fn new(kind: StoreErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, retry_after: Duration::from_secs(1), message: message.to_string() }
    }
}

/// Keeps sessions' records. The module's documentation gives the contract.
#[rocket::async_trait]
pub trait Store: Send + Sync + 'static {
    /// What the store is, for people: `"memory"`, `"Redis"`.
    fn name(&self) -> &'static str;

    /// Makes a record, with its marker, in one step.
    async fn create(&self, record: RecordId, fields: Fields, ttl: Duration) -> Result<(), StoreError>;

    /// Carries out a request on a record.
    async fn apply(&self, record: RecordId, request: &Request) -> Result<Answer, StoreError>;

    /// Says what stands in a record's place. Asked after [`Answer::Tombstone`].
    async fn trace(&self, record: RecordId) -> Result<Trace, StoreError>;

    /// Moves a record to a new token_hash and leaves a tombstone, in one step. Of the moved record
    /// it shows the field [`USER`].
    ///
    /// Of two rotations of one record, the second gets [`Answer::Tombstone`] and must follow.
    async fn rotate(&self, rotation: Rotation) -> Result<Answer, StoreError>;

    /// Replaces whatever stands there by a tombstone, in one step, and says what it was.
    /// Where there is nothing, nothing is made.
    async fn end(&self, record: RecordId, tombstone_ttl: Duration) -> Result<Trace, StoreError>;

    /// Deletes the stub that a write has left where a record was [gone](Answer::Gone).
    async fn discard(&self, record: RecordId) -> Result<(), StoreError>;

    /// Puts a session into a user's list, or replaces its entry there, and gives the whole list.
    /// The list's time to live starts anew with the length `ttl`.
    async fn enlist(&self, user: &str, entry: Entry, ttl: Duration) -> Result<Vec<Entry>, StoreError>;

    /// A user's list, in no particular order.
    async fn list(&self, user: &str) -> Result<Vec<Entry>, StoreError>;

    /// Takes sessions off a user's list.
    async fn strike(&self, user: &str, handles: &[PublicId]) -> Result<(), StoreError>;

    /// How records stand, in the order of `records`.
    async fn inspect(&self, records: &[RecordId]) -> Result<Vec<Standing>, StoreError>;
}

#[rocket::async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    async fn create(&self, record: RecordId, fields: Fields, ttl: Duration) -> Result<(), StoreError> {
        (**self).create(record, fields, ttl).await
    }

    async fn apply(&self, record: RecordId, request: &Request) -> Result<Answer, StoreError> {
        (**self).apply(record, request).await
    }

    async fn trace(&self, record: RecordId) -> Result<Trace, StoreError> {
        (**self).trace(record).await
    }

    async fn rotate(&self, rotation: Rotation) -> Result<Answer, StoreError> {
        (**self).rotate(rotation).await
    }

    async fn end(&self, record: RecordId, tombstone_ttl: Duration) -> Result<Trace, StoreError> {
        (**self).end(record, tombstone_ttl).await
    }

    async fn discard(&self, record: RecordId) -> Result<(), StoreError> {
        (**self).discard(record).await
    }

    async fn enlist(&self, user: &str, entry: Entry, ttl: Duration) -> Result<Vec<Entry>, StoreError> {
        (**self).enlist(user, entry, ttl).await
    }

    async fn list(&self, user: &str) -> Result<Vec<Entry>, StoreError> {
        (**self).list(user).await
    }

    async fn strike(&self, user: &str, handles: &[PublicId]) -> Result<(), StoreError> {
        (**self).strike(user, handles).await
    }

    async fn inspect(&self, records: &[RecordId]) -> Result<Vec<Standing>, StoreError> {
        (**self).inspect(records).await
    }
}

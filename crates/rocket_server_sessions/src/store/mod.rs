//! Where sessions live: the contract of a store, and the stores that come with the crate.
//!
//! A [`Store`] keeps one record per session. A record is found by its [`RecordId`], and what stands
//! there is in one of three states:
//!
//! | state | what stands there | what an operation finds |
//! |---|---|---|
//! | live | the session's fields, and its marker | the record |
//! | dead | a tombstone, for a short time | [`Death`]: the token was destroyed or rotated |
//! | gone | nothing (or something that is no record) | nothing, and it changes nothing |
//!
//! The marker says which session a record belongs to. Only [`create`](Store::create) writes it, so
//! nothing that is dead or gone can come back. Every record, tombstone and index has a time to live.
//!
//! Every call is atomic and one round trip, unless its documentation says otherwise. A store never
//! repeats a call that may have been carried out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use crate::id::{PublicId, TokenHash};
use crate::id::{from_unix, unix, whole_seconds};

mod instrumented;
mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;

pub(crate) use instrumented::Instrumented;
pub use memory::Memory;
#[cfg(feature = "redis")]
pub use redis::{OpenError, Redis, Settings};

/// The fields of a record: names, and JSON texts. Names that begin with `@` are the crate's own.
pub type Values = BTreeMap<String, String>;

/// Where a record is found: the session's public id, and the hash of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Whose record it is. All records of a session share it, and with it one cluster slot.
    pub id: PublicId,
    /// The hash of the token that opens it.
    pub token_hash: TokenHash,
}

/// One change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a field to a JSON text.
    Insert(String, String),
    /// Adds to a field that holds an integer. A missing field counts as 0.
    Increment(String, i64),
    /// Deletes a field.
    Remove(String),
    /// Reads a field and deletes it.
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
    pub(crate) fn apply_to(&self, fields: &mut Values) -> OpResult {
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
        }
    }
}

/// An integer as Redis reads it: neither `+1` nor `01`.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// The result of one [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// It was carried out.
    Done,
    /// The field's number after an increment.
    Count(i64),
    /// The increment was refused: the field holds no integer, or the sum does not fit into 64 bits.
    NotAnInteger,
    /// What a taken field held.
    Taken(Option<String>),
}

/// Which fields an [`Update`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    /// These.
    Some(Vec<String>),
    /// All of them.
    All,
}

/// Changes of one record, and a look at it afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The changes, in order. Either all of them are attempted or none is.
    pub ops: Vec<Op>,
    /// What to read after the changes.
    pub read: Fields,
    /// How many bytes the names and values of a record may have in all. Changes that insert a value
    /// or add a field, and lead beyond that, are refused. `None`: nothing is checked.
    pub max_size: Option<usize>,
}

impl Update {
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

/// What a live record answers to an [`Update`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// One for each [`Op`], in order.
    pub results: Vec<OpResult>,
    /// What was to be read, without the marker and the time of the last touch.
    pub fields: Values,
    /// When the record's time to live was last set by a [`touch`](Store::touch) or a
    /// [`rotate`](Store::rotate), to the second. `None`: not since it was created.
    pub seen: Option<SystemTime>,
}

/// The answer to an [`Update`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateResult {
    /// The record is live, and the update was carried out.
    Applied(Applied),
    /// The record would have had so many bytes. Nothing was changed.
    TooLarge(usize),
    /// The token is dead. Nothing was changed.
    Dead(Death),
    /// There is no such record. Nothing was changed, and nothing was left behind.
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

/// A new token for a session: its record moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Where the record is.
    pub from: RecordId,
    /// The hash of the new token.
    pub to: TokenHash,
    /// The record's time to live from now on.
    pub ttl: Duration,
    /// When the record was last seen, if its cookie has come back.
    pub seen: Option<SystemTime>,
    /// Who logs in, if that is what the rotation is for.
    pub user: Option<LoggedIn>,
}

/// A user who is logged in, as their session's record names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// The application's name for the user.
    pub user: String,
    /// When, to the second.
    pub since: SystemTime,
    /// What tells the session from the user's others.
    pub label: String,
}

impl LoggedIn {
    pub(crate) fn new(user: &str, label: &str, since: SystemTime) -> Self {
        let since = whole_seconds(since);
        Self { user: user.to_owned(), since, label: label.to_owned() }
    }

    /// The fields that say so in a record. The user's name stands by itself, so that a store can
    /// compare it without reading JSON.
    pub(crate) fn fields(&self) -> [(String, String); 2] {
        let login = format!("{} {}", unix(self.since).as_secs(), self.label);
        [(USER.to_owned(), self.user.clone()), (LOGIN.to_owned(), login)]
    }

    /// Who is logged in, as fields say.
    pub(crate) fn of(fields: &Values) -> Option<Self> {
        Some(Self::read(fields.get(USER)?, fields.get(LOGIN).map_or("", String::as_str)))
    }

    fn read(user: &str, login: &str) -> Self {
        let (since, label) = login.split_once(' ').unwrap_or((login, ""));
        Self::new(user, label, from_unix(since.parse().unwrap_or_default()))
    }
}

/// The field that says which user is logged in.
pub(crate) const USER: &str = "@user";

/// The field that says since when, in seconds since the Unix epoch, and the session's label.
pub(crate) const LOGIN: &str = "@login";

/// The answer to a [`Rotation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotateResult {
    /// The record has moved, and a tombstone stands in its old place.
    Rotated,
    /// Another user is logged in there: their session was destroyed instead. This is their name.
    OtherUser(String),
    /// Something stands in the new place. Nothing was changed.
    Barred,
    /// The token is dead. Nothing was changed.
    Dead(Death),
    /// There is no such record. Nothing was changed.
    Gone,
}

/// The answer to [`Store::destroy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestroyResult {
    /// The record was deleted. This is the user who was logged in.
    Destroyed(Option<String>),
    /// The record is another user's, or nobody's. Nothing was changed.
    NotTheirs,
    /// The token was dead already.
    Dead(Death),
    /// There was no record.
    Gone,
}

/// What stands where a record is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordStatus {
    /// A record.
    Live {
        /// When its time to live was last set, as [`Applied::seen`] tells it.
        seen: Option<SystemTime>,
        /// Who is logged in.
        user: Option<LoggedIn>,
    },
    /// A tombstone.
    Dead,
    /// Nothing.
    Gone,
}

/// A place in which a session of a user is, was, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The place.
    pub record: RecordId,
    /// When the entry was written, to the second.
    pub written: SystemTime,
}

/// Why a store gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// Whether the call may have been carried out all the same.
    pub kind: StoreErrorKind,
    /// When it is worth trying again. Zero: at once, since only this call was concerned.
    pub retry_after: Duration,
    /// For the log: what happened, without secrets or keys.
    pub message: String,
}

/// Whether the call behind a [`StoreError`] may have been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// It was not.
    Refused,
    /// It was sent and not answered: it may have been.
    OutcomeUnknown,
}

impl StoreError {
    /// Nothing was changed.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::Refused, message)
    }

    /// The call was sent, and no answer came.
    pub fn unanswered(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::OutcomeUnknown, message)
    }

    fn new(kind: StoreErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, retry_after: Duration::from_secs(1), message: message.to_string() }
    }
}

/// How long a tombstone stands: longer than any request runs that could still present its token,
/// so that such a request is told, and short, since nothing that is gone can come back anyway.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(30);

/// Keeps the records of sessions, and an index of each user's sessions. The module's documentation
/// gives the contract.
#[rocket::async_trait]
pub trait Store: Send + Sync + 'static {
    /// What the store is, for people: `"memory"`, `"Redis"`.
    fn name(&self) -> &'static str;

    /// Whether other processes may use the same records. If so, they need the same `secret_key`, and
    /// a release does not start without one.
    fn is_shared(&self) -> bool {
        true
    }

    /// Makes a record with its marker. `false` if something stands there already; it is left alone.
    async fn create(
        &self,
        record: RecordId,
        fields: Values,
        ttl: Duration,
    ) -> Result<bool, StoreError>;

    /// Changes a record and reads it. If the record is gone, this may take a second round trip.
    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError>;

    /// Sets a record's time to live anew, and remembers when that was. Does nothing unless the
    /// record is live.
    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: Duration,
    ) -> Result<(), StoreError>;

    /// Moves a record to a new token, leaves a tombstone in its old place, and logs a user in if the
    /// rotation names one.
    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError>;

    /// Deletes a record, and then leaves a tombstone in its place if there is memory for it. If `user`
    /// is given, only a record in which they are logged in is deleted.
    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError>;

    /// Decides whether a record is in a place that it may be about to reach. `true`: it is there.
    /// `false`: it is not, and will not be, since a tombstone stands there now.
    async fn settle(&self, record: RecordId) -> Result<bool, StoreError>;

    /// What stands in each of these places, in their order.
    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError>;

    /// Enters a place into a user's index, and returns the whole index. Its time to live is `ttl`
    /// from now on.
    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError>;

    /// A user's index, in no particular order.
    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError>;

    /// Removes places from a user's index.
    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError>;
}

#[rocket::async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn is_shared(&self) -> bool {
        (**self).is_shared()
    }

    async fn create(
        &self,
        record: RecordId,
        fields: Values,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        (**self).create(record, fields, ttl).await
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        (**self).update(record, update).await
    }

    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        (**self).touch(record, seen, ttl).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        (**self).rotate(rotation).await
    }

    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        (**self).destroy(record, user).await
    }

    async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        (**self).settle(record).await
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        (**self).status(records).await
    }

    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        (**self).index_add(user, entry, ttl).await
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        (**self).index(user).await
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError> {
        (**self).index_remove(user, records).await
    }
}

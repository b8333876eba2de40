//! The contract of a session store, and the stores of this crate.
//!
//! A [`Store`] keeps one record per session. A record is stored under its [`RecordId`], which is in
//! one of three states:
//!
//! | state | content | result of an operation |
//! |---|---|---|
//! | live | the session's fields, and its marker | the record |
//! | dead | a tombstone, for a short time | [`Death`]: the session was destroyed, or its token rotated |
//! | gone | no record (the key is missing, or holds something else) | `Gone`; the store is not changed |
//!
//! The marker is what tells a store that a record belongs to a session: in Redis, the field `@id`,
//! which holds the public id; in a map or a table, the entry itself. Only [`create`](Store::create)
//! writes it, so dead and gone records cannot come back. A store that creates a key as a side
//! effect of another change (as `HINCRBY` does) must treat a key without the marker as gone.
//!
//! Every record, tombstone and index has a time to live. To check a store of your own, call
//! [`conformance`](crate::testing::conformance) in a test.
//!
//! Every call is atomic and one round trip, unless its documentation says otherwise. Stores must
//! not retry a call that may have been applied.
//!
//! Later releases may add changes, results and fields, so most types here are `#[non_exhaustive]`
//! and have constructors. [`RecordId`], [`IndexEntry`], [`TimeToLive`], [`Selection`] and
//! [`StoreErrorKind`] stay as they are.

// Each module uses only those after it in this table. The test `layers` checks that.
//
// | modules | content |
// |---|---|
// | `configured` | the store that the settings name |
// | `instrumented`, `wrap` | metrics and spans of every call; stores that wrap another |
// | `redis`, `sqlite`, `memory` | the stores |
// | `entries` | the calls of the contract, for stores that hold a lock or a transaction |
// | `contract` | the trait |
// | `rotation`, `logged_in`, `time_to_live`, `update` | what its calls take and return |
// | `record`, `error` | a record's id and fields; errors |

mod configured;
mod contract;
mod entries;
mod error;
mod instrumented;
mod logged_in;
mod memory;
mod record;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod rotation;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod time_to_live;
mod update;
mod wrap;

pub(crate) use configured::ConfiguredStore;
pub use contract::{DestroyResult, RecordStatus, Store, TOMBSTONE_TTL};
pub use error::{StoreError, StoreErrorKind};
pub(crate) use instrumented::Instrumented;
pub use logged_in::LoggedIn;
pub(crate) use logged_in::{LOGIN, USER};
pub use memory::Memory;
pub use record::{Death, IndexEntry, RecordId, Values};
pub(crate) use record::{is_reserved, size};
#[cfg(feature = "express")]
pub(crate) use redis::{ClaimReply, hash_tag};
#[cfg(feature = "redis")]
pub use redis::{OpenError, Redis, RedisSettings};
pub use rotation::{RotateResult, Rotation};
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub(crate) use time_to_live::IDLE;
pub use time_to_live::TimeToLive;
pub use update::{Applied, Op, OpResult, Selection, Update, UpdateResult};
pub(crate) use wrap::{Call, Wrap, store_by_wrapping};

pub use crate::id::{PublicId, TokenHash};

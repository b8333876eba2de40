//! A user's index of sessions, as commands and replies.
//!
//! | call | pipeline | billed |
//! |---|---|---|
//! | add | `MULTI HSET EXPIRE EXEC HGETALL` | 5 |
//! | read | `HGETALL` | 1 |
//! | remove | `HDEL` | 1 |
//!
//! The index is a hash with a field for each place in which a session of the user is, was, or is
//! about to be: `<public id>:<token hash>`, and when that was written. It is in a slot of its own, and
//! is only a way to find records: whether one lives, and who is logged in, the record itself says.

use std::time::Duration;

use redis::Value;

use super::commands::{NOTHING, hash, nonsense, seconds};
use super::pipeline::Pipeline;
use super::reply_error::{ReplyError, has_error};
use crate::id::{PublicId, TokenHash, from_unix, unix};
use crate::store::{IndexEntry, RecordId, StoreError};

/// The name of a user's index. It holds a hash of the user's name, which may be of any length and
/// hold any character, and need not be seen by those who can see the keys alone.
pub(super) fn key(prefix: &str, user: &str) -> String {
    format!("{prefix}user:{{{}}}", TokenHash::of(user.as_bytes()).encode())
}

pub(super) fn add(key: &str, entry: &IndexEntry, ttl: Duration) -> Pipeline {
    let mut pipeline = Pipeline::default();
    let written = unix(entry.written).as_secs();
    // In one transaction: a connection that breaks between the two must leave no key for ever.
    pipeline.transaction(key, |it| {
        it.command("HSET", key, (field(entry.record), written));
        it.command("EXPIRE", key, seconds(ttl));
    });
    pipeline.command("HGETALL", key, NOTHING);
    pipeline
}

pub(super) fn read(key: &str) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.command("HGETALL", key, NOTHING);
    pipeline
}

pub(super) fn remove(key: &str, records: &[RecordId]) -> Pipeline {
    let mut pipeline = Pipeline::default();
    let fields: Vec<_> = records.iter().map(|it| field(*it)).collect();
    pipeline.command("HDEL", key, fields);
    pipeline
}

/// Deletes what stands in the way of an index.
pub(super) fn delete(key: &str) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.command("DEL", key, NOTHING);
    pipeline
}

/// Reads the replies to [`add`] and [`read`]. `None` if the key is no index.
pub(super) fn entries(replies: Vec<Value>) -> Result<Option<Vec<IndexEntry>>, StoreError> {
    let index = replies.into_iter().next_back().ok_or_else(|| nonsense("a reply is missing"))?;
    if has_error(&index, ReplyError::WrongType) {
        return Ok(None);
    }
    Ok(Some(hash(index)?.iter().filter_map(|(place, written)| entry(place, written)).collect()))
}

fn field(record: RecordId) -> String {
    format!("{}:{}", record.id, record.token_hash.encode())
}

fn entry(place: &str, written: &str) -> Option<IndexEntry> {
    let (id, token_hash) = place.split_once(':')?;
    let record = RecordId { id: PublicId::parse(id)?, token_hash: TokenHash::parse(token_hash)? };
    Some(IndexEntry { record, written: from_unix(written.parse().ok()?) })
}

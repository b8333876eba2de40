//! A user's index of sessions, as commands and replies.
//!
//! | call | pipeline | billed |
//! |---|---|---|
//! | add | `MULTI HSET EXPIRE EXEC HGETALL` | 5 |
//! | read | `HGETALL` | 1 |
//! | remove | `HDEL` | 1 |
//!
//! The index is a hash with a field for each key at which a session of the user is, was, or is
//! about to be. The field is `<public id>:<token hash>`, and its value is the time when it was
//! written. The index has its own slot. It only locates records: whether a session is live, and who
//! is logged in, is always read from the record.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::Value;

use super::commands::{NOTHING, seconds};
use super::pipeline::Pipeline;
use super::replies::{hash, nonsense};
use super::reply_error::{ReplyError, has_error};
use crate::id::short_hash;
use crate::store::error::StoreError;
use crate::store::record::{IndexEntry, RecordId};
use crate::time::{from_unix, unix};

/// The key of a user's index. It contains a hash of the user's name, so that names can have any
/// length and characters and do not appear in keys.
pub(super) fn key(prefix: &str, user: &str) -> String {
    let hash = URL_SAFE_NO_PAD.encode(short_hash(user.as_bytes()));
    format!("{prefix}user:{{{hash}}}")
}

pub(super) fn add(key: &str, entry: &IndexEntry, ttl: Duration) -> Pipeline {
    let mut pipeline = Pipeline::default();
    let written = unix(entry.written).as_secs();
    // In one transaction, because a broken connection must not leave a key without a time to live.
    pipeline.transaction(key, |it| {
        it.command("HSET", key, (entry.record.encode(), written));
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
    let fields: Vec<_> = records.iter().map(RecordId::encode).collect();
    pipeline.command("HDEL", key, fields);
    pipeline
}

/// Deletes a key of another type.
pub(super) fn delete(key: &str) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.command("DEL", key, NOTHING);
    pipeline
}

/// Reads the replies to [`add`] and [`read`]. `None` if the key is not a hash.
pub(super) fn entries(replies: Vec<Value>) -> Result<Option<Vec<IndexEntry>>, StoreError> {
    let index = replies.into_iter().next_back().ok_or_else(|| nonsense("a reply is missing"))?;
    if has_error(&index, ReplyError::WrongType) {
        return Ok(None);
    }
    Ok(Some(hash(index)?.iter().filter_map(|(place, written)| entry(place, written)).collect()))
}

fn entry(place: &str, written: &str) -> Option<IndexEntry> {
    let record = RecordId::parse(place)?;
    Some(IndexEntry { record, written: from_unix(written.parse().ok()?) })
}

//! A user's list of sessions, as commands and replies.
//!
//! | request | pipeline | billed |
//! |---|---|---|
//! | enlist | `HSET EXPIRE HGETALL` | 3 |
//! | list | `HGETALL` | 1 |
//! | strike | `HDEL` | 1 |
//! | inspect | `HMGET PTTL` for each record | 2 for each |
//!
//! The list is a hash: the session's id, and where its record was when that was written. It
//! stands in a slot of its own, and nothing has to change in it and in a record at the same time:
//! what it says of a session is asked of the record before it is believed.

use std::time::{Duration, SystemTime};

use redis::Value;

use super::reply_error::{ReplyError, has_error};
use super::pipeline::Pipeline;
use super::protocol::{MARKER, NOTHING, array, hash, is_marker, nonsense, seconds, text};
use crate::id::{TokenHash, PublicId, unix};
use crate::store::{Entry, StoreError, RecordId, Standing, USER};

/// The name of a user's list. A hash of the user's own name: it may be of any length and hold any
/// character, and is nobody's business who can see the keys alone.
pub(super) fn key(prefix: &str, user: &str) -> String {
    format!("{prefix}user:{{{}}}", TokenHash::of(user.as_bytes()).encode())
}

pub(super) fn enlist(key: &str, entry: &Entry, ttl: Duration) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.command("HSET", key, (entry.record.id.to_string(), write(entry)));
    pipeline.command("EXPIRE", key, seconds(ttl));
    pipeline.command("HGETALL", key, NOTHING);
    pipeline
}

pub(super) fn list(key: &str) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.command("HGETALL", key, NOTHING);
    pipeline
}

pub(super) fn strike(key: &str, handles: &[PublicId]) -> Pipeline {
    let mut pipeline = Pipeline::default();
    let fields: Vec<_> = handles.iter().map(ToString::to_string).collect();
    pipeline.command("HDEL", key, fields);
    pipeline
}

pub(super) fn inspect<'k>(keys: impl Iterator<Item = &'k str>) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for key in keys {
        pipeline.command("HMGET", key, (MARKER, USER));
        pipeline.command("PTTL", key, NOTHING);
    }
    pipeline
}

/// Reads the answer to [`enlist`] and [`list`]. What is no entry of ours is passed over.
pub(super) fn read_list(replies: Vec<Value>) -> Result<Vec<Entry>, StoreError> {
    let entries = replies.into_iter().next_back().ok_or_else(|| nonsense("a reply is missing"))?;
    if has_error(&entries, ReplyError::WrongType) {
        return Ok(Vec::new());
    }
    Ok(hash(entries)?.iter().filter_map(|(id, rest)| read(id, rest)).collect())
}

/// Reads the answer to [`inspect`].
pub(super) fn read_inspect(
    records: &[RecordId],
    replies: Vec<Value>,
) -> Result<Vec<Standing>, StoreError> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().ok_or_else(|| nonsense("a reply is missing"));
    records.iter().map(|record| read_standing(record.id, next()?, &next()?)).collect()
}

fn read_standing(id: PublicId, fields: Value, ttl: &Value) -> Result<Standing, StoreError> {
    if has_error(&fields, ReplyError::WrongType) {
        return Ok(Standing::Tombstone);
    }
    let &Value::Int(millis) = ttl else { return Err(nonsense("no time to live")) };
    let mut fields = array(fields)?.into_iter();
    let marker = fields.next().unwrap_or(Value::Nil);
    if marker == Value::Nil || !is_marker(&text(marker)?, id) {
        return Ok(Standing::Gone);
    }
    let user = fields.next().filter(|value| *value != Value::Nil).map(text).transpose()?;
    let ttl = Duration::from_millis(millis.try_into().unwrap_or_default());
    Ok(Standing::Live { user, ttl })
}

/// `<token_hash> <seconds since the Unix epoch>`
fn write(entry: &Entry) -> String {
    format!("{} {}", entry.record.token_hash.encode(), unix(entry.written).as_secs())
}

fn read(id: &str, rest: &str) -> Option<Entry> {
    let (token_hash, written) = rest.split_once(' ')?;
    let record =
        RecordId { id: PublicId::parse(id)?, token_hash: TokenHash::parse(token_hash)? };
    let written = Duration::from_secs(written.parse::<u32>().ok()?.into());
    Some(Entry { record, written: SystemTime::UNIX_EPOCH + written })
}

//! Which commands a request becomes, and what their replies mean.
//!
//! | request | pipeline | billed |
//! |---|---|---|
//! | create | `MULTI HSET EXPIRE EXEC` | 4 |
//! | read | `HGETALL`, or `HMGET` of some fields | 1 |
//! | changes, and a read after them | `HGET HSET`, `HINCRBY`, `HDEL` in turn | 2, 1, 1 |
//! | take, and a read after it | `MULTI HGET HDEL EXEC` | 4 |
//! | a touch with any of these | `EXPIRE … GT` | 1 |
//! | trace | `GET` | 1 |
//! | rotate | `MULTI RENAME SET HMGET EXEC`, `EXPIRE` before `EXEC` when a touch is due | 5 or 6 |
//! | end | `MULTI GET SET EXEC` | 4 |
//! | discard | `UNLINK` | 1 |
//!
//! A live record is a hash, a tombstone is a string: so a write to a session that has ended meets
//! `WRONGTYPE`, atomically and without a script.

use std::time::{Duration, SystemTime};

use redis::Value;

use super::reply_error::{ReplyError, has_error};
use super::pipeline::Pipeline;
use crate::id::{TokenHash, PublicId, unix};
use crate::store::{
    Answer, StoreError, Fields, Live, Op, Outcome, Read, RecordId, Request, Rotation, Successor, Trace,
    USER,
};

/// The field that makes a hash a session's record: its value is the id.
pub(super) const MARKER: &str = "@handle";

pub(super) const NOTHING: &[&str] = &[];

/// The name of a record in Redis. The braces keep a session's keys in one cluster slot.
pub(super) fn key(prefix: &str, record: RecordId) -> String {
    format!("{prefix}{{{}}}:{}", record.id, record.token_hash.encode())
}

/// Whole seconds, and at least one: `EXPIRE` with 0 deletes.
pub(super) fn seconds(ttl: Duration) -> u64 {
    ttl.as_secs().max(1)
}

/// Lengthens a time to live, and never shortens it: the key may hold a tombstone by now, which has to
/// last as long as any cookie of the session.
fn touch(ttl: Duration) -> (u64, &'static str) {
    (seconds(ttl), "GT")
}

pub(super) fn create(key: &str, id: PublicId, fields: &Fields, ttl: Duration) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.transaction(key, |it| {
        let id = id.to_string();
        let mut pairs = vec![(MARKER, id.as_str())];
        pairs.extend(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        it.command("HSET", key, &pairs);
        it.command("EXPIRE", key, seconds(ttl));
    });
    pipeline
}

pub(super) fn apply(key: &str, request: &Request) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for op in &request.ops {
        match op {
            Op::Insert(name, value) => {
                pipeline.command("HGET", key, name);
                pipeline.command("HSET", key, (name, value));
            }
            Op::Increment(name, by) => pipeline.command("HINCRBY", key, (name, by)),
            Op::Remove(name) => pipeline.command("HDEL", key, name),
            Op::Take(name) => pipeline.transaction(key, |it| {
                it.command("HGET", key, name);
                it.command("HDEL", key, name);
            }),
        }
    }
    match &request.read {
        Read::Some(names) => pipeline.command("HMGET", key, (MARKER, names)),
        Read::Everything => pipeline.command("HGETALL", key, NOTHING),
    }
    if let Some(ttl) = request.ttl {
        pipeline.command("EXPIRE", key, touch(ttl));
    }
    pipeline
}

pub(super) fn trace(key: &str) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.command("GET", key, NOTHING);
    pipeline
}

/// `RENAME` moves a tombstone as readily as a record, so the marker is asked for in the same
/// transaction: only the winner of two rotations finds it.
pub(super) fn rotate(from: &str, to: &str, rotation: &Rotation) -> Pipeline {
    let mut pipeline = Pipeline::default();
    let tombstone = write_successor(rotation.to);
    pipeline.transaction(from, |it| {
        it.command("RENAME", from, to);
        it.command("SET", from, (tombstone, "EX", seconds(rotation.tombstone_ttl)));
        it.command("HMGET", to, (MARKER, USER));
        if let Some(ttl) = rotation.ttl {
            it.command("EXPIRE", to, touch(ttl));
        }
    });
    pipeline
}

/// What it replaces is read in the same transaction: a successor must be ended as well. `XX` makes
/// nothing where there was nothing.
pub(super) fn end(key: &str, tombstone_ttl: Duration) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.transaction(key, |it| {
        it.command("GET", key, NOTHING);
        it.command("SET", key, ("", "EX", seconds(tombstone_ttl), "XX"));
    });
    pipeline
}

pub(super) fn discard(key: &str) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.command("UNLINK", key, NOTHING);
    pipeline
}

/// Reads the answer to [`create`].
pub(super) fn read_create(replies: Vec<Value>) -> Result<(), StoreError> {
    executed(replies).map(drop)
}

/// Reads the answer to [`apply`]. `None`: the reply bears another session's marker.
pub(super) fn read_apply(
    id: PublicId,
    request: &Request,
    replies: Vec<Value>,
) -> Result<Option<Answer>, StoreError> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().ok_or_else(|| nonsense("a reply is missing"));
    let mut outcomes = Vec::with_capacity(request.ops.len());
    for op in &request.ops {
        // From here on, the record is a tombstone.
        let Some(outcome) = read_outcome(op, &mut next)? else {
            return Ok(Some(Answer::Tombstone(outcomes)));
        };
        outcomes.push(outcome);
    }
    let read = next()?;
    if has_error(&read, ReplyError::WrongType) {
        return Ok(Some(Answer::Tombstone(outcomes)));
    }
    let mut fields = match &request.read {
        Read::Some(names) => {
            let names = std::iter::once(MARKER).chain(names.iter().map(String::as_str));
            let present = names.zip(array(read)?).filter(|(_, value)| *value != Value::Nil);
            let pairs = present.map(|(name, value)| Ok((name.to_owned(), text(value)?)));
            pairs.collect::<Result<_, StoreError>>()?
        }
        Read::Everything => hash(read)?,
    };
    match fields.remove(MARKER) {
        None => Ok(Some(Answer::Gone)),
        Some(marker) if is_marker(&marker, id) => {
            Ok(Some(Answer::Live(Live { outcomes, fields })))
        }
        Some(_) => Ok(None),
    }
}

/// What one change came to. `None`: it has met a tombstone, and was not made.
fn read_outcome(
    op: &Op,
    mut next: impl FnMut() -> Result<Value, StoreError>,
) -> Result<Option<Outcome>, StoreError> {
    let is_refused = |reply: &Value| has_error(reply, ReplyError::WrongType);
    let value = |reply: Value| (reply != Value::Nil).then(|| text(reply)).transpose();
    Ok(match op {
        Op::Insert(..) => {
            let (before, done) = (next()?, next()?);
            if is_refused(&done) { None } else { Some(Outcome::Replaced(value(before)?)) }
        }
        Op::Remove(_) => {
            if is_refused(&next()?) {
                None
            } else {
                Some(Outcome::Done)
            }
        }
        Op::Increment(..) => match next()? {
            Value::Int(count) => Some(Outcome::Count(count)),
            reply if is_refused(&reply) => None,
            reply if has_error(&reply, ReplyError::NotAnInteger) => Some(Outcome::NotAnInteger),
            _ => return Err(nonsense("an increment got no number")),
        },
        Op::Take(_) => {
            // MULTI, HGET and HDEL are acknowledged; EXEC brings what they came to.
            for _ in 0..3 {
                next()?;
            }
            let taken = array(next()?)?.into_iter().next().unwrap_or(Value::Nil);
            if is_refused(&taken) { None } else { Some(Outcome::Taken(value(taken)?)) }
        }
    })
}

/// Whether the touch at the end changed nothing: the record has no time to live at all, or a longer
/// one.
pub(super) fn is_untouched(replies: &[Value]) -> bool {
    replies.last() == Some(&Value::Int(0))
}

/// Reads the answer to [`trace`].
pub(super) fn read_trace(replies: Vec<Value>) -> Result<Trace, StoreError> {
    let reply = replies.into_iter().next().ok_or_else(|| nonsense("a reply is missing"))?;
    what_stood(reply)
}

/// Reads the answer to [`rotate`].
pub(super) fn read_rotate(id: PublicId, replies: Vec<Value>) -> Result<Answer, StoreError> {
    let results = executed(replies)?;
    if results.first().is_some_and(|reply| has_error(reply, ReplyError::NoSuchKey)) {
        return Ok(Answer::Gone);
    }
    let moved = results.into_iter().nth(2);
    let moved = moved.ok_or_else(|| nonsense("a transaction came to too little"))?;
    if has_error(&moved, ReplyError::WrongType) {
        return Ok(Answer::Tombstone(Vec::new()));
    }
    let mut moved = array(moved)?.into_iter().map(|it| (it != Value::Nil).then(|| text(it)));
    let mut next = || moved.next().flatten().transpose();
    let is_live = next()?.is_some_and(|marker| is_marker(&marker, id));
    let fields = next()?.map(|user| (USER.to_owned(), user)).into_iter().collect();
    Ok(if is_live { Answer::Live(Live { outcomes: Vec::new(), fields }) } else { Answer::Gone })
}

/// Reads the answer to [`end`].
pub(super) fn read_end(replies: Vec<Value>) -> Result<Trace, StoreError> {
    let reply = executed(replies)?.into_iter().next();
    what_stood(reply.ok_or_else(|| nonsense("a transaction came to nothing"))?)
}

fn what_stood(reply: Value) -> Result<Trace, StoreError> {
    match reply {
        Value::Nil => Ok(Trace::Gone),
        reply if has_error(&reply, ReplyError::WrongType) => Ok(Trace::Live),
        // A string that is no tombstone of ours counts as one: nothing lives there.
        reply => Ok(read_successor(&text(reply)?).map_or(Trace::Ended, Trace::Rotated)),
    }
}

pub(super) fn is_marker(text: &str, id: PublicId) -> bool {
    PublicId::parse(text) == Some(id)
}

fn executed(replies: Vec<Value>) -> Result<Vec<Value>, StoreError> {
    array(replies.into_iter().next_back().ok_or_else(|| nonsense("a reply is missing"))?)
}

pub(super) fn array(reply: Value) -> Result<Vec<Value>, StoreError> {
    match reply {
        Value::Array(items) => Ok(items),
        _ => Err(nonsense("no list where one was due")),
    }
}

pub(super) fn hash(reply: Value) -> Result<Fields, StoreError> {
    let mut items = array(reply)?.into_iter();
    let mut fields = Fields::new();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        fields.insert(text(name)?, text(value)?);
    }
    Ok(fields)
}

/// What is not UTF-8 was not written by us; it is kept legible, and no JSON.
pub(super) fn text(reply: Value) -> Result<String, StoreError> {
    match reply {
        Value::BulkString(bytes) => Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())),
        Value::SimpleString(text) => Ok(text),
        Value::Int(number) => Ok(number.to_string()),
        _ => Err(nonsense("no text where one was due")),
    }
}

pub(super) fn nonsense(what: &str) -> StoreError {
    StoreError::unanswered(format!("Redis' reply makes no sense: {what}"))
}

/// The tombstone of a rotated secret: the successor's token_hash, and until when it is followed,
/// in milliseconds since the Unix epoch.
fn write_successor(successor: Successor) -> String {
    let until = unix(successor.until).as_millis();
    format!("{} {until}", successor.token_hash.encode())
}

fn read_successor(text: &str) -> Option<Successor> {
    let (token_hash, until) = text.split_once(' ')?;
    let token_hash = TokenHash::parse(token_hash)?;
    let until = Duration::from_millis(until.parse().ok()?);
    Some(Successor { token_hash, until: SystemTime::UNIX_EPOCH.checked_add(until)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successor_reads_what_it_wrote() {
        let token_hash = TokenHash::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        let until = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
        let successor = Successor { token_hash, until };
        assert_eq!(read_successor(&write_successor(successor)), Some(successor));
        for wrong in ["", " ", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA x", "A 1"] {
            assert_eq!(read_successor(wrong), None, "{wrong}");
        }
    }
}

//! Encodes the store's calls as commands.
//!
//! | call | pipeline | billed |
//! |---|---|---|
//! | create | `EVAL` of `EXISTS HSET EXPIRE` | 4 |
//! | update: read only | `HGETALL`, or `HMGET` of some fields | 1 |
//! | update: one increment or one removal | `HINCRBY` or `HDEL`, then as above | 2 |
//! | update: anything else | `EVAL` of `HGETALL`, and a command for each change | 2 and more |
//! | touch | `EVAL` of `HMGET HSET EXPIRE` | 4 |
//! | rotate | `EVAL` of `HGET HMGET EXISTS RENAME SET EXPIRE HSET` | 8 |
//! | destroy | `EVAL` of `HGET HGET DEL SET` | 5 |
//! | settle | `EVAL` of `HGET SET` | 3 |
//! | status | `HMGET` for each record | 1 for each |
//!
//! A live record is a hash and a tombstone is a string, so a write to a dead token fails with
//! `WRONGTYPE`, atomically and without a script.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use redis::ToRedisArgs;

use super::pipeline::Pipeline;
use super::scripts;
use crate::id::PublicId;
use crate::store::contract::TOMBSTONE_TTL;
use crate::store::logged_in::{LOGIN, USER};
use crate::store::record::{RecordId, Values};
use crate::store::rotation::Rotation;
use crate::store::time_to_live::TimeToLive;
use crate::store::update::{Op, Selection, Update};
use crate::time::unix;

/// The field that marks a hash as a session's record. Its value is the public id.
pub(super) const MARKER: &str = "@id";

/// The time at which the time to live was last set.
pub(super) const SEEN: &str = "@seen";

pub(super) const NOTHING: &[&str] = &[];

/// The range that Redis itself checks.
const ANY: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// How many fields a script sets at a time.
const CHUNK: usize = 1000;

/// The key of a record. The braces keep a session's keys in one cluster slot.
pub(super) fn key(prefix: &str, record: RecordId) -> String {
    let mut key = String::with_capacity(prefix.len() + 64);
    // Writing to a string cannot fail.
    let _ = write!(key, "{prefix}{{{}}}:", record.id);
    record.token_hash.encode_into(&mut key);
    key
}

/// Whole seconds, and at least one: `EXPIRE` with 0 deletes.
pub(super) fn seconds(ttl: Duration) -> u64 {
    ttl.as_secs().max(1)
}

pub(super) fn create(key: &str, id: PublicId, fields: &Values, ttl: Duration) -> Pipeline {
    let mut args = vec![seconds(ttl).to_string(), MARKER.to_owned(), id.to_string()];
    args.extend(fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
    let sets = (fields.len() + 1).div_ceil(CHUNK);
    script(scripts::CREATE, 2 + sets, &[key], args)
}

/// Encodes an update without a script. Returns `None` if it needs a script: it has more than one
/// change, or a change that is neither a removal nor an increment without a range. The write comes
/// before the read, because even an eventually consistent server keeps the order of one connection.
pub(super) fn plain_update(key: &str, update: &Update) -> Option<Pipeline> {
    let mut pipeline = Pipeline::default();
    match &update.ops[..] {
        [] => {}
        [Op::Increment { field, by, range }] if *range == ANY => {
            pipeline.command("HINCRBY", key, (field, by));
        }
        [Op::Remove(name)] => pipeline.command("HDEL", key, name),
        _ => return None,
    }
    match &update.read {
        Selection::Some(names) => pipeline.command("HMGET", key, (MARKER, SEEN, names)),
        Selection::All => pipeline.command("HGETALL", key, NOTHING),
    }
    Some(pipeline)
}

pub(super) fn script_update(key: &str, id: PublicId, update: &Update) -> Pipeline {
    let limit = update.max_size.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
    let (read, names) = match &update.read {
        Selection::All => ("all", &[][..]),
        Selection::Some(names) => ("some", &names[..]),
    };
    let mut args = vec![id.to_string(), limit, read.to_owned(), update.ops.len().to_string()];
    for op in &update.ops {
        let none = String::new;
        let (kind, value, condition) = match op {
            Op::Insert(_, value) => ("insert", value.clone(), none()),
            Op::Increment { by, range, .. } => {
                ("increment", by.to_string(), format!("{} {}", range.start(), range.end()))
            }
            Op::Remove(_) => ("remove", none(), none()),
            Op::Take(_) => ("take", none(), none()),
            Op::Clear => ("clear", none(), none()),
            Op::CompareExchange { current: None, new, .. } => ("add", new.clone(), none()),
            Op::CompareExchange { current: Some(text), new, .. } => {
                ("exchange", new.clone(), text.clone())
            }
        };
        args.extend([kind.to_owned(), op.field().to_owned(), value, condition]);
    }
    args.extend(names.iter().cloned());
    script(scripts::UPDATE, 1 + update.ops.len(), &[key], args)
}

pub(super) fn take_back(key: &str, id: PublicId, field: &str, sum: i64) -> Pipeline {
    script(scripts::TAKE_BACK, 3, &[key], (id.to_string(), field, sum))
}

pub(super) fn touch(key: &str, id: PublicId, seen: SystemTime, ttl: TimeToLive) -> Pipeline {
    let TimeToLive { idle, max } = ttl;
    let args = (id.to_string(), unix(seen).as_secs(), seconds(idle), seconds(max));
    script(scripts::TOUCH, 3, &[key], args)
}

pub(super) fn rotate(from: &str, to: &str, rotation: &Rotation) -> Pipeline {
    let user = rotation.user.as_ref().map_or("", |login| login.name.as_str());
    let mut args = vec![
        rotation.from.id.to_string(),
        seconds(TOMBSTONE_TTL).to_string(),
        seconds(rotation.ttl.idle).to_string(),
        user.to_owned(),
        seconds(rotation.ttl.max).to_string(),
    ];
    if let Some(seen) = rotation.seen {
        args.extend([SEEN.to_owned(), unix(seen).as_secs().to_string()]);
    }
    if let Some(login) = &rotation.user {
        args.extend(login.fields().into_iter().flat_map(|(name, value)| [name, value]));
    }
    args.extend(rotation.fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
    let sets = ((args.len() - 5) / 2).div_ceil(CHUNK);
    script(scripts::ROTATE, 6 + sets, &[from, to], args)
}

pub(super) fn destroy(key: &str, id: PublicId, user: Option<&str>) -> Pipeline {
    let args = (id.to_string(), seconds(TOMBSTONE_TTL), user.unwrap_or_default());
    script(scripts::DESTROY, 4, &[key], args)
}

pub(super) fn delete_orphan(pipeline: &mut Pipeline, key: &str, id: PublicId) {
    pipeline.script(scripts::DELETE_ORPHAN, 2, &[key], id.to_string());
}

/// Writes a tombstone, unless the record or a tombstone exists.
pub(super) fn settle(key: &str, id: PublicId) -> Pipeline {
    script(scripts::SETTLE, 2, &[key], (id.to_string(), seconds(TOMBSTONE_TTL)))
}

/// Reads a tombstone.
pub(super) fn death(key: &str) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.command("GET", key, NOTHING);
    pipeline
}

pub(super) fn status<'k>(keys: impl Iterator<Item = &'k str>) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for key in keys {
        pipeline.command("HMGET", key, (MARKER, SEEN, USER, LOGIN));
    }
    pipeline
}

fn script(text: &'static str, commands: usize, keys: &[&str], args: impl ToRedisArgs) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.script(text, commands, keys, args);
    pipeline
}

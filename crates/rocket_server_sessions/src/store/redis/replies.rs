//! Reads the replies to the commands of the store's calls.

use std::time::SystemTime;

use redis::Value;

use super::commands::{MARKER, SEEN};
use super::reply_error::{ReplyError, has_error};
use crate::id::PublicId;
use crate::store::contract::{DestroyResult, RecordStatus};
use crate::store::error::StoreError;
use crate::store::logged_in::{LOGIN, LoggedIn, USER};
use crate::store::record::{Death, RecordId, Values};
use crate::store::rotation::RotateResult;
use crate::store::update::{Applied, Op, OpResult, Selection, Update, UpdateResult};
use crate::time::from_unix;

/// The tombstone of a session that was destroyed. Any other text is the tombstone of a rotated
/// token.
const DESTROYED: &str = "destroyed";

/// The meaning of the replies to a `plain_update`.
pub(super) enum PlainReply {
    /// The record is live.
    Applied(Applied),
    /// There is a tombstone, or something else that is not a hash. Nothing was changed.
    NoHash,
    /// The change was applied, but the session was rotated or destroyed before the fields were
    /// read.
    Late(Vec<OpResult>),
    /// There is no record.
    Gone,
    /// The record or the reply is that of another session.
    Foreign,
}

/// Reads the reply to `create` or `settle`: whether the record is live.
pub(super) fn read_is_live(replies: Vec<Value>) -> Result<bool, StoreError> {
    Ok(Answer::read(replies)?.found == "live")
}

/// Reads the reply to `take_back`: whether the increment was taken back.
pub(super) fn read_take_back(replies: Vec<Value>) -> Result<bool, StoreError> {
    Ok(Answer::read(replies)?.text()?.as_deref() == Some("1"))
}

pub(super) fn read_plain_update(
    id: PublicId,
    update: &Update,
    replies: Vec<Value>,
) -> Result<PlainReply, StoreError> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().ok_or_else(|| nonsense("a reply is missing"));
    let mut results = Vec::with_capacity(update.ops.len());
    for op in &update.ops {
        results.push(match next()? {
            reply if has_error(&reply, ReplyError::WrongType) => {
                return Ok(PlainReply::NoHash);
            }
            Value::Int(count) if matches!(op, Op::Increment { .. }) => OpResult::Count(count),
            reply if has_error(&reply, ReplyError::NotAnInteger) => OpResult::NotAnInteger,
            reply if has_error(&reply, ReplyError::Overflow) => OpResult::OutOfRange,
            Value::Int(_) => OpResult::Done,
            _ => return Err(nonsense("expected a number for a change")),
        });
    }
    let read = next()?;
    if has_error(&read, ReplyError::WrongType) {
        let is_late = matches!(results[..], [OpResult::Count(_) | OpResult::Done]);
        return Ok(if is_late { PlainReply::Late(results) } else { PlainReply::NoHash });
    }
    let mut fields = match &update.read {
        Selection::Some(names) => {
            let names = [MARKER, SEEN].into_iter().chain(names.iter().map(String::as_str));
            let present = names.zip(array(read)?).filter(|(_, value)| *value != Value::Nil);
            let pairs = present.map(|(name, value)| Ok((name.to_owned(), text(value)?)));
            pairs.collect::<Result<_, StoreError>>()?
        }
        Selection::All => hash(read)?,
    };
    Ok(match fields.remove(MARKER) {
        None => PlainReply::Gone,
        Some(marker) if is_marker(&marker, id) => {
            let seen = fields.remove(SEEN).and_then(|it| read_seen(&it));
            // Another increment may have happened between the two commands. Each update returns its
            // own sum.
            for (op, result) in update.ops.iter().zip(&results) {
                let is_read = match &update.read {
                    Selection::All => true,
                    Selection::Some(names) => names.iter().any(|name| name == op.field()),
                };
                if let (OpResult::Count(sum), true) = (result, is_read) {
                    fields.insert(op.field().to_owned(), sum.to_string());
                }
            }
            PlainReply::Applied(Applied { results, fields, seen })
        }
        Some(_) => PlainReply::Foreign,
    })
}

pub(super) fn read_script_update(
    update: &Update,
    replies: Vec<Value>,
) -> Result<UpdateResult, StoreError> {
    let mut answer = Answer::read(replies)?;
    Ok(match answer.found.as_str() {
        "live" => {
            let seen = answer.text()?.and_then(|it| read_seen(&it));
            let results = array(answer.next()?)?;
            let results = update.ops.iter().zip(results).map(|(op, it)| read_result(op, it));
            let results = results.collect::<Result<_, _>>()?;
            let mut fields = hash(answer.next()?)?;
            fields.remove(MARKER);
            fields.remove(SEEN);
            UpdateResult::Applied(Applied { results, fields, seen })
        }
        "large" => {
            let size = answer.text()?.and_then(|it| it.parse().ok());
            UpdateResult::TooLarge(size.ok_or_else(|| nonsense("no size"))?)
        }
        "dead" => UpdateResult::Dead(answer.death()?),
        _ => UpdateResult::Gone,
    })
}

fn read_result(op: &Op, reply: Value) -> Result<OpResult, StoreError> {
    Ok(match op {
        Op::Insert(..) | Op::Remove(_) | Op::Clear => OpResult::Done,
        Op::Take(_) => OpResult::Taken(optional(reply)?),
        Op::CompareExchange { .. } => match reply {
            Value::Array(mut text) => {
                OpResult::Changed(optional(text.pop().unwrap_or(Value::Nil))?)
            }
            _ => OpResult::Done,
        },
        Op::Increment { .. } => match reply {
            Value::Array(_) => OpResult::OutOfRange,
            Value::Nil => OpResult::NotAnInteger,
            sum => OpResult::Count(number(sum)?),
        },
    })
}

pub(super) fn read_rotate(replies: Vec<Value>) -> Result<RotateResult, StoreError> {
    let mut answer = Answer::read(replies)?;
    Ok(match answer.found.as_str() {
        "live" => RotateResult::Rotated,
        "other" => RotateResult::OtherUser(answer.text()?.unwrap_or_default()),
        "barred" => RotateResult::Barred,
        "dead" => RotateResult::Dead(answer.death()?),
        _ => RotateResult::Gone,
    })
}

pub(super) fn read_destroy(replies: Vec<Value>) -> Result<DestroyResult, StoreError> {
    let mut answer = Answer::read(replies)?;
    Ok(match answer.found.as_str() {
        "live" => DestroyResult::Destroyed(answer.text()?),
        "other" => DestroyResult::NotTheirs,
        "dead" => DestroyResult::Dead(answer.death()?),
        _ => DestroyResult::Gone,
    })
}

/// Reads the reply to `death`. `None` if there is no tombstone.
pub(super) fn read_death(replies: Vec<Value>) -> Result<Option<Death>, StoreError> {
    match last(replies)? {
        Value::Nil => Ok(None),
        reply if has_error(&reply, ReplyError::WrongType) => Ok(None),
        reply => Ok(Some(death_of(&text(reply)?))),
    }
}

pub(super) fn read_status(
    records: &[RecordId],
    replies: Vec<Value>,
) -> Result<Vec<RecordStatus>, StoreError> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().ok_or_else(|| nonsense("a reply is missing"));
    records.iter().map(|record| read_one_status(record.id, next()?)).collect()
}

fn read_one_status(id: PublicId, fields: Value) -> Result<RecordStatus, StoreError> {
    if has_error(&fields, ReplyError::WrongType) {
        return Ok(RecordStatus::Dead);
    }
    let mut fields = array(fields)?.into_iter();
    let mut next = || optional(fields.next().unwrap_or(Value::Nil));
    let (marker, seen, user, login) = (next()?, next()?, next()?, next()?);
    if !marker.is_some_and(|marker| is_marker(&marker, id)) {
        return Ok(RecordStatus::Gone);
    }
    let names = [(USER, user), (LOGIN, login)].into_iter();
    let fields = names.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let seen = seen.and_then(|it| read_seen(&it));
    Ok(RecordStatus::Live { seen, user: LoggedIn::from_fields(&fields) })
}

/// The reply of a script.
pub(super) struct Answer {
    pub(super) found: String,
    rest: std::vec::IntoIter<Value>,
}

impl Answer {
    pub(super) fn read(replies: Vec<Value>) -> Result<Self, StoreError> {
        let mut rest = array(last(replies)?)?.into_iter();
        let found = text(rest.next().unwrap_or(Value::Nil))?;
        Ok(Self { found, rest })
    }

    fn next(&mut self) -> Result<Value, StoreError> {
        self.rest.next().ok_or_else(|| nonsense("a script returned too little"))
    }

    pub(super) fn text(&mut self) -> Result<Option<String>, StoreError> {
        optional(self.rest.next().unwrap_or(Value::Nil))
    }

    fn death(&mut self) -> Result<Death, StoreError> {
        Ok(death_of(&self.text()?.unwrap_or_default()))
    }
}

/// Any string counts as a tombstone.
fn death_of(text: &str) -> Death {
    if text == DESTROYED { Death::Destroyed } else { Death::Rotated }
}

fn read_seen(text: &str) -> Option<SystemTime> {
    text.parse().ok().map(from_unix)
}

fn is_marker(text: &str, id: PublicId) -> bool {
    PublicId::parse(text) == Some(id)
}

fn last(replies: Vec<Value>) -> Result<Value, StoreError> {
    replies.into_iter().next_back().ok_or_else(|| nonsense("a reply is missing"))
}

fn array(reply: Value) -> Result<Vec<Value>, StoreError> {
    match reply {
        Value::Array(items) => Ok(items),
        _ => Err(nonsense("expected a list")),
    }
}

pub(super) fn hash(reply: Value) -> Result<Values, StoreError> {
    let mut items = array(reply)?.into_iter();
    let mut fields = Values::new();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        fields.insert(text(name)?, text(value)?);
    }
    Ok(fields)
}

fn number(reply: Value) -> Result<i64, StoreError> {
    text(reply)?.parse().map_err(|_| nonsense("a sum is not a number"))
}

fn optional(reply: Value) -> Result<Option<String>, StoreError> {
    (reply != Value::Nil).then(|| text(reply)).transpose()
}

/// Invalid UTF-8, which this crate never writes, is replaced.
fn text(reply: Value) -> Result<String, StoreError> {
    match reply {
        Value::BulkString(bytes) => Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())),
        Value::SimpleString(text) => Ok(text),
        Value::Int(number) => Ok(number.to_string()),
        _ => Err(nonsense("expected text")),
    }
}

pub(super) fn nonsense(what: &str) -> StoreError {
    StoreError::outcome_unknown(format!("unexpected reply from Redis: {what}"))
}

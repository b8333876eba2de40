//! The entries in the file, in a transaction.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rusqlite::types::Type;
use rusqlite::{Error, OptionalExtension, Transaction, params};

use super::database::millis;

use crate::store::entries::{Entries, Key, Record, Value};
use crate::store::record::{Death, RecordId, Values};
use crate::time::{from_unix, unix};

/// Times are in Unix seconds, `expires` in milliseconds.
pub(super) const SCHEMA: &str = "
    CREATE TABLE entry (
        -- <public id>:<token hash>, or user:<name>
        key TEXT PRIMARY KEY NOT NULL,
        -- session, destroyed, rotated or user
        kind TEXT NOT NULL,
        -- A JSON object: of a session, its fields; of a user, the time of each of their sessions.
        content TEXT NOT NULL,
        seen INTEGER,
        expires INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX entry_expires ON entry (expires);
";

const SESSION: &str = "session";
const DESTROYED: &str = "destroyed";
const ROTATED: &str = "rotated";
const USER: &str = "user";

/// The entries of the file that have not expired.
pub(super) struct Rows<'c> {
    transaction: Transaction<'c>,
    now: i64,
}

impl<'c> Rows<'c> {
    pub(super) fn new(transaction: Transaction<'c>, now: SystemTime) -> Self {
        Self { transaction, now: millis(now) }
    }

    pub(super) fn commit(self) -> Result<(), Error> {
        self.transaction.commit()
    }

    pub(super) fn has_expired(&self) -> Result<bool, Error> {
        let exists = "SELECT 1 FROM entry WHERE expires <= ?1";
        self.transaction.prepare_cached(exists)?.exists([self.now])
    }

    /// Deletes at most so many entries that have expired.
    pub(super) fn delete_expired(&self, limit: usize) -> Result<(), Error> {
        let mut delete = self.transaction.prepare_cached(
            "DELETE FROM entry WHERE rowid IN
                 (SELECT rowid FROM entry WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        )?;
        delete.execute(params![self.now, i64::try_from(limit).unwrap_or(i64::MAX)]).map(drop)
    }

    fn expiry(&self, ttl: Duration) -> i64 {
        self.now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Entries for Rows<'_> {
    type Error = Error;

    fn edit<T>(
        &mut self,
        key: &Key,
        edit: impl FnOnce(&mut Value) -> T,
    ) -> Result<Option<T>, Error> {
        let key = text(key);
        let mut select = self.transaction.prepare_cached(
            "SELECT kind, content, seen FROM entry WHERE key = ?1 AND expires > ?2",
        )?;
        let row = select.query_row(params![key, self.now], |row| {
            Ok(Row { kind: row.get(0)?, content: row.get(1)?, seen: row.get(2)? })
        });
        let Some(old) = row.optional()? else { return Ok(None) };
        let mut value = match old.decode() {
            Ok(value) => value,
            Err(error) if old.kind == USER => return Err(error),
            Err(error) => {
                log::warn!("the session {key} is damaged, and is replaced by a new one: {error}");
                return Ok(None);
            }
        };
        let result = edit(&mut value);
        let new = Row::encode(&value)?;
        if new != old {
            let mut update = self
                .transaction
                .prepare_cached("UPDATE entry SET content = ?2, seen = ?3 WHERE key = ?1")?;
            update.execute(params![key, new.content, new.seen])?;
        }
        Ok(Some(result))
    }

    fn put(&mut self, key: Key, value: Value, ttl: Duration) -> Result<(), Error> {
        let Row { kind, content, seen } = Row::encode(&value)?;
        let mut insert = self.transaction.prepare_cached(
            "INSERT OR REPLACE INTO entry (key, kind, content, seen, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        insert.execute(params![text(&key), kind, content, seen, self.expiry(ttl)]).map(drop)
    }

    fn expire(&mut self, key: &Key, ttl: Duration) -> Result<(), Error> {
        let mut update =
            self.transaction.prepare_cached("UPDATE entry SET expires = ?2 WHERE key = ?1")?;
        update.execute(params![text(key), self.expiry(ttl)]).map(drop)
    }

    fn remove(&mut self, key: &Key) -> Result<(), Error> {
        let mut delete = self.transaction.prepare_cached("DELETE FROM entry WHERE key = ?1")?;
        delete.execute([text(key)]).map(drop)
    }
}

/// The columns that hold a value.
#[derive(PartialEq, Eq)]
struct Row {
    kind: String,
    content: String,
    seen: Option<i64>,
}

impl Row {
    fn encode(value: &Value) -> Result<Self, Error> {
        let json = |content: &BTreeMap<String, _>| serde_json::to_string(content);
        Ok(match value {
            Value::Record(Record { fields, seen }) => Self {
                kind: SESSION.to_owned(),
                content: serde_json::to_string(fields).map_err(unwritable)?,
                seen: seen.map(seconds),
            },
            Value::Tombstone(death) => {
                let kind = match death {
                    Death::Destroyed => DESTROYED,
                    Death::Rotated => ROTATED,
                };
                Self { kind: kind.to_owned(), content: "{}".to_owned(), seen: None }
            }
            Value::Index(index) => {
                let index =
                    index.iter().map(|(record, written)| (record.encode(), seconds(*written)));
                let content = json(&index.collect()).map_err(unwritable)?;
                Self { kind: USER.to_owned(), content, seen: None }
            }
        })
    }

    fn decode(&self) -> Result<Value, Error> {
        match self.kind.as_str() {
            SESSION => {
                let fields: Values = serde_json::from_str(&self.content).map_err(damaged)?;
                Ok(Value::Record(Record { fields, seen: self.seen.map(time) }))
            }
            DESTROYED => Ok(Value::Tombstone(Death::Destroyed)),
            ROTATED => Ok(Value::Tombstone(Death::Rotated)),
            USER => {
                let index: BTreeMap<String, i64> =
                    serde_json::from_str(&self.content).map_err(damaged)?;
                let entry = |(record, written): (String, i64)| {
                    Some((RecordId::parse(&record)?, time(written)))
                };
                let index = index.into_iter().map(entry).collect::<Option<_>>();
                Ok(Value::Index(index.ok_or_else(|| damaged("not the id of a record"))?))
            }
            _ => Err(damaged("an unknown kind")),
        }
    }
}

fn text(key: &Key) -> String {
    match key {
        Key::Record(record) => record.encode(),
        Key::Index(user) => format!("user:{user}"),
    }
}

fn seconds(time: SystemTime) -> i64 {
    i64::try_from(unix(time).as_secs()).unwrap_or(i64::MAX)
}

fn time(seconds: i64) -> SystemTime {
    from_unix(u32::try_from(seconds).unwrap_or_default())
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::ToSqlConversionFailure(Box::new(error))
}

fn damaged(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(1, Type::Text, why.into())
}

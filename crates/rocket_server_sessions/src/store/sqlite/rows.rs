//! The entries in the file, in a transaction.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rusqlite::types::Type;
use rusqlite::{Error, OptionalExtension, Transaction, params};

use crate::store::entries::{Entries, Key, Record, Value};
use crate::store::logged_in::LoggedIn;
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

/// What to do about a damaged entry.
const ADVICE: &str = "If this is logged repeatedly, check the disk, and run \
                      `PRAGMA integrity_check` on the file";

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

    /// Deletes up to this many expired entries.
    pub(super) fn delete_expired(&self, limit: usize) -> Result<(), Error> {
        let mut delete = self.transaction.prepare_cached(
            "DELETE FROM entry WHERE rowid IN
                 (SELECT rowid FROM entry WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        )?;
        delete.execute(params![self.now, i64::try_from(limit).unwrap_or(i64::MAX)]).map(drop)
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        let mut delete = self.transaction.prepare_cached("DELETE FROM entry WHERE key = ?1")?;
        delete.execute([key]).map(drop)
    }

    /// A user's list of sessions, found by reading all sessions.
    fn sessions_of(&self, user: &str) -> Result<Value, Error> {
        let mut select = self.transaction.prepare(
            "SELECT kind, content, seen, key FROM entry WHERE kind = ?1 AND expires > ?2",
        )?;
        let mut rows = select.query(params![SESSION, self.now])?;
        let mut index = BTreeMap::new();
        while let Some(row) = rows.next()? {
            // A session that cannot be read no longer counts as the user's.
            let (Ok(read), Ok(key)) = (Row::read(row), row.get::<_, String>(3)) else { continue };
            if let (Ok(Value::Record(found)), Some(record)) = (read.decode(), RecordId::parse(&key))
                && let Some(login) = LoggedIn::from_fields(&found.fields)
                && login.name == user
            {
                index.insert(record, login.logged_in_at);
            }
        }
        Ok(Value::Index(index))
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
        let (index_of, key) = (user(key), text(key));
        let mut select = self.transaction.prepare_cached(
            "SELECT kind, content, seen FROM entry WHERE key = ?1 AND expires > ?2",
        )?;
        let row = select.query_row(params![key, self.now], |row| Ok(Row::read(row))).optional()?;
        let Some(old) = row else { return Ok(None) };
        let (old, mut value) = match (old.and_then(|it| Ok((it.decode()?, it))), index_of) {
            (Ok((value, old)), _) => (Some(old), value),
            (Err(error), Some(user)) => {
                log::error!(
                    "a user's list of sessions in SQLite is damaged ({error}). It is rebuilt from \
                     the sessions in the file. {ADVICE}"
                );
                (None, self.sessions_of(user)?)
            }
            (Err(error), None) => {
                log::error!(
                    "the session {key} in SQLite is damaged ({error}). It is deleted, and its visitor \
                     begins a new one. {ADVICE}"
                );
                self.delete(&key)?;
                return Ok(None);
            }
        };
        let result = edit(&mut value);
        let new = Row::encode(&value)?;
        if old.as_ref() != Some(&new) {
            let mut update = self.transaction.prepare_cached(
                "UPDATE entry SET kind = ?2, content = ?3, seen = ?4 WHERE key = ?1",
            )?;
            update.execute(params![key, new.kind, new.content, new.seen])?;
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
        self.delete(&text(key))
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
    /// Reads the first three columns. An error means that they are damaged.
    fn read(row: &rusqlite::Row<'_>) -> Result<Self, Error> {
        Ok(Self { kind: row.get(0)?, content: row.get(1)?, seen: row.get(2)? })
    }

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
                let fields: Values =
                    serde_json::from_str(&self.content).map_err(|error| malformed(&error))?;
                Ok(Value::Record(Record { fields, seen: self.seen.map(time) }))
            }
            DESTROYED => Ok(Value::Tombstone(Death::Destroyed)),
            ROTATED => Ok(Value::Tombstone(Death::Rotated)),
            USER => {
                let index: BTreeMap<String, i64> =
                    serde_json::from_str(&self.content).map_err(|error| malformed(&error))?;
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

/// The user, if the key is that of a list of sessions.
fn user(key: &Key) -> Option<&str> {
    match key {
        Key::Record(_) => None,
        Key::Index(user) => Some(user),
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

/// Omits the text of the error, which may quote the session's data.
fn malformed(error: &serde_json::Error) -> Error {
    damaged(format!("not the JSON expected, at column {}", error.column()))
}

fn damaged(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(1, Type::Text, why.into())
}

/// Milliseconds since the Unix epoch.
fn millis(time: SystemTime) -> i64 {
    i64::try_from(crate::time::unix(time).as_millis()).unwrap_or(i64::MAX)
}

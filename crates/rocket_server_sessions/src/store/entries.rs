//! The contract of [`Store`](super::Store) over a map of entries with expiry, for stores that hold
//! a lock or a transaction during each call.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::contract::{DestroyResult, RecordStatus, TOMBSTONE_TTL};
use super::logged_in::{LoggedIn, USER};
use super::record::{Death, IndexEntry, RecordId, Values};
use super::rotation::{RotateResult, Rotation};
use super::time_to_live::TimeToLive;
use super::update::{Update, UpdateResult};
use crate::time::whole_seconds;

/// The key of an entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Record(RecordId),
    Index(String),
}

/// What an entry holds.
pub(super) enum Value {
    Record(Record),
    Tombstone(Death),
    Index(BTreeMap<RecordId, SystemTime>),
}

#[derive(Clone)]
pub(super) struct Record {
    pub(super) fields: Values,
    pub(super) seen: Option<SystemTime>,
}

impl Value {
    fn index(&self) -> Vec<IndexEntry> {
        let Self::Index(index) = self else { return Vec::new() };
        index.iter().map(|(&record, &written)| IndexEntry { record, written }).collect()
    }
}

/// Why there is no record.
pub(super) enum Absent {
    Dead(Death),
    Gone,
}

/// The entries of a store that have not expired, while nothing else can change them.
///
/// A store provides the first four methods. The others are the calls of the contract.
pub(super) trait Entries {
    type Error;

    /// Reads or changes the value of an entry, and keeps its expiry. Returns `None` if there is no
    /// such entry.
    fn edit<T>(
        &mut self,
        key: &Key,
        edit: impl FnOnce(&mut Value) -> T,
    ) -> Result<Option<T>, Self::Error>;

    /// Creates or replaces an entry.
    fn put(&mut self, key: Key, value: Value, ttl: Duration) -> Result<(), Self::Error>;

    /// Changes how long an entry lives, if there is one.
    fn expire(&mut self, key: &Key, ttl: Duration) -> Result<(), Self::Error>;

    /// Removes an entry, if there is one.
    fn remove(&mut self, key: &Key) -> Result<(), Self::Error>;

    fn create(
        &mut self,
        record: RecordId,
        fields: &Values,
        ttl: Duration,
    ) -> Result<bool, Self::Error> {
        let key = Key::Record(record);
        let is_free = self.edit(&key, |_| ())?.is_none();
        if is_free {
            let record = Record { fields: fields.clone(), seen: None };
            self.put(key, Value::Record(record), ttl)?;
        }
        Ok(is_free)
    }

    fn update(&mut self, record: RecordId, update: &Update) -> Result<UpdateResult, Self::Error> {
        let apply = |Record { fields, seen }: &mut Record| update.apply(fields, *seen);
        Ok(match self.edit_record(record, apply)? {
            Ok(result) => result,
            Err(Absent::Dead(death)) => UpdateResult::Dead(death),
            Err(Absent::Gone) => UpdateResult::Gone,
        })
    }

    fn touch(
        &mut self,
        record: RecordId,
        seen: SystemTime,
        ttl: TimeToLive,
    ) -> Result<(), Self::Error> {
        let touched = self.edit_record(record, |record| {
            record.seen = Some(whole_seconds(seen));
            ttl.of(&record.fields)
        })?;
        match touched {
            Ok(ttl) => self.expire(&Key::Record(record), ttl),
            Err(_) => Ok(()),
        }
    }

    fn rotate(&mut self, rotation: &Rotation) -> Result<RotateResult, Self::Error> {
        let Rotation { from, to, ttl, seen, user, fields } = rotation;
        let new = Key::Record(RecordId { token_hash: *to, ..*from });
        let mut record = match self.edit_record(*from, |record| record.clone())? {
            Ok(record) => record,
            Err(Absent::Dead(death)) => return Ok(RotateResult::Dead(death)),
            Err(Absent::Gone) => return Ok(RotateResult::Gone),
        };
        if let (Some(before), Some(login)) = (record.fields.get(USER), user)
            && *before != login.name
        {
            self.bury(*from, Death::Destroyed)?;
            return Ok(RotateResult::OtherUser(before.clone()));
        }
        if self.edit(&new, |_| ())?.is_some() {
            return Ok(RotateResult::Barred);
        }
        record.seen = seen.map(whole_seconds).or(record.seen);
        if let Some(login) = user {
            record.fields.extend(login.fields());
        }
        record.fields.extend(fields.clone());
        let ttl = ttl.of(&record.fields);
        // Put the tombstone first: if the store is full, the record may evict it, but never the
        // other way round.
        self.bury(*from, Death::Rotated)?;
        self.put(new, Value::Record(record), ttl)?;
        Ok(RotateResult::Rotated)
    }

    fn destroy(
        &mut self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, Self::Error> {
        let owner = match self.edit_record(record, |live| live.fields.get(USER).cloned())? {
            Ok(owner) => owner,
            Err(Absent::Dead(death)) => return Ok(DestroyResult::Dead(death)),
            Err(Absent::Gone) => return Ok(DestroyResult::Gone),
        };
        if user.is_some() && owner.as_deref() != user {
            return Ok(DestroyResult::NotTheirs);
        }
        self.bury(record, Death::Destroyed)?;
        Ok(DestroyResult::Destroyed(owner))
    }

    fn settle(&mut self, record: RecordId) -> Result<bool, Self::Error> {
        Ok(match self.edit_record(record, |_| ())? {
            Ok(()) => true,
            Err(Absent::Dead(_)) => false,
            Err(Absent::Gone) => {
                self.bury(record, Death::Destroyed)?;
                false
            }
        })
    }

    fn status(&mut self, records: &[RecordId]) -> Result<Vec<RecordStatus>, Self::Error> {
        let live = |Record { fields, seen }: &mut Record| RecordStatus::Live {
            seen: *seen,
            user: LoggedIn::from_fields(fields),
        };
        let status = |record: &RecordId| {
            Ok(match self.edit_record(*record, live)? {
                Ok(status) => status,
                Err(Absent::Dead(_)) => RecordStatus::Dead,
                Err(Absent::Gone) => RecordStatus::Gone,
            })
        };
        records.iter().map(status).collect()
    }

    fn index_add(
        &mut self,
        user: &str,
        entry: &IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, Self::Error> {
        let (key, written) = (Key::Index(user.to_owned()), whole_seconds(entry.written));
        let added = self.edit(&key, |value| {
            if let Value::Index(index) = value {
                index.insert(entry.record, written);
            }
            value.index()
        })?;
        if let Some(all) = added {
            self.expire(&key, ttl)?;
            return Ok(all);
        }
        let value = Value::Index([(entry.record, written)].into());
        let all = value.index();
        self.put(key, value, ttl)?;
        Ok(all)
    }

    fn index(&mut self, user: &str) -> Result<Vec<IndexEntry>, Self::Error> {
        let index = self.edit(&Key::Index(user.to_owned()), |value| value.index())?;
        Ok(index.unwrap_or_default())
    }

    fn index_remove(&mut self, user: &str, records: &[RecordId]) -> Result<(), Self::Error> {
        let key = Key::Index(user.to_owned());
        let is_empty = self.edit(&key, |value| match value {
            Value::Index(index) => {
                index.retain(|record, _| !records.contains(record));
                index.is_empty()
            }
            _ => false,
        })?;
        if is_empty == Some(true) { self.remove(&key) } else { Ok(()) }
    }

    /// Leaves a tombstone in the place of a record.
    fn bury(&mut self, record: RecordId, death: Death) -> Result<(), Self::Error> {
        self.put(Key::Record(record), Value::Tombstone(death), TOMBSTONE_TTL)
    }

    /// Reads or changes a live record.
    fn edit_record<T>(
        &mut self,
        record: RecordId,
        edit: impl FnOnce(&mut Record) -> T,
    ) -> Result<Result<T, Absent>, Self::Error> {
        let found = self.edit(&Key::Record(record), |value| match value {
            Value::Record(record) => Ok(edit(record)),
            Value::Tombstone(death) => Err(Absent::Dead(*death)),
            Value::Index(_) => Err(Absent::Gone),
        })?;
        Ok(found.unwrap_or(Err(Absent::Gone)))
    }
}

//! An in-memory store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::contract::{DestroyResult, RecordStatus, Store, TOMBSTONE_TTL};
use super::error::StoreError;
use super::logged_in::{LoggedIn, USER};
use super::record::{Death, IndexEntry, RecordId, Values};
use super::rotation::{RotateResult, Rotation};
use super::time_to_live::TimeToLive;
use super::update::{Update, UpdateResult};
use crate::clock::{Clock, SystemClock};
use crate::time::whole_seconds;

/// An in-memory store of limited capacity.
///
/// For development and tests: sessions are lost when the process stops, and are not shared with
/// other processes. A full store evicts the tombstone that expires first, or else the entry that
/// expires first.
///
/// ```
/// use rocket_server_sessions::Session;
/// use rocket_server_sessions::store::Memory;
///
/// let rocket = rocket::build().attach(Session::fairing().store(Memory::new(1000)));
/// ```
pub struct Memory {
    clock: Arc<dyn Clock>,
    entries: Mutex<Entries>,
}

struct Entries {
    capacity: usize,
    by_key: HashMap<Key, Entry>,
    by_expiry: BTreeSet<(SystemTime, Key)>,
    /// The tombstones in `by_expiry`.
    tombstones: BTreeSet<(SystemTime, Key)>,
}

/// The key of an entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Record(RecordId),
    Index(String),
}

struct Entry {
    value: Value,
    expires: SystemTime,
}

enum Value {
    Record(Record),
    Tombstone(Death),
    Index(BTreeMap<RecordId, SystemTime>),
}

struct Record {
    fields: Values,
    seen: Option<SystemTime>,
}

impl Memory {
    /// A store for at most `capacity` entries: records, tombstones and indexes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::with_clock(capacity, SystemClock)
    }

    /// A store whose records expire by `clock`.
    #[must_use]
    pub fn with_clock(capacity: usize, clock: impl Clock) -> Self {
        let entries = Entries {
            capacity: capacity.max(1),
            by_key: HashMap::new(),
            by_expiry: BTreeSet::new(),
            tombstones: BTreeSet::new(),
        };
        Self { clock: Arc::new(clock), entries: Mutex::new(entries) }
    }

    /// The number of entries that have not expired, including tombstones and indexes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|entries, _| entries.by_key.len())
    }

    /// Returns `true` if there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes expired entries, then runs `work`.
    fn with<T>(&self, work: impl FnOnce(&mut Entries, SystemTime) -> T) -> T {
        let now = self.clock.now();
        let mut entries = self.entries.lock();
        entries.purge(now);
        work(&mut entries, now)
    }
}

/// Why there is no record.
enum Absent {
    Dead(Death),
    Gone,
}

impl Entries {
    fn purge(&mut self, now: SystemTime) {
        while let Some((expires, key)) = self.by_expiry.first()
            && *expires <= now
        {
            self.take(&key.clone());
        }
    }

    /// Evicts an entry. Tombstones go first, because a missing record cannot come back anyway.
    fn evict(&mut self) {
        if let Some((_, key)) = self.tombstones.first().or(self.by_expiry.first()) {
            self.take(&key.clone());
        }
    }

    fn record(&mut self, record: RecordId) -> Result<&mut Record, Absent> {
        match self.by_key.get_mut(&Key::Record(record)) {
            Some(Entry { value: Value::Record(record), .. }) => Ok(record),
            Some(Entry { value: Value::Tombstone(death), .. }) => Err(Absent::Dead(*death)),
            _ => Err(Absent::Gone),
        }
    }

    fn take(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.by_key.remove(key)?;
        let at = (entry.expires, key.clone());
        self.by_expiry.remove(&at);
        self.tombstones.remove(&at);
        Some(entry)
    }

    fn put(&mut self, key: Key, value: Value, expires: SystemTime) {
        self.take(&key);
        while self.by_key.len() >= self.capacity {
            self.evict();
        }
        if matches!(value, Value::Tombstone(_)) {
            self.tombstones.insert((expires, key.clone()));
        }
        self.by_expiry.insert((expires, key.clone()));
        self.by_key.insert(key, Entry { value, expires });
    }

    fn bury(&mut self, record: RecordId, death: Death, now: SystemTime) {
        self.put(Key::Record(record), Value::Tombstone(death), now + TOMBSTONE_TTL);
    }

    fn index(&self, user: &str) -> BTreeMap<RecordId, SystemTime> {
        match self.by_key.get(&Key::Index(user.to_owned())) {
            Some(Entry { value: Value::Index(index), .. }) => index.clone(),
            _ => BTreeMap::new(),
        }
    }
}

fn list(index: &BTreeMap<RecordId, SystemTime>) -> Vec<IndexEntry> {
    index.iter().map(|(&record, &written)| IndexEntry { record, written }).collect()
}

#[rocket::async_trait]
impl Store for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn create(
        &self,
        record: RecordId,
        fields: &Values,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let key = Key::Record(record);
        Ok(self.with(|entries, now| {
            let is_free = !entries.by_key.contains_key(&key);
            if is_free {
                let record = Record { fields: fields.clone(), seen: None };
                entries.put(key, Value::Record(record), now + ttl);
            }
            is_free
        }))
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        Ok(self.with(|entries, _| match entries.record(record) {
            Ok(Record { fields, seen }) => update.apply(fields, *seen),
            Err(Absent::Dead(death)) => UpdateResult::Dead(death),
            Err(Absent::Gone) => UpdateResult::Gone,
        }))
    }

    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: TimeToLive,
    ) -> Result<(), StoreError> {
        self.with(|entries, now| {
            let key = Key::Record(record);
            if entries.record(record).is_ok()
                && let Some(Entry { value: Value::Record(mut record), .. }) = entries.take(&key)
            {
                record.seen = Some(whole_seconds(seen));
                let expires = now + ttl.of(&record.fields);
                entries.put(key, Value::Record(record), expires);
            }
        });
        Ok(())
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        let Rotation { from, to, ttl, seen, user, fields } = rotation;
        let (old, new) = (Key::Record(*from), RecordId { token_hash: *to, ..*from });
        Ok(self.with(|entries, now| {
            let record = match entries.record(*from) {
                Ok(record) => record,
                Err(Absent::Dead(death)) => return RotateResult::Dead(death),
                Err(Absent::Gone) => return RotateResult::Gone,
            };
            let before = record.fields.get(USER).cloned();
            if let (Some(before), Some(login)) = (before, user)
                && before != login.name
            {
                entries.bury(*from, Death::Destroyed, now);
                return RotateResult::OtherUser(before);
            }
            if entries.by_key.contains_key(&Key::Record(new)) {
                return RotateResult::Barred;
            }
            if let Some(Entry { value: Value::Record(mut record), .. }) = entries.take(&old) {
                record.seen = seen.map(whole_seconds).or(record.seen);
                if let Some(login) = user {
                    record.fields.extend(login.fields());
                }
                record.fields.extend(fields.clone());
                // Put the tombstone first: if the store is full, the record may evict it, but never
                // the other way round.
                entries.bury(*from, Death::Rotated, now);
                let expires = now + ttl.of(&record.fields);
                entries.put(Key::Record(new), Value::Record(record), expires);
            }
            RotateResult::Rotated
        }))
    }

    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        Ok(self.with(|entries, now| match entries.record(record) {
            Ok(live) => {
                let owner = live.fields.get(USER).cloned();
                if user.is_some() && owner.as_deref() != user {
                    return DestroyResult::NotTheirs;
                }
                entries.bury(record, Death::Destroyed, now);
                DestroyResult::Destroyed(owner)
            }
            Err(Absent::Dead(death)) => DestroyResult::Dead(death),
            Err(Absent::Gone) => DestroyResult::Gone,
        }))
    }

    async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        Ok(self.with(|entries, now| match entries.record(record) {
            Ok(_) => true,
            Err(Absent::Dead(_)) => false,
            Err(Absent::Gone) => {
                entries.bury(record, Death::Destroyed, now);
                false
            }
        }))
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        let status = |entries: &mut Entries, record: &RecordId| match entries.record(*record) {
            Ok(Record { fields, seen }) => {
                RecordStatus::Live { seen: *seen, user: LoggedIn::from_fields(fields) }
            }
            Err(Absent::Dead(_)) => RecordStatus::Dead,
            Err(Absent::Gone) => RecordStatus::Gone,
        };
        Ok(self.with(|entries, _| records.iter().map(|it| status(entries, it)).collect()))
    }

    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(self.with(|entries, now| {
            let mut index = entries.index(user);
            index.insert(entry.record, whole_seconds(entry.written));
            let all = list(&index);
            entries.put(Key::Index(user.to_owned()), Value::Index(index), now + ttl);
            all
        }))
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(self.with(|entries, _| list(&entries.index(user))))
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError> {
        let key = Key::Index(user.to_owned());
        self.with(|entries, _| {
            if let Some(Entry { value: Value::Index(index), .. }) = entries.by_key.get_mut(&key) {
                index.retain(|record, _| !records.contains(record));
                if index.is_empty() {
                    entries.take(&key);
                }
            }
        });
        Ok(())
    }
}

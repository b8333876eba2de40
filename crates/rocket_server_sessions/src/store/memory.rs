//! An in-memory store.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::contract::{DestroyResult, RecordStatus, Store};
use super::entries::{Entries, Key, Value};
use super::error::StoreError;
use super::record::{IndexEntry, RecordId, Values};
use super::rotation::{RotateResult, Rotation};
use super::time_to_live::TimeToLive;
use super::update::{Update, UpdateResult};
use crate::clock::{Clock, SystemClock};
use crate::debug::opaque_debug;

/// An in-memory store of limited capacity.
///
/// For development and tests: sessions are lost when the process stops, and are not shared with
/// other processes. A full store evicts the tombstone that expires first or, if it has none, the
/// entry that expires first.
///
/// ```
/// use rocket_server_sessions::Session;
/// use rocket_server_sessions::store::Memory;
///
/// let rocket = rocket::build().attach(Session::fairing().store(Memory::new(1000)));
/// ```
pub struct Memory {
    clock: Arc<dyn Clock>,
    map: Mutex<Map>,
}

opaque_debug!("Memory", Memory);

struct Map {
    capacity: usize,
    by_key: HashMap<Key, Entry>,
    by_expiry: BTreeSet<(SystemTime, Key)>,
    /// The tombstones in `by_expiry`.
    tombstones: BTreeSet<(SystemTime, Key)>,
    /// The time of the current call.
    now: SystemTime,
}

struct Entry {
    value: Value,
    expires: SystemTime,
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
        let map = Map {
            capacity: capacity.max(1),
            by_key: HashMap::new(),
            by_expiry: BTreeSet::new(),
            tombstones: BTreeSet::new(),
            now: clock.now(),
        };
        Self { clock: Arc::new(clock), map: Mutex::new(map) }
    }

    /// The number of entries that have not expired, including tombstones and indexes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|map| map.by_key.len())
    }

    /// Returns `true` if there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes expired entries, then runs `work`.
    fn with<T>(&self, work: impl FnOnce(&mut Map) -> T) -> T {
        let now = self.clock.now();
        let mut map = self.map.lock();
        map.now = now;
        map.purge();
        work(&mut map)
    }

    /// Runs a call of the contract.
    fn call<T>(&self, call: impl FnOnce(&mut Map) -> Result<T, Infallible>) -> T {
        let Ok(result) = self.with(call);
        result
    }
}

impl Map {
    fn purge(&mut self) {
        while let Some((expires, key)) = self.by_expiry.first()
            && *expires <= self.now
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

    fn take(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.by_key.remove(key)?;
        let at = (entry.expires, key.clone());
        self.by_expiry.remove(&at);
        self.tombstones.remove(&at);
        Some(entry)
    }
}

impl Entries for Map {
    type Error = Infallible;

    fn edit<T>(
        &mut self,
        key: &Key,
        edit: impl FnOnce(&mut Value) -> T,
    ) -> Result<Option<T>, Infallible> {
        Ok(self.by_key.get_mut(key).map(|entry| edit(&mut entry.value)))
    }

    fn put(&mut self, key: Key, value: Value, ttl: Duration) -> Result<(), Infallible> {
        self.take(&key);
        while self.by_key.len() >= self.capacity {
            self.evict();
        }
        let expires = self.now + ttl;
        if matches!(value, Value::Tombstone(_)) {
            self.tombstones.insert((expires, key.clone()));
        }
        self.by_expiry.insert((expires, key.clone()));
        self.by_key.insert(key, Entry { value, expires });
        Ok(())
    }

    fn expire(&mut self, key: &Key, ttl: Duration) -> Result<(), Infallible> {
        if let Some(Entry { value, .. }) = self.take(key) {
            self.put(key.clone(), value, ttl)?;
        }
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), Infallible> {
        self.take(key);
        Ok(())
    }
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
        Ok(self.call(|map| map.create(record, fields, ttl)))
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        Ok(self.call(|map| map.update(record, update)))
    }

    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: TimeToLive,
    ) -> Result<(), StoreError> {
        self.call(|map| map.touch(record, seen, ttl));
        Ok(())
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        Ok(self.call(|map| map.rotate(rotation)))
    }

    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        Ok(self.call(|map| map.destroy(record, user)))
    }

    async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        Ok(self.call(|map| map.settle(record)))
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        Ok(self.call(|map| map.status(records)))
    }

    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(self.call(|map| map.index_add(user, &entry, ttl)))
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(self.call(|map| map.index(user)))
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError> {
        self.call(|map| map.index_remove(user, records));
        Ok(())
    }
}

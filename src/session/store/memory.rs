//! Sessions in the memory of one process.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{
    Answer, Fault, Fields, Live, Read, RecordId, Request, Rotation, Store, Successor, Trace,
};
use crate::session::clock::{Clock, System};

/// Keeps sessions in the memory of one process, up to a number of them.
///
/// For development and tests: sessions end with the process, and no other process sees them. When
/// the store is full, the record that would lapse soonest makes room.
pub struct Memory {
    clock: Arc<dyn Clock>,
    records: Mutex<Records>,
}

struct Records {
    capacity: usize,
    by_id: HashMap<RecordId, Entry>,
    by_expiry: BTreeSet<(SystemTime, RecordId)>,
}

struct Entry {
    state: State,
    expires: SystemTime,
}

enum State {
    Live(Fields),
    Ended,
    Rotated(Successor),
}

impl Memory {
    /// A store for at most `capacity` records, tombstones included.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::with_clock(capacity, Arc::new(System))
    }

    /// A store whose records lapse by `clock`.
    #[must_use]
    pub fn with_clock(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let records = Records {
            capacity: capacity.max(1),
            by_id: HashMap::new(),
            by_expiry: BTreeSet::new(),
        };
        Self { clock, records: Mutex::new(records) }
    }

    /// How many records there are, tombstones included and lapsed ones not.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut records = self.records.lock();
        records.purge(self.clock.now());
        records.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs `work` on the records that have not lapsed.
    fn with<T>(&self, work: impl FnOnce(&mut Records, SystemTime) -> T) -> T {
        let now = self.clock.now();
        let mut records = self.records.lock();
        records.purge(now);
        work(&mut records, now)
    }
}

impl Records {
    fn purge(&mut self, now: SystemTime) {
        while let Some(&(expires, id)) = self.by_expiry.first() {
            if expires > now {
                break;
            }
            self.take(id);
        }
    }

    fn take(&mut self, id: RecordId) -> Option<State> {
        let entry = self.by_id.remove(&id)?;
        self.by_expiry.remove(&(entry.expires, id));
        Some(entry.state)
    }

    fn put(&mut self, id: RecordId, state: State, expires: SystemTime) {
        self.take(id);
        while self.by_id.len() >= self.capacity {
            let Some(&(_, soonest)) = self.by_expiry.first() else { break };
            self.take(soonest);
        }
        self.by_expiry.insert((expires, id));
        self.by_id.insert(id, Entry { state, expires });
    }

    fn touch(&mut self, id: RecordId, expires: SystemTime) {
        if let Some(entry) = self.by_id.get_mut(&id) {
            self.by_expiry.remove(&(entry.expires, id));
            self.by_expiry.insert((expires, id));
            entry.expires = expires;
        }
    }
}

impl State {
    fn trace(&self) -> Trace {
        match self {
            Self::Live(_) => Trace::Live,
            Self::Ended => Trace::Ended,
            Self::Rotated(successor) => Trace::Rotated(*successor),
        }
    }
}

#[rocket::async_trait]
impl Store for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn create(&self, record: RecordId, fields: Fields, ttl: Duration) -> Result<(), Fault> {
        self.with(|records, now| records.put(record, State::Live(fields), now + ttl));
        Ok(())
    }

    async fn apply(&self, record: RecordId, request: &Request) -> Result<Answer, Fault> {
        Ok(self.with(|records, now| {
            let Some(entry) = records.by_id.get_mut(&record) else { return Answer::Gone };
            let State::Live(fields) = &mut entry.state else { return Answer::Tombstone };
            let outcomes = request.ops.iter().map(|op| op.carry_out(fields)).collect();
            let seen = match &request.read {
                Read::Nothing => Fields::new(),
                Read::Some(names) => names
                    .iter()
                    .filter_map(|name| Some((name.clone(), fields.get(name)?.clone())))
                    .collect(),
                Read::Everything => fields.clone(),
            };
            if let Some(ttl) = request.ttl {
                records.touch(record, now + ttl);
            }
            Answer::Live(Live { outcomes, fields: seen })
        }))
    }

    async fn trace(&self, record: RecordId) -> Result<Trace, Fault> {
        Ok(self.with(|records, _| {
            records.by_id.get(&record).map_or(Trace::Gone, |entry| entry.state.trace())
        }))
    }

    async fn rotate(&self, rotation: Rotation) -> Result<Answer, Fault> {
        let Rotation { from, to, tombstone_ttl, ttl } = rotation;
        Ok(self.with(|records, now| {
            match records.by_id.get(&from).map(|entry| (&entry.state, entry.expires)) {
                None => Answer::Gone,
                Some((State::Ended | State::Rotated(_), _)) => Answer::Tombstone,
                Some((State::Live(_), expires)) => {
                    let moved = RecordId { fingerprint: to.fingerprint, ..from };
                    if let Some(state) = records.take(from) {
                        records.put(moved, state, ttl.map_or(expires, |ttl| now + ttl));
                    }
                    records.put(from, State::Rotated(to), now + tombstone_ttl);
                    Answer::Live(Live::default())
                }
            }
        }))
    }

    async fn end(&self, record: RecordId, tombstone_ttl: Duration) -> Result<Trace, Fault> {
        Ok(self.with(|records, now| match records.take(record) {
            None => Trace::Gone,
            Some(state) => {
                records.put(record, State::Ended, now + tombstone_ttl);
                state.trace()
            }
        }))
    }

    async fn discard(&self, record: RecordId) -> Result<(), Fault> {
        self.with(|records, _| records.take(record));
        Ok(())
    }
}

//! SessionFairing in the memory of one process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{
    Answer, Entry, StoreError, Fields, PublicId, Live, Read, RecordId, Request, Rotation, Standing, Store,
    Successor, Trace, USER,
};
use crate::clock::{Clock, SystemClock};

/// Keeps sessions in the memory of one process, up to a number of them.
///
/// For development and tests: sessions end with the process, and no other process sees them. When
/// the store is full, the tombstone that would lapse soonest makes room, or else the record.
pub struct Memory {
    clock: Arc<dyn Clock>,
    records: Mutex<Records>,
}

struct Records {
    capacity: usize,
    by_place: HashMap<Place, Held>,
    by_expiry: BTreeSet<(SystemTime, Place)>,
    /// Those of them that are tombstones.
    tombstones: BTreeSet<(SystemTime, Place)>,
}

/// What something is found by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Record(RecordId),
    User(String),
}

struct Held {
    state: State,
    expires: SystemTime,
}

enum State {
    Live(Fields),
    Ended,
    Rotated(Successor),
    List(BTreeMap<PublicId, Entry>),
}

impl Memory {
    /// A store for at most `capacity` records, tombstones and users' lists included.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::with_clock(capacity, Arc::new(SystemClock))
    }

    /// A store whose records lapse by `clock`.
    #[must_use]
    pub fn with_clock(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let records = Records {
            capacity: capacity.max(1),
            by_place: HashMap::new(),
            by_expiry: BTreeSet::new(),
            tombstones: BTreeSet::new(),
        };
        Self { clock, records: Mutex::new(records) }
    }

    /// How many records there are, tombstones and users' lists included and lapsed ones not.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut records = self.records.lock();
        records.purge(self.clock.now());
        records.by_place.len()
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
        while let Some((expires, place)) = self.by_expiry.first()
            && *expires <= now
        {
            self.take(&place.clone());
        }
    }

    /// Makes room. Tombstones go first: without one, its session is gone as well.
    fn evict(&mut self) {
        if let Some((_, place)) = self.tombstones.first().or(self.by_expiry.first()) {
            self.take(&place.clone());
        }
    }

    fn state(&mut self, record: RecordId) -> Option<&mut State> {
        self.by_place.get_mut(&Place::Record(record)).map(|held| &mut held.state)
    }

    fn take(&mut self, place: &Place) -> Option<Held> {
        let held = self.by_place.remove(place)?;
        let entry = (held.expires, place.clone());
        self.by_expiry.remove(&entry);
        self.tombstones.remove(&entry);
        Some(held)
    }

    fn put(&mut self, place: Place, state: State, expires: SystemTime) {
        self.take(&place);
        while self.by_place.len() >= self.capacity {
            self.evict();
        }
        if matches!(state, State::Ended | State::Rotated(_)) {
            self.tombstones.insert((expires, place.clone()));
        }
        self.by_expiry.insert((expires, place.clone()));
        self.by_place.insert(place, Held { state, expires });
    }

    fn touch(&mut self, place: Place, expires: SystemTime) {
        if let Some(held) = self.by_place.get_mut(&place) {
            self.by_expiry.remove(&(held.expires, place.clone()));
            held.expires = expires;
            self.by_expiry.insert((expires, place));
        }
    }

    fn entries(&self, user: &str) -> BTreeMap<PublicId, Entry> {
        match self.by_place.get(&Place::User(user.to_owned())) {
            Some(Held { state: State::List(entries), .. }) => entries.clone(),
            _ => BTreeMap::new(),
        }
    }

    fn standing(&self, record: RecordId, now: SystemTime) -> Standing {
        let Some(held) = self.by_place.get(&Place::Record(record)) else { return Standing::Gone };
        let State::Live(fields) = &held.state else { return Standing::Tombstone };
        let ttl = held.expires.duration_since(now).unwrap_or_default();
        Standing::Live { user: fields.get(USER).cloned(), ttl }
    }
}

impl State {
    fn trace(&self) -> Trace {
        match self {
            Self::Live(_) | Self::List(_) => Trace::Live,
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

    async fn create(&self, record: RecordId, fields: Fields, ttl: Duration) -> Result<(), StoreError> {
        let place = Place::Record(record);
        self.with(|records, now| records.put(place, State::Live(fields), now + ttl));
        Ok(())
    }

    async fn apply(&self, record: RecordId, request: &Request) -> Result<Answer, StoreError> {
        Ok(self.with(|records, now| {
            let Some(state) = records.state(record) else { return Answer::Gone };
            let State::Live(fields) = state else { return Answer::Tombstone(Vec::new()) };
            let outcomes = request.ops.iter().map(|op| op.carry_out(fields)).collect();
            let seen = match &request.read {
                Read::Some(names) => names
                    .iter()
                    .filter_map(|name| Some((name.clone(), fields.get(name)?.clone())))
                    .collect(),
                Read::Everything => fields.clone(),
            };
            if let Some(ttl) = request.ttl {
                records.touch(Place::Record(record), now + ttl);
            }
            Answer::Live(Live { outcomes, fields: seen })
        }))
    }

    async fn trace(&self, record: RecordId) -> Result<Trace, StoreError> {
        Ok(self.with(|records, _| records.state(record).map_or(Trace::Gone, |it| it.trace())))
    }

    async fn rotate(&self, rotation: Rotation) -> Result<Answer, StoreError> {
        let Rotation { from, to, tombstone_ttl, ttl } = rotation;
        Ok(self.with(|records, now| {
            let seen = match records.state(from) {
                None => return Answer::Gone,
                Some(State::Live(fields)) => fields.get_key_value(USER),
                Some(_) => return Answer::Tombstone(Vec::new()),
            };
            let fields =
                seen.map(|(name, user)| (name.clone(), user.clone())).into_iter().collect();
            let moved = RecordId { token_hash: to.token_hash, ..from };
            if let Some(Held { state, expires }) = records.take(&Place::Record(from)) {
                // The tombstone first: it may make room for the record, and never the other way.
                records.put(Place::Record(from), State::Rotated(to), now + tombstone_ttl);
                let expires = ttl.map_or(expires, |ttl| now + ttl);
                records.put(Place::Record(moved), state, expires);
            }
            Answer::Live(Live { outcomes: Vec::new(), fields })
        }))
    }

    async fn end(&self, record: RecordId, tombstone_ttl: Duration) -> Result<Trace, StoreError> {
        let place = Place::Record(record);
        Ok(self.with(|records, now| match records.take(&place) {
            None => Trace::Gone,
            Some(held) => {
                records.put(place, State::Ended, now + tombstone_ttl);
                held.state.trace()
            }
        }))
    }

    async fn discard(&self, record: RecordId) -> Result<(), StoreError> {
        self.with(|records, _| records.take(&Place::Record(record)));
        Ok(())
    }

    async fn enlist(&self, user: &str, entry: Entry, ttl: Duration) -> Result<Vec<Entry>, StoreError> {
        Ok(self.with(|records, now| {
            let mut entries = records.entries(user);
            entries.insert(entry.record.id, entry);
            let list = entries.values().cloned().collect();
            records.put(Place::User(user.to_owned()), State::List(entries), now + ttl);
            list
        }))
    }

    async fn list(&self, user: &str) -> Result<Vec<Entry>, StoreError> {
        Ok(self.with(|records, _| records.entries(user).into_values().collect()))
    }

    async fn strike(&self, user: &str, handles: &[PublicId]) -> Result<(), StoreError> {
        let place = Place::User(user.to_owned());
        self.with(|records, _| {
            let Some(held) = records.by_place.get_mut(&place) else { return };
            if let State::List(entries) = &mut held.state {
                entries.retain(|id, _| !handles.contains(id));
                if entries.is_empty() {
                    records.take(&place);
                }
            }
        });
        Ok(())
    }

    async fn inspect(&self, records: &[RecordId]) -> Result<Vec<Standing>, StoreError> {
        Ok(self.with(|held, now| records.iter().map(|it| held.standing(*it, now)).collect()))
    }
}

//! Keys that an increment may have created because the record had vanished.
//!
//! An increment sets no time to live, so if the record had vanished, it creates a key that never
//! expires: an orphan. Usually the reply shows this, and the orphan is deleted immediately. If the
//! reply is lost, or the future that waits for it is dropped, the key is remembered here, and is
//! checked during a later call. The list is lost when the process stops, and is limited in size.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use rocket::tokio::time::Instant;

use crate::store::record::RecordId;

/// The maximum number of remembered keys.
const MAX_KEYS: usize = 1024;

/// How many keys are checked at a time.
const MAX_BATCH: usize = 64;

/// How long after the deadline a key is checked, when no write to it can be in flight.
const MARGIN: Duration = Duration::from_secs(1);

/// The records whose keys may be orphans, the oldest first.
pub(super) struct OrphanKeys {
    /// How long a write may be in flight.
    deadline: Duration,
    records: Mutex<VecDeque<(Instant, RecordId)>>,
}

/// A write that may have created an orphan. If it is dropped without [`settle`](Self::settle), its
/// key is remembered.
pub(super) struct PendingWrite<'k> {
    keys: &'k OrphanKeys,
    record: Option<RecordId>,
}

impl PendingWrite<'_> {
    /// Records that there is no orphan, or that it was deleted.
    pub(super) fn settle(mut self) {
        self.record = None;
    }
}

impl Drop for PendingWrite<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            self.keys.track(record);
        }
    }
}

impl OrphanKeys {
    pub(super) fn new(deadline: Duration) -> Self {
        Self { deadline, records: Mutex::default() }
    }

    pub(super) fn pending(&self, record: RecordId) -> PendingWrite<'_> {
        PendingWrite { keys: self, record: Some(record) }
    }

    pub(super) fn track(&self, record: RecordId) {
        let mut records = self.records.lock();
        if records.len() == MAX_KEYS {
            records.pop_front();
        }
        records.push_back((Instant::now(), record));
    }

    #[cfg(test)]
    pub(super) fn clear(&self) {
        self.records.lock().clear();
    }

    /// Takes some of the keys to which no write can be in flight any more.
    pub(super) fn take_old(&self) -> Vec<RecordId> {
        let mut records = self.records.lock();
        let patience = self.deadline + MARGIN;
        let old = records.iter().take_while(|(since, _)| since.elapsed() > patience).count();
        records.drain(..old.min(MAX_BATCH)).map(|(_, record)| record).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::id::{PublicId, Token};

    fn record() -> RecordId {
        let id = PublicId::new(SystemTime::now());
        RecordId { id, token_hash: Token::generate().hash() }
    }

    fn keys() -> OrphanKeys {
        OrphanKeys::new(Duration::from_secs(30))
    }

    fn tracked(keys: &OrphanKeys) -> Vec<RecordId> {
        keys.records.lock().iter().map(|(_, record)| *record).collect()
    }

    #[test]
    fn write_is_tracked_unless_its_reply_settles_it() {
        let (keys, lost) = (keys(), record());
        keys.pending(record()).settle();
        drop(keys.pending(lost));
        assert_eq!(tracked(&keys), [lost]);
    }

    #[test]
    fn oldest_of_too_many_is_forgotten() {
        let (keys, first) = (keys(), record());
        keys.track(first);
        for _ in 0..MAX_KEYS {
            keys.track(record());
        }
        assert_eq!(tracked(&keys).len(), MAX_KEYS);
        assert!(!tracked(&keys).contains(&first));
    }

    #[test]
    fn keys_are_taken_in_batches_once_no_write_can_be_in_flight() {
        let keys = keys();
        let long_ago = Instant::now().checked_sub(keys.deadline + 2 * MARGIN).unwrap();
        for _ in 0..=MAX_BATCH {
            keys.records.lock().push_back((long_ago, record()));
        }
        let new = record();
        keys.track(new);
        assert_eq!(keys.take_old().len(), MAX_BATCH);
        assert_eq!(keys.take_old().len(), 1);
        assert!(keys.take_old().is_empty(), "a write to the newest may still be in flight");
        assert_eq!(tracked(&keys), [new]);
    }
}

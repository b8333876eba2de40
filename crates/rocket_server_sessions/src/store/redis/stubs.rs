//! Keys that a write may have made by accident, where a record had vanished.
//!
//! A write gives no time to live, and a touch only lengthens one. Where the record had vanished,
//! they leave a key that would stay for ever: a stub. Usually the answer shows that, and the stub
//! is unlinked. If the answer is lost, or nobody waits for it any more, the key is remembered here,
//! and the writes of later requests give it a time to live. What a process remembers is lost with
//! it, and so is the oldest of too many.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::pipeline::Pipeline;
use super::protocol::seconds;

/// More would be an outage of its own; what is forgotten is the oldest.
const MAX_KEYS: usize = 1024;

/// How many are dealt with at a time.
const MAX_BATCH: usize = 64;

/// By then whoever has written is answered, and has unlinked what was to be unlinked.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a key lives that was found without a time to live. A record may be among them, if
/// something else has taken its own away; its next touch goes on from there.
pub(super) const TTL: Duration = Duration::from_secs(24 * 3600);

/// The keys in doubt, the oldest first.
#[derive(Default)]
pub(super) struct Stubs {
    keys: Mutex<VecDeque<(Instant, String)>>,
}

/// A write whose answer has not told yet whether it has made a stub. Unless it is settled, its key
/// is remembered, also where nobody waits for the answer any more.
pub(super) struct Doubt<'s> {
    stubs: &'s Stubs,
    key: Option<String>,
}

impl Doubt<'_> {
    /// The answer tells that no stub was made.
    pub(super) fn settle(mut self) {
        self.key = None;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.stubs.suspect(key);
        }
    }
}

impl Stubs {
    pub(super) fn doubt(&self, key: String) -> Doubt<'_> {
        Doubt { stubs: self, key: Some(key) }
    }

    pub(super) fn suspect(&self, key: String) {
        let mut keys = self.keys.lock();
        if keys.len() == MAX_KEYS {
            keys.pop_front();
        }
        keys.push_back((Instant::now(), key));
    }

    /// What stands there is a record, or was unlinked.
    pub(super) fn clear(&self, key: &str) {
        self.keys.lock().retain(|(_, suspect)| suspect != key);
    }

    /// Those that have been in doubt for long.
    pub(super) fn take_old(&self) -> Vec<String> {
        let mut keys = self.keys.lock();
        let old = keys.iter().take_while(|(since, _)| since.elapsed() > PATIENCE).count();
        keys.drain(..old.min(MAX_BATCH)).map(|(_, key)| key).collect()
    }
}

/// Gives keys a time to live, but for those that have one, as every record and tombstone does.
pub(super) fn expire(keys: &[String], ttl: Duration) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for key in keys {
        pipeline.command("EXPIRE", key, (seconds(ttl), "NX"));
    }
    pipeline
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(stubs: &Stubs) -> Vec<String> {
        stubs.keys.lock().iter().map(|(_, key)| key.clone()).collect()
    }

    #[test]
    fn write_is_in_doubt_unless_its_answer_settles_it_or_its_key_is_cleared() {
        let stubs = Stubs::default();
        stubs.doubt("answered".into()).settle();
        drop(stubs.doubt("lost".into()));
        drop(stubs.doubt("unlinked".into()));
        stubs.clear("unlinked");
        assert_eq!(keys(&stubs), ["lost"]);
    }

    #[test]
    fn oldest_of_too_many_is_forgotten() {
        let stubs = Stubs::default();
        for number in 0..=MAX_KEYS {
            stubs.suspect(number.to_string());
        }
        let held = keys(&stubs);
        assert_eq!((held.len(), held[0].as_str()), (MAX_KEYS, "1"));
    }

    #[test]
    fn keys_are_dealt_with_once_whoever_wrote_has_had_the_time_to_and_some_at_a_time() {
        let stubs = Stubs::default();
        let long_ago = Instant::now().checked_sub(2 * PATIENCE).unwrap();
        for number in 0..=MAX_BATCH {
            stubs.keys.lock().push_back((long_ago, number.to_string()));
        }
        stubs.suspect("new".into());
        assert_eq!(stubs.take_old().len(), MAX_BATCH);
        assert_eq!(stubs.take_old(), [MAX_BATCH.to_string()]);
        assert_eq!(stubs.take_old(), Vec::<String>::new());
        assert_eq!(keys(&stubs), ["new"]);
    }
}

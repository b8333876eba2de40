//! What a request learns about its session's record.

use std::time::SystemTime;

use rocket::tokio::time::Instant;

use super::session::RequestSession;
use super::state::Seen;
use crate::background::detach;
use crate::error::Result;
use crate::event::{Event, Rejection};
use crate::store::{Death, RecordId, Store};

/// The last-seen time of a record that is touched before the browser has sent its cookie back.
const NEVER: SystemTime = SystemTime::UNIX_EPOCH;

impl RequestSession {
    /// Notes that the record is live, and touches it in the background if that is due. If the touch
    /// fails, the next request retries.
    pub(super) fn found_live(&self, record: RecordId, seen: Option<SystemTime>) {
        let config = &self.shared.config;
        let now = self.now();
        let mut state = self.state.lock();
        state.applied(record, Instant::now());
        let Some(identity) = state.identity().filter(|it| it.record == record && it.has_returned)
        else {
            return;
        };
        let seen = seen.filter(|it| *it > NEVER);
        let is_first_return = seen.is_none() && identity.seen.is_none();
        // This request may have touched it already.
        let seen = seen.max(identity.seen.map(|seen| seen.at));
        let is_due = seen.is_none_or(|seen| {
            // A time in the future comes from an instance whose clock is ahead.
            now.duration_since(seen).map_or(true, |age| age >= config.idle_timeout / 10)
        });
        let at = if is_due { now } else { seen.unwrap_or(now) };
        state.note_seen(record, Seen { at, expiry: at + config.idle_timeout });
        drop(state);
        if is_first_return {
            self.shared.emit(Event::Returned(record.id));
        }
        if is_due {
            self.touch(record);
        }
    }

    pub(super) fn touch(&self, record: RecordId) {
        self.touch_as_seen(record, self.now());
    }

    /// Resets the time to live of a record whose cookie was not sent back yet.
    pub(super) fn touch_unseen(&self, record: RecordId) {
        self.touch_as_seen(record, NEVER);
    }

    fn touch_as_seen(&self, record: RecordId, seen: SystemTime) {
        let store = self.shared.store.clone();
        let ttl = self.ttl(record.id, self.now());
        self.shared.emit(Event::Touched(record.id));
        detach(async move { drop(store.touch(record, seen, ttl).await) });
    }

    /// Handles a tombstone.
    pub(super) async fn found_dead(&self, record: RecordId, death: Death) -> Result<()> {
        // A concurrent operation of this request may have rotated the session.
        let _turn = self.lock_identity().await?;
        self.note_dead(record, death);
        Ok(())
    }

    pub(super) fn note_dead(&self, record: RecordId, death: Death) {
        if self.state.lock().dead(record, death) {
            self.reject(match death {
                Death::Destroyed => Rejection::Destroyed(record.id),
                Death::Rotated => Rejection::StaleToken(record.id),
            });
        }
    }

    /// Handles a missing record. Returns whether the request lost its session.
    pub(super) async fn found_gone(&self, record: RecordId, is_read: bool) -> Result<bool> {
        let _turn = self.lock_identity().await?;
        Ok(self.note_gone(record, is_read))
    }

    pub(super) fn note_gone(&self, record: RecordId, is_read: bool) -> bool {
        let is_old = self.is_old();
        let mut state = self.state.lock();
        let is_meant = state.gone(record, is_read, is_old);
        let is_lost = !is_meant || state.is_pinned();
        drop(state);
        if is_meant && (is_lost || !is_read) {
            self.reject(Rejection::Missing(record.id));
        }
        is_lost
    }
}

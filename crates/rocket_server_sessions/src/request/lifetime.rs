//! How long a record lives, and how long a request may rely on what it knows about the record.

use std::time::{Duration, SystemTime};

use super::session::RequestSession;
use super::state::Identity;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::PublicId;
use crate::store::{TOMBSTONE_TTL, TimeToLive};

/// A request that has run for this long may have missed a tombstone. The remaining 15 seconds allow
/// for the time that it may have spent before it reached this process.
const OLD: Duration = TOMBSTONE_TTL.saturating_sub(Duration::from_secs(15));

impl RequestSession {
    /// The time to live, from `now` on, of a record whose cookie the browser has sent back.
    pub(super) fn ttl(&self, id: PublicId, now: SystemTime) -> TimeToLive {
        let config = &self.shared.config;
        let max = config.absolute_expiry(id).duration_since(now).unwrap_or_default();
        TimeToLive { idle: config.idle_timeout.min(max), max }
    }

    /// The time to live of a record with a new token. It is short until the browser has sent the
    /// cookie back, because robots never do. Robots do not log in or choose to be remembered
    /// either, so such records get the full time at once.
    pub(super) fn new_ttl(&self, identity: &Identity, now: SystemTime) -> TimeToLive {
        let is_chosen = self.choices.lock().idle_timeout.is_some();
        if identity.has_returned || identity.value.has_user || is_chosen {
            self.ttl(identity.record.id, now)
        } else {
            TimeToLive::fixed(self.shared.config.first_ttl())
        }
    }

    /// Returns `true` if the request has run for so long that it may have missed a tombstone.
    pub(super) fn is_old(&self) -> bool {
        self.arrived.elapsed() >= OLD
    }

    /// Fails if a stream outlives its session.
    pub(super) fn check_lifetime(&self, id: PublicId) -> Result<()> {
        if !self.is_answered() || self.now() < self.shared.config.absolute_expiry(id) {
            return Ok(());
        }
        self.state.lock().lost();
        self.shared.emit(Event::Expired(id));
        Err(Error::Conflict)
    }
}

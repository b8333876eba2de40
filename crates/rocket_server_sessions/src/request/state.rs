//! The state machine of a request's session.
//!
//! | state | meaning | a read | a write | the response's cookie |
//! |---|---|---|---|---|
//! | `None` | no valid cookie | nothing, no round trip | creates: `Unsettled`, `Issued` | kept |
//! | `Presented` | a valid cookie; the store was not asked | asks | asks | kept |
//! | `Confirmed` | the store found the record live | asks | asks | kept, or sent again |
//! | `Issued` | this request created the token | asks | asks | set |
//! | `Destroyed` | this request destroyed the session | nothing, no round trip | creates | cleared |
//! | `Dead` | the cookie's token is dead | nothing, no round trip | conflict | kept |
//! | `Lost` | was live, then found dead or gone | conflict | conflict | kept |
//! | `Importable` | no valid session cookie, but a signed cookie of Express | imports first | imports first | kept |
//! | `Unsettled` | a new token was sent, and the answer is missing | settles first | settles first | settled first |
//!
//! | what happens | from | to |
//! |---|---|---|
//! | the store finds the record live | `Presented`, `Confirmed` | `Confirmed` |
//! | | `Issued` | `Issued` |
//! | the store finds a tombstone | `Presented` | `Dead` |
//! | | `Confirmed`, `Issued` | `Lost` |
//! | a read finds nothing | `Presented` | `Presented` (a replica may lag), or `Dead` if the request has run for 15 s or more |
//! | | `Confirmed`, `Issued` | `Lost` |
//! | a write finds nothing | `Presented` | `None`, or `Dead` if the request has run for 15 s or more |
//! | | `Confirmed`, `Issued` | `Lost` |
//! | the session of the old cookie is imported | `Importable` | `Presented`, or `None` if there is none |
//! | a new token is sent (create, regenerate, log in) | any | `Unsettled` |
//! | … and the store has it | `Unsettled` | `Issued` |
//! | … and the store never will | `Unsettled` | the state before |
//! | the record is destroyed by this request | any | `Destroyed` |
//!
//! A request stays in one session. Once the store has answered, only the request itself can change
//! which one, by `regenerate`, `log_in` or `destroy`. So nothing that was read in one session is
//! written into another.
//!
//! A replaced token is dead immediately. While its tombstone exists, the browser has or is about to
//! get a newer cookie, so a request that presents the old token writes nothing and sets no cookie.

use std::mem;
use std::time::{Duration, SystemTime};

use rocket::tokio::time::Instant;

use crate::event::Event;
#[cfg(feature = "express")]
use crate::express::OldId;
use crate::session_cookie::CookieValue;
use crate::store::{Death, RecordId};

/// Cookies that are renewed or removed are only sent within this time after the store's last
/// answer, because the browser may have a newer one later.
const FRESH: Duration = Duration::from_secs(5);

/// A session, as known to a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Identity {
    pub(crate) value: CookieValue,
    pub(crate) record: RecordId,
    /// Whether the browser has sent the cookie back.
    pub(crate) has_returned: bool,
    /// When the record's time to live was last set, and when it ends, if known.
    pub(crate) seen: Option<Seen>,
}

/// When a record was last seen, and when it expires unless it is seen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at: SystemTime,
    pub(crate) expiry: SystemTime,
}

impl Identity {
    /// A new session.
    pub(crate) fn new(value: CookieValue) -> Self {
        let record = value.record();
        Self { value, record, has_returned: false, seen: None }
    }

    /// The session of a cookie that the browser sent.
    pub(crate) fn presented(value: CookieValue) -> Self {
        Self { has_returned: true, ..Self::new(value) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    None,
    Presented(Identity),
    Confirmed {
        identity: Identity,
        at: Instant,
    },
    Issued(Identity),
    Destroyed {
        at: Instant,
    },
    Dead(Death),
    /// The reason, if known.
    Lost(Option<Death>),
    #[cfg(feature = "express")]
    Importable(OldId),
    Unsettled {
        before: Box<State>,
        pending: Identity,
        event: Event,
    },
}

/// What an operation does next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// Ask the store about this session.
    Ask(Identity),
    /// Return nothing, without a round trip.
    FindNothing,
    /// Create a session.
    Create,
    /// Find out whether the store has the new token, or import the session of the old cookie.
    Settle,
    /// Fail: the session has changed.
    Conflict,
}

/// What the response does to the browser's cookie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CookieChange {
    Keep,
    Set(CookieValue),
    Clear,
}

impl State {
    /// The request's current identity, if any.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Presented(identity)
            | Self::Confirmed { identity, .. }
            | Self::Issued(identity) => Some(identity),
            Self::Unsettled { before, .. } => before.identity(),
            Self::None | Self::Destroyed { .. } | Self::Dead(_) | Self::Lost(_) => None,
            #[cfg(feature = "express")]
            Self::Importable(_) => None,
        }
    }

    fn identity_mut(&mut self, record: RecordId) -> Option<&mut Identity> {
        match self {
            Self::Presented(identity)
            | Self::Confirmed { identity, .. }
            | Self::Issued(identity) => Some(identity).filter(|it| it.record == record),
            _ => None,
        }
    }

    /// Whether the identity is pinned: the store has answered for it, so no other may replace it.
    pub(crate) fn is_pinned(&self) -> bool {
        !matches!(self, Self::None | Self::Presented(_)) && !self.is_importable()
    }

    /// Whether there is an old cookie, and no operation has imported its session yet.
    #[cfg(feature = "express")]
    pub(crate) fn is_importable(&self) -> bool {
        matches!(self, Self::Importable(_))
    }

    #[cfg(not(feature = "express"))]
    #[expect(clippy::unused_self, reason = "there are no old cookies")]
    fn is_importable(&self) -> bool {
        false
    }

    /// The session that the old cookie leads to, if any.
    #[cfg(feature = "express")]
    pub(crate) fn imported(&mut self, identity: Option<Identity>) {
        if self.is_importable() {
            *self = identity.map_or(Self::None, Self::Presented);
        }
    }

    /// Whether a new token was sent, and the answer is missing.
    pub(crate) fn is_unsettled(&self) -> bool {
        matches!(self, Self::Unsettled { .. })
    }

    /// Whether the session is unsettled, lost, or not imported yet.
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self, Self::Unsettled { .. } | Self::Lost(_)) || self.is_importable()
    }

    pub(crate) fn next(&self, is_read: bool) -> Next {
        match self {
            Self::Presented(identity)
            | Self::Confirmed { identity, .. }
            | Self::Issued(identity) => Next::Ask(identity.clone()),
            Self::Unsettled { .. } => Next::Settle,
            #[cfg(feature = "express")]
            Self::Importable(_) => Next::Settle,
            Self::None | Self::Destroyed { .. } | Self::Dead(_) if is_read => Next::FindNothing,
            Self::None | Self::Destroyed { .. } => Next::Create,
            Self::Dead(_) | Self::Lost(_) => Next::Conflict,
        }
    }

    /// The store has found the record live.
    pub(crate) fn applied(&mut self, record: RecordId, at: Instant) {
        if let Self::Unsettled { before, .. } = self {
            return before.applied(record, at);
        }
        if self.identity_mut(record).is_none() {
            return;
        }
        *self = match mem::replace(self, Self::None) {
            Self::Presented(identity) | Self::Confirmed { identity, .. } => {
                Self::Confirmed { identity, at }
            }
            other => other,
        };
    }

    /// Notes when the record was last seen.
    pub(crate) fn note_seen(&mut self, record: RecordId, seen: Seen) {
        if let Some(identity) = self.identity_mut(record) {
            identity.seen = Some(seen);
        }
    }

    /// Whether the store has found the session live.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Confirmed { .. } | Self::Issued(_))
    }

    /// Sets whether the cookie is persistent. Returns `false` if there is no session that the store
    /// has found live.
    pub(crate) fn remember(&mut self, is_remembered: bool) -> bool {
        match self {
            Self::Confirmed { identity, .. } | Self::Issued(identity) => {
                identity.value.is_remembered = is_remembered;
                true
            }
            _ => false,
        }
    }

    /// The store has found a tombstone. Returns `false` if the request's session has changed since
    /// it asked.
    pub(crate) fn dead(&mut self, record: RecordId, death: Death) -> bool {
        let next = match self {
            Self::Presented(_) => Self::Dead(death),
            _ => Self::Lost(Some(death)),
        };
        let is_meant = self.identity_mut(record).is_some();
        if is_meant {
            *self = next;
        }
        is_meant
    }

    /// The store has found nothing. `is_old`: the request has run for so long that a tombstone may
    /// have expired. Returns `false` if the request's session has changed since it asked.
    pub(crate) fn gone(&mut self, record: RecordId, is_read: bool, is_old: bool) -> bool {
        let next = match self {
            Self::Presented(_) if is_old => Self::Dead(Death::Rotated),
            Self::Presented(identity) if is_read => Self::Presented(identity.clone()),
            Self::Presented(_) => Self::None,
            _ => Self::Lost(None),
        };
        let is_meant = self.identity_mut(record).is_some();
        if is_meant {
            *self = next;
        }
        is_meant
    }

    /// Marks the session as lost: it expired during the request, or it may have a new token that
    /// could not be settled before the headers are sent.
    pub(crate) fn lost(&mut self) {
        *self = Self::Lost(None);
    }

    /// Starts a change that sends a new token. `event` is emitted when it succeeds.
    pub(crate) fn begin(&mut self, pending: Identity, event: Event) {
        let before = Box::new(mem::replace(self, Self::None));
        *self = Self::Unsettled { before, pending, event };
    }

    /// The store has the new token.
    pub(crate) fn settled(&mut self) -> Option<Event> {
        match mem::replace(self, Self::None) {
            Self::Unsettled { pending, event, .. } => {
                *self = Self::Issued(pending);
                Some(event)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// The store does not have the new token, and never will.
    pub(crate) fn abandoned(&mut self) {
        *self = match mem::replace(self, Self::None) {
            Self::Unsettled { before, .. } => *before,
            other => other,
        };
    }

    /// The request has destroyed its session.
    pub(crate) fn destroyed(&mut self, at: Instant) {
        *self = Self::Destroyed { at };
    }

    /// What the response does to the cookie. `is_repeated`: send the cookie again with the same
    /// token.
    pub(crate) fn cookie(&self, is_repeated: bool, now: Instant) -> CookieChange {
        let is_fresh = |at: &Instant| now.duration_since(*at) <= FRESH;
        match self {
            Self::Issued(identity) => CookieChange::Set(identity.value.clone()),
            Self::Confirmed { identity, at } if is_repeated && is_fresh(at) => {
                CookieChange::Set(identity.value.clone())
            }
            Self::Destroyed { at } if is_fresh(at) => CookieChange::Clear,
            _ => CookieChange::Keep,
        }
    }
}

#[cfg(test)]
mod tests;

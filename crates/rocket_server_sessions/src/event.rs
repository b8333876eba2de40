//! What an application may want to log or to count.

use std::fmt;

use metrics::{Counter, counter, describe_counter};

use super::id::PublicId;

/// Something that has happened to a session; [`SessionFairing::observer`] hears of it.
///
/// It names sessions by their handles, which prove nothing, and holds no secret.
///
/// [`SessionFairing::observer`]: super::SessionFairing::observer
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session has begun.
    Created(PublicId),
    /// Both of its clocks were set anew.
    Touched(PublicId),
    /// It has a new secret.
    Regenerated(PublicId),
    /// It was tied to a user.
    LoggedIn(PublicId),
    /// It was ended.
    Destroyed(PublicId),
    /// A cookie came that was past one of its deadlines.
    Expired(PublicId, Deadline),
    /// A cookie came that leads to no session, and was treated as none.
    Rejected(Rejection),
}

/// Which of a session's two deadlines has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// It was not used for the idle timeout.
    Idle,
    /// It is older than the absolute lifetime.
    Absolute,
}

/// Why a cookie was treated as none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// No key of ours has sealed it, or it is of an unknown format.
    InvalidCookie,
    /// Two cookies of ours name different sessions: one was planted.
    Ambiguous,
    /// Its session has ended.
    Destroyed(PublicId),
    /// Its secret was replaced, and the overlap is over. Where nobody signed in twice, a copied
    /// cookie looks like this.
    StaleToken(PublicId),
    /// The store has lost the record: evicted, flushed, or gone with a failover.
    Missing(PublicId),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created(id) => write!(f, "session {id} has begun"),
            Self::Touched(id) => write!(f, "session {id} was touched"),
            Self::Regenerated(id) => write!(f, "session {id} has a new secret"),
            Self::LoggedIn(id) => write!(f, "session {id} was tied to a user"),
            Self::Destroyed(id) => write!(f, "session {id} was ended"),
            Self::Expired(id, Deadline::Idle) => {
                write!(f, "session {id} was idle for too long")
            }
            Self::Expired(id, Deadline::Absolute) => {
                write!(f, "session {id} is past its lifetime")
            }
            Self::Rejected(Rejection::InvalidCookie) => f.write_str("a cookie was not sealed by us"),
            Self::Rejected(Rejection::Ambiguous) => f.write_str("cookies of two sessions came"),
            Self::Rejected(Rejection::Destroyed(id)) => {
                write!(f, "a cookie of session {id} came after its end")
            }
            Self::Rejected(Rejection::StaleToken(id)) => {
                write!(f, "a cookie of session {id} came with a secret from before")
            }
            Self::Rejected(Rejection::Missing(id)) => {
                write!(f, "the record of session {id} is lost")
            }
        }
    }
}

/// How often each kind of event has happened, for whatever recorder of metrics is installed.
///
/// The counters are asked for once: to find one by its labels takes longer than to count.
pub(super) struct Counters {
    created: Counter,
    touched: Counter,
    regenerated: Counter,
    bound: Counter,
    ended: Counter,
    expired: Counter,
    rejected: Counter,
    unsealed: Counter,
    ambiguous: Counter,
    after_end: Counter,
    superseded: Counter,
    lost: Counter,
}

impl Counters {
    pub(super) fn register() -> Self {
        const EVENTS: &str = "session_events_total";
        const REJECTIONS: &str = "session_rejections_total";
        describe_counter!(EVENTS, "What has happened to sessions.");
        describe_counter!(REJECTIONS, "Cookies that were treated as none, by the reason.");
        Self {
            created: counter!(EVENTS, "event" => "created"),
            touched: counter!(EVENTS, "event" => "touched"),
            regenerated: counter!(EVENTS, "event" => "regenerated"),
            bound: counter!(EVENTS, "event" => "bound"),
            ended: counter!(EVENTS, "event" => "ended"),
            expired: counter!(EVENTS, "event" => "expired"),
            rejected: counter!(EVENTS, "event" => "rejected"),
            unsealed: counter!(REJECTIONS, "reason" => "unsealed"),
            ambiguous: counter!(REJECTIONS, "reason" => "ambiguous"),
            after_end: counter!(REJECTIONS, "reason" => "ended"),
            superseded: counter!(REJECTIONS, "reason" => "superseded"),
            lost: counter!(REJECTIONS, "reason" => "lost"),
        }
    }

    pub(super) fn count(&self, event: Event) {
        let counter = match event {
            Event::Created(_) => &self.created,
            Event::Touched(_) => &self.touched,
            Event::Regenerated(_) => &self.regenerated,
            Event::LoggedIn(_) => &self.bound,
            Event::Destroyed(_) => &self.ended,
            Event::Expired(..) => &self.expired,
            Event::Rejected(why) => {
                self.reason(why).increment(1);
                &self.rejected
            }
        };
        counter.increment(1);
    }

    fn reason(&self, why: Rejection) -> &Counter {
        match why {
            Rejection::InvalidCookie => &self.unsealed,
            Rejection::Ambiguous => &self.ambiguous,
            Rejection::Destroyed(_) => &self.after_end,
            Rejection::StaleToken(_) => &self.superseded,
            Rejection::Missing(_) => &self.lost,
        }
    }
}

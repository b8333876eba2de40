//! What an application may want to log or to count.

use std::fmt;

use metrics::{Counter, counter, describe_counter};

use super::id::Handle;

/// Something that has happened to a session; [`Sessions::with_observer`] hears of it.
///
/// It names sessions by their handles, which prove nothing, and holds no secret.
///
/// [`Sessions::with_observer`]: super::Sessions::with_observer
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session has begun.
    Created(Handle),
    /// Both of its clocks were set anew.
    Touched(Handle),
    /// It has a new secret.
    Regenerated(Handle),
    /// It was tied to a user.
    Bound(Handle),
    /// It was ended.
    Ended(Handle),
    /// A cookie came that was past one of its deadlines.
    Expired(Handle, Deadline),
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
    Unsealed,
    /// Two cookies of ours name different sessions: one was planted.
    Ambiguous,
    /// Its session has ended.
    Ended(Handle),
    /// Its secret was replaced, and the overlap is over. Where nobody signed in twice, a copied
    /// cookie looks like this.
    Superseded(Handle),
    /// The store has lost the record: evicted, flushed, or gone with a failover.
    Lost(Handle),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created(handle) => write!(f, "session {handle} has begun"),
            Self::Touched(handle) => write!(f, "session {handle} was touched"),
            Self::Regenerated(handle) => write!(f, "session {handle} has a new secret"),
            Self::Bound(handle) => write!(f, "session {handle} was tied to a user"),
            Self::Ended(handle) => write!(f, "session {handle} was ended"),
            Self::Expired(handle, Deadline::Idle) => {
                write!(f, "session {handle} was idle for too long")
            }
            Self::Expired(handle, Deadline::Absolute) => {
                write!(f, "session {handle} is past its lifetime")
            }
            Self::Rejected(Rejection::Unsealed) => f.write_str("a cookie was not sealed by us"),
            Self::Rejected(Rejection::Ambiguous) => f.write_str("cookies of two sessions came"),
            Self::Rejected(Rejection::Ended(handle)) => {
                write!(f, "a cookie of session {handle} came after its end")
            }
            Self::Rejected(Rejection::Superseded(handle)) => {
                write!(f, "a cookie of session {handle} came with a secret from before")
            }
            Self::Rejected(Rejection::Lost(handle)) => {
                write!(f, "the record of session {handle} is lost")
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
            Event::Bound(_) => &self.bound,
            Event::Ended(_) => &self.ended,
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
            Rejection::Unsealed => &self.unsealed,
            Rejection::Ambiguous => &self.ambiguous,
            Rejection::Ended(_) => &self.after_end,
            Rejection::Superseded(_) => &self.superseded,
            Rejection::Lost(_) => &self.lost,
        }
    }
}

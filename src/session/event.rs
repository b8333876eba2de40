//! What an application may want to log or to count.

use std::fmt;

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

//! Events that can be logged or counted.

use std::fmt;

use super::id::PublicId;

/// An event in the life of a session, which is passed to the [observer].
///
/// It contains public ids only, and no secrets.
///
/// [observer]: super::SessionFairing::observer
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session was created.
    Created(PublicId),
    /// A session was imported from Express, with the feature `express`. Follows `Created`.
    Imported(PublicId),
    /// The browser has returned the cookie of a new session for the first time. If this is never
    /// emitted for a session, its client sent no second request, or does not keep the cookie. Most
    /// robots do not.
    Returned(PublicId),
    /// The cookie was in double quotes, as some clients send it. It was accepted.
    Quoted(PublicId),
    /// The session's idle timeout is about to be reset. Emitted before the call to the store, so it
    /// does not mean that the call succeeded.
    Touched(PublicId),
    /// The session got a new token.
    Regenerated(PublicId),
    /// A user was logged in.
    LoggedIn(PublicId),
    /// The session was destroyed.
    Destroyed(PublicId),
    /// The session reached its absolute lifetime. Idle expiry is reported as
    /// [`Rejection::Missing`].
    Expired(PublicId),
    /// A cookie was ignored.
    Rejected(Rejection),
    /// A field of this [lenient](super::Key::lenient) key could not be decoded, so it counts as
    /// missing.
    Undecodable(PublicId, &'static str),
}

/// Why a cookie was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// It looks like a cookie of this crate, but no key decrypts it: it was forged, changed, or
    /// encrypted with a key that is neither `secret_key` nor in `previous_keys`.
    InvalidCookie,
    /// It is too short: something between the browser and the server has truncated it.
    CutOff,
    /// It is too long, or has characters that it never contains: something between the browser and
    /// the server has changed it.
    Malformed,
    /// A cookie of the request is not UTF-8, so Rocket has dropped all of the request's cookies.
    /// Only reported if the logger calls [`note_dropped_cookies`](crate::note_dropped_cookies).
    UnreadableHeader,
    /// The request has two valid cookies with different tokens; one may have been planted.
    Ambiguous,
    /// It is an Express cookie that no secret of the import verifies: it was forged, or a secret is
    /// wrong or missing. Only with the feature `express`, and only if the request has no valid
    /// session cookie of this crate.
    UnverifiedOldCookie,
    /// Its session was destroyed.
    Destroyed(PublicId),
    /// Its token was replaced. This may indicate a copied cookie.
    StaleToken(PublicId),
    /// The store has no such record: it has expired, or was evicted, flushed or lost in a failover.
    Missing(PublicId),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created(id) => write!(f, "session {id} was created"),
            Self::Imported(id) => write!(f, "session {id} was imported from Express"),
            Self::Returned(id) => write!(f, "the cookie of session {id} has returned"),
            Self::Quoted(id) => write!(f, "the cookie of session {id} came in double quotes"),
            Self::Touched(id) => write!(f, "session {id} was touched"),
            Self::Regenerated(id) => write!(f, "session {id} got a new token"),
            Self::LoggedIn(id) => write!(f, "a user was logged in to session {id}"),
            Self::Destroyed(id) => write!(f, "session {id} was destroyed"),
            Self::Expired(id) => {
                write!(f, "session {id} has expired: it is older than `absolute_lifetime`")
            }
            Self::Undecodable(id, key) => {
                write!(f, "session {id}: a field of `{key}` could not be decoded and was ignored")
            }
            Self::Rejected(Rejection::InvalidCookie) => {
                f.write_str("a session cookie could not be decrypted with any key")
            }
            Self::Rejected(Rejection::CutOff) => f.write_str("a session cookie was cut off"),
            Self::Rejected(Rejection::Malformed) => {
                f.write_str("a session cookie has unexpected characters")
            }
            Self::Rejected(Rejection::UnreadableHeader) => {
                f.write_str("a request's cookies are not UTF-8, so Rocket has dropped them all")
            }
            Self::Rejected(Rejection::Ambiguous) => {
                f.write_str("a request came with two session cookies that have different tokens")
            }
            Self::Rejected(Rejection::UnverifiedOldCookie) => {
                f.write_str("a cookie of Express is signed with none of the import's secrets")
            }
            Self::Rejected(Rejection::Destroyed(id)) => {
                write!(f, "a request came with the cookie of session {id}, which was destroyed")
            }
            Self::Rejected(Rejection::StaleToken(id)) => {
                write!(f, "a request came with an old token of session {id}")
            }
            Self::Rejected(Rejection::Missing(id)) => {
                write!(f, "the store has no record of session {id}")
            }
        }
    }
}

//! Errors of session operations.

use std::time::Duration;

use rocket::Request;
use rocket::http::Status;
use rocket::request::Outcome;
use rocket::response::{self, Responder};

use super::limited_log::LogLimit;
use super::store::{StoreError, StoreErrorKind};

/// A session operation's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a session operation failed.
///
/// As a [`Responder`], it forwards to the error catcher for [`status`](Self::status). The fairing
/// adds `Retry-After` to the response if the store failed. The cookie is not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store is unreachable or rejects requests. Nothing was changed.
    #[error("the session store is unavailable: {source}")]
    #[non_exhaustive]
    Unavailable {
        /// How long to wait before trying again.
        retry_after: Duration,
        /// The store's error.
        source: StoreError,
    },

    /// The store did not answer in time, or the operation failed halfway. The change may or may not
    /// have been made. It is not retried.
    #[error("the session store did not answer: {source}")]
    #[non_exhaustive]
    OutcomeUnknown {
        /// How long to wait before trying again.
        retry_after: Duration,
        /// The store's error.
        source: StoreError,
    },

    /// Another request rotated or destroyed the session while this one was using the old token, or
    /// the record disappeared during the request. Nothing was changed.
    ///
    /// If another request of this browser did it, the browser has received a newer cookie by now,
    /// or none, and reloading the page helps.
    ///
    /// If the session was destroyed from elsewhere, such as with
    /// [`UserSessions::destroy`](crate::UserSessions::destroy), reloading does not help: reads find
    /// nothing, and writes fail for up to 30 seconds. After that, a write creates a new session.
    /// [`log_in`](crate::Session::log_in) works at once. Tell the visitor:
    ///
    /// ```
    /// use rocket::{Request, catch};
    /// use rocket_server_sessions::{Rejection, Session};
    ///
    /// #[catch(409)]
    /// fn conflict(request: &Request<'_>) -> &'static str {
    ///     match Session::of(request).ok().and_then(|session| session.rejection()) {
    ///         Some(Rejection::Destroyed(_)) => "You were logged out. Log in again.",
    ///         _ => "Your session has just changed. Reload the page.",
    ///     }
    /// }
    /// ```
    #[error("the session was rotated, destroyed or lost while this request was using it")]
    Conflict,

    /// A field's value does not have the type of its key.
    // The decoder's message may contain the value, which must not be logged.
    #[error(
        "the session field `{field}` does not have the type of its key: {:?} error in its JSON at \
         line {}, column {}",
        source.classify(), source.line(), source.column()
    )]
    #[non_exhaustive]
    Deserialize {
        /// The field's name.
        field: String,
        /// The decoder's error. Its message may contain the value.
        source: serde_json::Error,
    },

    /// An increment was refused, because the field is not an integer. The field was not changed.
    #[error("the session field `{field}` is not an integer, so it cannot be incremented")]
    #[non_exhaustive]
    NotAnInteger {
        /// The field's name.
        field: String,
    },

    /// An increment was refused, because the sum does not fit into the key's integer type, or into
    /// the 64-bit signed integers that stores count with. The field was not changed.
    ///
    /// A visitor can usually cause this, for example by decrementing an unsigned counter at 0. An
    /// application that does not handle it has a bug, so the status is 500, and the log names the
    /// field. See [`Session::increment`](crate::Session::increment) for how to handle it.
    #[error(
        "the session field `{field}` was not incremented, because the sum does not fit into its type, \
         {integer}"
    )]
    #[non_exhaustive]
    OutOfRange {
        /// The field's name.
        field: String,
        /// The key's type.
        integer: &'static str,
    },

    /// A value cannot be serialized as JSON.
    #[error("the value for the session field `{field}` cannot be written as JSON: {source}")]
    #[non_exhaustive]
    Serialize {
        /// The field's name.
        field: String,
        /// The encoder's error.
        source: serde_json::Error,
    },

    /// The user's name that was passed to [`log_in`](crate::Session::log_in) is empty.
    #[error(
        "a user's name is empty; pass `log_in` the name or number by which your application knows \
         the user"
    )]
    EmptyUser,

    /// Another site has sent the request. The guard [`SameOrigin`](crate::SameOrigin) returns this
    /// error. All other guards of this crate do so too, if
    /// [`require_same_origin`](crate::SessionFairing::require_same_origin) forbids the request, but
    /// a later fairing has directed it to a route by changing its method or path.
    #[error("the request was sent by another site")]
    CrossSite,

    /// The crate is used incorrectly. The message says what to change.
    #[error("{0}")]
    Misuse(&'static str),

    /// A field's name, its value, the whole record or a user's name exceeds its limit. Nothing was
    /// changed.
    #[error(
        "the session field `{field}` cannot be stored: {what} is {size} bytes, and the limit is \
         {limit}"
    )]
    #[non_exhaustive]
    TooLarge {
        /// The field's name.
        field: String,
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },

    /// A batch has too many changes, or a log-in sets too many fields. Nothing was changed.
    #[error("{changes} changes at once are too many: the limit is {limit}")]
    #[non_exhaustive]
    TooManyChanges {
        /// The number of changes.
        changes: usize,
        /// The maximum number of changes.
        limit: usize,
    },
}

impl Error {
    /// The status that a response to this error should have: 503 if the store fails, 409 for
    /// [`Conflict`](Self::Conflict), 403 for [`CrossSite`](Self::CrossSite), 413 for
    /// [`TooLarge`](Self::TooLarge) and [`TooManyChanges`](Self::TooManyChanges), and 500 for
    /// all others.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Unavailable { .. } | Self::OutcomeUnknown { .. } => Status::ServiceUnavailable,
            Self::Conflict => Status::Conflict,
            Self::CrossSite => Status::Forbidden,
            Self::TooLarge { .. } | Self::TooManyChanges { .. } => Status::PayloadTooLarge,
            Self::Deserialize { .. }
            | Self::NotAnInteger { .. }
            | Self::OutOfRange { .. }
            | Self::EmptyUser
            | Self::Misuse(_)
            | Self::Serialize { .. } => Status::InternalServerError,
        }
    }

    /// How long to wait before trying again. `None` for all errors except
    /// [`Unavailable`](Self::Unavailable) and [`OutcomeUnknown`](Self::OutcomeUnknown).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::OutcomeUnknown { retry_after, .. } => {
                Some(*retry_after)
            }
            _ => None,
        }
    }

    /// Converts an error that promises that nothing was changed, for an operation that was partly
    /// applied.
    pub(crate) fn partially_applied(self) -> Self {
        match self {
            Self::Unavailable { retry_after, source } => {
                Self::OutcomeUnknown { retry_after, source }
            }
            Self::Conflict => {
                let source = StoreError::outcome_unknown("another request stopped it halfway");
                Self::OutcomeUnknown { retry_after: Duration::ZERO, source }
            }
            other => other,
        }
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        let retry_after = source.retry_after;
        match source.kind {
            StoreErrorKind::Refused => Self::Unavailable { retry_after, source },
            StoreErrorKind::OutcomeUnknown => Self::OutcomeUnknown { retry_after, source },
        }
    }
}

/// Lets [`rocket::outcome::try_outcome`] convert the error in guards of your own.
impl From<Error> for (Status, Error) {
    fn from(error: Error) -> Self {
        (error.status(), error)
    }
}

/// For guards of your own. Put the fallible part into a function that returns a [`Result`], and use
/// `?` there:
///
/// ```
/// use rocket::Request;
/// use rocket::request::{FromRequest, Outcome};
/// use rocket_server_sessions::{self as session, Key, Session};
///
/// const THEME: Key<String> = Key::new("theme");
///
/// struct Theme(String);
///
/// impl Theme {
///     async fn of(request: &Request<'_>) -> session::Result<Self> {
///         let session = Session::of(request)?;
///         Ok(Self(session.get(THEME).await?.unwrap_or_else(|| "light".into())))
///     }
/// }
///
/// #[rocket::async_trait]
/// impl<'r> FromRequest<'r> for Theme {
///     type Error = session::Error;
///
///     async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
///         Self::of(request).await.map_or_else(Outcome::from, Outcome::Success)
///     }
/// }
/// ```
impl<S> From<Error> for Outcome<S, Error> {
    fn from(error: Error) -> Self {
        Outcome::Error(error.into())
    }
}

impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        static OUT_OF_RANGE: LogLimit = LogLimit::new();

        // A visitor can cause this at will, for example by decrementing an unsigned counter at 0.
        let limit = matches!(self, Self::OutOfRange { .. }).then_some(&OUT_OF_RANGE);
        if self.status() == Status::InternalServerError {
            match limit.map(LogLimit::due) {
                None => log::error!("{self}"),
                Some(Some(left_out)) => log::error!("{self}{left_out}"),
                Some(None) => {}
            }
        }
        Err(self.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_after_a_part_was_applied_does_not_promise_that_nothing_was_changed() {
        let refused = Error::from(StoreError::refused("no connection"));
        for error in [refused, Error::Conflict] {
            let error = error.partially_applied();
            assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
        }
    }

    #[test]
    fn error_of_a_wrong_type_does_not_show_the_value() {
        let source = serde_json::from_str::<i64>("\"alice@example.com\"").unwrap_err();
        let error = Error::Deserialize { field: "mail".into(), source };
        assert!(!error.to_string().contains("alice"), "{error}");
    }
}

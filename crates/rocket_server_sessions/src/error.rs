//! What can go wrong with a session, by what the caller can do about it.

use std::time::Duration;

use rocket::Request;
use rocket::http::Status;
use rocket::response::{self, Responder};

use super::store::{StoreError, StoreErrorKind};

/// A session operation's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a session operation failed.
///
/// As a [`Responder`] it answers with [`Error::status`], through the application's catchers; an
/// outage of the store becomes a 503 with `Retry-After`, and the visitor's cookie is left alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be reached or refuses to work; nothing was changed. Try again later.
    #[error("the session store is unavailable: {source}")]
    Unavailable {
        /// When it is worth trying again.
        retry_after: Duration,
        /// What the store said.
        source: StoreError,
    },

    /// The store was asked and has not answered in time, or has failed when a part of the work was
    /// done: the change may have been made or not. It was not sent twice.
    #[error("the session store did not answer: {source}")]
    OutcomeUnknown {
        /// When it is worth trying again.
        retry_after: Duration,
        /// What the store said.
        source: StoreError,
    },

    /// Another request has changed the session: it has a new token, or it was destroyed, and this
    /// request came with the old one. Or it has vanished in the midst of this request. Nothing was
    /// changed. Usually the browser has a newer cookie, or is about to get one: load the page again. If
    /// the session was destroyed from elsewhere, a new one can begin after 30 seconds.
    #[error("the session has just changed, and this request came with its old cookie")]
    Conflict,

    /// A field holds something other than its key says.
    // The decoder's own words may repeat the value, which is nobody's business who reads the log.
    #[error(
        "the session field `{field}` does not hold what its key says: {:?} error in its JSON at \
         line {}, column {}",
        source.classify(), source.line(), source.column()
    )]
    Deserialize {
        /// The field.
        field: String,
        /// What the decoder said; it may repeat the value.
        source: serde_json::Error,
    },

    /// An increment was refused: the field holds no integer, or the sum leaves 64 bits. The field
    /// is as it was.
    #[error("the session field `{field}` holds no integer that can be incremented")]
    NotAnInteger {
        /// The field.
        field: String,
    },

    /// A value cannot be written as JSON.
    #[error("the value for the session field `{field}` cannot be written as JSON: {source}")]
    Serialize {
        /// The field.
        field: String,
        /// What the encoder said.
        source: serde_json::Error,
    },

    /// A field's name, its value, or the whole record is past its limit.
    #[error("the session field `{field}` makes {what} {size} long, and at most {limit} is allowed")]
    TooLarge {
        /// The field.
        field: String,
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it would be.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
}

impl Error {
    /// The status that a response to this error should have: 503 if the store fails, 409 for
    /// [`Conflict`](Self::Conflict), 413 for [`TooLarge`](Self::TooLarge), 500 for the application's
    /// own errors.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Unavailable { .. } | Self::OutcomeUnknown { .. } => Status::ServiceUnavailable,
            Self::Conflict => Status::Conflict,
            Self::TooLarge { .. } => Status::PayloadTooLarge,
            Self::Deserialize { .. } | Self::NotAnInteger { .. } | Self::Serialize { .. } => {
                Status::InternalServerError
            }
        }
    }

    /// When it is worth trying again; `None` where trying again changes nothing.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::OutcomeUnknown { retry_after, .. } => {
                Some(*retry_after)
            }
            _ => None,
        }
    }

    /// The same error, after another part of the work was done.
    pub(crate) fn partially_applied(self) -> Self {
        match self {
            Self::Unavailable { retry_after, source } => {
                Self::OutcomeUnknown { retry_after, source }
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

impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        if self.status() == Status::InternalServerError {
            log::error!("{self}");
        }
        Err(self.status())
    }
}

//! What can go wrong in a store.

use std::fmt;
use std::time::Duration;

/// An error of a store.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct StoreError {
    /// Whether the call may have been applied.
    pub kind: StoreErrorKind,
    /// How long to wait before trying again. Zero if only this call failed.
    pub retry_after: Duration,
    /// A message for the log, without secrets or keys.
    pub message: String,
}

/// Whether the call behind a [`StoreError`] may have been applied. There will be no third kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The call was not applied.
    Refused,
    /// The call was sent but not answered, so it may have been applied.
    OutcomeUnknown,
}

impl StoreError {
    /// Creates an error for a call that was not applied.
    #[must_use]
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::Refused, message)
    }

    /// Creates an error for a call that was sent but not answered, so that it may have been
    /// applied.
    #[must_use]
    pub fn outcome_unknown(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::OutcomeUnknown, message)
    }

    /// Says how long to wait before trying again: one second unless set, and zero if only this call
    /// failed.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Duration) -> Self {
        Self { retry_after, ..self }
    }

    fn new(kind: StoreErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, retry_after: Duration::from_secs(1), message: message.to_string() }
    }
}

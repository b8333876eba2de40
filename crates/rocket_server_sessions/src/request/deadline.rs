//! How long a request may wait for the store in total.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rocket::tokio::time::timeout;

use super::session::RequestSession;
use crate::error::{Error, Result};
use crate::store::StoreError;

/// The fraction of the deadline that is reserved for settling.
const SETTLE_SHARE: u32 = 8;

impl RequestSession {
    /// Limits the total time that a request waits for the store. After a failure, later operations
    /// of the request fail immediately. After the response's headers are sent (in streams), each
    /// operation has its own deadline and may try again.
    pub(crate) async fn with_deadline<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let deadline = self.shared.config.deadline;
        if self.is_answered() {
            return with_deadline(deadline, work).await;
        }
        if let Some(retry_after) = self.outage() {
            let error = StoreError::refused("an earlier operation of this request failed");
            return Err(StoreError { retry_after, ..error }.into());
        }
        let _pause = self.wait.start();
        let rest = deadline.saturating_sub(self.wait.so_far());
        if rest.is_zero() {
            return Err(StoreError::refused("the request has used up its deadline").into());
        }
        let result = with_deadline(rest, work).await;
        if matches!(result, Err(Error::OutcomeUnknown { .. })) {
            self.is_outcome_unknown.store(true, Ordering::Relaxed);
        }
        let retry_after = result.as_ref().err().and_then(Error::retry_after);
        if let Some(retry_after) = retry_after.filter(|it| !it.is_zero()) {
            *self.outage.lock() = Some(retry_after);
        }
        result
    }

    /// How long to wait before trying again, if the store has failed this request.
    pub(crate) fn outage(&self) -> Option<Duration> {
        *self.outage.lock()
    }

    /// Whether an operation of the request failed with [`Error::OutcomeUnknown`].
    pub(crate) fn is_outcome_unknown(&self) -> bool {
        self.is_outcome_unknown.load(Ordering::Relaxed)
    }

    /// Runs a call that creates a token, and leaves time for settling.
    pub(super) async fn soon<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = self.shared.config.deadline;
        let rest = deadline.saturating_sub(self.settle_time()).saturating_sub(self.wait.so_far());
        timeout(rest, call).await.unwrap_or_else(|_| Err(late()))
    }

    pub(super) fn settle_time(&self) -> Duration {
        self.shared.config.deadline / SETTLE_SHARE
    }
}

/// Runs an operation for at most this long.
pub(crate) async fn with_deadline<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    timeout(deadline, work).await.unwrap_or_else(|_| Err(late().into()))
}

fn late() -> StoreError {
    StoreError::outcome_unknown("the deadline passed")
}

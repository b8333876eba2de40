//! Requests that were answered, but whose callers were not woken yet.

use super::breaker::Severity;
use super::request::{Answer, Request};
use super::server_failure::server_failure;
use super::upstream::Upstream;
use crate::store::error::StoreError;

/// A request with all its replies.
pub(super) struct Answered {
    pub(super) request: Request,
    pub(super) answer: Answer,
}

#[derive(Default)]
pub(super) struct Answers(Vec<Answered>);

impl Answers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn extend(&mut self, answered: impl IntoIterator<Item = Answered>) {
        self.0.extend(answered);
    }

    /// Adds requests whose connection has broken.
    pub(super) fn break_off(&mut self, requests: impl Iterator<Item = Request>) {
        let broke = || Err(StoreError::outcome_unknown("the connection to Redis broke"));
        self.0.extend(requests.map(|request| Answered { request, answer: broke() }));
    }

    /// Fails the requests whose replies contain an error about the server. If the server has not
    /// failed, closes the breaker. Returns the last failure.
    pub(super) fn judge(&mut self, upstream: &Upstream) -> Option<(Severity, String)> {
        let mut failure = None;
        for Answered { answer, .. } in &mut self.0 {
            match answer {
                Ok(replies) => {
                    if let Some(found) = server_failure(replies, upstream.is_cluster) {
                        match found.severity {
                            Some(severity) => {
                                failure = Some((severity, found.error.message.clone()));
                            }
                            None => upstream.breaker.warn(&found.error.message),
                        }
                        *answer = Err(found.error);
                    }
                }
                Err(error) => upstream.breaker.warn(&error.message),
            }
        }
        if failure.is_none() {
            upstream.breaker.succeeded();
        }
        failure
    }

    /// Wakes the callers.
    pub(super) fn hand_out(&mut self) {
        for Answered { request, answer } in self.0.drain(..) {
            request.answer(answer);
        }
    }

    /// Fails all requests, because their replies may be those of others.
    pub(super) fn refuse(&mut self) {
        for Answered { request, .. } in self.0.drain(..) {
            let why = "replies of Redis do not match the requests";
            request.answer(Err(StoreError::outcome_unknown(why)));
        }
    }
}

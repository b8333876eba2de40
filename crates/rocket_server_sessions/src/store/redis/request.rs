//! A queued request and its reply.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::Instant;

use redis::Value;
use rocket::tokio::sync::oneshot;
use rocket::tokio::time::timeout_at;

use super::pipeline::Pipeline;
use crate::store::error::StoreError;

/// The result of a request: the replies to its commands, including errors about the record.
pub(super) type Answer = Result<Vec<Value>, StoreError>;

/// Whether a request was sent. This decides which error its caller gets after a timeout, so both
/// ends share it atomically. It changes once: the first end to change it wins.
#[derive(Default)]
struct Stage(AtomicU8);

impl Stage {
    const QUEUED: u8 = 0;
    const SENT: u8 = 1;
    const CANCELLED: u8 = 2;

    /// Leaves the queue. Returns whether the request was still in it.
    fn leave(&self, to: u8) -> bool {
        self.0.compare_exchange(Self::QUEUED, to, AcqRel, Acquire).is_ok()
    }
}

/// The sender's half: the encoded commands, and the channel for their replies.
pub(super) struct Request {
    pub(super) packed: Vec<u8>,
    pub(super) replies: usize,
    pub(super) commands: usize,
    pub(super) queued_at: Instant,
    pub(super) deadline: Instant,
    stage: Arc<Stage>,
    answer: oneshot::Sender<Answer>,
}

/// The caller's half. Dropping it cancels a request that was not sent yet.
pub(super) struct Reply {
    deadline: Instant,
    stage: Arc<Stage>,
    answer: oneshot::Receiver<Answer>,
}

impl Request {
    pub(super) fn new(pipeline: Pipeline, now: Instant, deadline: Instant) -> (Self, Reply) {
        let (sender, receiver) = oneshot::channel();
        let stage = Arc::<Stage>::default();
        let request = Self {
            replies: pipeline.replies(),
            commands: pipeline.commands(),
            packed: pipeline.packed,
            queued_at: now,
            deadline,
            stage: stage.clone(),
            answer: sender,
        };
        (request, Reply { deadline, stage, answer: receiver })
    }

    /// Claims the request for sending. Returns `false` if the caller has given up.
    pub(super) fn begin(&self) -> bool {
        self.stage.leave(Stage::SENT)
    }

    pub(super) fn answer(self, answer: Answer) {
        // If the caller has given up, it has already returned "outcome unknown".
        let _ = self.answer.send(answer);
    }
}

impl Reply {
    /// Waits for the answer until the deadline.
    pub(super) async fn wait(mut self) -> Answer {
        match timeout_at(self.deadline.into(), &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.give_up("the task that talks to Redis has ended")),
            Err(_) => Err(self.give_up("Redis did not answer in time")),
        }
    }

    fn give_up(&self, why: &str) -> StoreError {
        if self.stage.leave(Stage::CANCELLED) {
            StoreError::refused(format_args!("{why}, and nothing was sent"))
        } else {
            StoreError::outcome_unknown(why)
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.stage.leave(Stage::CANCELLED);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rocket::tokio;

    use super::*;
    use crate::store::StoreErrorKind::{OutcomeUnknown, Refused};

    fn request(patience: Duration) -> (Request, Reply) {
        let now = Instant::now();
        Request::new(Pipeline::default(), now, now + patience)
    }

    #[tokio::test]
    async fn request_that_expires_in_the_queue_was_refused_and_is_never_sent() {
        let (request, reply) = request(Duration::ZERO);
        assert_eq!(reply.wait().await.unwrap_err().kind, Refused);
        assert!(!request.begin());
    }

    #[tokio::test]
    async fn outcome_of_a_request_that_expires_after_it_was_sent_is_unknown() {
        let (request, reply) = request(Duration::ZERO);
        assert!(request.begin());
        assert_eq!(reply.wait().await.unwrap_err().kind, OutcomeUnknown);
    }

    #[tokio::test]
    async fn request_whose_driver_has_ended_is_refused_only_if_it_was_not_sent() {
        for (is_sent, kind) in [(false, Refused), (true, OutcomeUnknown)] {
            let (request, reply) = request(Duration::from_mins(1));
            if is_sent {
                request.begin();
            }
            drop(request);
            assert_eq!(reply.wait().await.unwrap_err().kind, kind);
        }
    }

    #[test]
    fn request_that_is_dropped_by_its_caller_is_never_sent() {
        let (request, reply) = request(Duration::from_mins(1));
        drop(reply);
        assert!(!request.begin());
    }
}

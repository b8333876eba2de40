//! What the requests, the store and the scheduler share: the steps of each request, the pipelines
//! that were sent, and the events so far.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use redis::Value;
use rocket::tokio::sync::oneshot;

use super::step::{Outcome, Step};
use crate::store::StoreError;
use crate::store::redis::Simulated;

/// What has sent a pipeline: a step of a request, or its detached work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    Step {
        request: usize,
        step: usize,
    },
    /// Contains the request.
    Detached(usize),
}

/// A pipeline that was sent to Redis.
pub(super) struct Sent {
    pub(super) packed: Vec<u8>,
    /// How many replies each of its units gets.
    pub(super) units: Vec<usize>,
    pub(super) author: Author,
    pub(super) answer: oneshot::Sender<Result<Vec<Value>, StoreError>>,
}

/// Work that continues after a request's handler has answered.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The beginning or the end of a step.
pub(super) enum Event {
    Began { request: usize, step: usize },
    Ended { request: usize, step: usize, outcome: Outcome },
}

/// One run's shared state. Clones share it.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    pub(super) plans: Vec<Vec<Step>>,
    /// Which step each request is at.
    pub(super) steps: Vec<usize>,
    /// Whether a request's handler should stop waiting.
    pub(super) gives_up: Vec<bool>,
    /// The request that is being polled.
    pub(super) current: Option<usize>,
    /// The request that was polled last.
    pub(super) last: usize,
    /// The task that the request that is being polled has spawned.
    pub(super) spawned: Option<Task>,
    pub(super) sent: Vec<Sent>,
    pub(super) events: Vec<Event>,
}

impl World {
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.0.lock())
    }

    /// Starts over with these requests.
    pub(super) fn reset(&self, plans: Vec<Vec<Step>>) {
        let count = plans.len();
        *self.0.lock() = State {
            plans,
            steps: vec![0; count],
            gives_up: vec![false; count],
            ..State::default()
        };
    }
}

#[rocket::async_trait]
impl Simulated for World {
    async fn ask(&self, packed: Vec<u8>, units: Vec<usize>) -> Result<Vec<Value>, StoreError> {
        let (answer, reply) = oneshot::channel();
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        self.with(|state| {
            // Detached work begins while its request is polled, and then continues by itself.
            let author = match state.current {
                Some(request) if !waker.will_wake(Waker::noop()) => {
                    Author::Step { request, step: state.steps[request] }
                }
                current => Author::Detached(current.unwrap_or(state.last)),
            };
            state.sent.push(Sent { packed, units, author, answer });
        });
        match rocket::tokio::time::timeout(DEADLINE, reply).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::outcome_unknown("the connection to Redis broke")),
            Err(_) => Err(StoreError::outcome_unknown("Redis did not answer in time")),
        }
    }
}

/// The setting `deadline`.
const DEADLINE: Duration = Duration::from_millis(900);

//! What the callers and the drivers of one Redis server share.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Breaker, Severity};
use super::metrics::Metrics;
use super::pool::{Pool, Target};
use super::queue::Queue;
use super::sentinel::Sentinels;
use super::settings::RedisSettings;
use crate::store::error::StoreError;

/// The fraction of a request's deadline that a single store call may take. The call must time out
/// before the request does, because only the call knows whether it was sent.
const DEADLINE_SHARE: f32 = 0.85;

/// One server, with its queue, its circuit breaker and its connections.
pub(super) struct Upstream {
    pub(super) queue: Queue,
    pub(super) breaker: Breaker,
    pub(super) metrics: Metrics,
    pub(super) pool: Pool,
    /// How long a request may take.
    pub(super) deadline: Duration,
    /// Whether it may redirect requests to other servers.
    pub(super) is_cluster: bool,
    /// The prefix of log messages: empty, or `host:port: `.
    pub(super) name: String,
    sentinels: Option<Arc<Sentinels>>,
}

impl Upstream {
    /// `name` is the prefix of log messages, which a server of a cluster has.
    pub(super) fn new(target: Target, settings: &RedisSettings, name: String) -> Self {
        let deadline = settings.deadline.mul_f32(DEADLINE_SHARE);
        let sentinels = match &target {
            Target::Server(_) => None,
            Target::Master(sentinels) => Some(sentinels.clone()),
        };
        // Shorter than the wait for the connection, so that the cause is known in time.
        let pool = Pool::new(target, settings.connections, deadline.mul_f32(0.85));
        let drivers = settings.connections.try_into().unwrap_or(usize::MAX);
        let metrics = Metrics::register();
        Self {
            queue: Queue::new(settings.queue, drivers, deadline / 3, metrics.clone()),
            breaker: Breaker::new(name.clone()),
            metrics,
            pool,
            deadline,
            is_cluster: !name.is_empty(),
            name,
            sentinels,
        }
    }

    /// Whether a connection that was opened under `generation` still leads to the master.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.sentinels.as_ref().is_none_or(|it| it.is_current(generation))
    }

    /// Records a failure. If it opens the breaker, all waiting requests are refused, and the caller
    /// must probe the server after the returned pause.
    pub(super) fn failed(&self, severity: Severity, why: &str) -> Option<Duration> {
        let pause = self.breaker.failed(severity, why)?;
        self.queue.refuse_all(&StoreError::refused("there is no connection to Redis"));
        Some(pause)
    }
}

//! One Redis server: what waits for it, who talks to it, and whether it is known to be away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use r2d2::{NopErrorHandler, Pool, PooledConnection};
use redis::Value;
use rocket::tokio;

use super::address::{Address, Settings};
use super::breaker::{Breaker, Failures, Severity};
use super::driver::Driver;
use super::manager::{Manager, Target};
use super::metrics::Metrics;
use super::pipeline::Pipeline;
use super::queue::Queue;
use super::request::Request;
use super::sentinel::Sentinels;
use crate::store::StoreError;

/// A server, as those see it who ask.
pub(super) struct Server(Arc<Shared>);

/// What its callers and its drivers share.
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) breaker: Breaker,
    pub(super) metrics: Metrics,
    pub(super) sentinels: Option<Arc<Sentinels>>,
    /// How long a request may take in all.
    pub(super) deadline: Duration,
    /// Whether it may say that another server has a record.
    pub(super) is_cluster: bool,
    /// What tells it from others in the log: nothing, or its place and a colon.
    pub(super) name: String,
    pool: Pool<Manager>,
    failures: Arc<Failures>,
}

impl Server {
    /// Nothing is connected before the first request.
    pub(super) fn new(target: Target, settings: &Settings) -> Self {
        Self::with_name(target, settings, None)
    }

    /// A server of a cluster.
    pub(super) fn in_cluster(address: Address, settings: &Settings) -> Self {
        let name = format!("{}:{}: ", address.host, address.port);
        Self::with_name(Target::Server(address), settings, Some(name))
    }

    fn with_name(target: Target, settings: &Settings, member: Option<String>) -> Self {
        let deadline = settings.deadline;
        let failures = Arc::<Failures>::default();
        let sentinels = match &target {
            Target::Server(_) => None,
            Target::Master(sentinels) => Some(sentinels.clone()),
        };
        // Sooner than those who wait for the connection give up, so that they learn why.
        let timeout = deadline.mul_f32(0.9);
        let pool = Pool::builder()
            .max_size(settings.connections)
            .min_idle(Some(0))
            .connection_timeout(Duration::from_secs(1))
            .idle_timeout(None)
            .max_lifetime(None)
            .error_handler(Box::new(NopErrorHandler))
            .build_unchecked(Manager { target, timeout, failures: failures.clone() });
        let drivers = settings.connections.try_into().unwrap_or(usize::MAX);
        let metrics = Metrics::register();
        let name = member.clone().unwrap_or_default();
        Self(Arc::new(Shared {
            queue: Queue::new(settings.queue, drivers, deadline / 4, metrics.clone()),
            breaker: Breaker::new(name.clone()),
            metrics,
            sentinels,
            deadline,
            is_cluster: member.is_some(),
            name,
            pool,
            failures,
        }))
    }

    /// Whether what is asked now would be refused at once.
    pub(super) fn is_refusing(&self) -> bool {
        self.0.breaker.admit().is_err()
    }

    /// Sends packed commands, and returns their replies; errors about the record are among them.
    pub(super) async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        self.0.breaker.admit()?;
        let now = Instant::now();
        let (request, reply) = Request::new(pipeline, now, now + self.0.deadline);
        for seat in self.0.queue.push(request)? {
            tokio::spawn(Driver::new(self.0.clone(), seat).run());
        }
        reply.wait().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl Shared {
    /// Something has failed. If that opens the breaker, everything that waits is refused, and the caller
    /// must probe the server after the pause that is returned.
    pub(super) fn failed(&self, severity: Severity, why: &str) -> Option<Duration> {
        let pause = self.breaker.failed(severity, why)?;
        self.queue.refuse_all(&StoreError::refused("there is no connection to Redis"));
        Some(pause)
    }

    /// Blocks until there is a connection that works as far as can be told, or returns the reason why
    /// there is none.
    pub(super) fn check_out(
        &self,
        deadline: Instant,
        poll_interval: Duration,
    ) -> Result<PooledConnection<Manager>, String> {
        let start = Instant::now();
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            if let Ok(connection) = self.pool.get_timeout(rest.min(poll_interval)) {
                return Ok(connection);
            }
            if let Some(why) = self.failures.since(start) {
                return Err(why);
            }
            if rest.is_zero() || self.queue.is_closed() {
                return Err("no connection could be made in time".to_owned());
            }
        }
    }
}

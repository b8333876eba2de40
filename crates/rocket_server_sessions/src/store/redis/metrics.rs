//! Metrics of the Redis store.
//!
//! A cluster has a queue and a breaker for each server. They share these metrics, so gauges are
//! incremented and decremented, and never set.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

/// Handles of the metrics. They are kept because looking one up takes longer than counting.
#[derive(Clone)]
pub(super) struct Metrics {
    /// Requests that wait for a connection.
    pub(super) queue_depth: Gauge,
    batch_size: Histogram,
    commands: Counter,
}

impl Metrics {
    pub(super) fn register() -> Self {
        const BATCH_SIZE: &str = "session_redis_batch_size";
        const QUEUE_DEPTH: &str = "session_redis_queue_depth";
        const COMMANDS: &str = "session_redis_commands_total";
        describe_histogram!(BATCH_SIZE, "Requests that have shared one write to Redis.");
        describe_gauge!(QUEUE_DEPTH, "Requests that wait for a connection to Redis.");
        describe_counter!(
            COMMANDS,
            "Session commands sent to Redis, without connection set-up, PING and topology queries."
        );
        Self {
            batch_size: histogram!(BATCH_SIZE),
            queue_depth: gauge!(QUEUE_DEPTH),
            commands: counter!(COMMANDS),
        }
    }

    /// Records that `requests` left the queue.
    pub(super) fn taken(&self, requests: usize) {
        self.queue_depth.decrement(number(requests));
    }

    /// Records a write of `requests` requests with `commands` commands.
    pub(super) fn sent(&self, requests: usize, commands: usize) {
        self.batch_size.record(number(requests));
        self.commands.increment(number(commands).into());
    }
}

/// The gauge of open breakers.
pub(super) fn open_breakers() -> Gauge {
    const OPEN: &str = "session_redis_breaker_open";
    describe_gauge!(OPEN, "Redis servers whose circuit breaker is open.");
    gauge!(OPEN)
}

pub(super) fn number(count: usize) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}

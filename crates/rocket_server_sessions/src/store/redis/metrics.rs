//! What the adapter measures, for the recorder of metrics that is installed.
//!
//! A cluster has a queue and a breaker for each server. They share these metrics, so gauges are
//! incremented and decremented, and never set.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

/// Handles, kept because finding one by its name takes longer than counting.
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
        describe_counter!(COMMANDS, "Commands about sessions that were sent to Redis.");
        Self {
            batch_size: histogram!(BATCH_SIZE),
            queue_depth: gauge!(QUEUE_DEPTH),
            commands: counter!(COMMANDS),
        }
    }

    /// So many requests wait no longer.
    pub(super) fn taken(&self, requests: usize) {
        self.queue_depth.decrement(number(requests));
    }

    /// So many requests share a write.
    pub(super) fn sent(&self, requests: usize, commands: usize) {
        self.batch_size.record(number(requests));
        self.commands.increment(number(commands).into());
    }
}

/// How many breakers are open.
pub(super) fn open_breakers() -> Gauge {
    const OPEN: &str = "session_redis_breaker_open";
    describe_gauge!(OPEN, "Redis servers whose requests are refused at once.");
    gauge!(OPEN)
}

pub(super) fn number(count: usize) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}

//! One server of a cluster.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::Value;

use crate::session::store::Fault;
use crate::session::store::redis::address::{Address, Settings};
use crate::session::store::redis::fault::Unusable;
use crate::session::store::redis::pipeline::Pipeline;
use crate::session::store::redis::worker::Workers;

/// Lets one unit through to a slot that has not arrived yet as a whole.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// A server of a cluster, with threads of its own.
pub(super) struct Server {
    pub(super) address: Address,
    workers: Workers,
    used: Mutex<Instant>,
}

impl Server {
    pub(super) fn start(address: Address, settings: &Settings) -> Result<Self, Unusable> {
        let workers = Workers::start_in_cluster(address.clone(), settings)
            .map_err(|error| Unusable(format!("a thread cannot be started: {error}")))?;
        Ok(Self { address, workers, used: Mutex::new(Instant::now()) })
    }

    pub(super) async fn ask(
        &self,
        pipeline: &Pipeline,
        is_asking: bool,
    ) -> Result<Vec<Value>, Fault> {
        *self.used.lock() = Instant::now();
        if !is_asking {
            return self.workers.ask(pipeline.packed.clone(), pipeline.replies()).await;
        }
        let mut packed = Vec::new();
        let mut start = 0;
        for unit in &pipeline.units {
            packed.extend_from_slice(ASKING);
            packed.extend_from_slice(&pipeline.packed[start..unit.end]);
            start = unit.end;
        }
        let number = pipeline.replies() + pipeline.units.len();
        let mut replies = self.workers.ask(packed, number).await?.into_iter();
        let mut own = Vec::with_capacity(pipeline.replies());
        for unit in &pipeline.units {
            replies.next();
            own.extend(replies.by_ref().take(unit.replies));
        }
        Ok(own)
    }

    pub(super) fn is_at(&self, host: &str, port: u16) -> bool {
        self.address.host == host && self.address.port == port
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.workers.is_refusing()
    }

    pub(super) fn idle(&self) -> Duration {
        self.used.lock().elapsed()
    }
}

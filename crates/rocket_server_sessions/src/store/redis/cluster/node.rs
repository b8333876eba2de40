//! One server of a cluster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::Value;

use crate::store::StoreError;
use crate::store::redis::address::{Address, Settings};
use crate::store::redis::pipeline::{Pipeline, Unit};
use crate::store::redis::server::Server;

/// Lets one unit through to a slot that has not arrived yet as a whole.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// A server that has no slots, and has not been asked for so long, is forgotten.
const FORGET_AFTER: Duration = Duration::from_mins(1);

/// A server of a cluster, with connections of its own.
pub(super) struct Node {
    pub(super) address: Address,
    server: Server,
    used: Mutex<Instant>,
    had_slots: AtomicBool,
}

impl Node {
    pub(super) fn new(address: Address, settings: &Settings) -> Self {
        let server = Server::in_cluster(address.clone(), settings);
        let used = Mutex::new(Instant::now());
        Self { address, server, used, had_slots: AtomicBool::new(false) }
    }

    pub(super) async fn ask(
        &self,
        pipeline: &Pipeline,
        is_asking: bool,
    ) -> Result<Vec<Value>, StoreError> {
        *self.used.lock() = Instant::now();
        if !is_asking {
            return self.server.ask(pipeline.part(0..pipeline.units.len())).await;
        }
        let mut asking = Pipeline::default();
        let mut start = 0;
        for unit in &pipeline.units {
            asking.packed.extend_from_slice(ASKING);
            asking.packed.extend_from_slice(&pipeline.packed[start..unit.end]);
            start = unit.end;
            asking.units.push(Unit {
                end: asking.packed.len(),
                replies: unit.replies + 1,
                commands: unit.commands + 1,
                ..*unit
            });
        }
        let mut replies = self.server.ask(asking).await?.into_iter();
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
        self.server.is_refusing()
    }

    /// It is a master, as the map says.
    pub(super) fn has_slots(&self) {
        self.had_slots.store(true, Ordering::Relaxed);
    }

    /// Whether a server without slots can be forgotten: it does not answer, and another one has its
    /// slots; or it was not asked for long. Slots may be on their way to a server that had none yet.
    pub(super) fn is_dispensable(&self) -> bool {
        let Address { host, port, .. } = &self.address;
        if self.is_refusing() && self.had_slots.load(Ordering::Relaxed) {
            log::warn!("Redis answers again: another server has taken over from {host}:{port}");
            return true;
        }
        let is_idle = self.used.lock().elapsed() > FORGET_AFTER;
        if is_idle && self.is_refusing() {
            log::warn!("Redis answers again: {host}:{port} is not needed any more");
        }
        is_idle
    }
}

//! One server of a cluster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::Value;

use crate::store::error::StoreError;
use crate::store::redis::address::Address;
use crate::store::redis::pipeline::{Pipeline, Unit};
use crate::store::redis::server::Server;
use crate::store::redis::settings::RedisSettings;

/// Allows the next unit on a slot that is being imported.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// How long a server without slots is kept after its last request.
const FORGET_AFTER: Duration = Duration::from_mins(1);

/// A server of a cluster, with its own connections.
pub(super) struct Node {
    pub(super) address: Address,
    server: Server,
    used: Mutex<Instant>,
    had_slots: AtomicBool,
}

impl Node {
    pub(super) fn new(address: Address, settings: &RedisSettings) -> Self {
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

    /// Records that the map lists this server as a master.
    pub(super) fn has_slots(&self) {
        self.had_slots.store(true, Ordering::Relaxed);
    }

    /// Whether a server without slots can be dropped: it failed and lost its slots to another one,
    /// or it was not used for [`FORGET_AFTER`]. A server that never had slots is kept until then,
    /// because slots may be migrating to it.
    pub(super) fn is_dispensable(&self) -> bool {
        let Address { host, port, .. } = &self.address;
        if self.is_refusing() && self.had_slots.load(Ordering::Relaxed) {
            log::warn!("Redis answers again: another server has taken over from {host}:{port}");
            return true;
        }
        let is_idle = self.used.lock().elapsed() > FORGET_AFTER;
        if is_idle && self.is_refusing() {
            log::warn!("Redis answers again: {host}:{port} is no longer used");
        }
        is_idle
    }
}

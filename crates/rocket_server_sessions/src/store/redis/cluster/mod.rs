//! A Redis Cluster: each session's commands go to the server that has its slot.
//!
//! Each master has its own connections, so a hanging master only delays its own requests. A unit
//! that is redirected was not applied, and is sent to the slot's owner. A request that was not sent
//! is retried if the slot has a new owner. Nothing else is sent twice. (The cluster connection of
//! redis-rs repeats a command after a timeout.)

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use rocket::futures::future::try_join_all;
use rocket::tokio::time;

mod node;
mod redirect;
mod slot_map;

use node::Node;
use redirect::Redirect;
use slot_map::SlotMap;

use super::address::Address;
use super::pipeline::Pipeline;
use super::settings::RedisSettings;
use crate::store::error::{StoreError, StoreErrorKind};

/// How many redirections a request follows. In a healthy cluster, one is enough.
const MAX_HOPS: usize = 8;

/// While a slot is being migrated, a unit with two keys has to wait until both have moved.
const MOVE_PAUSE: Duration = Duration::from_millis(20);

/// How long a refused request waits for a failover to become visible.
const TAKEOVER_TIMEOUT: Duration = Duration::from_millis(200);

/// The servers of a cluster.
pub(super) struct Cluster {
    map: Arc<SlotMap>,
    deadline: Duration,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Address>, settings: &RedisSettings) -> Self {
        Self { map: Arc::new(SlotMap::new(seeds, settings)), deadline: settings.deadline }
    }

    /// Sends each slot's units to its owner, concurrently, and returns the replies in order.
    pub(super) async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        let mut parts = Vec::new();
        let mut start = 0;
        for units in pipeline.units.chunk_by(|one, next| one.slot == next.slot) {
            parts.push((units[0].slot, start..start + units.len()));
            start += units.len();
        }
        if let [(slot, _)] = parts[..] {
            return self.ask_owner(slot, pipeline).await;
        }
        let asked = parts.into_iter().map(|(slot, it)| self.ask_owner(slot, pipeline.part(it)));
        Ok(try_join_all(asked).await?.concat())
    }

    /// Sends the units of one slot to its owner, and follows redirections.
    async fn ask_owner(&self, slot: u16, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        let mut replies = Vec::with_capacity(pipeline.replies());
        self.try_ask_owner(slot, pipeline, &mut replies).await.map_err(|error| {
            // If some units were applied, the outcome of the whole is unknown.
            if replies.is_empty() {
                error
            } else {
                StoreError { kind: StoreErrorKind::OutcomeUnknown, ..error }
            }
        })?;
        Ok(replies)
    }

    async fn try_ask_owner(
        &self,
        slot: u16,
        mut rest: Pipeline,
        replies: &mut Vec<Value>,
    ) -> Result<(), StoreError> {
        let deadline = Instant::now() + self.deadline;
        let mut is_asking = false;
        let mut server = self.map.owner(slot).await?;
        let mut hops = 0;
        while hops <= MAX_HOPS {
            hops += 1;
            let answer = match server.ask(&rest, is_asking).await {
                Ok(answer) => answer,
                Err(error) if error.kind == StoreErrorKind::Refused => {
                    let Some(owner) = self.new_owner(slot, &server).await else {
                        return Err(error);
                    };
                    (server, is_asking) = (owner, false);
                    continue;
                }
                Err(error) => {
                    self.map.refresh_soon();
                    return Err(error);
                }
            };
            let (done, redirect) = redirect::split(&rest, answer)?;
            rest = rest.part(done.len()..rest.units.len());
            replies.extend(done.into_iter().flatten());
            (server, is_asking) = match redirect {
                None => return Ok(()),
                Some(Redirect::Moved(place)) => (self.map.moved(slot, &place, &server)?, false),
                Some(Redirect::Ask(place)) => (self.map.server_at(&place, &server)?, true),
                Some(Redirect::Wait) if Instant::now() + MOVE_PAUSE < deadline => {
                    time::sleep(MOVE_PAUSE).await;
                    hops = 0;
                    (self.map.owner(slot).await?, false)
                }
                Some(Redirect::Wait) => {
                    return Err(StoreError::refused("the slot of the session is being moved"));
                }
            };
        }
        Err(StoreError::refused(
            "the servers of the cluster do not agree on which of them owns the slot",
        ))
    }

    /// Returns the slot's new owner, if the cluster reports another one than `server`.
    async fn new_owner(&self, slot: u16, server: &Arc<Node>) -> Option<Arc<Node>> {
        if let Some(refresh) = self.map.refresh() {
            let _ = time::timeout(TAKEOVER_TIMEOUT, refresh).await;
        }
        self.map.known_owner(slot).filter(|owner| !Arc::ptr_eq(owner, server))
    }
}

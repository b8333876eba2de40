//! A Redis Cluster: each session's commands go to the server that has its slot.
//!
//! Each master has connections of its own, so one that hangs holds up its own requests only. If a
//! server refuses a unit of a pipeline because another one has the slot, the unit was not carried out,
//! and is sent there. So is what was certainly not sent. Nothing else is sent twice; redis-rs' own
//! connection to a cluster repeats a command after a time-out.

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

use super::address::{Address, Settings};
use super::pipeline::Pipeline;
use crate::store::{StoreError, StoreErrorKind};

/// How often one request is sent on. In a healthy cluster, once is enough.
const MAX_HOPS: usize = 8;

/// While a slot moves, a transaction over two of its keys has to wait until both have moved.
const MOVE_PAUSE: Duration = Duration::from_millis(20);

/// How long a request that was refused waits for the news that another server has taken over.
const TAKEOVER_TIMEOUT: Duration = Duration::from_millis(200);

/// The servers of a cluster.
pub(super) struct Cluster {
    map: Arc<SlotMap>,
    deadline: Duration,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Address>, settings: &Settings) -> Self {
        Self { map: Arc::new(SlotMap::new(seeds, settings)), deadline: settings.deadline }
    }

    /// Sends each slot's units to its owner, all at the same time, and returns the replies in order.
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

    /// Sends units of one slot, in order, wherever the slot goes meanwhile.
    async fn ask_owner(&self, slot: u16, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        let mut replies = Vec::with_capacity(pipeline.replies());
        self.try_ask_owner(slot, pipeline, &mut replies).await.map_err(|error| {
            // If a part of it was done before, it was not refused.
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
        Err(StoreError::refused("the servers of the cluster do not agree who has the session"))
    }

    /// Another server than this one, if the others say that it has the slot now.
    async fn new_owner(&self, slot: u16, server: &Arc<Node>) -> Option<Arc<Node>> {
        if let Some(refresh) = self.map.refresh() {
            let _ = time::timeout(TAKEOVER_TIMEOUT, refresh).await;
        }
        self.map.known_owner(slot).filter(|owner| !Arc::ptr_eq(owner, server))
    }
}

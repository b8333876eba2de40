//! Which server has which slot, and how that is found out.
//!
//! The map is fetched with the first request, and anew when a server has sent a request on or has
//! failed. Nothing watches it in between: on Cloud Run there is no CPU between requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use redis::{Value, cmd};
use rocket::tokio;
use rocket::tokio::sync::OwnedMutexGuard;
use rocket::tokio::task::JoinHandle;

use super::server::Server;
use crate::session::store::Fault;
use crate::session::store::redis::address::{Address, Settings};
use crate::session::store::redis::connection::Connection;
use crate::session::store::redis::fault::{Unusable, describe_connect};
use crate::session::store::redis::pipeline::SLOTS;

/// The servers are asked for the map no more often than this.
const PAUSE: Duration = Duration::from_millis(250);

/// How long servers are asked for the map in all.
const TIMEOUT: Duration = Duration::from_millis(600);

/// A server that has no slots, and has not been asked for so long, is forgotten.
const DISUSE: Duration = Duration::from_secs(60);

/// The servers of a cluster, and their slots.
pub(super) struct Map {
    settings: Settings,
    /// Servers that the URL names. One may be gone, and another may be no master.
    seeds: Vec<Address>,
    known: RwLock<Known>,
    /// When the map was last fetched. Held by whoever does that.
    refreshed: Arc<tokio::sync::Mutex<Option<Instant>>>,
    /// Whether no server is known, and none could be asked.
    is_lost: AtomicBool,
}

struct Known {
    servers: Vec<Arc<Server>>,
    /// The owner of each slot.
    owners: Vec<Option<Arc<Server>>>,
}

impl Map {
    pub(super) fn new(seeds: Vec<Address>, settings: &Settings) -> Self {
        let owners = vec![None; usize::from(SLOTS)];
        Self {
            settings: settings.clone(),
            seeds,
            known: RwLock::new(Known { servers: Vec::new(), owners }),
            refreshed: Arc::default(),
            is_lost: AtomicBool::new(false),
        }
    }

    /// The server that has a slot. Where that is not known, the servers are asked.
    pub(super) async fn owner(self: &Arc<Self>, slot: u16) -> Result<Arc<Server>, Fault> {
        if let Some(owner) = self.known_owner(slot) {
            return Ok(owner);
        }
        if self.is_lost.load(Ordering::Relaxed) {
            // Nobody waits for an outage that is known.
            drop(self.refresh());
        } else {
            let turn = self.refreshed.clone().lock_owned().await;
            if let Some(refresh) = self.refresh_in(turn) {
                let _ = refresh.await;
            }
        }
        self.known_owner(slot)
            .ok_or_else(|| Fault::refused("no server of the cluster is known to have the session"))
    }

    pub(super) fn known_owner(&self, slot: u16) -> Option<Arc<Server>> {
        self.known.read().owners[usize::from(slot)].clone()
    }

    /// A server says that another one has a slot.
    pub(super) fn moved(
        self: &Arc<Self>,
        slot: u16,
        place: &str,
        by: &Server,
    ) -> Result<Arc<Server>, Fault> {
        let owner = self.server_at(place, by)?;
        self.known.write().owners[usize::from(slot)] = Some(owner.clone());
        // Where one slot has moved, others may have.
        drop(self.refresh());
        Ok(owner)
    }

    /// The server at `host:port`. Without a host it is where the one stands that says so.
    pub(super) fn server_at(&self, place: &str, by: &Server) -> Result<Arc<Server>, Fault> {
        let nonsense = || Fault::refused("a server of the cluster sends on to nowhere");
        let (host, port) = place.rsplit_once(':').ok_or_else(nonsense)?;
        let host = if host.is_empty() { &by.address.host } else { host };
        let port = port.parse().map_err(|_| nonsense())?;
        self.server(&mut self.known.write(), host, port).map_err(Fault::refused)
    }

    fn server(&self, known: &mut Known, host: &str, port: u16) -> Result<Arc<Server>, Unusable> {
        if let Some(server) = known.servers.iter().find(|it| it.is_at(host, port)) {
            return Ok(server.clone());
        }
        let address = self.seeds[0].at(host, port);
        let address = address
            .ok_or_else(|| Unusable(format!("{host}:{port} is no name of a certificate")))?;
        let server = Arc::new(Server::start(address, &self.settings)?);
        known.servers.push(server.clone());
        Ok(server)
    }

    /// Begins to fetch the map, unless somebody is at it, or was just now.
    pub(super) fn refresh(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        self.refresh_in(self.refreshed.clone().try_lock_owned().ok()?)
    }

    fn refresh_in(
        self: &Arc<Self>,
        mut turn: OwnedMutexGuard<Option<Instant>>,
    ) -> Option<JoinHandle<()>> {
        if turn.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        let map = self.clone();
        Some(tokio::task::spawn_blocking(move || {
            map.fetch();
            *turn = Some(Instant::now());
        }))
    }

    /// Asks one server after the other, until one answers.
    fn fetch(&self) {
        let mut servers = self.known.read().servers.clone();
        // Those that do not answer come last.
        servers.sort_by_key(|it| it.is_refusing());
        let addresses: Vec<_> =
            servers.iter().map(|it| &it.address).chain(&self.seeds).cloned().collect();
        let deadline = Instant::now() + TIMEOUT;
        let mut why = Unusable(String::new());
        for (tried, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            // One that swallows everything leaves time for two others.
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX).min(3);
            let share = now + deadline.saturating_duration_since(now) / left;
            match ranges(address, share).and_then(|ranges| self.install(&ranges)) {
                Ok(()) => {
                    if self.is_lost.swap(false, Ordering::Relaxed) {
                        log::warn!("Redis answers again: the servers of the cluster are known");
                    }
                    return;
                }
                Err(further) => why = further,
            }
        }
        if servers.is_empty() && !self.is_lost.swap(true, Ordering::Relaxed) {
            log::error!("Redis is unavailable, requests get 503 until it answers: {why}");
        }
    }

    fn install(&self, ranges: &[Slots]) -> Result<(), Unusable> {
        let mut known = self.known.write();
        let mut owners = vec![None; usize::from(SLOTS)];
        let mut masters = Vec::new();
        for range in ranges {
            let server = self.server(&mut known, &range.host, range.port)?;
            owners[range.first..=range.last].fill(Some(server.clone()));
            masters.push(server);
        }
        known.owners = owners;
        known.servers.retain(|it| {
            if masters.iter().any(|master| Arc::ptr_eq(master, it)) {
                return true;
            }
            if it.is_refusing() {
                let Address { host, port, .. } = &it.address;
                log::warn!("Redis answers again: another server has taken over from {host}:{port}");
                return false;
            }
            // A server that slots are moving to may have none yet.
            it.idle() < DISUSE
        });
        Ok(())
    }
}

/// Slots that lie side by side, and where their owner is.
struct Slots {
    first: usize,
    last: usize,
    host: String,
    port: u16,
}

/// Asks a server for the map, on a connection of its own. `CLUSTER SLOTS` is what every version
/// and every cloud knows.
fn ranges(address: &Address, deadline: Instant) -> Result<Vec<Slots>, Unusable> {
    let mut connection = Connection::open(address, deadline)?;
    let reply = connection.ask(cmd("CLUSTER").arg("SLOTS"), deadline);
    let reply = reply.map_err(|error| describe_connect(&error, address))?;
    let nonsense = || Unusable(format!("{}:{} gives no map", address.host, address.port));
    let Value::Array(ranges) = reply else { return Err(nonsense()) };
    let ranges: Option<Vec<_>> =
        ranges.into_iter().map(|it| Slots::read(it, &address.host)).collect();
    ranges.filter(|ranges| !ranges.is_empty()).ok_or_else(nonsense)
}

impl Slots {
    /// `first last [host port …] …`: the master comes first, and replicas after it.
    fn read(reply: Value, asked: &str) -> Option<Self> {
        let Value::Array(parts) = reply else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &parts[..] else {
            return None;
        };
        let [host, Value::Int(port), ..] = &master[..] else { return None };
        let host = match host {
            Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
            // It does not know its own name: it is reached as it was reached now.
            _ => asked.to_owned(),
        };
        let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
        let is_fine = first <= last && last < usize::from(SLOTS);
        is_fine.then_some(Self { first, last, host, port: u16::try_from(*port).ok()? })
    }
}

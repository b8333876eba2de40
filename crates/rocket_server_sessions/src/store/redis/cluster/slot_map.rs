//! The map from slots to servers.
//!
//! The map is fetched at the first request, and again after a redirection or a failure. It is not
//! polled: Cloud Run provides no CPU between requests.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use redis::{Value, cmd};
use rocket::tokio;
use rocket::tokio::sync::OwnedMutexGuard;
use rocket::tokio::task::JoinHandle;
use rocket::tokio::time::{sleep_until, timeout};

use super::node::Node;
use crate::store::error::StoreError;
use crate::store::redis::address::Address;
use crate::store::redis::connect_error::{ConnectError, describe_connect};
use crate::store::redis::connection::Connection;
use crate::store::redis::jitter::{jittered, random};
use crate::store::redis::pipeline::SLOTS;
use crate::store::redis::settings::RedisSettings;

/// The map is fetched at most this often. While it stays the same, the pause grows.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long fetching the map may take, and how many servers are asked.
const FETCH_TIMEOUT: Duration = Duration::from_millis(600);
const MAX_TRIES: usize = 4;

/// How long a request waits for the map if the last fetch failed recently.
const REFRESH_TIMEOUT: Duration = Duration::from_millis(200);

/// How long a failure to find a map counts as recent.
const STALE: Duration = Duration::from_secs(2);

/// The servers of a cluster, and their slots.
pub(super) struct SlotMap {
    settings: RedisSettings,
    /// The servers in the URL. Some may be gone, or may not be masters.
    seeds: Vec<Address>,
    known: RwLock<Known>,
    /// Locked during a fetch.
    refresh: Arc<tokio::sync::Mutex<RefreshState>>,
    /// Whether a refresh is scheduled.
    is_wanted: AtomicBool,
    /// When a request last failed because there was no map.
    lost: Mutex<Option<Instant>>,
}

/// When the map may be fetched again.
struct RefreshState {
    due: Instant,
    pause: Duration,
    /// The index of the server that is asked first. It moves on if none has answered.
    start: usize,
    error: RefreshError,
}

/// Whether fetching fails, so that the reason is logged only once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RefreshError {
    None,
    /// The last map is still used.
    Outdated,
    /// There is no map.
    Lost,
}

struct Known {
    servers: Vec<Arc<Node>>,
    /// The owner of each slot.
    owners: Vec<Option<Arc<Node>>>,
}

impl SlotMap {
    pub(super) fn new(seeds: Vec<Address>, settings: &RedisSettings) -> Self {
        let owners = vec![None; usize::from(SLOTS)];
        Self {
            settings: settings.clone(),
            seeds,
            known: RwLock::new(Known { servers: Vec::new(), owners }),
            refresh: Arc::new(tokio::sync::Mutex::new(RefreshState {
                due: Instant::now(),
                pause: FIRST_PAUSE,
                start: 0,
                error: RefreshError::None,
            })),
            is_wanted: AtomicBool::new(false),
            lost: Mutex::default(),
        }
    }

    /// Returns the server that has a slot. If it is not known, fetches the map.
    pub(super) async fn owner(self: &Arc<Self>, slot: u16) -> Result<Arc<Node>, StoreError> {
        if let Some(owner) = self.known_owner(slot) {
            return Ok(owner);
        }
        let is_lost = self.lost.lock().is_some_and(|at| at.elapsed() < STALE);
        if is_lost {
            // During an outage, only one request at a time waits, and only briefly.
            if let Some(refresh) = self.refresh() {
                let _ = timeout(REFRESH_TIMEOUT, refresh).await;
            }
        } else {
            let refreshed = async {
                let state = self.refresh.clone().lock_owned().await;
                if let Some(refresh) = self.refresh_in(state) {
                    let _ = refresh.await;
                }
            };
            let _ = timeout(FETCH_TIMEOUT, refreshed).await;
        }
        if self.known.read().servers.is_empty() {
            *self.lost.lock() = Some(Instant::now());
        }
        self.known_owner(slot).ok_or_else(|| {
            StoreError::refused("no known server of the cluster owns the session's slot")
        })
    }

    pub(super) fn known_owner(&self, slot: u16) -> Option<Arc<Node>> {
        self.known.read().owners[usize::from(slot)].clone()
    }

    /// Records a `MOVED` redirection, and returns the slot's new owner.
    pub(super) fn moved(
        self: &Arc<Self>,
        slot: u16,
        place: &str,
        by: &Node,
    ) -> Result<Arc<Node>, StoreError> {
        let owner = self.server_at(place, by)?;
        self.known.write().owners[usize::from(slot)] = Some(owner.clone());
        // If one slot has moved, others may have too.
        drop(self.refresh());
        Ok(owner)
    }

    /// Returns the server at `host:port`. Without a host, it is on the host of the server that sent
    /// the redirection.
    pub(super) fn server_at(&self, place: &str, by: &Node) -> Result<Arc<Node>, StoreError> {
        let nonsense =
            || StoreError::refused("a server of the cluster sent an invalid redirection");
        let (host, port) = place.rsplit_once(':').ok_or_else(nonsense)?;
        let host = if is_name(host.as_bytes()) { host } else { &by.address.host };
        let port = port.parse().map_err(|_| nonsense())?;
        self.server(&mut self.known.write(), host, port).map_err(StoreError::refused)
    }

    fn server(&self, known: &mut Known, host: &str, port: u16) -> Result<Arc<Node>, ConnectError> {
        if let Some(server) = known.servers.iter().find(|it| it.is_at(host, port)) {
            return Ok(server.clone());
        }
        let address = self.seeds[0].at(host, port);
        let address = address
            .ok_or_else(|| ConnectError(format!("{host} is not a valid TLS server name")))?;
        let server = Arc::new(Node::new(address, &self.settings));
        known.servers.push(server.clone());
        Ok(server)
    }

    /// Starts to fetch the map, unless a fetch is running or has just ended.
    pub(super) fn refresh(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        self.refresh_in(self.refresh.clone().try_lock_owned().ok()?)
    }

    fn refresh_in(
        self: &Arc<Self>,
        mut state: OwnedMutexGuard<RefreshState>,
    ) -> Option<JoinHandle<()>> {
        if Instant::now() < state.due {
            return None;
        }
        let map = self.clone();
        Some(tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let is_news = map.fetch(&mut state);
            state.pause = if is_news { FIRST_PAUSE } else { (state.pause * 2).min(LONGEST_PAUSE) };
            // Measured from the start of the fetch, in case the process was frozen during it.
            state.due = begun + jittered(state.pause);
        }))
    }

    /// Schedules a refresh, because the failed server may have been replaced.
    pub(super) fn refresh_soon(self: &Arc<Self>) {
        // One refresh serves all failed requests.
        if self.is_wanted.swap(true, Relaxed) {
            return;
        }
        let map = self.clone();
        tokio::spawn(async move {
            let state = map.refresh.clone().lock_owned().await;
            sleep_until(state.due.into()).await;
            map.is_wanted.store(false, Relaxed);
            drop(map.refresh_in(state));
        });
    }

    /// Asks one server after the other until one answers. Returns whether the map has changed.
    fn fetch(&self, state: &mut RefreshState) -> bool {
        let candidates = self.candidates();
        let number = candidates.len();
        let order = (0..number).map(|at| &candidates[(state.start + at) % number]);
        let deadline = Instant::now() + FETCH_TIMEOUT;
        let mut why = ConnectError(String::new());
        for (tried, address) in order.take(MAX_TRIES).enumerate() {
            let now = Instant::now();
            let left = u32::try_from(number.min(MAX_TRIES) - tried).unwrap_or(u32::MAX);
            let share = now + deadline.saturating_duration_since(now) / left;
            match ranges(address, share).and_then(|ranges| self.install(&ranges)) {
                Ok(is_news) => {
                    match std::mem::replace(&mut state.error, RefreshError::None) {
                        RefreshError::None => {}
                        RefreshError::Outdated => {
                            log::warn!("the slot map of the cluster can be refreshed again");
                        }
                        RefreshError::Lost => {
                            log::warn!(
                                "Redis answers again: the slot map of the cluster was fetched"
                            );
                        }
                    }
                    *self.lost.lock() = None;
                    state.start = 0;
                    return is_news;
                }
                Err(further) => why = further,
            }
        }
        // Next time, ask the other servers first.
        state.start = (state.start + MAX_TRIES) % number;
        if state.error == RefreshError::None {
            if self.known.read().servers.is_empty() {
                state.error = RefreshError::Lost;
                log::error!("Redis is unavailable, requests get 503 until it answers: {why}");
            } else {
                state.error = RefreshError::Outdated;
                log::warn!("the slot map of the cluster cannot be refreshed: {why}");
            }
        }
        false
    }

    /// The servers to ask for the map: first known servers that answer, in an order that differs
    /// between instances; then the servers in the URL; then the others.
    fn candidates(&self) -> Vec<Address> {
        let mut servers = self.known.read().servers.clone();
        if !servers.is_empty() {
            let number = servers.len();
            servers.rotate_left(usize::from(random()) % number);
        }
        let (away, well): (Vec<_>, Vec<_>) = servers.iter().partition(|it| it.is_refusing());
        let addresses = |servers: Vec<&Arc<Node>>| {
            servers.into_iter().map(|it| it.address.clone()).collect::<Vec<_>>()
        };
        let mut all: Vec<Address> = Vec::new();
        for address in [addresses(well), self.seeds.clone(), addresses(away)].concat() {
            if !all.iter().any(|it| (&it.host, it.port) == (&address.host, address.port)) {
                all.push(address);
            }
        }
        all
    }

    /// Installs a map. Returns whether it differs from the previous one.
    fn install(&self, ranges: &[Slots]) -> Result<bool, ConnectError> {
        let mut known = self.known.write();
        let mut owners = vec![None; usize::from(SLOTS)];
        for range in ranges {
            let server = self.server(&mut known, &range.host, range.port)?;
            owners[range.first..=range.last].fill(Some(server));
        }
        let place = |owner: &Option<Arc<Node>>| owner.as_ref().map(Arc::as_ptr);
        let is_news = !owners.iter().map(place).eq(known.owners.iter().map(place));
        known.owners = owners;
        let masters = distinct(&known.owners);
        known.servers.retain(|server| {
            let is_master = masters.contains(&Arc::as_ptr(server));
            if is_master {
                server.has_slots();
            }
            is_master || !server.is_dispensable()
        });
        Ok(is_news)
    }
}

fn distinct(owners: &[Option<Arc<Node>>]) -> Vec<*const Node> {
    let mut servers: Vec<_> = owners.iter().flatten().map(Arc::as_ptr).collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

/// A range of slots with one owner.
struct Slots {
    first: usize,
    last: usize,
    host: String,
    port: u16,
}

/// Asks a server for the map, on a separate connection. All versions and clouds support `CLUSTER
/// SLOTS`.
fn ranges(address: &Address, deadline: Instant) -> Result<Vec<Slots>, ConnectError> {
    let mut connection = Connection::open(address, deadline)?;
    let reply = connection.ask(cmd("CLUSTER").arg("SLOTS"), deadline);
    let reply = reply.map_err(|error| describe_connect(&error, address))?;
    let nonsense =
        || ConnectError(format!("{}:{} returns no slot map", address.host, address.port));
    let Value::Array(ranges) = reply else { return Err(nonsense()) };
    let ranges: Option<Vec<_>> =
        ranges.into_iter().map(|it| Slots::read(it, &address.host)).collect();
    ranges.filter(|ranges| !ranges.is_empty()).ok_or_else(nonsense)
}

/// Whether `host` is a host name. A server that does not know its own sends nothing or `?`.
fn is_name(host: &[u8]) -> bool {
    !host.is_empty() && host != b"?"
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
            Value::BulkString(host) if is_name(host) => String::from_utf8(host.clone()).ok()?,
            // Use the name under which the server was reached.
            _ => asked.to_owned(),
        };
        let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
        let is_fine = first <= last && last < usize::from(SLOTS);
        is_fine.then_some(Self { first, last, host, port: u16::try_from(*port).ok()? })
    }
}

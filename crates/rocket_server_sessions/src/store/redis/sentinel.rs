//! Finds the master with the help of sentinels.
//!
//! After a failover, the old master may accept writes for about ten seconds, which are lost. So the
//! sentinels are polled while there are requests, and connections to other servers are closed. The
//! master is the server that most sentinels report and that reports itself as master. Configuration
//! epochs break ties.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::cmd;

use super::address::Address;
use super::connect_error::{ConnectError, describe_connect};
use super::connection::Connection;
use super::master::{MasterInfo, gather, rank, value_of};

/// How often the sentinels are polled, at most. Each poll costs each sentinel two cheap commands.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How long a poll may take. Requests do not wait for it.
const WATCH_TIMEOUT: Duration = Duration::from_millis(800);

/// How long a failed sentinel is not waited for, unless all have failed.
const REST: Duration = Duration::from_secs(10);

/// The sentinels of one master.
pub(super) struct Sentinels {
    /// The name of the master in the sentinels' configuration.
    service: String,
    /// The credentials and TLS settings of the master, whose host and port the sentinels report.
    server: Address,
    nodes: Vec<Arc<Node>>,
    is_watching: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    master: Option<MasterInfo>,
    /// Changes with the master.
    generation: u64,
    asked: Option<Instant>,
}

struct Node {
    address: Address,
    /// Locked while the sentinel is asked.
    connection: Mutex<Option<Connection>>,
    failed: Mutex<Option<Instant>>,
}

impl Sentinels {
    pub(super) fn new(nodes: Vec<Address>, service: String, server: Address) -> Self {
        let node = |address| {
            Arc::new(Node { address, connection: Mutex::default(), failed: Mutex::default() })
        };
        let nodes = nodes.into_iter().map(node).collect();
        let (is_watching, state) = (AtomicBool::new(false), Mutex::default());
        Self { service, server, nodes, is_watching, state }
    }

    /// The addresses and credentials of the sentinels.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    /// Connects to the master.
    pub(super) fn open_master(&self, deadline: Instant) -> Result<Connection, ConnectError> {
        // The other half of the time is for connecting to the master.
        let half = deadline.saturating_duration_since(Instant::now()) / 2;
        let (candidates, why) = self.candidates(Instant::now() + half);
        let mut why = ConnectError(why.map_or_else(
            || format!("the sentinels do not agree on the master `{}`", self.service),
            |why| format!("no sentinel names the master `{}`: {why}", self.service),
        ));
        for (tried, candidate) in candidates.iter().enumerate() {
            let left = u32::try_from(candidates.len() - tried).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            match candidate.open(Instant::now() + share) {
                Ok(mut connection) => {
                    connection.generation = self.adopt(candidate);
                    return Ok(connection);
                }
                Err(further) => why = further,
            }
        }
        Err(why)
    }

    /// Whether a connection that was opened under `generation` still leads to the master, as far as
    /// is known. Starts a poll in the background if one is due.
    pub(super) fn is_current(self: &Arc<Self>, generation: u64) -> bool {
        let state = self.state.lock();
        let is_due = state.asked.is_none_or(|at| at.elapsed() > WATCH_INTERVAL);
        let is_current = state.generation == generation;
        drop(state);
        if is_due && !self.is_watching.swap(true, Relaxed) {
            let sentinels = self.clone();
            let thread = thread::Builder::new().name("session-redis-watch".to_owned());
            let started = thread.spawn(move || {
                let _ = catch_unwind(AssertUnwindSafe(|| sentinels.watch()));
                sentinels.is_watching.store(false, Relaxed);
            });
            if started.is_err() {
                self.is_watching.store(false, Relaxed);
            }
        }
        is_current
    }

    /// Checks whether the master has changed.
    fn watch(&self) {
        let deadline = Instant::now() + WATCH_TIMEOUT;
        let (candidates, _) = self.candidates(deadline);
        for candidate in &candidates {
            let is_known = |known: &MasterInfo| known.is_same_server(candidate);
            let is_known = self.state.lock().master.as_ref().is_some_and(is_known);
            if is_known || candidate.open(deadline).is_ok() {
                self.adopt(candidate);
                return;
            }
        }
    }

    /// Returns the candidates for the master, the best first, and an error if no sentinel answered.
    fn candidates(&self, deadline: Instant) -> (Vec<MasterInfo>, Option<String>) {
        let (votes, why) = self.ask_all(deadline);
        let mut state = self.state.lock();
        state.asked = Some(Instant::now());
        let why = if votes.is_empty() { Some(why) } else { None };
        (rank(&votes, self.nodes.len(), state.master.as_ref()), why)
    }

    /// Stores the master. Returns its generation.
    fn adopt(&self, master: &MasterInfo) -> u64 {
        let mut state = self.state.lock();
        if !state.master.as_ref().is_some_and(|known| known.is_same_server(master)) {
            if state.master.is_some() {
                let Address { host, port, .. } = &master.address;
                log::warn!("the sentinels report a new master: {host}:{port}");
            }
            state.generation += 1;
        }
        state.master = Some(master.clone());
        state.generation
    }

    /// Asks all sentinels concurrently, until a majority agrees or none is left to wait for. Only
    /// the lock of each sentinel is held.
    fn ask_all(&self, deadline: Instant) -> (Vec<MasterInfo>, String) {
        let is_resting = |node: &Node| node.failed.lock().is_some_and(|at| at.elapsed() < REST);
        let (resting, awake): (Vec<_>, Vec<_>) = self.nodes.iter().partition(|it| is_resting(it));
        let (sender, answers) = channel();
        for node in &self.nodes {
            self.ask_in_thread(node, deadline, sender.clone());
        }
        drop(sender);
        let number = if awake.is_empty() { resting.len() } else { awake.len() };
        gather(&answers, number, self.nodes.len(), deadline)
    }

    fn ask_in_thread(
        &self,
        node: &Arc<Node>,
        deadline: Instant,
        answers: Sender<Result<MasterInfo, String>>,
    ) {
        let (node, service, server) = (node.clone(), self.service.clone(), self.server.clone());
        let thread = thread::Builder::new().name("session-redis-ask".to_owned());
        // If the thread cannot be started, the sentinel counts as not answering.
        let _ = thread.spawn(move || {
            // Another thread is already asking this sentinel.
            let Some(mut connection) = node.connection.try_lock() else { return };
            let answer = node.ask(&mut connection, &service, &server, deadline);
            *node.failed.lock() = answer.is_err().then(Instant::now);
            drop(connection);
            let _ = answers.send(answer.map_err(|ConnectError(why)| why));
        });
    }
}

impl Node {
    /// Asks the sentinel for the master. Uses the kept connection if it still works.
    fn ask(
        &self,
        kept: &mut Option<Connection>,
        service: &str,
        server: &Address,
        deadline: Instant,
    ) -> Result<MasterInfo, ConnectError> {
        if let Some(mut connection) = kept.take()
            && let Ok(info) = self.ask_on(&mut connection, service, server, deadline)
        {
            *kept = Some(connection);
            return Ok(info);
        }
        let mut connection = Connection::open(&self.address, deadline)?;
        let info = self.ask_on(&mut connection, service, server, deadline)?;
        *kept = Some(connection);
        Ok(info)
    }

    /// The epoch is read before the address. If a failover happens in between, the new master is
    /// paired with the old epoch, which the next poll corrects. In the other order, the old master
    /// would be paired with the new epoch.
    fn ask_on(
        &self,
        connection: &mut Connection,
        service: &str,
        server: &Address,
        deadline: Instant,
    ) -> Result<MasterInfo, ConnectError> {
        let Address { host, port, .. } = &self.address;
        let mut ask = |what: &str| {
            let reply = connection.ask(cmd("SENTINEL").arg(what).arg(service), deadline);
            reply.map_err(|error| describe_connect(&error, &self.address))
        };
        let about = ask("master")?;
        let place = redis::from_redis_value(ask("get-master-addr-by-name")?);
        let place: Option<(String, u16)> = place.ok().flatten();
        let epoch = value_of(&about, "config-epoch");
        let epoch = epoch.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let ((master, at), epoch) = place.zip(epoch).ok_or_else(|| {
            ConnectError(format!("{host}:{port} does not know a master of that name"))
        })?;
        let address = server.at(&master, at).ok_or_else(|| {
            ConnectError(format!(
                "{host}:{port} reports a host that is not a valid TLS server name"
            ))
        })?;
        Ok(MasterInfo { epoch, address })
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::RedisSettings;
    use super::super::topology::Topology;
    use super::*;
    use crate::config::Config;

    fn sentinels(url: &str) -> Arc<Sentinels> {
        let settings = RedisSettings::from_config(&Config::default(), &url.into());
        match Topology::parse(&settings).unwrap() {
            Topology::Master(sentinels) => sentinels,
            _ => panic!("the URL does not name sentinels"),
        }
    }

    fn places(sentinels: &Sentinels) -> Vec<(String, u16)> {
        sentinels.nodes.iter().map(|it| (it.address.host.clone(), it.address.port)).collect()
    }

    #[test]
    fn sentinels_listen_on_their_own_port_unless_told_otherwise() {
        let named = sentinels("redis-sentinel://a/2?sentinelServiceName=m&node=b:7&node=c");
        let port = |host: &str, port: u16| (host.to_owned(), port);
        assert_eq!(places(&named), [port("a", 26379), port("b", 7), port("c", 26379)]);
        let named = sentinels("redis-sentinel://a:9?sentinelServiceName=m");
        assert_eq!(places(&named), [port("a", 9)]);
    }

    fn info(host: &str, epoch: u64) -> MasterInfo {
        let address = sentinels("redis-sentinel://a?sentinelServiceName=m").server.at(host, 1);
        MasterInfo { epoch, address: address.unwrap() }
    }

    #[test]
    fn connection_to_a_master_that_was_replaced_is_not_current() {
        let sentinels = sentinels("redis-sentinel://a?sentinelServiceName=m");
        // Do not ask the sentinels in this test.
        sentinels.is_watching.store(true, Relaxed);
        let first = sentinels.adopt(&info("first", 1));
        assert_eq!(sentinels.adopt(&info("first", 2)), first, "a new epoch alone is no new master");
        assert!(sentinels.is_current(first));
        let second = sentinels.adopt(&info("second", 2));
        assert!(sentinels.is_current(second) && !sentinels.is_current(first));
    }

    #[test]
    fn sentinels_and_their_master_get_different_credentials() {
        let named = sentinels(
            "redis-sentinel://alice:word@a/2?sentinelServiceName=m&node=b\
             &sentinelUsername=carol&sentinelPassword=key",
        );
        let rights = |it: &Address| (it.username.clone(), it.password.clone(), it.database);
        let own =
            |user: &str, word: &str, database| (Some(user.into()), Some(word.into()), database);
        assert_eq!(rights(&named.server), own("alice", "word", 2));
        for node in &named.nodes {
            assert_eq!(rights(&node.address), own("carol", "key", 0));
        }
    }
}

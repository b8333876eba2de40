//! Which server is the master, as its sentinels say.
//!
//! An old master may live on after another one was promoted, and takes writes for some ten seconds
//! that are lost in the end. So the sentinels are asked again and again while requests come, and a
//! connection to any other server than the one that they name last is given up. Of what they say, the
//! latest configuration counts: some hear of a failover seconds after others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use redis::{Value, cmd};

use super::address::Address;
use super::connection::Connection;
use super::reply_error::{ConnectError, describe_connect};

/// How old an answer may be before they are asked again, which costs each two cheap commands.
const PERIOD: Duration = Duration::from_millis(500);

/// So soon nobody asks again: connections are made several at a time.
const SOON: Duration = Duration::from_millis(50);

/// How long that may take. Nobody waits for it.
const PATIENCE: Duration = Duration::from_millis(800);

/// A sentinel that has not answered is left in peace for so long, unless there is no other.
const REST: Duration = Duration::from_secs(10);

/// Who knows the master, and how to speak to it.
pub(super) struct Sentinels {
    /// What they call the master and its replicas.
    service: String,
    /// A server of theirs, at a place that is not known yet.
    server: Address,
    /// Held by whoever asks them.
    nodes: Mutex<Nodes>,
    is_watching: AtomicBool,
    claim: Mutex<Option<Claim>>,
}

struct Nodes {
    all: Vec<Node>,
    asked: Option<Instant>,
    /// Why one of them did not answer, the last time.
    why: String,
}

struct Node {
    address: Address,
    connection: Option<Connection>,
    failed: Option<Instant>,
}

/// That a server is the master.
#[derive(Clone)]
struct Claim {
    /// The configuration that says so. Each failover raises it.
    epoch: u64,
    address: Address,
    /// Whether that server could not be had, or denied it.
    is_doubted: bool,
}

impl Sentinels {
    pub(super) fn new(nodes: Vec<Address>, service: String, server: Address) -> Self {
        let node = |address| Node { address, connection: None, failed: None };
        let all = nodes.into_iter().map(node).collect();
        Self {
            service,
            server,
            nodes: Mutex::new(Nodes { all, asked: None, why: String::new() }),
            is_watching: AtomicBool::new(false),
            claim: Mutex::new(None),
        }
    }

    /// Where they listen, and how to log in to them.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.nodes.lock().all.iter().map(|node| node.address.clone()).collect()
    }

    /// A connection to the master, which must call itself that.
    pub(super) fn open_master(&self, deadline: Instant) -> Result<Connection, ConnectError> {
        let late = || ConnectError("the sentinels are being asked, and do not answer".to_owned());
        let mut nodes = self.nodes.try_lock_until(deadline).ok_or_else(late)?;
        if nodes.asked.is_none_or(|at| at.elapsed() > SOON) {
            self.survey(&mut nodes, deadline);
        }
        let claim = self.claim.lock().clone().ok_or_else(|| {
            ConnectError(format!("no sentinel names the master `{}`: {}", self.service, nodes.why))
        })?;
        drop(nodes);
        let Claim { epoch, address, .. } = claim;
        let opened = Connection::open(&address, deadline).and_then(|mut connection| {
            // HELLO needs no rights, unlike ROLE.
            let about = connection.ask(cmd("HELLO").arg(2), deadline);
            let about = about.map_err(|error| describe_connect(&error, &address))?;
            let Address { host, port, .. } = &address;
            let is_master = value_of(&about, "role") == Some(b"master");
            connection.epoch = epoch;
            is_master.then_some(connection).ok_or_else(|| {
                ConnectError(format!("{host}:{port} is no master, though the sentinels say so"))
            })
        });
        if let Some(claim) = self.claim.lock().as_mut().filter(|claim| claim.epoch == epoch) {
            claim.is_doubted = opened.is_err();
        }
        opened
    }

    /// Whether a connection that was opened under `epoch` still leads to the master, as far as is
    /// known. What is known is brought up to date meanwhile.
    pub(super) fn is_current(self: &Arc<Self>, epoch: u64) -> bool {
        let is_old =
            |nodes: MutexGuard<'_, Nodes>| nodes.asked.is_none_or(|at| at.elapsed() > PERIOD);
        if self.nodes.try_lock().is_some_and(is_old) && !self.is_watching.swap(true, Relaxed) {
            let sentinels = self.clone();
            let watch = thread::Builder::new().name("session-redis-watch".to_owned());
            let started = watch.spawn(move || {
                let survey =
                    || sentinels.survey(&mut sentinels.nodes.lock(), Instant::now() + PATIENCE);
                let _ = catch_unwind(AssertUnwindSafe(survey));
                sentinels.is_watching.store(false, Relaxed);
            });
            if started.is_err() {
                self.is_watching.store(false, Relaxed);
            }
        }
        self.claim.lock().as_ref().is_none_or(|claim| claim.epoch == epoch)
    }

    /// Asks all sentinels.
    fn survey(&self, nodes: &mut Nodes, deadline: Instant) {
        let mut heard: Vec<Claim> = Vec::new();
        nodes.all.sort_by_key(|node| node.failed);
        let number = nodes.all.len();
        for (tried, node) in nodes.all.iter_mut().enumerate() {
            if !heard.is_empty() && node.failed.is_some_and(|at| at.elapsed() < REST) {
                continue;
            }
            // One that swallows everything leaves time for the others, and for the master.
            let now = Instant::now();
            let left = u32::try_from(number - tried + 1).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(now) / left;
            match self.ask(node, now + share) {
                Ok(claim) => {
                    node.failed = None;
                    heard.push(claim);
                }
                Err(ConnectError(why)) => {
                    (node.connection, node.failed, nodes.why) = (None, Some(now), why);
                }
            }
        }
        nodes.asked = Some(Instant::now());
        let answers = heard.len();
        if let Some(news) = heard.into_iter().max_by_key(|claim| claim.epoch) {
            self.hear(news, answers, number);
        }
    }

    /// Takes over what so many sentinels, of all there are, have said at the latest.
    fn hear(&self, news: Claim, answers: usize, number: usize) {
        let mut claim = self.claim.lock();
        if let Some(known) = &*claim {
            // Some hear of a failover late. But where they were set up anew, they count from the start.
            let is_believed = answers == number || (known.is_doubted && answers > number / 2);
            if news.epoch == known.epoch || (news.epoch < known.epoch && !is_believed) {
                return;
            }
            let Address { host, port, .. } = &news.address;
            log::warn!("Redis has another master: {host}:{port}");
        }
        *claim = Some(news);
    }

    /// What one sentinel says, on the connection that was kept if that still works.
    fn ask(&self, node: &mut Node, deadline: Instant) -> Result<Claim, ConnectError> {
        if let Some(kept) = node.connection.take()
            && let Ok(claim) = self.ask_on(node, kept, deadline)
        {
            return Ok(claim);
        }
        let connection = Connection::open(&node.address, deadline)?;
        self.ask_on(node, connection, deadline)
    }

    /// The epoch is asked for before the address: if a failover comes between the two, the new
    /// master goes with the old epoch, and is heard of again; the other way round, the old one would
    /// go with the new epoch, and stay.
    fn ask_on(
        &self,
        node: &mut Node,
        mut connection: Connection,
        deadline: Instant,
    ) -> Result<Claim, ConnectError> {
        let Address { host, port, .. } = &node.address;
        let mut ask = |what: &str| {
            let reply = connection.ask(cmd("SENTINEL").arg(what).arg(&self.service), deadline);
            reply.map_err(|error| describe_connect(&error, &node.address))
        };
        let about = ask("master")?;
        let place = redis::from_redis_value(ask("get-master-addr-by-name")?);
        let place: Option<(String, u16)> = place.ok().flatten();
        let epoch = value_of(&about, "config-epoch");
        let epoch = epoch.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let ((master, at), epoch) = place
            .zip(epoch)
            .ok_or_else(|| ConnectError(format!("{host}:{port} knows none of that name")))?;
        let address = self.server.at(&master, at).ok_or_else(|| {
            ConnectError(format!("{host}:{port} names a host that no certificate can name"))
        })?;
        node.connection = Some(connection);
        Ok(Claim { epoch, address, is_doubted: false })
    }
}

/// What a flat list of names and values has for a name.
fn value_of<'v>(list: &'v Value, name: &str) -> Option<&'v [u8]> {
    let Value::Array(items) = list else { return None };
    items.chunks_exact(2).find_map(|pair| match pair {
        [Value::BulkString(found), Value::BulkString(value)] if found == name.as_bytes() => {
            Some(value.as_slice())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::address::Settings;
    use super::super::topology::Topology;
    use super::*;
    use crate::config::Config;

    fn sentinels(url: &str) -> Arc<Sentinels> {
        let settings = Settings::from_config(&Config::default(), &url.into());
        match Topology::parse(&settings).unwrap() {
            Topology::Master(sentinels) => sentinels,
            _ => panic!("sentinels are named"),
        }
    }

    fn places(sentinels: &Sentinels) -> Vec<(String, u16)> {
        let nodes = sentinels.nodes.lock();
        nodes.all.iter().map(|it| (it.address.host.clone(), it.address.port)).collect()
    }

    #[test]
    fn sentinels_listen_on_their_own_port_unless_told_otherwise() {
        let named = sentinels("redis-sentinel://a/2?sentinelServiceName=m&node=b:7&node=c");
        let port = |host: &str, port: u16| (host.to_owned(), port);
        assert_eq!(places(&named), [port("a", 26379), port("b", 7), port("c", 26379)]);
        let named = sentinels("redis-sentinel://a:9?sentinelServiceName=m");
        assert_eq!(places(&named), [port("a", 9)]);
    }

    #[test]
    fn only_the_latest_configuration_is_followed_and_a_doubted_one_is_not_forgotten() {
        let sentinels = sentinels("redis-sentinel://a?sentinelServiceName=m&node=b&node=c");
        // Nobody is asked here.
        sentinels.nodes.lock().asked = Some(Instant::now() + REST);
        let hear = |epoch, host: &str, answers| {
            let address = sentinels.server.at(host, 1).unwrap();
            sentinels.hear(Claim { epoch, address, is_doubted: false }, answers, 3);
        };
        assert!(sentinels.is_current(7), "nothing is known yet");
        hear(1, "old", 3);
        assert!(sentinels.is_current(1));
        hear(2, "new", 1);
        assert!(sentinels.is_current(2) && !sentinels.is_current(1));
        hear(1, "old", 2);
        assert!(!sentinels.is_current(1), "two that have not heard of it yet");
        sentinels.claim.lock().as_mut().unwrap().is_doubted = true;
        hear(1, "old", 1);
        assert!(
            !sentinels.is_current(1),
            "the new one could not be had, and one has not heard of it"
        );
        hear(1, "another", 2);
        assert!(sentinels.is_current(1), "most agree that it was none");
        hear(0, "anew", 3);
        assert!(sentinels.is_current(0), "all were set up anew");
    }

    #[test]
    fn sentinels_and_their_master_are_each_told_their_own_password() {
        let named = sentinels(
            "redis-sentinel://alice:word@a/2?sentinelServiceName=m&node=b\
             &sentinelUsername=carol&sentinelPassword=key",
        );
        let rights = |it: &Address| (it.username.clone(), it.password.clone(), it.database);
        let own =
            |user: &str, word: &str, database| (Some(user.into()), Some(word.into()), database);
        assert_eq!(rights(&named.server), own("alice", "word", 2));
        for node in &named.nodes.lock().all {
            assert_eq!(rights(&node.address), own("carol", "key", 0));
        }
    }
}

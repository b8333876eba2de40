//! A Redis Cluster for a test: three masters, with replicas if the test asks for them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use redis::{Connection, RedisResult, Value, cmd};

use crate::{RedisServer, free_port, wait_for};

/// How many slots there are.
const SLOTS: usize = 16_384;

const MASTERS: usize = 3;

/// How long a server may be silent before the others consider it down, in milliseconds.
const NODE_TIMEOUT: u32 = 1_500;

pub struct Cluster {
    pub servers: Vec<RedisServer>,
    folder: Folder,
    /// Ports of servers that do not answer.
    lost: Mutex<BTreeSet<u16>>,
}

/// An empty folder that is removed when this value is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(kind: &str) -> Self {
        let name = format!("{kind}-{}", free_port());
        let folder = crate::target_dir().join("tmp").join(name);
        // A killed process may have left a folder of this name, and a server would load the data in
        // it.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Cluster {
    pub fn start(replicas_of_each: usize) -> Self {
        let number = MASTERS * (1 + replicas_of_each);
        let folder = Folder::new("cluster");
        let buses: Vec<_> = (0..number).map(|_| free_port()).collect();
        let servers: Vec<_> = buses.iter().map(|bus| server(&folder, *bus)).collect();
        let cluster = Self { servers, folder, lost: Mutex::default() };
        cluster.join(&buses);
        cluster
    }

    /// Adds a server, which has no slots yet.
    pub fn add_server(&mut self) {
        let bus = free_port();
        let new = server(&self.folder, bus);
        let (port, bus) = (new.port.to_string(), bus.to_string());
        cluster(&mut self.servers[0].connect(), &["MEET", "127.0.0.1", &port, &bus]);
        self.servers.push(new);
        self.wait_until_all_say(&format!("cluster_known_nodes:{}\r", self.servers.len()));
        self.wait_until_all_say("cluster_state:ok");
    }

    fn join(&self, buses: &[u16]) {
        for (at, server) in self.servers.iter().enumerate() {
            let mut connection = server.connect();
            cluster(&mut connection, &["SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            if at < MASTERS {
                let first = (SLOTS * at / MASTERS).to_string();
                let last = (SLOTS * (at + 1) / MASTERS - 1).to_string();
                cluster(&mut connection, &["ADDSLOTSRANGE", &first, &last]);
            }
        }
        let mut first = self.servers[0].connect();
        for (server, bus) in self.servers.iter().zip(buses).skip(1) {
            let (port, bus) = (server.port.to_string(), bus.to_string());
            cluster(&mut first, &["MEET", "127.0.0.1", &port, &bus]);
        }
        self.wait_until_all_say(&format!("cluster_known_nodes:{}\r", self.servers.len()));
        for (at, server) in self.servers.iter().enumerate().skip(MASTERS) {
            let master = id(&self.servers[at % MASTERS]);
            wait_for("a replica to know its master", || {
                let asked: RedisResult<()> =
                    cmd("CLUSTER").arg("REPLICATE").arg(&master).query(&mut server.connect());
                asked.is_ok()
            });
        }
        self.wait_until_all_say("cluster_state:ok");
        if self.servers.len() > MASTERS {
            self.wait_for_replicas();
        }
    }

    /// Waits until every replica has the data of its master.
    pub fn wait_for_replicas(&self) {
        for master in &self.servers[..MASTERS] {
            wait_for("a replica to be up to date", || is_replicated(master));
        }
    }

    fn wait_until_all_say(&self, text: &str) {
        for server in &self.servers {
            wait_for(text, || {
                let about: String =
                    cmd("CLUSTER").arg("INFO").query(&mut server.connect()).unwrap();
                about.contains(text)
            });
        }
    }

    /// The URL for an application. It names two of the servers.
    pub fn url(&self) -> String {
        let [first, second, ..] = &self.servers[..] else { panic!("a cluster has servers") };
        format!("redis-cluster://127.0.0.1:{}?node=127.0.0.1:{}", first.port, second.port)
    }

    /// The servers that answer, and report themselves as masters.
    pub fn masters(&self) -> Vec<&RedisServer> {
        let lost = self.lost.lock().unwrap().clone();
        let is_master = |server: &&RedisServer| {
            let role: Vec<Value> = cmd("ROLE").query(&mut server.connect()).unwrap();
            role.first() == Some(&Value::BulkString(b"master".to_vec()))
        };
        self.servers.iter().filter(|it| !lost.contains(&it.port)).filter(is_master).collect()
    }

    /// The server that has a slot.
    pub fn owner(&self, slot: u16) -> &RedisServer {
        let has_it = |server: &&&RedisServer| {
            let nodes: String = cmd("CLUSTER").arg("NODES").query(&mut server.connect()).unwrap();
            let own = nodes.lines().find(|line| line.contains("myself")).unwrap();
            own.split(' ').skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let parse = |text: &str| text.parse::<u16>();
                matches!((parse(first), parse(last)), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
            })
        };
        let masters = self.masters();
        masters.iter().find(has_it).unwrap_or_else(|| panic!("no master has slot {slot}"))
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> u16 {
        cmd("CLUSTER").arg("KEYSLOT").arg(key).query(&mut self.masters()[0].connect()).unwrap()
    }

    /// All keys that begin with `prefix`.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let all = self.masters().into_iter().flat_map(|server| server.keys(prefix));
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// A connection to the server that has a key.
    pub fn connect(&self, key: &str) -> Connection {
        self.owner(self.slot(key)).connect()
    }

    /// Moves a slot to another server while the cluster is in use. `during` runs after the keys
    /// have been moved, and before the slot is.
    pub fn move_slot(&self, slot: u16, to: &RedisServer, during: impl FnOnce()) {
        let from = self.owner(slot);
        begin_move(slot, from, to);
        during();
        migrate(slot, from, to);
        let (slot, target) = (slot.to_string(), id(to));
        for server in [to, from] {
            cluster(&mut server.connect(), &["SETSLOT", &slot, "NODE", &target]);
        }
        for server in self.masters() {
            let _: RedisResult<()> = cmd("CLUSTER")
                .arg(&["SETSLOT", &slot, "NODE", &target])
                .exec(&mut server.connect());
        }
    }

    /// Stops or kills a master with a signal, and waits until its replica has taken over.
    pub fn lose(&self, server: &RedisServer, signal: &str) {
        self.lost.lock().unwrap().insert(server.port);
        server.signal(signal);
        while self.masters().len() < MASTERS {
            sleep(Duration::from_millis(50));
        }
    }

    /// Hands a master's slots to its replica, with the consent of both.
    pub fn hand_over(&self, master: &RedisServer) {
        let at = self.servers.iter().position(|it| it.port == master.port).unwrap();
        let replica = &self.servers[at + MASTERS];
        cluster(&mut replica.connect(), &["FAILOVER"]);
        wait_for("the replica to take over", || {
            self.masters().iter().any(|it| it.port == replica.port)
        });
    }
}

/// Whether a replica has acknowledged all of its master's data. A link that is up is not enough: a
/// master sends nothing before a new replica has acknowledged for the first time, which takes up to
/// a second.
pub fn is_replicated(master: &RedisServer) -> bool {
    let about: String = cmd("INFO").arg("replication").query(&mut master.connect()).unwrap();
    let after = |text: &str| {
        let (_, rest) = about.split_once(text)?;
        rest.split([',', '\r']).next()?.parse::<u64>().ok()
    };
    let (sent, heard) = (after("master_repl_offset:"), after(",offset="));
    sent.is_some_and(|offset| offset > 0) && sent == heard
}

/// Moves the keys of a slot, but not the slot.
pub fn begin_move(slot: u16, from: &RedisServer, to: &RedisServer) {
    let (text, source, target) = (slot.to_string(), id(from), id(to));
    cluster(&mut to.connect(), &["SETSLOT", &text, "IMPORTING", &source]);
    cluster(&mut from.connect(), &["SETSLOT", &text, "MIGRATING", &target]);
    migrate(slot, from, to);
}

fn server(folder: &Folder, bus: u16) -> RedisServer {
    let options = format!(
        "--cluster-enabled yes --cluster-config-file nodes-{bus}.conf --dir {} \
         --cluster-node-timeout {NODE_TIMEOUT} --cluster-port {bus} --repl-diskless-sync-delay 0",
        folder.0.display()
    );
    RedisServer::start_with(free_port(), &options)
}

fn id(server: &RedisServer) -> String {
    cmd("CLUSTER").arg("MYID").query(&mut server.connect()).unwrap()
}

fn migrate(slot: u16, from: &RedisServer, to: &RedisServer) {
    let (mut here, slot, port) = (from.connect(), slot.to_string(), to.port.to_string());
    let keys: Vec<String> =
        cmd("CLUSTER").arg(&["GETKEYSINSLOT", &slot, "1000"]).query(&mut here).unwrap();
    for key in keys {
        cmd("MIGRATE").arg(&["127.0.0.1", &port, &key, "0", "2000"]).exec(&mut here).unwrap();
    }
}

fn cluster(connection: &mut Connection, args: &[&str]) {
    cmd("CLUSTER").arg(args).exec(connection).unwrap();
}

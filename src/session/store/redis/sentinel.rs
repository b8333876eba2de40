//! Which server is the master, as its sentinels say.
//!
//! They are asked whenever a connection is made, and a connection is made whenever one has failed:
//! so a failover needs no watching. What they name must call itself a master too: during a failover
//! they may still name a server that has become a replica.

use std::time::Instant;

use redis::{Value, cmd};

use super::address::Address;
use super::connection::Connection;
use super::fault::{Unusable, describe_connect};
use super::topology::Sentinels;

impl Sentinels {
    /// A connection to the master.
    pub(super) fn open_master(&self, deadline: Instant) -> Result<Connection, Unusable> {
        let address = self.locate(deadline)?;
        let mut connection = Connection::open(&address, deadline)?;
        // HELLO needs no rights, unlike ROLE.
        let about = connection.ask(cmd("HELLO").arg(2), deadline);
        let about = about.map_err(|error| describe_connect(&error, &address))?;
        if says_master(&about) {
            return Ok(connection);
        }
        let Address { host, port, .. } = address;
        Err(Unusable(format!("{host}:{port} is no master, though the sentinels say so")))
    }

    /// Where the first sentinel that answers says that the master is.
    fn locate(&self, deadline: Instant) -> Result<Address, Unusable> {
        let mut why = String::new();
        for (tried, sentinel) in self.nodes.iter().enumerate() {
            // One that swallows everything leaves time for the others, and for the master.
            let now = Instant::now();
            let left = u32::try_from(self.nodes.len() - tried + 1).unwrap_or(u32::MAX);
            let share = now + deadline.saturating_duration_since(now) / left;
            match self.ask(sentinel, share) {
                Ok(address) => return Ok(address),
                Err(Unusable(further)) => why = further,
            }
        }
        Err(Unusable(format!("no sentinel names the master `{}`: {why}", self.service)))
    }

    fn ask(&self, sentinel: &Address, deadline: Instant) -> Result<Address, Unusable> {
        let mut connection = Connection::open(sentinel, deadline)?;
        let mut command = cmd("SENTINEL");
        command.arg("get-master-addr-by-name").arg(&self.service);
        let reply = connection.ask(&command, deadline);
        let reply = reply.map_err(|error| describe_connect(&error, sentinel))?;
        let place: Option<(String, u16)> = redis::from_redis_value(reply).ok().flatten();
        let Address { host, port, .. } = sentinel;
        let (master, at) =
            place.ok_or_else(|| Unusable(format!("{host}:{port} knows none of that name")))?;
        self.server.at(&master, at).ok_or_else(|| {
            Unusable(format!("{host}:{port} names a host that no certificate can name"))
        })
    }
}

/// Whether the answer to HELLO, which is a flat list of names and values, has the role of a master.
fn says_master(about: &Value) -> bool {
    let Value::Array(items) = about else { return false };
    let is =
        |item: &Value, text: &str| matches!(item, Value::BulkString(it) if it == text.as_bytes());
    items.chunks(2).any(|pair| pair.len() == 2 && is(&pair[0], "role") && is(&pair[1], "master"))
}

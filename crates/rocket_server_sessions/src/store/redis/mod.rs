//! The Redis store: one hash per session, over connections of an r2d2 pool.
//!
//! A call of the store passes through these modules from top to bottom. Each uses only those after
//! it in the table. The test `layers` checks that.
//!
//! | modules | content |
//! |---|---|
//! | `claim` | claims of old sessions, for the feature `express` |
//! | `store` | implements the contract |
//! | `orphan_keys` | keys that may have no time to live, until they are deleted |
//! | `user_index`, `replies`, `commands`, `scripts` | encode the calls as a `pipeline`, and read the replies; `scripts` has the Lua |
//! | `servers`, `cluster` | which servers are used; a cluster sends each part of a pipeline to the server that has its slot |
//! | `server` | refuses the pipeline immediately if the breaker is open; otherwise makes a `request` with a deadline, puts it into the queue, and waits for the reply |
//! | `driver` | a task for each connection: gets the connection, and probes the server during an outage |
//! | `duplex` | takes requests from the queue, sends them and receives replies on one connection |
//! | `in_flight`, `answers` | keep a request until all its replies have been received, and look for errors of the server |
//! | `outbox`, `transport` | write the commands to the socket and read bytes from it, through TLS if needed |
//! | `upstream`, `queue` | what all callers and drivers of a server share: the queue, the `breaker` and the pool |
//! | `pool` | the r2d2 pool of connections to one server |
//! | `probe`, `rights` | finds out whether Redis can be used, before the launch or for `check` |
//! | `topology`, `sentinel`, `master` | which servers a URL names; with sentinels, which one is the master |
//! | `connection`, `resolve` | opens a connection, and talks over it with deadlines |
//! | `server_failure`, `connect_error`, `reply_error`, `remedy`, `breaker` | what an error of the server means, what to do about it, and whether requests are sent at all |
//! | `address`, `tls` | where a server is, and how the connection is encrypted |
//! | `decoder`, `parser`, `framing` | splits the bytes into replies: `framing` finds their ends, and `parser` reads them |
//! | `request`, `pipeline` | commands with a deadline and a caller who waits; encoded commands |
//! | `limit`, `metrics`, `jitter`, `settings` | how many requests are in flight at once; metrics; random delays; settings |
//!
//! The replies go back the same way: `in_flight` assigns them to the oldest request, `answers`
//! looks for errors of the server (`server_failure`), `request` wakes the caller, and `replies` or
//! `user_index` reads them.
//!
//! A request is marked as sent just before it is. Until then, a timeout means that nothing was
//! changed; after it, that the outcome is unknown.

mod address;
mod answers;
mod breaker;
#[cfg(feature = "express")]
mod claim;
mod cluster;
mod commands;
mod connect_error;
mod connection;
mod decoder;
mod driver;
mod duplex;
mod framing;
mod in_flight;
mod jitter;
mod limit;
mod master;
mod metrics;
mod orphan_keys;
mod outbox;
mod parser;
mod pipeline;
mod pool;
mod probe;
mod queue;
mod remedy;
mod replies;
mod reply_error;
mod request;
mod resolve;
mod rights;
mod scripts;
mod sentinel;
mod server;
mod server_failure;
mod servers;
mod settings;
mod store;
mod tls;
mod topology;
mod transport;
mod upstream;
mod user_index;

#[cfg(feature = "express")]
pub(crate) use claim::ClaimReply;
#[cfg(feature = "express")]
pub(crate) use pipeline::hash_tag;
#[cfg(test)]
pub(crate) use servers::Simulated;
pub use settings::{OpenError, RedisSettings};
pub use store::Redis;

//! The Redis store: one hash per session, over connections of an r2d2 pool.
//!
//! A call of the store passes through these modules, and none uses one above it:
//!
//! 1. `store` implements the contract. `commands` and `user_index` encode its calls as a
//!    `pipeline`; `scripts` has the Lua.
//! 2. `servers` knows which servers there are. A `cluster` sends each part to the one that has its
//!    slot.
//! 3. `server` refuses the pipeline immediately if the breaker is open. Otherwise it makes a
//!    `request` with a deadline, puts it into the queue, and waits for the reply.
//! 4. `driver` is a task for each connection. It gets the connection, and probes the server during
//!    an outage.
//! 5. `duplex` takes requests from the queue, sends them and receives replies on one connection.
//!    `in_flight` keeps a request until all its replies have been received, within a `limit`.
//! 6. `upstream` is what all callers and drivers of a server share: the `queue`, the `breaker`, and
//!    the r2d2 `pool`, which opens a `connection`; with sentinels, to the `master`.
//! 7. `outbox` and `transport` write the commands to the socket and read bytes from it, through TLS
//!    if needed.
//! 8. `decoder` splits the bytes into replies: `framing` finds their ends, and `parser` reads them.
//!
//! The replies go back the same way: `in_flight` assigns them to the oldest request, `answers`
//! looks for errors of the server (`reply_error`), `request` wakes the caller, and `replies` or
//! `user_index` reads them.
//!
//! A request is marked as sent just before it is. Until then, a timeout means that nothing was
//! changed; after it, that the outcome is unknown.

mod address;
mod answers;
mod breaker;
mod cluster;
mod commands;
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
mod scripts;
mod sentinel;
mod server;
mod servers;
mod settings;
mod store;
mod tls;
mod topology;
mod transport;
mod upstream;
mod user_index;

pub use settings::{OpenError, Settings};
pub use store::Redis;

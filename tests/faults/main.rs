//! What the application does when the store, its visitors or the platform misbehave: the real
//! binary over real sockets, and the Redis store itself where that is sharper.
//!
//! With `--nocapture`, every trial prints its row of the table in `docs/reliability.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy;
mod stub;
mod trial;

mod failover;
mod hostile;
mod overload;
mod platform;
mod soak;
mod store;
mod stray;
mod tls;

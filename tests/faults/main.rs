//! How the application handles faults of the store, of visitors and of the platform. Most tests run the
//! real binary over real sockets; some test the Redis store directly, which shows a fault more precisely.
//!
//! A test belongs here if something outside the application goes wrong. Sessions without faults are
//! tested in `crates/rocket_server_sessions`, and the pages in `tests/site`.
//!
//! - `unreachable`, `replies`, `refusals`, `missing_record`: one Redis that is unreachable, answers
//!   wrongly, refuses, or has lost records. Names begin with the case's number in `docs/reliability.md`.
//! - `failover`: clusters and sentinels. `tls`: encrypted connections to Redis.
//! - `crowds`, `overload`: many requests at once, and more than Redis can answer. `soak`: all faults,
//!   for minutes or hours.
//! - `sqlite`: a file instead of Redis.
//! - `late_replies`: the store without the application: a late reply never reaches another request.
//! - `hostile`: what clients send. `half_open`: connections on which no request arrives.
//!   `platform`: signals, freezes, several instances.
//!
//! Most are a [`trial::Trial`]: load, a fault, recovery, and what must hold after it. With
//! `--nocapture`, each prints its row of the table in `docs/reliability.md`. [`proxy`] and [`stub`]
//! sit between the application and Redis.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy;
mod stub;
mod trial;

mod crowds;
mod failover;
mod half_open;
mod hostile;
mod late_replies;
mod missing_record;
mod overload;
mod platform;
mod refusals;
mod replies;
mod soak;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tls;
mod unreachable;

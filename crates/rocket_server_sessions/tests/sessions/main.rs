//! The session layer, from outside: by HTTP against both stores, and each store against the
//! contract.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

mod check;
mod conformance;
mod cookie;
mod cost;
mod events;
mod examples;
mod fields;
mod interleaving;
mod launch;
mod lifecycle;
mod loss;
mod measured;
mod model;
mod outage;
mod releases;
mod rights;
mod users;

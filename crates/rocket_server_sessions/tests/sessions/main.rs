//! The crate from outside: a small application on it over HTTP, on every store, and each store
//! against its contract.
//!
//! A test belongs here if it needs the public API only. Faults of a real network are in
//! `tests/faults` of the workspace, which runs the application.
//!
//! - `lifecycle`, `cookie`, `fields`, `users`, `events`: what an application sees, one file for each
//!   part of the API. `examples`: the examples do what they say.
//! - `model`: random sequences of requests, compared with a model of sessions.
//! - `interleaving`: what other requests do between two commands of one.
//! - `outage`, `missing_record`: a store that fails, and records that are gone or damaged.
//! - `conformance`: each store against the contract of `Store`.
//! - `cost`, `acl`, `metrics`, `releases`, `launch`: what operators rely on: the commands and rights
//!   that `docs/` names, metrics and spans, data of older releases, and settings.
//!
//! [`world`] has the application, its stores and its visitors; [`proxy`] stands before Redis.
//! runs in memory, in Redis and in a Redis Cluster.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy;
mod world;

mod acl;
mod check;
mod conformance;
mod cookie;
mod cost;
mod events;
mod examples;
mod fields;
mod identity;
mod interleaving;
mod launch;
mod lifecycle;
mod metrics;
mod missing_record;
mod model;
mod outage;
mod own_store;
mod races;
mod releases;
mod same_origin;
mod streams;
mod users;

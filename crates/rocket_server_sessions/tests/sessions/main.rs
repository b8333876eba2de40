//! The crate from outside: a small application on it over HTTP, on every store, and each store
//! against its contract.
//!
//! A test belongs here if it needs the public API only. Faults of a real network are in
//! `tests/faults` of the workspace, which runs the application.
//!
//! - `lifecycle`, `timeouts`, `cookie`, `fields`, `update`, `guards`, `log_in`, `users`, `outside`,
//!   `events`, `same_origin`, `own_store`: what an application sees, one file for each part of the
//!   API. `examples`: the examples work as described.
//! - `express`: importing sessions from Express, with the feature of that name.
//! - `identity`: which session a request is in while its cookie changes. `streams`, `websockets`:
//!   operations after the headers were sent. `races`: concurrent requests, and connections that
//!   break in between.
//! - `interleaving`: what another request does between two commands of one.
//! - `model`: random sequences of requests, compared with a model of sessions.
//! - `outage`, `missing_record`: a store that fails, and records that are gone or damaged.
//! - `conformance`: each store against the contract of `Store`.
//! - `sqlite`: the file of the SQLite store, and what can be wrong with it.
//! - `launch`, `check`, `check_tls`, `cost`, `acl`, `metrics`, `releases`: what operators rely on,
//!   such as settings, the commands and rights that the documentation names, metrics and spans, and
//!   data of older releases.
//!
//! `world` has the application, its stores and its visitors, and `on_every_store!`, which declares
//! a test for memory, Redis, a cluster and, with the feature, SQLite. `proxy` lets something happen
//! between two commands.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy;
mod world;

mod acl;
mod check;
mod check_tls;
mod conformance;
mod cookie;
mod cost;
mod damaged_cookies;
mod events;
mod examples;
#[cfg(feature = "express")]
mod express;
mod fields;
mod guards;
mod identity;
mod interleaving;
mod launch;
mod lifecycle;
mod limits;
mod log_in;
mod metrics;
mod missing_record;
mod model;
mod outage;
mod outside;
mod own_store;
mod races;
mod releases;
mod same_origin;
#[cfg(feature = "sqlite")]
mod sqlite;
mod streams;
mod timeouts;
mod update;
mod users;
mod websockets;

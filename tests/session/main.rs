//! The session layer, from outside: by HTTP against both stores, and each store against the
//! contract.

#[path = "../support/mod.rs"]
mod support;
mod world;

mod conformance;
mod cookie;
mod cost;
mod fields;
mod launch;
mod lifecycle;
mod loss;
mod outage;

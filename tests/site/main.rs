//! The application: its pages through Rocket's local client, and the real binary as a person, an
//! operator and the platform meet it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod assets;
mod configuration;
mod corrupt_data;
mod instances;
mod log;
mod metrics;
mod outage;
mod own;
mod pages;
mod races;
mod snapshots;

//! The application: its pages in Rocket's local client, and the real binary as visitors, operators and
//! the platform see it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod assets;
mod configuration;
mod cookies;
mod corrupt_data;
mod express;
mod installation;
mod instances;
mod log;
mod metrics;
mod mistakes;
mod outage;
mod pages;
mod plain_http;
mod races;
mod session_page;
mod snapshots;

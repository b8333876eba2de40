//! What a person sees in a real browser: Chromium, driven by `WebDriver`, at the real binary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod driver;
#[allow(dead_code, reason = "a browser is the visitor here")]
#[path = "../site/process.rs"]
mod process;
#[allow(dead_code, reason = "nothing here looks into Redis")]
#[path = "../support/mod.rs"]
mod support;

mod keyboard;
mod outage;
mod own;
mod restricted;
mod visits;

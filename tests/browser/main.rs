//! What a person sees in a real browser: Chromium, driven by `WebDriver`, at the real binary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod driver;

mod keyboard;
mod outage;
mod own;
mod restricted;
mod visits;

//! What a person sees in a real browser: the real binary, in Chromium driven by `WebDriver`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod driver;

mod keyboard;
mod outage;
mod restricted;
mod session_page;
mod speculation;
mod visits;

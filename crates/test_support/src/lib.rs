//! What the test suites of the workspace share: Redis servers and clusters that a test starts, the
//! application as a process, and HTTP clients for it.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]
#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    missing_docs,
    reason = "test helpers are not a public API"
)]

pub mod app;
pub mod cluster;
mod redis_server;
mod redis_view;

pub use cluster::Cluster;
pub use redis_server::RedisServer;
pub use redis_view::RedisView;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A port on which nothing listens.
pub fn free_port() -> u16 {
    // Ports below the range that the system assigns from, so that no other process takes one in
    // between.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let offset = std::process::id() * 7 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(10_000 + offset % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until `is_so` returns true, for ten seconds at most.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited 10 s for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// The folder in which Cargo puts the programs that it builds.
pub fn target_dir() -> PathBuf {
    let program = std::env::current_exe().expect("the test program has a path");
    let folder = program.parent().and_then(Path::parent).expect("it is in target/*/deps");
    folder.to_path_buf()
}

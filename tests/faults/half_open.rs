//! Connections on which no request arrives. Rocket 0.5 waits for one without a time limit.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use test_support::app::{App, Release};
use test_support::{target_dir, wait_for};

use crate::trial::Usage;

/// The application, started by a shell that runs a command first.
struct Limited {
    folder: PathBuf,
    app: App,
}

impl Limited {
    fn start(command: &str) -> Self {
        let name = format!("half-open-{}-{}", std::process::id(), command.len());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (script, program) = (folder.join("cloud-run-sessions"), target_dir());
        let program = program.join("cloud-run-sessions");
        let text = format!("#!/bin/sh\n{command}\nexec '{}'\n", program.display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let app = App::start_of(&Release::of(folder.to_str().unwrap()), &[]);
        Self { folder, app }
    }

    /// Connections on which only the beginning of a request's head is sent.
    fn half_open(&self, number: usize) -> Vec<TcpStream> {
        let open = |_| {
            let mut stream = TcpStream::connect(("127.0.0.1", self.app.port)).unwrap();
            stream.write_all(b"GET /foo HTTP/1.1\r\nHost: localhost\r\nX-").unwrap();
            stream
        };
        (0..number).map(open).collect()
    }

    fn answers_at_once(&self) -> bool {
        let mut stream = TcpStream::connect(("127.0.0.1", self.app.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        stream.write_all(b"GET /health/live HTTP/1.0\r\n\r\n").unwrap();
        stream.read(&mut [0]).is_ok_and(|length| length > 0)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn half_open_connections_beyond_the_soft_limit_of_descriptors_keep_nobody_waiting() {
    let limited = Limited::start("ulimit -S -n 64");
    let _half_open = limited.half_open(180);
    let mut visitor = limited.app.visitor();
    let reply = visitor.get("/health/live");
    assert_eq!(reply.status, 200, "{}", limited.app.log());
    assert_eq!(visitor.get("/foo").views(), 1);
}

#[test]
fn soft_limit_of_descriptors_is_raised_to_what_memory_allows_and_logged() {
    let limited = Limited::start("ulimit -S -n 64");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", limited.app.pid())).unwrap();
    let line = limits.lines().find(|it| it.starts_with("Max open files")).unwrap();
    let limits: Vec<u64> = line.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    let [soft, hard] = limits[..] else { panic!("{line}") };
    assert_eq!(soft, hard.min(4096));
    let told = format!("INFO at most {soft} descriptors can be open");
    assert!(limited.app.log().contains(&told), "{}", limited.app.log());
}

#[test]
fn without_descriptors_requests_wait_and_are_answered_once_connections_end() {
    let limited = Limited::start("ulimit -n 64");
    let half_open = limited.half_open(100);
    wait_for("the descriptors to run out", || limited.app.log().contains("Too many open files"));
    assert!(!limited.answers_at_once());
    drop(half_open);
    wait_for("an answer", || limited.answers_at_once());
    assert_eq!(limited.app.visitor().get("/foo").views(), 1);
}

#[test]
#[ignore = "measures; the soft limit of descriptors must allow 10,000 connections"]
fn ten_thousand_half_open_connections_cost_memory_and_nobody_waits() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let limited = Limited::start(":");
    let mut visitor = limited.app.visitor();
    visitor.get("/foo");
    println!("no connection: {:?}", Usage::of(limited.app.pid()));
    let half_open = limited.half_open(10_000);
    let start = Instant::now();
    assert_eq!(visitor.get("/foo").views(), 2);
    println!("10,000: {:?}, a page in {:?}", Usage::of(limited.app.pid()), start.elapsed());
    drop(half_open);
    std::thread::sleep(Duration::from_secs(2));
    println!("all closed: {:?}", Usage::of(limited.app.pid()));
}

//! What several test suites share: Redis servers of their own, the application as a process, and
//! visitors who talk HTTP to it.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    missing_docs,
    reason = "a test fails by panicking, and its helpers are read where they stand"
)]

pub mod app;
pub mod cluster;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A `redis-server` of the suite's own, on a free port. It ends when this value is dropped, and at
/// the latest with the process that holds it.
pub struct RedisServer {
    pub port: u16,
    shell: Child,
    pid: String,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::start_with(free_port(), "")
    }

    pub fn start_with(port: u16, options: &str) -> Self {
        let usual = "--bind 127.0.0.1 --save '' --appendonly no --daemonize no";
        Self::run(port, &format!("--port {port} {usual} {options}"))
    }

    /// Starts what the arguments say, which listens on this port.
    pub fn run(port: u16, arguments: &str) -> Self {
        assert!(
            Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok(),
            "the tests need redis-server: run `apt-get install redis-server`, or `tests/run`, \
             which does it"
        );
        // The shell waits for the end of its input, which comes with the end of this process.
        let script = format!(
            "redis-server {arguments} >/dev/null 2>&1 & echo $!; cat >/dev/null; kill -9 $!"
        );
        let mut shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let mut pid = String::new();
        let out = shell.stdout.as_mut().expect("the output is piped");
        let mut byte = [0];
        while out.read(&mut byte).is_ok_and(|read| read == 1) && byte[0] != b'\n' {
            pid.push(char::from(byte[0]));
        }
        let server = Self { port, shell, pid };
        wait_for("redis-server to listen", || server.ping());
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn ping(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut reply = [0; 5];
        stream.write_all(b"PING\r\n").is_ok()
            && stream.read_exact(&mut reply).is_ok()
            && [b"+PONG", b"-NOAU"].contains(&&reply)
    }

    /// Sends the process a signal by its name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid]).status();
        assert!(status.is_ok_and(|it| it.success()), "kill -{name}");
    }

    /// A plain connection, for commands of the test's own.
    pub fn connect(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// All keys that begin with `prefix`.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        redis::cmd("KEYS").arg(format!("{prefix}*")).query(&mut self.connect()).unwrap()
    }

    /// How many commands the server has carried out, by name, without those that look.
    pub fn commands(&self) -> std::collections::BTreeMap<String, u64> {
        let text: String =
            redis::cmd("INFO").arg("commandstats").query(&mut self.connect()).unwrap();
        text.lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
                Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
            })
            .filter(|(name, _): &(String, u64)| {
                !["info", "keys", "client|setinfo", "config|resetstat"].contains(&name.as_str())
            })
            .collect()
    }

    pub fn reset_commands(&self) {
        redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut self.connect()).unwrap();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.pid]).stderr(Stdio::null()).status();
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

pub fn free_port() -> u16 {
    // Ports below the range that the system hands out: nobody else takes one meanwhile.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let offset = std::process::id() * 7 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(10_000 + offset % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits for a condition; fails, naming it, after ten seconds.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited 10 s for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Where Cargo has put what it built: the folder above the one in which test programs stand.
pub fn target_dir() -> PathBuf {
    let program = std::env::current_exe().expect("the test program has a path");
    let folder = program.parent().and_then(Path::parent).expect("it stands in target/*/deps");
    folder.to_path_buf()
}

//! A Redis server that a test starts for itself.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::{free_port, wait_for};

/// A `redis-server` that the suite starts on a free port. It ends when this value is dropped, or
/// when the test process ends.
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

    /// Starts `redis-server` with these arguments, which must make it listen on `port`.
    pub fn run(port: u16, arguments: &str) -> Self {
        assert!(
            Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok(),
            "the tests need redis-server: run `apt-get install redis-server`, or `tests/run`, \
             which does it"
        );
        // The shell waits for the end of its input, which is closed when this process ends.
        let script = format!(
            "redis-server {arguments} >/dev/null 2>&1 & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null"
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

    pub fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).unwrap()
    }

    /// A plain connection, for the test's own commands.
    pub fn connect(&self) -> redis::Connection {
        self.client().get_connection().unwrap()
    }

    /// All keys that begin with `prefix`.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        redis::cmd("KEYS").arg(format!("{prefix}*")).query(&mut self.connect()).unwrap()
    }

    /// How many commands the server has executed, by name, without those of the tests themselves.
    pub fn commands(&self) -> BTreeMap<String, u64> {
        let text: String =
            redis::cmd("INFO").arg("commandstats").query(&mut self.connect()).unwrap();
        text.lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
                Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
            })
            .filter(|(name, _): &(String, u64)| {
                // Redis 6.2 does not distinguish subcommands.
                let name = name.split('|').next().unwrap_or_default();
                !["info", "keys", "client", "config"].contains(&name)
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

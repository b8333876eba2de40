//! The real binary as a process, and HTTP clients for it.

mod keep_alive;
mod visitor;

pub use keep_alive::KeepAlive;
pub use visitor::{Reply, Visitor, send, send_bytes};

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use crate::{free_port, target_dir, wait_for};

/// The `secret_key` of every application under test.
pub const KEY: &str = "0GfnRvWV8Hd0TtPtKKmvyWjAKxIGWRRMVZWcIPWGFTI=";

/// A running application. It is killed when this value is dropped.
pub struct App {
    pub port: u16,
    child: Child,
    log: Arc<Mutex<String>>,
    listeners: Vec<JoinHandle<()>>,
}

/// A release of the application: its binary, and the folder with its `Rocket.toml` and templates.
pub struct Release {
    program: PathBuf,
    folder: PathBuf,
}

impl Release {
    /// The release under test.
    pub fn this() -> Self {
        let program = target_dir().join("cloud-run-sessions");
        assert!(program.exists(), "{} is missing: run `cargo build`", program.display());
        Self { program, folder: concat!(env!("CARGO_MANIFEST_DIR"), "/../..").into() }
    }

    /// A release in a folder with the layout of the container image.
    pub fn of(folder: &str) -> Self {
        let folder = PathBuf::from(folder);
        Self { program: folder.join("cloud-run-sessions"), folder }
    }
}

/// The binary, without the variables that it would read from the outer environment.
fn command(release: &Release, env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(&release.program);
    command.current_dir(&release.folder);
    for (name, _) in std::env::vars() {
        if name.starts_with("ROCKET_")
            || name.starts_with("OTEL_")
            || ["PORT", "REDIS_URL", "PREVIOUS_SECRET_KEYS", "RUST_LOG", "K_SERVICE"]
                .contains(&&*name)
        {
            command.env_remove(name);
        }
    }
    // On Cloud Run, it would listen on every address, and a test may simulate Cloud Run.
    command.env("ROCKET_ADDRESS", "127.0.0.1");
    command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the binary until it exits by itself.
pub fn run_to_end(env: &[(&str, &str)]) -> (bool, String) {
    let mut child = command(&Release::this(), env).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(10) {
            child.kill().unwrap();
            panic!("the process did not end: {}", text(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.success(), text(&output))
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}

impl App {
    pub fn start(env: &[(&str, &str)]) -> Self {
        Self::start_of(&Release::this(), env)
    }

    pub fn start_of(release: &Release, env: &[(&str, &str)]) -> Self {
        let port = free_port();
        let own_port = port.to_string();
        let mut env = env.to_vec();
        env.push(("PORT", &own_port));
        let mut child = command(release, &env).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let listeners = vec![listen(out, log.clone()), listen(err, log.clone())];
        let app = Self { port, child, log, listeners };
        wait_for("the application to answer", || app.answers());
        app
    }

    /// Whether it has launched. Rocket listens before the launch, but only answers after it.
    fn answers(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok_and(|mut stream| {
            stream.write_all(b"GET /health/live HTTP/1.0\r\n\r\n").is_ok()
                && stream.read(&mut [0]).is_ok_and(|n| n > 0)
        })
    }

    /// Starts it on Redis, and waits for the end of the check at launch, so that its commands are
    /// not counted.
    pub fn on_redis(url: &str) -> Self {
        let app = Self::of_on_redis(&Release::this(), url);
        app.wait_for_check();
        app
    }

    pub fn wait_for_check(&self) {
        wait_for("the store to be checked", || self.log().contains("checked the store at launch"));
    }

    pub fn of_on_redis(release: &Release, url: &str) -> Self {
        Self::start_of(release, &[("REDIS_URL", url), ("ROCKET_SECRET_KEY", KEY)])
    }

    pub fn visitor(&self) -> Visitor {
        Visitor { port: self.port, cookie: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its output so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for the process to end. Returns whether it succeeded, and its output.
    pub fn finish(mut self) -> (bool, String) {
        wait_for("the application to end", || self.child.try_wait().unwrap().is_some());
        for listener in self.listeners.drain(..) {
            listener.join().unwrap();
        }
        (self.child.wait().unwrap().success(), self.log())
    }
}

/// Collects a process' output, so that its pipe never fills up.
fn listen(from: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    })
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

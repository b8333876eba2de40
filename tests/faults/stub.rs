//! A server that speaks Redis' protocol and answers by a script, for replies that are hard to get
//! from a real server. Commands that the script does not answer go to a real server.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use test_support::free_port;

/// Gives the reply to a command, by its name in capitals, or `None` if a real server answers.
pub type Script = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

pub struct Stub {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Vec<String>>,
}

/// The commands that authenticate and check that the server answers.
const GREETINGS: [&str; 3] = ["AUTH", "PING", "SELECT"];

/// The commands that begin and end a transaction. [`refusing`] lets them through.
const FRAMES: [&str; 2] = ["MULTI", "EXEC"];

/// Every command goes to the real server.
pub fn silent() -> Script {
    Arc::new(|_| None)
}

/// An error for every command that is about a session; authentication still works.
pub fn refusing(error: &str) -> Script {
    let reply = format!("-{error}\r\n").into_bytes();
    Arc::new(move |name| {
        let is_refused = !GREETINGS.contains(&name) && !FRAMES.contains(&name);
        is_refused.then(|| reply.clone())
    })
}

/// An error for every command, including those of authentication.
pub fn refusing_all(error: &str) -> Script {
    let reply = format!("-{error}\r\n").into_bytes();
    Arc::new(move |_| Some(reply.clone()))
}

impl Stub {
    pub fn before(upstream: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let shared = Shared { script: Mutex::new(silent()), seen: Mutex::default() };
        let stub = Self { port, shared: Arc::new(shared) };
        let shared = stub.shared.clone();
        spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                spawn(move || shared.serve(&client, upstream));
            }
        });
        stub
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// The names of the commands that arrived since the last call.
    pub fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }
}

impl Shared {
    fn serve(&self, client: &TcpStream, upstream: u16) -> Option<()> {
        client.set_nodelay(true).ok()?;
        let mut server = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
        let mut replies = BufReader::new(server.try_clone().ok()?);
        let mut commands = BufReader::new(client.try_clone().ok()?);
        let mut answer = client;
        let mut is_transaction_broken = false;
        loop {
            let mut command = Vec::new();
            read_frame(&mut commands, &mut command)?;
            let name = name(&command);
            self.seen.lock().unwrap().push(name.clone());
            let script = self.script.lock().unwrap().clone();
            let reply = if let Some(reply) = script(&name) {
                is_transaction_broken = !["EXEC", "PING"].contains(&&*name);
                reply
            } else {
                server.write_all(&command).ok()?;
                let mut reply = Vec::new();
                read_frame(&mut replies, &mut reply)?;
                if name == "EXEC" && std::mem::take(&mut is_transaction_broken) {
                    // The real server has only received the harmless part of the transaction.
                    reply = b"-EXECABORT Transaction discarded.\r\n".to_vec();
                }
                reply
            };
            answer.write_all(&reply).ok()?;
        }
    }
}

/// Reads one whole value of the protocol, as its bytes.
fn read_frame(from: &mut impl BufRead, into: &mut Vec<u8>) -> Option<()> {
    let start = into.len();
    from.read_until(b'\n', into).ok()?;
    let line = std::str::from_utf8(&into[start..]).ok()?.trim_end();
    let (kind, rest) = line.split_at_checked(1)?;
    let length = rest.parse::<i64>().ok().and_then(|it| usize::try_from(it).ok());
    match (kind, length) {
        ("$", Some(length)) => {
            let start = into.len();
            into.resize(start + length + 2, 0);
            from.read_exact(&mut into[start..]).ok()
        }
        ("*", Some(length)) => (0..length).try_for_each(|_| read_frame(from, into)),
        _ => Some(()),
    }
}

/// The first word of a command.
fn name(command: &[u8]) -> String {
    let text = String::from_utf8_lossy(command);
    text.split("\r\n").nth(2).unwrap_or_default().to_ascii_uppercase()
}

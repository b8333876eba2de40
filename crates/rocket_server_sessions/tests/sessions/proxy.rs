//! A proxy in front of the suite's Redis that lets something happen between two commands.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rocket::tokio::runtime::Runtime;

use crate::world::{DEADLINE, REDIS, Visitor, World};

type Hook = Arc<Mutex<Box<dyn FnMut(&[u8]) -> Action + Send>>>;

/// What happens to a chunk of commands.
pub enum Action {
    /// Forward it.
    Forward,
    /// Forward this many bytes, do some work, and forward the rest.
    Split(usize, Box<dyn FnOnce() + Send>),
    /// Close the connection.
    Close,
    /// Forward this many bytes, and then close the connection.
    CloseAfter(usize),
}

/// Starts a proxy in front of the suite's Redis, and returns its URL.
pub fn start(hook: impl FnMut(&[u8]) -> Action + Send + 'static) -> String {
    before(REDIS.port, hook)
}

/// The same in front of another server.
pub fn before(port: u16, hook: impl FnMut(&[u8]) -> Action + Send + 'static) -> String {
    let hook: Hook = Arc::new(Mutex::new(Box::new(hook)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            server.set_nodelay(true).unwrap();
            let (mut back, mut replies) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || drop(std::io::copy(&mut replies, &mut back)));
            let hook = hook.clone();
            thread::spawn(move || {
                let mut buffer = [0; 16_000];
                while let Ok(length @ 1..) = client.read(&mut buffer) {
                    let bytes = &buffer[..length];
                    let action = (hook.lock().unwrap())(bytes);
                    match action {
                        Action::Forward => server.write_all(bytes).unwrap(),
                        Action::Split(at, work) => {
                            server.write_all(&bytes[..at]).unwrap();
                            thread::sleep(Duration::from_millis(30));
                            work();
                            server.write_all(&bytes[at..]).unwrap();
                        }
                        Action::CloseAfter(at) => {
                            server.write_all(&bytes[..at]).unwrap();
                            close(&client, &server);
                        }
                        Action::Close => close(&client, &server),
                    }
                }
            });
        }
    });
    url
}

/// Where a text begins in a chunk.
pub fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|it| it == text.as_bytes())
}

fn close(client: &TcpStream, server: &TcpStream) {
    for stream in [client, server] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// A world in which each command is delayed by this much.
pub async fn paused() -> (World, Arc<Mutex<Duration>>) {
    let pause = Arc::new(Mutex::new(Duration::ZERO));
    let length = pause.clone();
    let url = start(move |_| {
        let length = *length.lock().unwrap();
        thread::sleep(length);
        Action::Forward
    });
    (World::through(&url).await, pause)
}

/// A proxy's trap: it springs once, at a chunk of commands of the test's choice.
pub struct Trap(Arc<Mutex<Option<Spring>>>);

type Spring = Box<dyn FnMut(&[u8]) -> Option<Action> + Send>;

impl Trap {
    /// Sets the trap. Chunks are forwarded until `spring` returns an action for one.
    pub fn set(&self, spring: impl FnMut(&[u8]) -> Option<Action> + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(spring));
    }

    /// Whether it has sprung. Disarms it.
    pub fn has_sprung(&self) -> bool {
        self.0.lock().unwrap().take().is_none()
    }
}

/// A world behind a proxy with a trap.
pub async fn trap() -> (World, Trap) {
    trap_with_deadline(DEADLINE).await
}

pub async fn trap_with_deadline(deadline: Duration) -> (World, Trap) {
    let (url, trap) = trap_before(REDIS.port);
    (World::on_url(&url, &REDIS, deadline).await, trap)
}

/// A trap in front of a server, and the URL to reach it.
pub fn trap_before(port: u16) -> (String, Trap) {
    let trap = Trap(Arc::default());
    let set = trap.0.clone();
    let url = before(port, move |bytes| {
        let mut spring = set.lock().unwrap();
        let action = spring.as_mut().and_then(|spring| spring(bytes));
        if action.is_some() {
            *spring = None;
        }
        action.unwrap_or(Action::Forward)
    });
    (url, trap)
}

/// A trap's spring that lets this many chunks pass, and then acts.
pub fn after(
    mut chunks: usize,
    work: impl FnOnce(&[u8]) -> Action + Send + 'static,
) -> impl FnMut(&[u8]) -> Option<Action> + Send + 'static {
    let mut work = Some(work);
    move |bytes| {
        if chunks == 0 {
            return work.take().map(|work| work(bytes));
        }
        chunks -= 1;
        None
    }
}

/// Requests a page of another instance, from a thread outside of the runtime.
pub fn get_elsewhere(world: &World, cookie: Option<&str>, path: &str) -> String {
    let mut visitor = Visitor { world, cookie: cookie.map(str::to_owned) };
    let request = move || Runtime::new().unwrap().block_on(visitor.body(path));
    thread::scope(|threads| threads.spawn(request).join().unwrap())
}

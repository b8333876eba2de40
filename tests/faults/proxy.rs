//! A wire between the application and Redis that can be made to misbehave.
//!
//! Replies pass through a [`Fault`]: a function that receives each chunk from the server and may
//! forward, delay, change or drop it. So a new fault takes only a few lines.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use socket2::SockRef;

use test_support::{free_port, wait_for};

/// What happens to the replies of one connection.
pub type Fault = Arc<dyn Fn(&mut Wire, &[u8]) + Send + Sync>;

/// A connection through the proxy, as a fault sees it: it writes replies to the client.
pub struct Wire {
    client: TcpStream,
    server: TcpStream,
    shared: Arc<Shared>,
    is_reset: bool,
    /// How many bytes of replies this connection has passed on since the fault began.
    pub passed: usize,
}

impl Wire {
    pub fn pass(&mut self, bytes: &[u8]) {
        self.passed += bytes.len();
        if self.client.write_all(bytes).is_err() {
            self.end();
        }
    }

    /// Ends the connection in an orderly way.
    pub fn end(&mut self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// Ends the connection by a reset, which is sent when the last copy of the socket is dropped.
    pub fn reset(&mut self) {
        let _ = SockRef::from(&self.client).set_linger(Some(Duration::ZERO));
        let own = self.client.peer_addr().ok();
        self.shared.open.lock().unwrap().retain(|it| it.peer_addr().ok() != own);
        let _ = self.client.shutdown(Shutdown::Read);
        let _ = self.server.shutdown(Shutdown::Both);
        self.is_reset = true;
    }
}

pub fn faultless() -> Fault {
    Arc::new(Wire::pass)
}

/// Every reply is delayed by this much.
pub fn late(by: Duration) -> Fault {
    Arc::new(move |wire, chunk| {
        sleep(by);
        wire.pass(chunk);
    })
}

/// One byte at a time.
pub fn trickling(pause: Duration) -> Fault {
    Arc::new(move |wire, chunk| {
        for byte in chunk {
            sleep(pause);
            wire.pass(&[*byte]);
        }
    })
}

/// At most this many bytes of replies per second, on all connections together.
pub fn narrow(bytes_a_second: u32) -> Fault {
    let due = Mutex::new(Instant::now());
    Arc::new(move |wire, chunk| {
        for piece in chunk.chunks(128) {
            let mut due = due.lock().unwrap();
            let length = u32::try_from(piece.len()).expect("it is short");
            // If a busy machine sleeps for too long, the next pieces are sent sooner.
            let earliest = Instant::now().checked_sub(Duration::from_millis(100));
            *due = (*due).max(earliest.unwrap_or(*due))
                + Duration::from_secs(1) * length / bytes_a_second;
            sleep(due.saturating_duration_since(Instant::now()));
            wire.pass(piece);
        }
    })
}

/// Commands arrive, replies do not.
pub fn swallowing() -> Fault {
    Arc::new(|_, _| {})
}

/// Each connection ends, by `how`, once it has forwarded this many bytes.
pub fn cut_after(bytes: usize, how: fn(&mut Wire)) -> Fault {
    Arc::new(move |wire, chunk| {
        let rest = bytes.saturating_sub(wire.passed).min(chunk.len());
        wire.pass(&chunk[..rest]);
        if wire.passed >= bytes {
            how(wire);
        }
    })
}

/// These bytes are sent before each reply.
pub fn injecting(bytes: Vec<u8>) -> Fault {
    Arc::new(move |wire, chunk| {
        wire.pass(&bytes);
        wire.pass(chunk);
    })
}

/// A proxy on a port of its own, with a fault that can be changed while it runs.
pub struct Proxy {
    pub port: u16,
    upstream: u16,
    shared: Arc<Shared>,
    listening: Option<Arc<AtomicBool>>,
}

struct Shared {
    fault: Mutex<Fault>,
    open: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    /// By how many milliseconds commands are delayed.
    round_trip: AtomicU64,
    /// How many times the fault was changed. After a change, [`Wire::passed`] starts again at 0.
    changes: AtomicUsize,
}

impl Proxy {
    pub fn before(upstream: u16) -> Self {
        let shared = Shared {
            fault: Mutex::new(faultless()),
            open: Mutex::default(),
            accepted: AtomicUsize::new(0),
            round_trip: AtomicU64::new(0),
            changes: AtomicUsize::new(0),
        };
        let mut proxy =
            Self { port: free_port(), upstream, shared: Arc::new(shared), listening: None };
        proxy.open();
        proxy
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
        self.shared.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Sets the distance of the server: commands arrive later, but do not wait for each other.
    pub fn set_round_trip(&self, round_trip: Duration) {
        let millis = round_trip.as_millis().try_into().expect("it is short");
        self.shared.round_trip.store(millis, Ordering::SeqCst);
    }

    /// How many connections were made so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Closes every connection; new ones are accepted.
    pub fn close_connections(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Closes the port and every connection.
    pub fn close(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.store(false, Ordering::SeqCst);
            let _ = TcpStream::connect(("127.0.0.1", self.port));
        }
        self.close_connections();
    }

    /// Opens the port.
    pub fn open(&mut self) {
        let mut listener = None;
        wait_for("the port to be free", || {
            listener = TcpListener::bind(("127.0.0.1", self.port)).ok();
            listener.is_some()
        });
        let listener = listener.expect("it was waited for");
        let is_open = Arc::new(AtomicBool::new(true));
        let (shared, upstream, is_listening) =
            (self.shared.clone(), self.upstream, is_open.clone());
        spawn(move || {
            for client in listener.incoming().flatten() {
                if !is_listening.load(Ordering::SeqCst) {
                    return;
                }
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                // Without a server behind it, the connection is closed as soon as it is made.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) {
                    connect(&shared, client, server);
                }
            }
        });
        self.listening = Some(is_open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket takes options");
    }
    let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor is free");
    let mut open = shared.open.lock().unwrap();
    // A socket that has closed names no peer.
    open.retain(|it| it.peer_addr().is_ok());
    open.extend([copy(&client), copy(&server)]);
    drop(open);
    let (mut commands, mut onward) = (copy(&client), copy(&server));
    let (line, arriving) = channel::<(Instant, Vec<u8>)>();
    let distance = shared.clone();
    spawn(move || {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(length @ 1..) = commands.read(&mut chunk) {
            let round_trip = Duration::from_millis(distance.round_trip.load(Ordering::SeqCst));
            if line.send((Instant::now() + round_trip, chunk[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    spawn(move || {
        for (due, chunk) in arriving {
            sleep(due.saturating_duration_since(Instant::now()));
            if onward.write_all(&chunk).is_err() {
                break;
            }
        }
        let _ = onward.shutdown(Shutdown::Both);
    });
    let shared = shared.clone();
    let mut wire = Wire { client, server, shared: shared.clone(), is_reset: false, passed: 0 };
    spawn(move || {
        let mut seen = shared.changes.load(Ordering::SeqCst);
        let mut chunk = vec![0; 64 << 10];
        while let Ok(length @ 1..) = wire.server.read(&mut chunk) {
            let fault = shared.fault.lock().unwrap().clone();
            let changes = shared.changes.load(Ordering::SeqCst);
            if changes != seen {
                (seen, wire.passed) = (changes, 0);
            }
            fault(&mut wire, &chunk[..length]);
            if wire.is_reset {
                return;
            }
        }
        let _ = wire.client.shutdown(Shutdown::Both);
    });
}

/// A port that neither accepts nor refuses connections: what is sent to it gets no answer at all.
pub struct Deaf {
    _listener: socket2::Socket,
    _queue: Vec<socket2::Socket>,
}

impl Deaf {
    pub fn at(port: u16) -> Self {
        use socket2::{Domain, Socket, Type};
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port)).into();
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.set_reuse_address(true).unwrap();
        // The previous listener may need a moment to close.
        wait_for("the port to be free", || listener.bind(&address).is_ok());
        listener.listen(0).unwrap();
        // Once the queue of connections that wait to be accepted is full, Linux drops new ones.
        let mut queue = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let result = socket.connect_timeout(&address, Duration::from_millis(100));
            queue.push(socket);
            if result.is_err() {
                return Self { _listener: listener, _queue: queue };
            }
            assert!(queue.len() < 10, "the queue never fills");
        }
    }
}

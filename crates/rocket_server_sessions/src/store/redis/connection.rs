//! A blocking connection to Redis, with deadlines.
//!
//! It is used directly to connect, and to ask sentinels and clusters. To serve requests, a
//! [`Transport`](super::transport::Transport) drives it without blocking.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use redis::{Cmd, RedisError, Value, cmd};
use rustls::ClientConnection;
use socket2::SockRef;

use super::address::Address;
use super::connect_error::{ConnectError, describe_connect};
use super::decoder::Decoder;
use super::resolve::resolve;

/// How many bytes are read at a time.
pub(super) const CHUNK: usize = 16 << 10;

pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) tls: Option<Box<ClientConnection>>,
    pub(super) decoder: Decoder,
    /// When data was last received.
    pub(super) used: Instant,
    /// How long the server took to answer the greeting, without the TLS handshake.
    pub(super) round_trip: Duration,
    is_broken: bool,
    /// Identifies the master that it leads to, with sentinels.
    pub(super) generation: u64,
}

/// A socket with a deadline. Socket timeouts apply to single calls, but TLS may need several: for
/// the handshake, or to receive a whole record.
struct Timed<'s> {
    socket: &'s TcpStream,
    deadline: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(remaining(self.deadline)?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(remaining(self.deadline)?))?;
        self.socket.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

impl Connection {
    /// Connects, authenticates and checks that the server answers.
    pub(super) fn open(address: &Address, deadline: Instant) -> Result<Self, ConnectError> {
        Self::try_open(address, deadline).map_err(|error| describe_connect(&error, address))
    }

    fn try_open(address: &Address, deadline: Instant) -> Result<Self, RedisError> {
        let mut connection = Self::connect(address, deadline)?;
        connection.greet(address, deadline)?;
        Ok(connection)
    }

    /// Opens the socket, without a TLS handshake or authentication.
    pub(super) fn connect(address: &Address, deadline: Instant) -> Result<Self, RedisError> {
        let socket = dial(address, deadline)?;
        socket.set_nodelay(true)?;
        let tls = match &address.tls {
            None => None,
            Some(tls) => {
                let session = ClientConnection::new(tls.config.clone(), tls.name.clone());
                Some(Box::new(session.map_err(io::Error::other)?))
            }
        };
        Ok(Self {
            socket,
            tls,
            decoder: Decoder::default(),
            used: Instant::now(),
            round_trip: Duration::ZERO,
            is_broken: false,
            generation: 0,
        })
    }

    /// Authenticates, selects the database, and checks that the server answers. Upstash does not
    /// bill AUTH, SELECT and PING.
    pub(super) fn greet(&mut self, address: &Address, deadline: Instant) -> Result<(), RedisError> {
        let mut commands = Vec::new();
        if let Some(password) = &address.password {
            let mut auth = cmd("AUTH");
            auth.arg(address.username.as_deref().filter(|name| !name.is_empty())).arg(password);
            commands.push(auth);
        }
        if address.database != 0 {
            commands.push(cmd("SELECT").arg(address.database).take());
        }
        commands.push(cmd("PING"));
        // The handshake takes round trips of its own, which later requests do not need.
        self.shake_hands(deadline).map_err(|error| self.why_closed(error, deadline))?;
        let start = Instant::now();
        self.exchange(&commands, deadline)?;
        self.round_trip = start.elapsed();
        Ok(())
    }

    pub(super) fn ping(&mut self, deadline: Instant) -> Result<(), RedisError> {
        self.ask(&cmd("PING"), deadline)?;
        Ok(())
    }

    /// Sends one command and returns its reply. If the reply is an error, returns that.
    pub(super) fn ask(&mut self, command: &Cmd, deadline: Instant) -> Result<Value, RedisError> {
        self.exchange(std::slice::from_ref(command), deadline)
    }

    /// Sends commands and returns the last reply.
    fn exchange(&mut self, commands: &[Cmd], deadline: Instant) -> Result<Value, RedisError> {
        // Cleared at the end.
        self.is_broken = true;
        let mut packed = Vec::new();
        for command in commands {
            command.write_packed_command(&mut packed);
        }
        self.send(&packed, deadline).map_err(|error| self.why_closed(error, deadline))?;
        let mut last = Value::Nil;
        for _ in commands {
            last = self.receive(deadline)?.extract_error()?;
        }
        if self.has_unsolicited_data() {
            let why = "it sends unsolicited replies";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why).into());
        }
        self.is_broken = false;
        Ok(last)
    }

    /// Runs one step of reading or writing.
    fn io<T>(
        &mut self,
        deadline: Instant,
        step: impl FnOnce(&mut dyn ReadWrite) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut timed = Timed { socket: &self.socket, deadline };
        match &mut self.tls {
            None => step(&mut timed),
            Some(tls) => step(&mut rustls::Stream::new(tls.as_mut(), &mut timed)),
        }
    }

    /// Completes the TLS handshake, if there is one.
    fn shake_hands(&mut self, deadline: Instant) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let mut timed = Timed { socket: &self.socket, deadline };
        while tls.is_handshaking() {
            tls.complete_io(&mut timed)?;
        }
        Ok(())
    }

    /// Writes packed commands. After an error the connection must not be used again.
    fn send(&mut self, packed: &[u8], deadline: Instant) -> io::Result<()> {
        self.io(deadline, |io| io.write_all(packed).and_then(|()| io.flush()))
    }

    /// Returns the reason that a server gave before it closed the connection, or else the error of
    /// the write that failed. A server that refuses a client certificate does both.
    fn why_closed(&mut self, error: io::Error, deadline: Instant) -> io::Error {
        let Some(tls) = &mut self.tls else { return error };
        let mut timed = Timed { socket: &self.socket, deadline };
        while let Ok(1..) = tls.read_tls(&mut timed) {
            if let Err(why) = tls.process_new_packets() {
                return io::Error::new(io::ErrorKind::InvalidData, why);
            }
        }
        error
    }

    /// Reads one reply. After an error the connection must not be used again: the reply may still
    /// arrive, and would be mistaken for the next one.
    fn receive(&mut self, deadline: Instant) -> io::Result<Value> {
        loop {
            if let Some(reply) = self.decoder.next_reply()? {
                let why = "it sent a reply that cannot be read";
                return reply.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let mut chunk = [0; CHUNK];
            let length = self.io(deadline, |io| io.read(&mut chunk))?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.decoder.extend(&chunk[..length]);
            self.used = Instant::now();
        }
    }

    /// Whether more replies were received than requested, so that replies no longer match requests.
    pub(super) fn has_unsolicited_data(&self) -> bool {
        !self.decoder.is_empty()
    }

    /// How long ago data was last received.
    pub(super) fn idle(&self) -> Duration {
        self.used.elapsed()
    }

    /// Whether the connection must not be used again.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(super) fn mark_broken(&mut self) {
        self.is_broken = true;
    }

    /// Whether the server has closed the connection or sent unsolicited data.
    pub(super) fn is_disturbed(&self) -> bool {
        if self.has_unsolicited_data() {
            return true;
        }
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        match SockRef::from(&self.socket).recv_with_flags(&mut byte, flags) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// The time until the deadline, or an error after it. Never zero, which would mean no timeout.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|rest| !rest.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

fn dial(address: &Address, deadline: Instant) -> io::Result<TcpStream> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    let sockets = resolve(&address.host, address.port, deadline)?;
    for (tried, socket) in sockets.iter().enumerate() {
        // Share the time, so that an unresponsive address does not use it all.
        let share = remaining(deadline)? / u32::try_from(sockets.len() - tried).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(socket, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

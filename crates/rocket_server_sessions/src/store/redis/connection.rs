//! One connection to Redis, on which no reply can be late, endless or somebody else's.
//!
//! redis-rs parses what comes in; the bytes pass through here, since its own connection can limit
//! neither how long a reply takes that trickles in byte by byte, nor how much memory it fills. Its
//! parser gets whole replies and nothing beyond, so what nobody has asked for is seen.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use redis::{Cmd, Parser, RedisError, Value, cmd};
use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;

use super::address::Address;
use super::framing::{self, MAX_REPLY};
use super::reply_error::{ConnectError, describe_connect};

/// How much is read at a time.
const CHUNK: usize = 16 << 10;

pub(super) struct Connection {
    stream: Stream,
    parser: Parser,
    /// What has come in and was not parsed yet.
    inbox: Vec<u8>,
    used: Instant,
    is_broken: bool,
    /// The sentinels' configuration under which it leads to the master, if there are any.
    pub(super) epoch: u64,
}

enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Stream {
    fn timed(&mut self) -> &mut Timed {
        match self {
            Self::Plain(timed) => timed,
            Self::Tls(tls) => &mut tls.sock,
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(timed) => &timed.socket,
            Self::Tls(tls) => &tls.sock.socket,
        }
    }

    /// For reading and writing until the deadline.
    fn until(&mut self, deadline: Instant) -> &mut dyn ReadWrite {
        self.timed().deadline = deadline;
        match self {
            Self::Plain(timed) => timed,
            Self::Tls(tls) => tls.as_mut(),
        }
    }
}

/// A socket on which nothing takes longer than until a deadline. The socket's own time-outs hold
/// for one call, and TLS makes as many as it likes: to shake hands, or to get a record together.
struct Timed {
    socket: TcpStream,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(remaining(self.deadline)?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
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
    /// A connection that answers.
    pub(super) fn open(address: &Address, deadline: Instant) -> Result<Self, ConnectError> {
        Self::try_open(address, deadline).map_err(|error| describe_connect(&error, address))
    }

    fn try_open(address: &Address, deadline: Instant) -> Result<Self, RedisError> {
        let mut connection = Self::connect(address, deadline)?;
        connection.greet(address, deadline)?;
        Ok(connection)
    }

    /// A connection on which nothing was said yet, neither TLS' greeting nor a password.
    pub(super) fn connect(address: &Address, deadline: Instant) -> Result<Self, RedisError> {
        let socket = dial(address, deadline)?;
        socket.set_nodelay(true)?;
        let socket = Timed { socket, deadline };
        let stream = match &address.tls {
            None => Stream::Plain(socket),
            Some(tls) => {
                let session = ClientConnection::new(tls.config.clone(), tls.name.clone())
                    .map_err(io::Error::other)?;
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        Ok(Self {
            stream,
            parser: Parser::new(),
            inbox: Vec::new(),
            used: Instant::now(),
            is_broken: false,
            epoch: 0,
        })
    }

    /// Signs in, and finds out whether the server answers. AUTH, SELECT and PING cost nothing at
    /// Upstash.
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
        self.exchange(&commands, deadline)?;
        Ok(())
    }

    pub(super) fn ping(&mut self, deadline: Instant) -> Result<(), RedisError> {
        self.ask(&cmd("PING"), deadline)?;
        Ok(())
    }

    /// Sends one command, and gives its reply; a server's error is an error.
    pub(super) fn ask(&mut self, command: &Cmd, deadline: Instant) -> Result<Value, RedisError> {
        self.exchange(std::slice::from_ref(command), deadline)
    }

    /// Sends commands, and gives the last reply.
    fn exchange(&mut self, commands: &[Cmd], deadline: Instant) -> Result<Value, RedisError> {
        let mut packed = Vec::new();
        for command in commands {
            command.write_packed_command(&mut packed);
        }
        self.send(&packed, deadline)?;
        let mut last = Value::Nil;
        for _ in commands {
            last = self.receive(deadline)?.extract_error()?;
        }
        if self.has_unsolicited_data() {
            self.is_broken = true;
            let why = "it gives replies to nothing";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why).into());
        }
        Ok(last)
    }

    /// Writes packed commands. After an error the connection must not be used again.
    pub(super) fn send(&mut self, packed: &[u8], deadline: Instant) -> Result<(), RedisError> {
        self.is_broken = true;
        let io = self.stream.until(deadline);
        io.write_all(packed)?;
        io.flush()?;
        self.is_broken = false;
        Ok(())
    }

    /// Reads one reply. After an error the connection must not be used again: the reply may still
    /// come, and would be taken for the next one's.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Value, RedisError> {
        self.is_broken = true;
        let mut scan = framing::Scan::default();
        let end = loop {
            if let Some(end) = scan.advance(&self.inbox)? {
                break end;
            }
            self.read_more(deadline)?;
        };
        let reply = &self.inbox[..end];
        // The parser is made for servers that keep to the protocol; what something else sends must
        // not end the thread.
        let parsed = catch_unwind(AssertUnwindSafe(|| self.parser.parse_value(reply)));
        let value =
            parsed.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::InvalidData).into()))?;
        self.inbox.drain(..end);
        self.used = Instant::now();
        self.is_broken = false;
        Ok(value)
    }

    fn read_more(&mut self, deadline: Instant) -> io::Result<()> {
        if self.inbox.len() > MAX_REPLY {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the reply is too long"));
        }
        let mut chunk = [0; CHUNK];
        match self.stream.until(deadline).read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.inbox.extend_from_slice(&chunk[..length]);
                Ok(())
            }
        }
    }

    /// Whether more has come in than was asked for: then no reply can be told from another's.
    pub(super) fn has_unsolicited_data(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// How long ago the last reply came.
    pub(super) fn idle(&self) -> Duration {
        self.used.elapsed()
    }

    /// Whether it must not be used again.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Never to be used again.
    pub(super) fn mark_broken(&mut self) {
        self.is_broken = true;
    }

    /// Whether the server has closed the connection, or has said something unasked.
    pub(super) fn is_disturbed(&self) -> bool {
        if self.has_unsolicited_data() {
            return true;
        }
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        match SockRef::from(self.stream.socket()).recv_with_flags(&mut byte, flags) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// Until the deadline; an error past it. Never zero, which sockets take for "for ever".
fn remaining(deadline: Instant) -> io::Result<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|rest| !rest.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

fn dial(address: &Address, deadline: Instant) -> io::Result<TcpStream> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    let sockets: Vec<_> = (address.host.as_str(), address.port).to_socket_addrs()?.collect();
    for (tried, socket) in sockets.iter().enumerate() {
        // One address that swallows everything leaves time for the others.
        let share = remaining(deadline)? / u32::try_from(sockets.len() - tried).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(socket, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

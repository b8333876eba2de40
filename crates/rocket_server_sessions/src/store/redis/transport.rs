//! A non-blocking, full-duplex connection.
//!
//! The connection stays in its r2d2 guard. Its socket is registered with the runtime of the task
//! that uses it, and TLS is driven by hand, because rustls itself does no I/O.

use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use rocket::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use rocket::tokio::net::TcpStream;
use rustls::ClientConnection;

use super::connection::{CHUNK, Connection};
use super::pool::Pooled;

pub(super) struct Transport {
    socket: TcpStream,
    connection: Pooled,
    chunk: Box<[u8]>,
}

impl Transport {
    /// Must be called within the runtime that uses it.
    pub(super) fn new(mut connection: Pooled) -> io::Result<Self> {
        // The pool must not reuse it.
        connection.mark_broken();
        connection.socket.set_nonblocking(true)?;
        let socket = TcpStream::from_std(connection.socket.try_clone()?)?;
        Ok(Self { socket, connection, chunk: vec![0; CHUNK].into() })
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Passes received bytes to the connection's decoder.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = Socket { stream: &mut self.socket, cx };
        let Connection { tls, decoder, used, .. } = &mut *self.connection;
        let received = match tls {
            None => socket.read(&mut self.chunk).and_then(|length| {
                decoder.extend(&self.chunk[..length]);
                if length == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
            }),
            Some(tls) => decrypt(tls, &mut socket).map(|text| decoder.extend(&text)),
        };
        if would_block(&received) {
            return Poll::Pending;
        }
        *used = Instant::now();
        Poll::Ready(received)
    }

    /// Writes as much as the socket accepts, and returns how much that was. The task is woken when
    /// it accepts more.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = Socket { stream: &mut self.socket, cx };
        let mut accepted = 0;
        loop {
            let rest = &bytes[accepted..];
            let written = match &mut self.connection.tls {
                None if rest.is_empty() => return Ok(accepted),
                None => socket.write(rest).inspect(|length| accepted += length),
                Some(tls) => {
                    accepted += tls.writer().write(rest)?;
                    if !tls.wants_write() {
                        return Ok(accepted);
                    }
                    tls.write_tls(&mut socket)
                }
            };
            if would_block(&written) {
                return Ok(accepted);
            }
            if written? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
    }
}

/// Reads once, and returns the decrypted bytes.
fn decrypt(tls: &mut ClientConnection, socket: &mut Socket<'_, '_>) -> io::Result<Vec<u8>> {
    if tls.read_tls(socket)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let state = tls.process_new_packets();
    let state = state.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    let mut text = vec![0; state.plaintext_bytes_to_read()];
    tls.reader().read_exact(&mut text)?;
    Ok(text)
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Adapts the socket to the blocking interface of rustls. If it would block, the task is woken
/// later.
struct Socket<'s, 'c> {
    stream: &'s mut TcpStream,
    cx: &'s mut Context<'c>,
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl Socket<'_, '_> {
    fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut *self.stream).poll_read(self.cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl Read for Socket<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        or_would_block(self.poll_read(buffer))
    }
}

impl Write for Socket<'_, '_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_write(self.cx, buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

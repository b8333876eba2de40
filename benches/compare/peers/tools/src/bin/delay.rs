//! A proxy that delays replies: `delay PORT TO_PORT MICROSECONDS`.
//!
//! Everything that the server sends arrives that much later and in order, so a round trip takes that
//! much longer, and the bandwidth stays the same. Each direction of a connection has its own
//! threads, because the timers of an event loop are too coarse for a millisecond.

use std::env;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

const CHUNK: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1).map(|it| it.parse::<u32>().ok());
    let mut next = || arguments.next().flatten().expect("usage: delay PORT TO_PORT MICROSECONDS");
    let (port, upstream, delay) = (next(), next(), Duration::from_micros(next().into()));
    let port_of = |number: u32| u16::try_from(number).expect("a port is at most 65535");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port_of(port)))?;
    for client in listener.incoming() {
        let client = client?;
        // If the server cannot be reached, the client's connection is closed.
        if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port_of(upstream))) {
            connect(client, server, delay)?;
        }
    }
    Ok(())
}

fn connect(client: TcpStream, server: TcpStream, delay: Duration) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    spawn(move || forward(from_client, to_server));
    if delay.is_zero() {
        spawn(move || forward(server, client));
    } else {
        let (sender, receiver) = channel();
        spawn(move || receive(server, &sender, delay));
        spawn(move || deliver(&receiver, client));
    }
    Ok(())
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        if to.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    close(&from, &to);
}

/// Reads, and says when each piece is due.
fn receive(mut from: TcpStream, pieces: &Sender<(Instant, Vec<u8>)>, delay: Duration) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        if pieces.send((Instant::now() + delay, chunk[..length].to_vec())).is_err() {
            break;
        }
    }
}

fn deliver(pieces: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, piece) in pieces {
        sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    close(&to, &to);
}

/// Closes both, so that the other direction ends too.
fn close(one: &TcpStream, other: &TcpStream) {
    // It is not an error if one is closed already.
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}

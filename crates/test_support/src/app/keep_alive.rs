//! A client that requests one page after the other on a single connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// An open connection to the application.
pub struct KeepAlive(BufReader<TcpStream>);

impl KeepAlive {
    pub fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    /// Requests `/foo`. Returns the status, and how long the request took.
    pub fn view(&mut self, cookie: &str) -> (u16, Duration) {
        let request = format!(
            "GET /foo HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
             Cookie: {cookie}\r\n\r\n"
        );
        let start = Instant::now();
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length, mut line) = (0, 0, String::new());
        while line != "\r\n" {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the connection was closed");
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(rest) = line.to_lowercase().strip_prefix("content-length: ") {
                length = rest.trim().parse().unwrap();
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        (status, start.elapsed())
    }
}

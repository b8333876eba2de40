//! A visitor who sends HTTP requests to the application and keeps cookies, as a browser does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::App;

/// A browser, as far as cookies go.
#[derive(Clone)]
pub struct Visitor {
    pub port: u16,
    pub cookie: Option<String>,
}

/// A response, and how long it took.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
    pub took: Duration,
}

impl Visitor {
    /// Requests a page as JSON, and keeps the cookie.
    pub fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, "Accept: application/json\r\n")
    }

    /// Posts an empty form, and keeps the cookie.
    pub fn post(&mut self, path: &str) -> Reply {
        self.send("POST", path, "Content-Length: 0\r\n")
    }

    fn send(&mut self, method: &str, path: &str, headers: &str) -> Reply {
        let cookie = self.cookie.as_ref().map(|it| format!("Cookie: {it}\r\n")).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{cookie}");
        let reply = send(self.port, &head);
        if let Some(header) = reply.header("set-cookie") {
            let is_removal = header.contains("Max-Age=0");
            self.cookie = header.split(';').next().filter(|_| !is_removal).map(str::to_owned);
        }
        reply
    }

    /// The same browser, which sends its requests to another instance of the application.
    pub fn at(&self, app: &App) -> Self {
        Self { port: app.port, cookie: self.cookie.clone() }
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The page's own count.
    pub fn views(&self) -> u64 {
        assert_eq!(self.status, 200, "{}\n{}", self.head, self.body);
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        json["views"].as_u64().unwrap()
    }
}

/// Sends a request's head unchanged, on a new connection.
pub fn send(port: u16, head: &str) -> Reply {
    send_bytes(port, head.as_bytes())
}

/// The same for a head that need not be UTF-8.
pub fn send_bytes(port: u16, head: &[u8]) -> Reply {
    let start = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = [head, b"Connection: close\r\n\r\n"].concat();
    stream.write_all(&request).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_default();
    Reply { status, head: head.to_owned(), body: body.to_owned(), took: start.elapsed() }
}

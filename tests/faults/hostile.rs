//! Requests of attackers and broken clients, over raw sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use test_support::RedisServer;
use test_support::app::{App, KEY, Visitor, send};

const NAME: &str = "__Host-session";

struct Site {
    redis: RedisServer,
    app: App,
    /// A visitor whose session has two views of `/foo`.
    visitor: Visitor,
}

impl Site {
    fn start() -> Self {
        let redis = RedisServer::start();
        // With the cookie of a release.
        let app = App::start(&[
            ("REDIS_URL", &redis.url()),
            ("ROCKET_SECRET_KEY", KEY),
            ("ROCKET_SESSION", "{insecure_http=false}"),
        ]);
        app.wait_for_check();
        let mut visitor = app.visitor();
        visitor.get("/foo");
        visitor.get("/foo");
        Self { redis, app, visitor }
    }

    /// Sends bytes as they are, and returns the status, or 0 if the connection was closed.
    fn status(&self, bytes: &[u8]) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.app.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The server may answer, and close, before it has read everything.
        let _ = stream.write_all(bytes);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        let text = String::from_utf8_lossy(&reply);
        text.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_default()
    }

    /// Sends one more header line, and returns the status.
    fn with_header(&self, path: &str, header: &[u8]) -> u16 {
        let mut bytes = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
        self.status(&bytes)
    }

    fn views_with(&self, header: &str) -> u64 {
        let head = format!(
            "GET /foo HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n{header}\r\n"
        );
        send(self.app.port, &head).views()
    }

    /// Checks that the application and its visitor's session work, and how many keys Redis has.
    fn end(mut self, keys: usize) {
        assert_eq!(self.visitor.get("/foo").views(), 3);
        assert_eq!(self.redis.keys("").len(), keys, "{:?}", self.redis.keys(""));
        let log = self.app.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn cookie_header_of_any_size_is_answered_and_opens_nothing() {
    let site = Site::start();
    for kilobytes in [4, 16, 64, 256, 1024] {
        let value = "A".repeat(kilobytes << 10);
        for header in [format!("Cookie: {NAME}={value}"), format!("Cookie: {value}")] {
            let status = site.with_header("/session", header.as_bytes());
            assert!([200, 400, 431].contains(&status), "{kilobytes} KB: {status}");
        }
    }
    site.end(1);
}

#[test]
fn thousands_of_cookies_are_answered_and_open_nothing() {
    let site = Site::start();
    for pair in ["a=b", "__Host-session=x", "=", "__Host-session", "__Host-session=%"] {
        let many = vec![pair; 5_000].join("; ");
        let status = site.with_header("/session", format!("Cookie: {many}").as_bytes());
        assert!([200, 400, 431].contains(&status), "{pair}: {status}");
        let many = vec![format!("Cookie: {pair}"); 90].join("\r\n");
        let status = site.with_header("/session", many.as_bytes());
        assert!([200, 400, 431].contains(&status), "{pair} in 90 headers: {status}");
    }
    site.end(1);
}

#[test]
fn cookie_of_any_bytes_is_answered_and_opens_nothing() {
    let site = Site::start();
    let cookie = site.visitor.cookie.clone().unwrap();
    for byte in 0..=255_u8 {
        if [b'\r', b'\n'].contains(&byte) {
            continue;
        }
        let header = [b"Cookie: __Host-session=", &[byte; 9][..]].concat();
        let status = site.with_header("/session", &header);
        assert!([200, 400].contains(&status), "{byte:#x}: {status}");
        // In the middle of a valid cookie. No other byte decodes to the same cookie.
        let (head, tail) = cookie.split_at(cookie.len() / 2);
        let header = [b"Cookie: ", head.as_bytes(), &[byte], tail.as_bytes()].concat();
        let status = site.with_header("/session", &header);
        assert!([200, 400].contains(&status), "{byte:#x} in a good cookie: {status}");
    }
    site.end(1);
}

#[test]
fn planted_second_cookie_opens_no_session_and_a_twin_does_not_hurt() {
    let site = Site::start();
    let mine = site.visitor.cookie.clone().unwrap();
    let mut other = site.app.visitor();
    other.get("/foo");
    let theirs = other.cookie.unwrap();
    assert_eq!(site.views_with(&format!("Cookie: {mine}; {theirs}")), 1);
    assert_eq!(site.views_with(&format!("Cookie: {theirs}; {mine}")), 1);
    assert_eq!(site.views_with(&format!("Cookie: {theirs}\r\nCookie: {mine}")), 1);
    // Additional forged cookies do not count, in any order.
    for forged in ["__Host-session=forged", "__Host-session=", "__host-session=x", "x=y"] {
        let mut fresh = site.app.visitor();
        fresh.get("/foo");
        let good = fresh.cookie.unwrap();
        assert_eq!(site.views_with(&format!("Cookie: {forged}; {good}")), 2, "{forged}");
        assert_eq!(site.views_with(&format!("Cookie: {good}; {forged}")), 3, "{forged}");
    }
    // Names that only decoding or trimming makes ours.
    let value = mine.split_once('=').unwrap().1;
    for name in ["%5F%5FHost-session", "__HOST-session", "\u{a0}__Host-session", "__Host-session "]
    {
        let head = format!("Cookie: {name}={value}");
        assert_eq!(site.views_with(&head), 1, "{name:?}");
    }
    let keys = site.redis.keys("").len();
    site.end(keys);
}

#[test]
fn id_outside_the_cookie_is_ignored() {
    let site = Site::start();
    let cookie = site.visitor.cookie.clone().unwrap();
    let (_, value) = cookie.split_once('=').unwrap();
    let key = site.redis.keys("").remove(0);
    let query = value.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    for (path, header) in [
        (format!("/foo?__Host-session={query}"), String::new()),
        (format!("/foo?session={query}&sid={query}"), String::new()),
        ("/foo".into(), format!("Authorization: Bearer {value}\r\n")),
        ("/foo".into(), format!("X-Session: {value}\r\nSession: {value}\r\n")),
        ("/foo".into(), format!("Set-Cookie: {cookie}\r\n")),
        ("/foo".into(), format!("Cookie2: {cookie}\r\n")),
        ("/foo".into(), format!("Cookie: __Host-session={key}\r\n")),
    ] {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n{header}"
        );
        assert_eq!(send(site.app.port, &head).views(), 1, "{path} {header}");
    }
    let keys = site.redis.keys("").len();
    site.end(keys);
}

#[test]
fn forwarding_headers_and_the_host_change_nothing() {
    let site = Site::start();
    let plain = send(site.app.port, "GET /about HTTP/1.1\r\nHost: localhost\r\n");
    for header in [
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: http",
        "X-Real-IP: ::1",
        "Forwarded: host=evil.example;proto=http",
        "X-Original-URL: /session",
        "X-Rewrite-URL: /session",
        "X-HTTP-Method-Override: POST",
    ] {
        let head = format!("GET /about HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        let reply = send(site.app.port, &head);
        assert_eq!((reply.status, &reply.body), (200, &plain.body), "{header}");
    }
    for host in ["evil.example", "a@b", "[::1]:9", "localhost:99999", "\u{1}", ""] {
        let cookie = site.visitor.cookie.as_deref().unwrap();
        let head = format!(
            "POST /session/regenerate HTTP/1.1\r\nHost: {host}\r\nOrigin: http://localhost\r\n\
             Cookie: {cookie}\r\nContent-Length: 0\r\n"
        );
        let reply = send(site.app.port, &head);
        assert!([400, 403].contains(&reply.status), "{host}: {}", reply.head);
        assert!(!reply.head.contains("evil") && !reply.body.contains("evil"), "{}", reply.body);
    }
    site.end(1);
}

#[test]
fn paths_and_methods_that_make_no_sense_are_refused_and_touch_no_session() {
    let site = Site::start();
    let cookie = site.visitor.cookie.clone().unwrap();
    let long = format!("/{}", "a".repeat(60 << 10));
    for path in [
        "//",
        "//foo",
        "/foo/",
        "/./foo",
        "/../foo",
        "/..%2ffoo",
        "/%2e%2e/foo",
        "/foo%00",
        "/foo;a=b",
        "/static/../Cargo.toml",
        "/static/..%2fCargo.toml",
        "/static/%2e%2e/Cargo.toml",
        "/static//etc/passwd",
        "/static/.",
        "*",
        "/%",
        "/%zz",
        "/\u{ff}",
        "http://evil.example/x",
        &long,
    ] {
        let request =
            format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let status = site.status(request.as_bytes());
        // Rocket ignores empty segments; a HEAD counts nothing in any case.
        assert!([200, 303, 308, 400, 404, 414, 431, 0].contains(&status), "{path}: {status}");
        let request = request
            .replacen("HEAD", "GET", 1)
            .replace("Connection", "Purpose: prefetch\r\nConnection");
        let status = site.status(request.as_bytes());
        assert!([303, 308, 400, 404, 414, 425, 431, 0].contains(&status), "{path}: {status}");
    }
    for method in ["TRACE", "CONNECT", "PUT", "DELETE", "PATCH", "FOO", "get"] {
        let request = format!(
            "{method} /foo HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let status = site.status(request.as_bytes());
        assert!([400, 404, 405, 501, 0].contains(&status), "{method}: {status}");
    }
    // Rocket lets a form choose its method.
    for method in ["PUT", "DELETE", "TRACE", "nonsense"] {
        let form = format!("_method={method}");
        let request = format!(
            "POST /foo HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{form}",
            form.len()
        );
        let status = site.status(request.as_bytes());
        assert!([400, 404, 422].contains(&status), "{method}: {status}");
    }
    site.end(1);
}

#[test]
fn requests_that_are_no_http_are_refused() {
    let site = Site::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PING\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
    ] {
        let mut bytes = bytes.to_vec();
        bytes.extend_from_slice(b"\r\n\r\n");
        let status = site.status(&bytes);
        assert!([0, 200, 400, 505].contains(&status), "{status}");
    }
    let keys = site.redis.keys("").len();
    site.end(keys);
}

#[test]
fn forged_cookies_by_the_thousand_make_no_key_and_ask_no_redis() {
    const CONNECTIONS: usize = 20;
    const EACH: usize = 1_000;
    let site = Site::start();
    site.redis.reset_commands();
    for connection in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(("127.0.0.1", site.app.port)).unwrap();
        let mut out = stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            for number in 0..EACH {
                let last = if number + 1 == EACH { "Connection: close\r\n" } else { "" };
                let request = format!(
                    "HEAD /foo HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
                     Cookie: {NAME}={}{number:08}{}\r\n{last}\r\n",
                    "A".repeat(100 + number % 50),
                    "b".repeat(connection)
                );
                out.write_all(request.as_bytes()).unwrap();
            }
        });
        let mut replies = String::new();
        stream.read_to_string(&mut replies).unwrap();
        writer.join().unwrap();
        assert_eq!(replies.matches("HTTP/1.1 200 OK").count(), EACH);
        assert!(!replies.to_lowercase().contains("set-cookie"));
    }
    assert_eq!(site.redis.commands(), [].into());
    site.end(1);
}

#[test]
fn slow_visitors_by_the_thousand_keep_no_other_visitor_waiting() {
    let mut site = Site::start();
    let mut slow: Vec<_> = (0..1_000)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", site.app.port)).unwrap();
            stream.write_all(b"GET /foo HTTP/1.1\r\nHost: local").unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(site.visitor.get("/about").status, 200);
        slow.iter_mut().step_by(10).for_each(|it| drop(it.write_all(b"h")));
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    site.end(1);
}

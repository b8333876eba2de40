//! Applications that accept real connections, and a websocket client for short texts (RFC 6455).

use std::net::SocketAddr;
use std::time::Duration;

use rocket::fairing::AdHoc;
use rocket::tokio::io::{AsyncReadExt, AsyncWriteExt};
use rocket::tokio::net::TcpStream;
use rocket::tokio::sync::oneshot;
use rocket::tokio::task::JoinHandle;
use rocket::tokio::time::timeout;
use rocket::{Build, Rocket, Shutdown};

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// An application on its own port.
pub struct Server {
    pub address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Server {
    /// Launches an application. Its configuration has port 0.
    pub async fn launch(rocket: Rocket<Build>) -> Self {
        let (sender, receiver) = oneshot::channel();
        let told = AdHoc::on_liftoff("address", |rocket| {
            let address = SocketAddr::new(rocket.config().address, rocket.config().port);
            Box::pin(async move { sender.send(address).unwrap() })
        });
        let rocket = rocket.attach(told).ignite().await.unwrap();
        let shutdown = rocket.shutdown();
        let task = rocket::tokio::spawn(async move { drop(rocket.launch().await.unwrap()) });
        Self { address: receiver.await.unwrap(), shutdown, task }
    }

    /// Requests a page, and returns the whole response.
    pub async fn request(&self, line: &str, cookie: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let host = self.address;
        let head = format!("{line} HTTP/1.0\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut response)).await.unwrap().unwrap();
        response
    }

    /// Opens a websocket from a page of this origin. If it is refused, returns the response's head.
    pub async fn socket(&self, path: &str, cookie: &str, origin: &str) -> Result<Socket, String> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nCookie: {cookie}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        if head.starts_with("HTTP/1.1 101 ") { Ok(Socket(stream)) } else { Err(head) }
    }

    /// Stops. All sockets must be closed.
    pub async fn stop(self) {
        self.shutdown.notify();
        self.task.await.unwrap();
    }
}

/// The browser's end of a websocket.
pub struct Socket(TcpStream);

impl Socket {
    /// Sends a text, and returns the server's answer, or `None` if the server closes.
    pub async fn ask(&mut self, text: &str) -> Option<String> {
        let length = u8::try_from(text.len()).unwrap();
        let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
        let mut head = [0; 2];
        timeout(PATIENCE, self.0.read_exact(&mut head)).await.unwrap().unwrap();
        let mut payload = vec![0; head[1].into()];
        self.0.read_exact(&mut payload).await.unwrap();
        (head[0] == 0x81).then(|| String::from_utf8(payload).unwrap())
    }
}

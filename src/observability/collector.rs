//! The client of the collector that spans are sent to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use rocket::tokio::net::TcpStream;
use rocket::tokio::runtime::Handle;
use rocket::tokio::spawn;
use rocket::tokio::time::timeout;

/// How long the collector may take to accept spans.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum size of the collector's reply, in bytes.
const MAX_REPLY: usize = 64 * 1024;

/// Sends spans over HTTP.
///
/// The SDK calls it from a thread without a runtime, so the requests run on the application's.
#[derive(Debug)]
pub(super) struct Collector {
    runtime: Handle,
    is_failing: AtomicBool,
}

impl Collector {
    pub(super) fn new() -> Self {
        Self { runtime: Handle::current(), is_failing: AtomicBool::new(false) }
    }
}

#[rocket::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let url = request.uri().to_string();
        let result =
            self.runtime.spawn(async { timeout(SEND_TIMEOUT, exchange(request)).await }).await;
        let result = match result {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(format!("no reply within {SEND_TIMEOUT:?}").into()),
            Err(error) => Err(error.into()),
        };
        let failure = match &result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it replies {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        // Log only the first failure and the first success after it: spans are sent every few seconds.
        if self.is_failing.swap(failure.is_some(), Ordering::Relaxed) != failure.is_some() {
            match failure {
                Some(failure) => {
                    log::warn!("{url} does not accept traces, so they are dropped: {failure}");
                }
                None => log::info!("{url} accepts traces again"),
            }
        }
        result
    }
}

/// Sends one request, on a new connection.
async fn exchange(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().ok_or("no host")?.clone();
    let path = head.uri.path_and_query().map_or("/", |it| it.as_str()).parse()?;
    head.uri = path;
    head.headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);

    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = spawn(connection);
    let reply = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
    let (head, body) = reply.into_parts();
    let body = Limited::new(body, MAX_REPLY).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body))
}

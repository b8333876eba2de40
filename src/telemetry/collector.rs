//! The collector of spans, over HTTP.

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

/// How long it may take to accept spans.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many bytes it may answer.
const LIMIT: usize = 64 * 1024;

/// Asked by a thread of the SDK's, which knows no runtime; so the application's does the work.
#[derive(Debug)]
pub(super) struct Collector {
    runtime: Handle,
    is_lost: AtomicBool,
}

impl Collector {
    pub(super) fn new() -> Self {
        Self { runtime: Handle::current(), is_lost: AtomicBool::new(false) }
    }
}

#[rocket::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let url = request.uri().to_string();
        let result = self.runtime.spawn(async { timeout(PATIENCE, exchange(request)).await }).await;
        let result = match result {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(format!("no answer within {PATIENCE:?}").into()),
            Err(error) => Err(error.into()),
        };
        let fault = match &result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        // Once for each change: there is a batch every few seconds.
        if self.is_lost.swap(fault.is_some(), Ordering::Relaxed) != fault.is_some() {
            match fault {
                Some(fault) => log::warn!("{url} takes no traces, which are dropped: {fault}"),
                None => log::info!("{url} takes traces again"),
            }
        }
        result
    }
}

/// On a connection of its own.
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
    let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, LIMIT).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body))
}

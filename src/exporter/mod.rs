//! Metrics for Prometheus, where the setting `metrics_port` asks for them.
//!
//! They are not for visitors. So they have a port of their own, which is bound to the loopback
//! alone: what collects them runs beside the application.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::Duration;

use figment::Figment;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use metrics::set_global_recorder;
use parking_lot::Mutex;
use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::tokio::net::{TcpListener, TcpStream};
use rocket::tokio::time::{sleep, timeout};
use rocket::tokio::{select, spawn};
use rocket::{Build, Orbit, Rocket, Shutdown};

mod recorder;

use recorder::Recorder;

/// The setting. Where it is unset, nothing is recorded and nobody listens.
const KEY: &str = "metrics_port";

const FORMAT: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// How long one collection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the process has counted. One for the process, as the facade wants it.
static RECORDER: LazyLock<Recorder> = LazyLock::new(Recorder::default);

/// To be attached before whatever is measured.
#[derive(Default)]
pub(crate) struct Exporter {
    listener: Mutex<Option<TcpListener>>,
}

impl Exporter {
    /// Listens already, so that a port that is taken fails the launch.
    async fn open(figment: &Figment) -> Result<Option<TcpListener>, figment::Error> {
        if figment.find_value(KEY).is_err() {
            return Ok(None);
        }
        let port: u16 = figment.extract_inner(KEY)?;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                let message = format!("`{KEY}`: 127.0.0.1:{port} cannot be listened on: {error}");
                let mut error = figment::Error::from(message).with_path(KEY);
                error.profile = Some(figment.profile().clone());
                error.metadata = figment.find_metadata(KEY).cloned();
                Err(error)
            }
        }
    }
}

#[rocket::async_trait]
impl Fairing for Exporter {
    fn info(&self) -> Info {
        Info { name: "Metrics", kind: Kind::Ignite | Kind::Liftoff | Kind::Singleton }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match Self::open(rocket.figment()).await {
            Ok(None) => {}
            Ok(listener) => {
                // Fails where the process has it already, or another: its own of before will do.
                let _ = set_global_recorder(&*RECORDER);
                *self.listener.lock() = listener;
            }
            Err(error) => {
                log::error!("{error}");
                return Err(rocket);
            }
        }
        Ok(rocket)
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        let Some(listener) = self.listener.lock().take() else { return };
        if let Ok(address) = listener.local_addr() {
            log::info!("metrics are at http://{address}/metrics");
        }
        spawn(serve(listener, rocket.shutdown()));
    }
}

/// Answers until the application is shut down.
async fn serve(listener: TcpListener, mut shutdown: Shutdown) {
    loop {
        let accepted = select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => return,
        };
        match accepted {
            Ok((stream, _)) => drop(spawn(timeout(PATIENCE, answer(stream)))),
            // Too many open files, for one; they will be fewer.
            Err(_) => sleep(PATIENCE / 50).await,
        }
    }
}

async fn answer(stream: TcpStream) {
    let service = service_fn(async |request| Ok::<_, Infallible>(respond(&request)));
    let connection =
        http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // Whoever asks has gone: nobody needs to know.
    let _ = connection.await;
}

fn respond(request: &Request<Incoming>) -> Response<String> {
    let mut response = Response::new(String::new());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if request.method() != Method::GET {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    } else {
        response.headers_mut().insert(CONTENT_TYPE, FORMAT);
        *response.body_mut() = RECORDER.text();
    }
    response
}

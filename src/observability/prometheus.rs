//! Metrics for Prometheus, if the setting `metrics_port` is set.
//!
//! They are not for visitors, so they are served on a separate port of the loopback address, which a
//! collector on the same machine can reach. The port is bound at ignition, so that the launch fails if
//! it is in use.
//!
//! `metrics-exporter-prometheus` keeps the numbers and writes the text. Its own HTTP listener is
//! not used: it would bind later, and stop with the process instead of with Rocket. The text is in
//! Prometheus' own format. The alternative, `OpenMetrics`, adds exemplars and the start times of
//! counters, which are not needed here.

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
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::tokio::net::{TcpListener, TcpStream};
use rocket::tokio::time::{sleep, timeout};
use rocket::tokio::{select, spawn};
use rocket::{Build, Orbit, Rocket, Shutdown};

/// The setting. If it is unset, nothing is recorded and no port is opened.
pub(crate) const METRICS_PORT: &str = "metrics_port";

const FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// How long one collection may take.
const COLLECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the recorder adds observations to the histograms. A collection does so too. Until then,
/// the recorder keeps each observation.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait after a connection could not be accepted, for example because too many files are
/// open.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Upper bounds of the buckets for seconds, from the memory store's latency to the longest
/// deadline.
const SECONDS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Upper bounds of the buckets for all other histograms.
const COUNTS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// The recorder of this process, installed on first use. A process has only one.
static RECORDER: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&COUNTS)
        .and_then(|it| it.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS))
        .expect("there are buckets")
        .build_recorder();
    let handle = recorder.handle();
    if set_global_recorder(recorder).is_err() {
        log::warn!(
            "`{METRICS_PORT}`: this process already has a metrics recorder, so no metrics are served"
        );
    }
    handle
});

/// Records metrics and serves them. Attach it before everything that has metrics.
#[derive(Default)]
pub(crate) struct Prometheus {
    listener: Mutex<Option<TcpListener>>,
}

impl Prometheus {
    /// Binds the port that the setting names, if it is set.
    async fn bind(figment: &Figment) -> Result<Option<TcpListener>, figment::Error> {
        if figment.find_value(METRICS_PORT).is_err() {
            return Ok(None);
        }
        let port: u16 = figment.extract_inner(METRICS_PORT)?;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                let message =
                    format!("`{METRICS_PORT}`: 127.0.0.1:{port} cannot be opened: {error}");
                let mut error = figment::Error::from(message).with_path(METRICS_PORT);
                error.profile = Some(figment.profile().clone());
                error.metadata = figment.find_metadata(METRICS_PORT).cloned();
                Err(error)
            }
        }
    }
}

#[rocket::async_trait]
impl Fairing for Prometheus {
    fn info(&self) -> Info {
        Info { name: "Prometheus", kind: Kind::Ignite | Kind::Liftoff | Kind::Singleton }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match Self::bind(rocket.figment()).await {
            Ok(None) => {}
            Ok(listener) => {
                LazyLock::force(&RECORDER);
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

/// Serves until the application shuts down.
async fn serve(listener: TcpListener, mut shutdown: Shutdown) {
    loop {
        select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(spawn(timeout(COLLECTION_TIMEOUT, answer(stream)))),
                Err(_) => sleep(ACCEPT_RETRY).await,
            },
            () = sleep(UPKEEP_INTERVAL) => RECORDER.run_upkeep(),
            () = &mut shutdown => return,
        }
    }
}

async fn answer(stream: TcpStream) {
    let service = service_fn(async |request| Ok::<_, Infallible>(respond(&request)));
    let connection =
        http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // If this fails, the collector has closed the connection, and will retry.
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
        *response.body_mut() = RECORDER.render();
    }
    response
}

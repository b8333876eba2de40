//! The log, the metrics and the traces.
//!
//! | module | what |
//! |---|---|
//! | `logger` | the log: lines for people, or JSON for Cloud Logging |
//! | `prometheus` | metrics, on a port of their own if `metrics_port` is set |
//! | `otel`, `spans`, `collector` | traces for OpenTelemetry, in the feature `otel` |
//! | `trace_context` | the trace that a request belongs to, from its headers |
//! | `per_request` | a value for each running request |
//!
//! `main` and `lib` start them, and `config` checks their settings. The rest of the application uses
//! the crates `log`, `metrics` and `tracing`, as its libraries do.

use rocket::{Build, Rocket};

#[cfg(feature = "otel")]
mod collector;
mod logger;
#[cfg(feature = "otel")]
mod otel;
mod per_request;
mod prometheus;
#[cfg(feature = "otel")]
mod spans;
mod trace_context;

pub use logger::LAUNCH;
pub(crate) use logger::wrong_level;
pub(crate) use prometheus::{METRICS_PORT, Prometheus};

use crate::platform::is_on_cloud_run;

/// The log and the traces of this process. They start before the launch, and end after the last
/// request.
#[must_use]
pub struct Observability {
    #[cfg(feature = "otel")]
    tracing: Option<otel::Tracing>,
}

impl Observability {
    /// Starts the log, and traces if the environment names a collector.
    ///
    /// # Errors
    ///
    /// A message if the collector's address cannot be used.
    pub fn start() -> Result<Self, String> {
        logger::start();
        Ok(Self {
            #[cfg(feature = "otel")]
            tracing: otel::Tracing::start()?,
        })
    }

    /// Attaches the fairings that follow each request.
    #[must_use]
    pub fn attach_to(&self, mut rocket: Rocket<Build>) -> Rocket<Build> {
        if is_on_cloud_run() {
            rocket = rocket.attach(trace_context::TraceContexts);
        }
        #[cfg(feature = "otel")]
        if let Some(tracing) = &self.tracing {
            rocket = rocket.attach(tracing.fairing());
        }
        rocket
    }

    /// Sends the spans that have not been sent yet.
    pub fn shut_down(self) {
        #[cfg(feature = "otel")]
        if let Some(tracing) = self.tracing {
            tracing.shut_down();
        }
    }
}

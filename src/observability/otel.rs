//! Traces for OpenTelemetry, if the environment names a collector.
//!
//! Spans are sent in the background, and dropped if the collector does not accept them.

use std::env;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rocket::fairing::Fairing;
use tracing::subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use super::collector::Collector;
use super::spans::Spans;

/// OpenTelemetry's variables that name a collector. The first one that is set is used.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// OpenTelemetry's variable for the service's name, and the default.
const SERVICE_NAME: (&str, &str) = ("OTEL_SERVICE_NAME", env!("CARGO_PKG_NAME"));

/// How long the process waits at exit for the last spans to be sent.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Creates and sends the spans of this process.
pub(super) struct Tracing(SdkTracerProvider);

impl Tracing {
    /// Returns `None` if the environment names no collector. Then nothing is recorded.
    pub(super) fn start() -> Result<Option<Self>, String> {
        let value = |name: &str| env::var(name).ok().filter(|it| !it.is_empty());
        let Some((name, url)) = ENDPOINTS.iter().find_map(|it| Some((it, value(it)?))) else {
            return Ok(None);
        };
        if !url.starts_with("http://") {
            return Err(format!(
                "`{name}`: {url} does not begin with http://; name a collector that runs beside \
                 the application, such as http://127.0.0.1:4318"
            ));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(Collector::new())
            .build()
            .map_err(|error| format!("`{name}`: {error}"))?;
        let (variable, default) = SERVICE_NAME;
        let mut resource = Resource::builder();
        if value(variable).is_none() {
            resource = resource.with_service_name(default);
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        let tracing = Self(provider);
        subscriber::set_global_default(Registry::default().with(tracing.spans()))
            .map_err(|error| error.to_string())?;
        Ok(Some(tracing))
    }

    /// The fairing that creates the spans of requests.
    pub(super) fn fairing(&self) -> impl Fairing {
        self.spans()
    }

    fn spans(&self) -> Spans {
        Spans(self.0.tracer(env!("CARGO_PKG_NAME")))
    }

    /// Sends the spans that have not been sent yet. A failure is logged by [`Collector`].
    pub(super) fn shut_down(self) {
        let _ = self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
    }
}

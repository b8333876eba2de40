//! Traces for OpenTelemetry, where the environment names a collector.
//!
//! A span for each request, below the one that the platform has begun, and in it one for each call
//! of the store. They are sent in the background, and dropped where nobody takes them.

use std::env;
use std::fmt::Debug;
use std::time::Duration;

use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan};
use rocket::fairing::{Fairing, Info, Kind};
use rocket::{Data, Request, Response};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber, subscriber};
use tracing_subscriber::layer::{self, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

mod collector;

use collector::Collector;

use crate::log::Trace;
use crate::requests::Requests;

/// The variables that name a collector, as OpenTelemetry has them; the first one wins.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What the application is called unless the environment does.
const NAME: &str = "cloud-run-sessions";

/// How long the end of the process waits for the last spans to be taken.
const PATIENCE: Duration = Duration::from_secs(1);

/// The spans of the requests. The layer's spans find theirs here: a fairing cannot wrap the
/// handler's future, so there is no current span.
static REQUESTS: Requests<Context> = Requests::new();

/// What sends the spans of this process.
pub(crate) struct Telemetry(SdkTracerProvider);

impl Telemetry {
    /// None where the environment names no collector: then nothing is recorded, and nobody connects.
    pub(crate) fn start() -> Result<Option<Self>, String> {
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
        let mut resource = Resource::builder();
        if value("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(NAME);
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        let spans = Spans(provider.tracer(NAME));
        subscriber::set_global_default(Registry::default().with(spans))
            .map_err(|error| error.to_string())?;
        Ok(Some(Self(provider)))
    }

    pub(crate) fn fairing(&self) -> impl Fairing {
        Spans(self.0.tracer(NAME))
    }

    /// Sends what has not been sent. Whether it was taken has been logged.
    pub(crate) fn end(self) {
        let _ = self.0.shutdown_with_timeout(PATIENCE);
    }
}

/// Makes the spans: as a fairing those of requests, as a layer those of the session layer.
struct Spans(SdkTracer);

#[rocket::async_trait]
impl Fairing for Spans {
    fn info(&self) -> Info {
        Info { name: "Spans", kind: Kind::Request | Kind::Response | Kind::Singleton }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        let method = request.method().as_str();
        let builder = self.0.span_builder(method).with_kind(SpanKind::Server);
        let parent = Trace::of(request).and_then(|it| remote(&it)).unwrap_or_default();
        let mut span = self.0.build_with_context(builder, &parent);
        span.set_attribute(KeyValue::new("http.request.method", method));
        REQUESTS.insert(Context::new().with_span(span));
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(context) = REQUESTS.remove() else { return };
        let (span, status) = (context.span(), response.status());
        // The route's pattern, not the path: that is whatever the visitor likes.
        if let Some(route) = request.route() {
            let pattern = route.uri.path();
            span.update_name(format!("{} {pattern}", request.method()));
            span.set_attribute(KeyValue::new("http.route", pattern.to_owned()));
        }
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.code)));
        if status.code >= 500 {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// The platform's span, as a parent.
fn remote(trace: &Trace) -> Option<Context> {
    let flags = if trace.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let id = TraceId::from_hex(&trace.id).ok()?;
    let span = SpanId::from_hex(&trace.span).ok()?;
    let context = SpanContext::new(id, span, flags, true, TraceState::NONE);
    Some(Context::new().with_remote_span_context(context))
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    /// Those of this crate alone: libraries have some of their own, those that send spans as well.
    fn enabled(&self, metadata: &Metadata<'_>, _: layer::Context<'_, S>) -> bool {
        metadata.is_span()
            && *metadata.level() <= Level::DEBUG
            && metadata.target().starts_with("rocket_server_sessions::")
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        let Some(place) = context.span(id) else { return };
        let parent = REQUESTS.get().unwrap_or_default();
        let mut span = self.0.start_with_context(attributes.metadata().name(), &parent);
        attributes.record(&mut Recorder(&mut span));
        place.extensions_mut().insert(span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: layer::Context<'_, S>) {
        let Some(place) = context.span(id) else { return };
        if let Some(span) = place.extensions_mut().get_mut::<SdkSpan>() {
            values.record(&mut Recorder(span));
        }
    }

    fn on_close(&self, id: Id, context: layer::Context<'_, S>) {
        let Some(place) = context.span(&id) else { return };
        if let Some(mut span) = place.extensions_mut().remove::<SdkSpan>() {
            span.end();
        }
    }
}

/// Writes the fields of a span into one of OpenTelemetry's.
struct Recorder<'a>(&'a mut SdkSpan);

impl Visit for Recorder<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "outcome" && value != "ok" {
            self.0.set_status(Status::error(value.to_owned()));
        }
        self.0.set_attribute(KeyValue::new(field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.set_attribute(KeyValue::new(field.name(), format!("{value:?}")));
    }
}

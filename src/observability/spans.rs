//! The spans: one for each request, as a child of the platform's span, and one in it for each store
//! call.
//!
//! A crate such as tracing-opentelemetry uses the current span as the parent. Here, there is no
//! current span, because a Rocket fairing cannot wrap the handler's future. So [`PerRequest`] keeps
//! the request's span, which becomes the parent of the store's spans.

use std::fmt::Debug;

use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use rocket::fairing::{Fairing, Info, Kind};
use rocket::{Data, Request, Response};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{self, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::per_request::PerRequest;
use super::trace_context::TraceContext;

static REQUESTS: PerRequest<Context> = PerRequest::new();

/// Creates spans: as a fairing, those of requests; as a layer of `tracing`, those of the store.
pub(super) struct Spans(pub(super) SdkTracer);

#[rocket::async_trait]
impl Fairing for Spans {
    fn info(&self) -> Info {
        Info { name: "Spans", kind: Kind::Request | Kind::Response | Kind::Singleton }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        let method = request.method().as_str();
        let builder = self.0.span_builder(method).with_kind(SpanKind::Server);
        let parent = TraceContext::of(request).and_then(|it| remote(&it)).unwrap_or_default();
        let mut span = self.0.build_with_context(builder, &parent);
        span.set_attribute(KeyValue::new("http.request.method", method));
        REQUESTS.insert(Context::new().with_span(span));
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(context) = REQUESTS.remove() else { return };
        let (span, status) = (context.span(), response.status());
        // Use the route's pattern: visitors choose the path, so it can have any number of values.
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

/// Returns the platform's span as a parent.
fn remote(context: &TraceContext) -> Option<Context> {
    let flags = if context.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let trace = TraceId::from_hex(&context.trace).ok()?;
    let span = SpanId::from_hex(&context.span).ok()?;
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    Some(Context::new().with_remote_span_context(context))
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    /// Only enables the spans of the session crate. Other libraries create spans too, including
    /// those that send spans.
    fn enabled(&self, metadata: &Metadata<'_>, _: layer::Context<'_, S>) -> bool {
        metadata.is_span()
            && *metadata.level() <= Level::DEBUG
            && metadata.target().starts_with("rocket_server_sessions::")
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        let Some(registered) = context.span(id) else { return };
        let parent = REQUESTS.get().unwrap_or_default();
        let mut span = self.0.start_with_context(attributes.metadata().name(), &parent);
        attributes.record(&mut FieldRecorder(&mut span));
        registered.extensions_mut().insert(span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: layer::Context<'_, S>) {
        let Some(registered) = context.span(id) else { return };
        if let Some(span) = registered.extensions_mut().get_mut::<SdkSpan>() {
            values.record(&mut FieldRecorder(span));
        }
    }

    fn on_close(&self, id: Id, context: layer::Context<'_, S>) {
        let Some(registered) = context.span(&id) else { return };
        if let Some(mut span) = registered.extensions_mut().remove::<SdkSpan>() {
            span.end();
        }
    }
}

/// Copies the fields of a `tracing` span into an OpenTelemetry span.
struct FieldRecorder<'a>(&'a mut SdkSpan);

impl Visit for FieldRecorder<'_> {
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

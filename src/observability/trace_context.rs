//! The trace that a request belongs to, from the platform's headers.

use rocket::fairing::{Fairing, Info, Kind};
use rocket::{Data, Request, Response};

use super::per_request::PerRequest;

static CONTEXTS: PerRequest<TraceContext> = PerRequest::new();

/// The caller's span, which is the parent of the request's log lines and spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    /// 32 hexadecimal digits.
    pub(super) trace: String,
    /// 16 hexadecimal digits.
    pub(super) span: String,
    /// Whether the platform records this trace.
    pub(super) is_sampled: bool,
}

impl TraceContext {
    /// The context of the request that this task answers, if [`TraceContexts`] is attached.
    pub(super) fn current() -> Option<Self> {
        CONTEXTS.get()
    }

    pub(super) fn of(request: &Request<'_>) -> Option<Self> {
        let header = |name| request.headers().get_one(name);
        header("traceparent")
            .and_then(Self::from_traceparent)
            .or_else(|| header("X-Cloud-Trace-Context").and_then(Self::from_cloud))
    }

    /// `00-<32 hexadecimal digits>-<16>-<2>`: the W3C's Trace Context.
    fn from_traceparent(text: &str) -> Option<Self> {
        let mut parts = text.split('-').skip(1);
        let (trace, span) = (parts.next()?, parts.next()?);
        let flags = parts.next().and_then(|it| u8::from_str_radix(it, 16).ok()).unwrap_or_default();
        (is_hex(trace, 32) && is_hex(span, 16)).then(|| Self {
            trace: trace.into(),
            span: span.into(),
            is_sampled: flags & 1 == 1,
        })
    }

    /// `<32 hexadecimal digits>/<decimal number>;o=1`: the header of Google Cloud's load balancers.
    fn from_cloud(text: &str) -> Option<Self> {
        let (trace, rest) = text.split_once('/')?;
        let (span, options) = rest.split_once(';').unwrap_or((rest, ""));
        let span: u64 = span.parse().ok()?;
        is_hex(trace, 32).then(|| Self {
            trace: trace.into(),
            span: format!("{span:016x}"),
            is_sampled: options == "o=1",
        })
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// Keeps the [`TraceContext`] of each request while it is answered, for the log.
pub(super) struct TraceContexts;

#[rocket::async_trait]
impl Fairing for TraceContexts {
    fn info(&self) -> Info {
        Info { name: "Trace contexts", kind: Kind::Request | Kind::Response | Kind::Singleton }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        if let Some(context) = TraceContext::of(request) {
            CONTEXTS.insert(context);
        }
    }

    async fn on_response<'r>(&self, _: &'r Request<'_>, _: &mut Response<'r>) {
        CONTEXTS.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    #[test]
    fn both_headers_lead_to_the_same_trace() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let sampled =
            TraceContext { trace: id.into(), span: "00000000000000ff".into(), is_sampled: true };
        let w3c = format!("00-{id}-00000000000000ff-01");
        assert_eq!(TraceContext::from_traceparent(&w3c), Some(sampled.clone()));
        assert_eq!(TraceContext::from_cloud(&format!("{id}/255;o=1")), Some(sampled.clone()));
        let unsampled = Some(TraceContext { is_sampled: false, ..sampled });
        let w3c = format!("00-{id}-00000000000000ff-00");
        assert_eq!(TraceContext::from_traceparent(&w3c), unsampled);
        assert_eq!(TraceContext::from_cloud(&format!("{id}/255;o=0")), unsampled);
        assert_eq!(TraceContext::from_cloud(&format!("{id}/255")), unsampled);
    }

    #[test]
    fn other_texts_lead_to_none() {
        for text in ["", "-", "/", "00-x-y-01", "00-0af7-00f0-01", "0af7/1", "/1;o=1"] {
            assert_eq!(TraceContext::from_traceparent(text), None, "{text}");
            assert_eq!(TraceContext::from_cloud(text), None, "{text}");
        }
    }
}

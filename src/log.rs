//! The process's log: lines for people, and on Cloud Run JSON for Cloud Logging.

use std::env;
use std::io::{self, Write};

use ::log::{Level, Record};
use env_logger::fmt::Formatter;
use env_logger::{Builder, Env, Target};
use rocket::fairing::{Fairing, Info, Kind};
use rocket::{Data, Request, Response};
use serde_json::{Map, Value, json};

use crate::requests::Requests;

/// Rocket logs every request at length, and an unknown path as an error; the platform writes a
/// request log already. What it says of the launch stays.
const FILTER: &str = "info,rocket::server=off";

static TRACES: Requests<Trace> = Requests::new();

/// Whether the log is read by Cloud Logging: Cloud Run sets `K_SERVICE`.
pub(crate) fn is_on_cloud_run() -> bool {
    env::var_os("K_SERVICE").is_some()
}

/// Starts the logger. What Rocket and the libraries log goes through it as well.
pub(crate) fn start() {
    let mut builder = Builder::from_env(Env::default().default_filter_or(FILTER));
    builder.target(Target::Stdout);
    if is_on_cloud_run() {
        let project = env::var("GOOGLE_CLOUD_PROJECT").ok();
        builder.format(move |out, record| write_entry(out, record, project.as_deref()));
    } else {
        builder.format(|out, record| writeln!(out, "{} {}", record.level(), record.args()));
    }
    builder.init();
}

/// One line, with the fields that Cloud Logging gives a meaning to.
fn write_entry(out: &mut Formatter, record: &Record<'_>, project: Option<&str>) -> io::Result<()> {
    let severity = match record.level() {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    };
    let mut entry = Map::new();
    entry.insert("severity".into(), json!(severity));
    entry.insert("message".into(), json!(record.args().to_string()));
    if let (Some(project), Some(trace)) = (project, TRACES.get()) {
        let name = format!("projects/{project}/traces/{}", trace.id);
        entry.insert("logging.googleapis.com/trace".into(), json!(name));
        entry.insert("logging.googleapis.com/spanId".into(), json!(trace.span));
        entry.insert("logging.googleapis.com/trace_sampled".into(), json!(trace.sampled));
    }
    writeln!(out, "{}", Value::Object(entry))
}

/// Where a request belongs among those that the platform traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// 32 hexadecimal digits.
    pub(crate) id: String,
    /// 16 hexadecimal digits.
    pub(crate) span: String,
    /// Whether the platform keeps it.
    pub(crate) sampled: bool,
}

impl Trace {
    pub(crate) fn of(request: &Request<'_>) -> Option<Self> {
        let header = |name| request.headers().get_one(name);
        header("traceparent")
            .and_then(Self::from_traceparent)
            .or_else(|| header("X-Cloud-Trace-Context").and_then(Self::from_cloud))
    }

    /// `00-<32 hexadecimal digits>-<16>-<2>`, as the W3C's Trace Context has it.
    fn from_traceparent(text: &str) -> Option<Self> {
        let mut parts = text.split('-').skip(1);
        let (id, span) = (parts.next()?, parts.next()?);
        let flags = parts.next().and_then(|it| u8::from_str_radix(it, 16).ok()).unwrap_or_default();
        (is_hex(id, 32) && is_hex(span, 16)).then(|| Self {
            id: id.into(),
            span: span.into(),
            sampled: flags & 1 == 1,
        })
    }

    /// `<32 hexadecimal digits>/<decimal number>;o=1`, as Google Cloud's load balancers have it.
    fn from_cloud(text: &str) -> Option<Self> {
        let (id, rest) = text.split_once('/')?;
        let (span, options) = rest.split_once(';').unwrap_or((rest, ""));
        let span: u64 = span.parse().ok()?;
        is_hex(id, 32).then(|| Self {
            id: id.into(),
            span: format!("{span:016x}"),
            sampled: options == "o=1",
        })
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// Notes where each request belongs.
pub(crate) struct Traces;

#[rocket::async_trait]
impl Fairing for Traces {
    fn info(&self) -> Info {
        Info { name: "Traces", kind: Kind::Request | Kind::Response | Kind::Singleton }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        if let Some(trace) = Trace::of(request) {
            TRACES.insert(trace);
        }
    }

    async fn on_response<'r>(&self, _: &'r Request<'_>, _: &mut Response<'r>) {
        TRACES.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;

    #[test]
    fn both_headers_lead_to_the_same_trace() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let expected = Trace { id: id.into(), span: "00000000000000ff".into(), sampled: true };
        let w3c = format!("00-{id}-00000000000000ff-01");
        assert_eq!(Trace::from_traceparent(&w3c), Some(expected.clone()));
        assert_eq!(Trace::from_cloud(&format!("{id}/255;o=1")), Some(expected.clone()));
        let unsampled = Some(Trace { sampled: false, ..expected });
        let w3c = format!("00-{id}-00000000000000ff-00");
        assert_eq!(Trace::from_traceparent(&w3c), unsampled);
        assert_eq!(Trace::from_cloud(&format!("{id}/255;o=0")), unsampled);
        assert_eq!(Trace::from_cloud(&format!("{id}/255")), unsampled);
    }

    #[test]
    fn other_texts_lead_to_none() {
        for text in ["", "-", "/", "00-x-y-01", "00-0af7-00f0-01", "0af7/1", "/1;o=1"] {
            assert_eq!(Trace::from_traceparent(text), None, "{text}");
            assert_eq!(Trace::from_cloud(text), None, "{text}");
        }
    }
}

//! The log: lines for people, and on Cloud Run JSON for Cloud Logging.

use std::env;
use std::io::{self, Write};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Env, Target};
use log::{Level, LevelFilter, Log, Metadata, Record};
use rocket_server_sessions::note_dropped_cookies;
use serde_json::{Map, Value, json};

use super::trace_context::TraceContext;
use crate::platform::is_on_cloud_run;

/// Rocket logs each request in several lines, and an unknown path as an error. The platform has its
/// own request log, so these lines are omitted. The other one follows each line about a header that is
/// not UTF-8, and says nothing more.
const FILTER: &str = "info,rocket::server=off,rocket::request::request::_=off";

/// Words that people take for levels. For the logger they would be names of modules, and it would
/// log nothing else.
const NO_LEVELS: [&str; 10] = [
    "all", "critical", "fatal", "none", "normal", "notice", "quiet", "silent", "verbose", "warning",
];

/// Returns the value of `RUST_LOG` if it is a level that does not exist.
pub(crate) fn wrong_level() -> Option<String> {
    let level = env::var("RUST_LOG").ok()?.trim().to_ascii_lowercase();
    Some(level).filter(|level| NO_LEVELS.contains(&level.as_str()))
}

/// Installs the logger, for Rocket and the libraries too. `RUST_LOG` chooses what it writes.
pub(super) fn start() {
    let mut builder = if wrong_level().is_some() {
        Builder::new()
    } else {
        Builder::from_env(Env::default().default_filter_or(FILTER))
    };
    builder.target(Target::Stdout);
    // Cloud Logging reads it.
    if is_on_cloud_run() {
        let project = env::var("GOOGLE_CLOUD_PROJECT").ok();
        builder.format(move |out, record| write_entry(out, record, project.as_deref()));
    } else {
        builder.format(|out, record| writeln!(out, "{} {}", record.level(), record.args()));
    }
    let logger = builder.build();
    let max_level = logger.filter();
    if log::set_boxed_logger(Box::new(Logger(logger))).is_ok() {
        // Rocket tells only the log that it has dropped a request's cookies, as a warning.
        log::set_max_level(max_level.max(LevelFilter::Warn));
    }
}

/// Writes Rocket's messages about a successful launch at the level info.
///
/// Rocket logs them as warnings, so that they are shown at any level.
struct Logger(env_logger::Logger);

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // Sessions sum these up.
        if note_dropped_cookies(record) {
            return;
        }
        if record.level() == Level::Warn && record.target().starts_with("rocket::launch") {
            let (target, args) = (record.target(), *record.args());
            self.0.log(&Record::builder().level(Level::Info).target(target).args(args).build());
        } else {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Writes one line of JSON, with the fields that Cloud Logging knows.
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
    if let (Some(project), Some(context)) = (project, TraceContext::current()) {
        let name = format!("projects/{project}/traces/{}", context.trace);
        entry.insert("logging.googleapis.com/trace".into(), json!(name));
        entry.insert("logging.googleapis.com/spanId".into(), json!(context.span));
        entry.insert("logging.googleapis.com/trace_sampled".into(), json!(context.is_sampled));
    }
    writeln!(out, "{}", Value::Object(entry))
}

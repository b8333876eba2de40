//! The log: lines for people, and on Cloud Run JSON for Cloud Logging.

use std::env;
use std::io::{self, Write};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Log, Metadata, Record};
use rocket_server_sessions::note_dropped_cookies;
use serde_json::{Map, Value, json};

use super::trace_context::TraceContext;
use crate::platform::is_on_cloud_run;

/// The targets that are off:
///
/// - `rocket::server` logs each request in several lines, and an unknown path as an error. The
///   platform has its own request log.
/// - `rocket::request::request::_` repeats that a header is not UTF-8.
/// - `session_page::_` says that a guard has refused a request from another site. The request log
///   shows it as a 403.
const FILTER: &str = "info,rocket::server=off,rocket::request::request::_=off,\
                      cloud_run_sessions::site::session_page::_=off";

/// The target of errors that end the launch. They are logged at any level: a process that exits
/// says why.
pub const LAUNCH: &str = "launch";

/// The value of `RUST_LOG`. An empty one counts as unset.
fn filter() -> Option<String> {
    env::var("RUST_LOG").ok().filter(|filter| !filter.trim().is_empty())
}

/// Returns a word in `RUST_LOG` that should be a level but is not. The logger would take it for the
/// name of a module, and log nothing else.
pub(crate) fn wrong_level() -> Option<String> {
    let filter = filter()?;
    // After the slash, the logger expects a pattern that messages must match.
    let directives = filter.split('/').next()?;
    let mut levels =
        directives.split(',').filter_map(|directive| match directive.rsplit_once('=') {
            Some((_, level)) => Some(level.trim()).filter(|level| !level.is_empty()),
            None => Some(directive.trim()).filter(|it| !it.is_empty() && !it.contains("::")),
        });
    levels.find(|level| level.parse::<LevelFilter>().is_err()).map(str::to_owned)
}

/// Installs the logger, for Rocket and the libraries too. `RUST_LOG` chooses what it writes.
pub(super) fn start() {
    let filter = filter().filter(|_| wrong_level().is_none());
    let mut builder = Builder::new();
    builder
        .parse_filters(filter.as_deref().unwrap_or(FILTER))
        .filter_module(LAUNCH, LevelFilter::Error);
    builder.target(Target::Stdout);
    // Cloud Logging reads the lines as JSON.
    if is_on_cloud_run() {
        let project = env::var("GOOGLE_CLOUD_PROJECT").ok();
        builder.format(move |out, record| write_entry(out, record, project.as_deref()));
    } else {
        builder.format(|out, record| writeln!(out, "{} {}", record.level(), record.args()));
    }
    let logger = builder.build();
    let max_level = logger.filter();
    if log::set_boxed_logger(Box::new(Logger(logger))).is_ok() {
        // Rocket reports dropped cookies only in the log, as a warning.
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
        // The session crate counts these, and logs one line a minute.
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

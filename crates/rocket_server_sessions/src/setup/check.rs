//! Checks the configuration and the store.

use figment::Figment;

use super::opening::{Opening, Source};
use crate::config::{Config, SettingError, place, with_variable};
use crate::finding::Verdict;
use crate::report::Report;

/// Reads the configuration as the fairing does, connects to the store, and checks that it supports
/// what sessions need.
///
/// This blocks the calling thread, for at most a few seconds per server. It changes nothing in the
/// store. In Redis, the commands are queued in a transaction that is then discarded: Redis checks
/// the user's rights when a command is queued. A SQLite file is opened, but never created.
///
/// ```no_run
/// let report = rocket_server_sessions::check(&rocket::Config::figment());
/// println!("{report}");
/// std::process::exit(if report.is_ok() { 0 } else { 1 });
/// ```
#[must_use]
pub fn check(figment: &Figment) -> Report {
    let mut report = Report::default();
    // If this fails, `Config::extract` reports the error.
    let figment = &with_variable(figment).unwrap_or_else(|_| figment.clone());
    if let Err(errors) = figment.extract::<rocket::Config>() {
        for error in SettingError::all(errors) {
            report.push(Verdict::Failed, "settings", error);
        }
    }
    // A custom store is not known here.
    let opening = match Opening::read(figment, None) {
        Ok(opening) => opening,
        Err(errors) => {
            for error in errors {
                report.push(Verdict::Failed, "settings", error);
            }
            return report;
        }
    };
    show_settings(&mut report, figment, &opening.config);
    report.extend(opening.warnings);
    if let Err(error) = opening.key {
        report.push(Verdict::Failed, "settings", error);
    }
    if let Source::Configured(store) = opening.source {
        report.extend(store.probe());
    }
    report
}

fn show_settings(report: &mut Report, figment: &Figment, config: &Config) {
    let mut show = |key: &str, value: String| {
        let place = place(figment, key).unwrap_or_else(|| "default".to_owned());
        report.show(key, value, place);
    };
    show("profile", figment.profile().to_string());
    if let Ok(config) = figment.extract::<rocket::Config>() {
        show("address", config.address.to_string());
        show("port", config.port.to_string());
    }
    let is_key_set = place(figment, "secret_key").is_some();
    show("secret_key", if is_key_set { "[redacted]" } else { "unset" }.to_owned());
    for (key, value) in config.shown() {
        show(&format!("{}.{key}", Config::KEY), value);
    }
}

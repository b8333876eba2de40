//! Checks the configuration and the store.

use std::sync::Arc;

use figment::Figment;

use super::opening::{Opening, Source};
use crate::config::{Config, SettingError, place, with_variable};
use crate::finding::Verdict;
use crate::report::Report;
use crate::store::Store;

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
    check_with(figment, None)
}

/// The same for an application that may have a custom store. That is not checked.
pub(super) fn check_with(figment: &Figment, custom: Option<Arc<dyn Store>>) -> Report {
    let mut report = Report::default();
    // If this fails, `Config::extract` reports the error.
    let figment = &with_variable(figment).unwrap_or_else(|_| figment.clone());
    if let Err(errors) = figment.extract::<rocket::Config>() {
        report.push_setting_errors(SettingError::all(errors));
    }
    let opening = match Opening::read(figment, custom) {
        Ok(opening) => opening,
        Err(errors) => {
            report.push_setting_errors(errors);
            return report;
        }
    };
    show_settings(&mut report, figment, &opening.config);
    report.extend(opening.warnings);
    if let Err(error) = opening.key {
        report.push_setting_errors([error]);
    }
    match opening.source {
        Source::Configured(store) => report.extend(store.probe()),
        Source::Custom(store) => {
            let text = format!("the application's own, {}, is not checked", store.name());
            report.push(Verdict::Ok, "store", text);
        }
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

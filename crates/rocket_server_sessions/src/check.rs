//! Checks the configuration and the store.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use figment::Figment;

use crate::config::{Config, Place, SecretKey, SettingError, UnusedSetting, place, with_variable};
use crate::finding::{Finding, Verdict};
use crate::store;

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
    let config = match Config::extract(figment) {
        Ok(config) => config,
        Err(errors) => {
            for error in errors {
                report.push(Verdict::Failed, "settings", error);
            }
            return report;
        }
    };
    for unused in UnusedSetting::about_sessions(figment) {
        report.push(Verdict::Warning, "settings", unused);
    }
    report.show_settings(figment, &config);
    if config.insecure_http && figment.profile() != rocket::Config::DEBUG_PROFILE {
        report.push(Verdict::Warning, "cookie", insecure_http(&config.cookie_name));
    }
    // A custom store is not known here.
    match SecretKey::read(figment, config.url.is_some()) {
        Ok(Some(_)) => {}
        Ok(None) => report.push(
            Verdict::Warning,
            "secret_key",
            "is not set, so cookies are encrypted with a random key, and become invalid when the \
             process stops; set ROCKET_SECRET_KEY to the output of `openssl rand -base64 32`",
        ),
        Err(error) => report.push(Verdict::Failed, "settings", error),
    }
    match probe(&config) {
        Some(findings) => report.findings.extend(findings),
        None => report.push(Verdict::Warning, "store", IN_MEMORY),
    }
    report
}

/// The warning if no store is configured.
pub(crate) const IN_MEMORY: &str = "sessions live in this process's memory and end with it; to keep them, set `url` in \
     [default.session], or REDIS_URL if your application reads it";

/// The warning about `insecure_http` outside development.
pub(crate) fn insecure_http(name: &str) -> String {
    format!(
        "`insecure_http` is set: the cookie `{name}` has no `Secure`, so anyone on the network can \
         read it and take over the session; remove the setting if visitors use https"
    )
}

/// Probes the configured store. Returns `None` if no URL is set.
fn probe(config: &Config) -> Option<Vec<Finding>> {
    let url = config.url.as_ref()?;
    let failed =
        |why: &str| vec![Finding::new(Verdict::Failed, "settings", format!("`session.url` {why}"))];
    Some(match url.locate() {
        Err(why) => failed(why),
        #[cfg(feature = "redis")]
        Ok(Place::Redis(_)) => store::RedisSettings::from_config(config, url).probe(),
        #[cfg(not(feature = "redis"))]
        Ok(Place::Redis(_)) => failed(store::NEEDS_REDIS),
        #[cfg(feature = "sqlite")]
        Ok(Place::File(path)) => store::sqlite::probe(&path),
        #[cfg(not(feature = "sqlite"))]
        Ok(Place::File(_)) => failed(store::NEEDS_SQLITE),
    })
}

/// If the check takes this long, the process was frozen, and the result means nothing.
const FROZEN: Duration = Duration::from_mins(1);

/// How long to wait before a check that failed is repeated: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Checks the store in the background at launch and logs the result. The launch does not depend on
/// it. If something failed, the check is repeated until all is well, as long as `is_needed`, and
/// each change is logged.
pub(crate) fn log_at_launch(config: &Config, is_needed: impl Fn() -> bool + Send + 'static) {
    let config = config.clone();
    let run = move || {
        let mut when = "at launch";
        let (mut told, mut pause) = (Vec::new(), FIRST_PAUSE);
        while is_needed() {
            let begun = Instant::now();
            let findings = probe(&config).unwrap_or_default();
            if begun.elapsed() < FROZEN {
                let (passed, failed): (Vec<_>, Vec<_>) =
                    findings.into_iter().partition(|it| it.verdict == Verdict::Ok);
                if failed.is_empty() {
                    log_passed(&passed, when);
                    return;
                }
                if failed != told {
                    // Only warnings: the first request that fails logs an error.
                    for Finding { what, text, .. } in &failed {
                        log::warn!("checked the store {when}: {what} failed: {text}");
                    }
                    told = failed;
                }
                when = "again";
            }
            thread::sleep(pause);
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    };
    if let Err(error) = thread::Builder::new().name("session-check".to_owned()).spawn(run) {
        log::warn!("the store was not checked, because a thread cannot be started: {error}");
    }
}

fn log_passed(findings: &[Finding], when: &str) {
    for Finding { what, text, .. } in findings {
        log::debug!("checked the store {when}: {what}: {text}");
    }
    let is_told = |it: &&Finding| ["version", "round trip"].contains(&it.what);
    let told: Vec<_> = findings.iter().filter(is_told).map(|it| it.text.as_str()).collect();
    let told = told.join(", round trip ");
    log::info!("checked the store {when}: all checks passed ({told})");
}

/// The result of [`check`]. Its `Display` implementation prints a report without secrets. Use
/// [`is_ok`](Self::is_ok) to choose the exit status.
#[derive(Clone, Debug, Default)]
pub struct Report {
    settings: Vec<(String, String, String)>,
    findings: Vec<Finding>,
}

impl Report {
    /// Returns `true` if no check failed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|it| it.verdict != Verdict::Failed)
    }

    /// Returns the findings, in the order of the checks.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Adds a finding of your application.
    pub fn push(&mut self, verdict: Verdict, what: &'static str, text: impl fmt::Display) {
        let finding = Finding::new(verdict, what, text);
        // Every reader reports an unreadable configuration.
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn show_settings(&mut self, figment: &Figment, config: &Config) {
        let mut show = |key: &str, value: String| {
            let place = place(figment, key).unwrap_or_else(|| "default".to_owned());
            self.settings.push((key.to_owned(), value, place));
        };
        show("profile", figment.profile().to_string());
        if let Ok(config) = figment.extract::<rocket::Config>() {
            show("address", config.address.to_string());
            show("port", config.port.to_string());
        }
        if place(figment, "secret_key").is_some() {
            show("secret_key", "[redacted]".to_owned());
        } else {
            show("secret_key", "unset".to_owned());
        }
        for (key, value) in config.shown() {
            show(&format!("{}.{key}", Config::KEY), value);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&(String, String, String)) -> &String| {
            self.settings.iter().map(|it| of(it).len()).max().unwrap_or_default()
        };
        let (keys, values) = (width(|it| &it.0), width(|it| &it.1));
        for (key, value, place) in &self.settings {
            writeln!(f, "{key:keys$}  {value:values$}  {place}")?;
        }
        if !self.settings.is_empty() {
            writeln!(f)?;
        }
        let width = self.findings.iter().map(|it| it.what.len()).max().unwrap_or_default();
        for Finding { verdict, what, text } in &self.findings {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warn",
                Verdict::Failed => "FAIL",
            };
            writeln!(f, "{verdict:4}  {what:width$}  {text}")?;
        }
        Ok(())
    }
}

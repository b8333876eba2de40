//! Whether sessions can work as they are configured: settings first, then the store.

use std::fmt;
use std::time::{Duration, Instant};

use figment::Figment;

use crate::config::{Config, SecretKey, SettingError, Unread, place, with_variable};

/// Reads the configuration as the fairing does, connects to the store, and tries what sessions need.
///
/// It blocks the thread for as long as the store takes, at most some seconds for each server. It
/// changes nothing in the store: the commands that sessions need are queued in a transaction that is
/// never carried out, since a server checks the user's rights when it queues.
///
/// ```no_run
/// let report = rocket_server_sessions::check(&rocket::Config::figment());
/// println!("{report}");
/// std::process::exit(if report.is_ok() { 0 } else { 1 });
/// ```
#[must_use]
pub fn check(figment: &Figment) -> Report {
    let mut report = Report::default();
    // `Config::extract` tells if it cannot be read.
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
            return report.without_repetitions();
        }
    };
    for unread in Unread::about_sessions(figment) {
        report.push(Verdict::Warning, "settings", unread);
    }
    report.show_settings(figment, &config);
    // A store of the application's own is not known here.
    match SecretKey::read(figment, config.url.is_some()) {
        Ok(Some(_)) => {}
        Ok(None) => report.push(
            Verdict::Warning,
            "secret_key",
            "is not set: a random one seals the cookies, which are worth nothing after a restart; \
             set ROCKET_SECRET_KEY to the output of `openssl rand -base64 32`",
        ),
        Err(error) => report.push(Verdict::Failed, "settings", error),
    }
    match probe(&config) {
        Some(findings) => report.findings.extend(findings),
        None => report.push(
            Verdict::Warning,
            "store",
            "sessions live in the process's memory and end with it; to keep them, set REDIS_URL or \
             `url` in [default.session]",
        ),
    }
    report
}

/// Tries the store that the settings name; `None` if they name none.
fn probe(config: &Config) -> Option<Vec<Finding>> {
    let url = config.url.as_ref()?;
    #[cfg(feature = "redis")]
    {
        Some(crate::store::Settings::from_config(config, url).probe())
    }
    #[cfg(not(feature = "redis"))]
    {
        let text = format!("{url:?} is set, but the feature `redis` is not built in");
        Some(vec![Finding::new(Verdict::Failed, "store", text)])
    }
}

/// What takes so much longer than all time-outs together was frozen with the process.
const FROZEN: Duration = Duration::from_mins(1);

/// Tries the store at launch, and logs the outcome. Nothing waits for it: an application starts
/// whether or not its store is there.
pub(crate) fn log_at_launch(config: &Config) {
    let config = config.clone();
    let run = move || {
        let mut begun = Instant::now();
        let mut findings = probe(&config).unwrap_or_default();
        if begun.elapsed() > FROZEN {
            begun = Instant::now();
            findings = probe(&config).unwrap_or_default();
        }
        if begun.elapsed() > FROZEN {
            return;
        }
        for Finding { verdict, what, text } in &findings {
            match verdict {
                Verdict::Ok => log::debug!("checked the store at launch: {what}: {text}"),
                // No error yet: the first request that fails is one, and says so.
                Verdict::Warning | Verdict::Failed => {
                    log::warn!("checked the store at launch: {what} failed: {text}");
                }
            }
        }
        if findings.iter().all(|it| it.verdict == Verdict::Ok) {
            let is_told = |it: &&Finding| ["version", "round trip"].contains(&it.what);
            let told: Vec<_> = findings.iter().filter(is_told).map(|it| it.text.as_str()).collect();
            let told = told.join(", round trip ");
            log::info!("checked the store at launch: it allows what sessions need ({told})");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("session-check".to_owned()).spawn(run) {
        log::warn!("the store was not checked, since a thread cannot be started: {error}");
    }
}

/// What [`check`] has found. Its `Display` is for people, its [`is_ok`](Self::is_ok) for scripts. It
/// holds no secrets.
#[derive(Clone, Debug, Default)]
pub struct Report {
    settings: Vec<(String, String, String)>,
    findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Whether it is as it should be.
    pub verdict: Verdict,
    /// What was looked at, such as `log-in`.
    pub what: &'static str,
    /// What was found, and the remedy if something is wrong.
    pub text: String,
}

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Ok,
    /// Sessions work, but perhaps not as they were meant to.
    Warning,
    /// Sessions do not work.
    Failed,
}

impl Finding {
    pub(crate) fn new(verdict: Verdict, what: &'static str, text: impl fmt::Display) -> Self {
        Self { verdict, what, text: text.to_string() }
    }
}

impl Report {
    /// Whether nothing has failed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|it| it.verdict != Verdict::Failed)
    }

    /// What was looked at, in order.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Adds something that the application has found by itself.
    pub fn push(&mut self, verdict: Verdict, what: &'static str, text: impl fmt::Display) {
        self.findings.push(Finding::new(verdict, what, text));
    }

    /// A configuration that cannot be read at all is found by all who read it.
    fn without_repetitions(mut self) -> Self {
        self.findings.dedup();
        self
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

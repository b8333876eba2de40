//! Where the configuration comes from.
//!
//! Later sources override earlier ones: Rocket's defaults, `Rocket.toml`, `ROCKET_*`, `REDIS_URL`
//! and `PREVIOUS_SECRET_KEYS` (which come from secrets), and `PORT`.

use std::env;
use std::ffi::OsString;

use figment::error::{Actual, Kind};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use rocket::fairing::AdHoc;
use rocket_server_sessions::{Config as Sessions, Report, SettingError, Unread, Verdict};

/// The application's own settings, besides those of Rocket and of sessions.
const OWN_KEYS: [&str; 3] = ["template_dir", "metrics_port", Hsts::KEY];

/// The figment that the application is built on.
///
/// Cloud Run sets `PORT`, so it overrides all other settings of the port. Rocket's own variables
/// are global, so that no profile overrides them. These are global for the same reason.
///
/// A variable that cannot be read fails the launch.
#[must_use]
pub fn figment() -> Figment {
    let figment = rocket::Config::figment();
    let url = Variable::read("REDIS_URL", "url", &figment, |text| text.into());
    let keys = Variable::read("PREVIOUS_SECRET_KEYS", "previous_keys", &figment, list);
    figment.merge(url).merge(keys).merge(Env::raw().only(&["PORT"]).global()).merge(RocketVariables)
}

/// The items of a comma-separated list, without empty ones.
fn list(text: &str) -> Value {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().into()
}

/// Warns at launch about settings that have no effect.
pub(crate) fn stage() -> AdHoc {
    AdHoc::on_liftoff("Settings", |rocket| {
        Box::pin(async move {
            // The session fairing warns about the others.
            for warning in warnings(rocket.figment()).filter(|it| !it.is_about_sessions) {
                log::warn!("{}", warning.text);
            }
        })
    })
}

/// Checks the configuration and the store, for `cloud-run-sessions check`.
#[must_use]
pub fn check() -> Report {
    let figment = figment();
    let mut report = rocket_server_sessions::check(&figment);
    for error in own_errors(&figment) {
        report.push(Verdict::Failed, "settings", error);
    }
    for warning in warnings(&figment).filter(|it| !it.is_about_sessions) {
        report.push(Verdict::Warning, "settings", warning.text);
    }
    report
}

/// The errors of the configuration, one line each. They are logged before the launch, because
/// Rocket reports errors of its own settings on several lines.
#[must_use]
pub fn errors() -> Vec<String> {
    let figment = figment();
    let of_rocket = figment.extract::<rocket::Config>().err().map(SettingError::all);
    let of_sessions = Sessions::extract(&figment).err();
    let all = of_rocket.into_iter().chain(of_sessions).flatten().chain(own_errors(&figment));
    let mut all: Vec<_> = all.map(|error| error.to_string()).collect();
    // A source that cannot be read is reported by both.
    all.dedup();
    all
}

fn own_errors(figment: &Figment) -> Vec<SettingError> {
    let port = figment.extract_inner::<u16>("metrics_port");
    let port = port.err().filter(|error| !error.missing()).map(SettingError::all);
    let hsts = Hsts::extract(figment).err();
    port.into_iter().chain(hsts).flatten().collect()
}

/// The header `Strict-Transport-Security`: for how long browsers use HTTPS alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hsts(pub(crate) Option<String>);

impl Hsts {
    const KEY: &str = "hsts";

    /// Two years. Subdomains are not included: they may belong to others.
    const DEFAULT: &str = "max-age=63072000";

    /// Reads the setting. An empty text means no header.
    pub(crate) fn extract(figment: &Figment) -> Result<Self, Vec<SettingError>> {
        let value = match figment.extract_inner::<String>(Self::KEY) {
            Err(error) if error.missing() => Self::DEFAULT.to_owned(),
            other => other.map_err(SettingError::all)?,
        };
        let age = value.split(';').next().and_then(|it| it.trim().strip_prefix("max-age="));
        let is_text = value.bytes().all(|it| it.is_ascii_graphic() || it == b' ');
        match age {
            _ if value.is_empty() => Ok(Self(None)),
            Some(age) if is_text && age.parse::<u64>().is_ok() => Ok(Self(Some(value))),
            _ => {
                let expected = "empty or begin with `max-age=` and a number of seconds, as in \
                                \"max-age=63072000; includeSubDomains\"";
                let actual = Actual::Str(value);
                let mut error = Error::from(Kind::InvalidValue(actual, expected.to_owned()));
                error.metadata = figment.find_metadata(Self::KEY).cloned();
                Err(SettingError::all(error.with_path(Self::KEY)))
            }
        }
    }
}

struct Warning {
    text: String,
    is_about_sessions: bool,
}

fn warnings(figment: &Figment) -> impl Iterator<Item = Warning> {
    let unread = Unread::find(figment, &OWN_KEYS).into_iter();
    let unread = unread
        .map(|it| Warning { text: it.to_string(), is_about_sessions: it.is_about_sessions() });
    let is_default = |it: &Metadata| it.name.starts_with("rocket::Config");
    let log_level = figment.find_metadata(rocket::Config::LOG_LEVEL).filter(|it| !is_default(it));
    unread.chain(log_level.map(|_| {
        Warning {
            text:
                "the setting `log_level` has no effect; set RUST_LOG instead, such as RUST_LOG=warn"
                    .to_owned(),
            is_about_sessions: false,
        }
    }))
}

/// An environment variable that sets a setting of sessions. Error messages show the variable's
/// name.
struct Variable {
    name: &'static str,
    path: String,
    value: Result<Option<Value>, String>,
}

impl Variable {
    /// Reads a variable. An empty one counts as unset, which is an error if the setting is `set`
    /// elsewhere.
    fn read(name: &'static str, key: &'static str, set: &Figment, read: fn(&str) -> Value) -> Self {
        let path = format!("{}.{key}", Sessions::KEY);
        let value = match env::var_os(name).map(OsString::into_string) {
            Some(Err(_)) => Err(format!("the environment variable {name} is not UTF-8")),
            Some(Ok(text)) if !text.trim().is_empty() => Ok(Some(read(&text))),
            Some(Ok(_)) if is_set(set, key) => Err(format!(
                "the environment variable {name} is empty, but `{path}` is set elsewhere; \
                 remove one of the two"
            )),
            Some(Ok(_)) | None => Ok(None),
        };
        Self { name, path, value }
    }
}

fn is_set(figment: &Figment, key: &str) -> bool {
    let Ok(config) = Sessions::extract(figment) else { return false };
    match key {
        "url" => config.url.is_some(),
        _ => !config.previous_keys.is_empty(),
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        let path = self.path.clone();
        Metadata::named(format!("the environment variable {}", self.name))
            .interpolater(move |_, _| path.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        match self.value.clone()? {
            Some(value) => Serialized::global(&self.path, value).data(),
            None => Ok(Map::new()),
        }
    }
}

/// Provides no values, only errors for mistakes that Rocket would silently ignore.
struct RocketVariables;

impl Provider for RocketVariables {
    fn metadata(&self) -> Metadata {
        Metadata::named("the environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        for (name, value) in env::vars_os() {
            let Some(name) = name.to_str().map(str::to_ascii_uppercase) else { continue };
            // The session crate checks its own variable.
            if name.starts_with("ROCKET_") && name != "ROCKET_SESSION" && value.to_str().is_none() {
                return Err(format!("the environment variable {name} is not UTF-8").into());
            }
        }
        if let Some(file) = env::var_os("ROCKET_CONFIG")
            && Toml::file(&file).metadata().source.is_none()
        {
            let file = file.display();
            return Err(format!("ROCKET_CONFIG names `{file}`, which does not exist").into());
        }
        Ok(Map::new())
    }
}

//! Where the configuration comes from.
//!
//! Later sources override earlier ones: Rocket's defaults, those of the application (the project's
//! `Rocket.toml`, which is built in), a `Rocket.toml` in the working directory or above, `ROCKET_*`,
//! `REDIS_URL`, `PREVIOUS_SECRET_KEYS` and `EXPRESS_SECRET` (which come from secrets), and `PORT`.
//!
//! Each setting of the application is read beside what it is for. This module lists them, to check
//! all before the launch.

use std::env;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::magic::RelativePathBuf;
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider, Source};
use rocket::fairing::AdHoc;
use rocket_server_sessions::{Config as Sessions, Report, SettingError, UnusedSetting, Verdict};

use crate::observability::{METRICS_PORT, wrong_level};
use crate::platform::is_on_cloud_run;
use crate::site::express::Express;
use crate::site::hsts::Hsts;
use crate::site::templates;

/// The application's own settings, besides those of Rocket and of sessions.
const OWN_KEYS: [&str; 4] = [templates::FOLDER, METRICS_PORT, Hsts::KEY, Express::KEY];

/// The settings file, unless `ROCKET_CONFIG` names another.
const FILE: &str = "Rocket.toml";

/// The figment that the application is built on.
///
/// Cloud Run sets `PORT`, so it overrides all other settings of the port. All variables are global,
/// as Rocket's own are, so that no profile overrides them.
///
/// A variable that cannot be read fails the launch.
#[must_use]
pub fn figment() -> Figment {
    let figment = Figment::from(rocket::Config::default())
        .merge(Defaults)
        .merge(Toml::file(Env::var_or("ROCKET_CONFIG", FILE)).nested())
        .merge(Env::prefixed("ROCKET_").ignore(&["PROFILE"]).global())
        .select(Profile::from_env_or("ROCKET_PROFILE", rocket::Config::DEFAULT_PROFILE));
    let url = Variable::read("REDIS_URL", "session.url", &figment, |text| text.into());
    let keys = Variable::read("PREVIOUS_SECRET_KEYS", "session.previous_keys", &figment, list);
    // A final newline, as `echo` adds it to a secret, would make all signatures wrong.
    let express =
        Variable::read("EXPRESS_SECRET", "express.secret", &figment, |text| text.trim().into());
    let figment = figment.merge(url).merge(keys).merge(express);
    figment.merge(Env::raw().only(&["PORT"]).global()).merge(RocketVariables)
}

/// The settings file, if there is one. It may be in a folder above the working directory.
fn file() -> Option<PathBuf> {
    let file = Toml::file(Env::var_or("ROCKET_CONFIG", FILE)).metadata().source?;
    file.file_path().map(Path::to_owned)
}

/// The items of a comma-separated list, without empty ones.
fn list(text: &str) -> Value {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().into()
}

/// Warns at launch about settings that have no effect.
pub(crate) fn stage() -> AdHoc {
    AdHoc::on_liftoff("Settings", |rocket| {
        Box::pin(async move {
            if let Some(file) = file() {
                log::info!("settings are read from {}", file.display());
            }
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
    let mut report = Express::sessions(&figment).check(&figment);
    for key in OWN_KEYS.into_iter().filter(|key| *key != Express::KEY) {
        let value = figment.extract_inner::<serde_json::Value>(key);
        report.push(Verdict::Ok, key, value.map_or("default".to_owned(), |it| it.to_string()));
    }
    let express = if figment.contains(Express::KEY) { "set" } else { "default" };
    report.push(Verdict::Ok, Express::KEY, express);
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
    let port = figment.extract_inner::<u16>(METRICS_PORT).err();
    let folder = match figment.extract_inner::<RelativePathBuf>(templates::FOLDER) {
        Ok(folder) => missing_folder(figment, &folder.relative()),
        Err(error) => Some(error),
    };
    let workers = match figment.extract_inner::<usize>("workers") {
        Ok(0) => Some(at(figment, "workers", "there must be 1 or more".to_owned())),
        _ => None,
    };
    let level = wrong_level().map(|level| {
        Error::from(format!(
            "RUST_LOG contains `{level}`, which is not a level; the levels are off, error, warn, info, \
             debug and trace; to set the level of one crate, write `info,rocket=debug`"
        ))
    });
    let errors =
        port.into_iter().chain(folder).chain(workers).chain(level).filter(|error| !error.missing());
    let tables = [Hsts::extract(figment).err(), Express::extract(figment).err()];
    errors.map(SettingError::all).chain(tables.into_iter().flatten()).flatten().collect()
}

fn missing_folder(figment: &Figment, folder: &Path) -> Option<Error> {
    let shown = folder.display();
    let why = format!("there is no folder `{shown}`; remove this to use the built-in templates");
    Some(at(figment, templates::FOLDER, why)).filter(|_| !folder.is_dir())
}

/// An error about a setting, with the place where it was set.
fn at(figment: &Figment, key: &str, why: String) -> Error {
    let mut error = Error::from(why).with_path(key);
    error.metadata = figment.find_metadata(key).cloned();
    error
}

/// Wrong names that are often used for a variable, and the right ones.
const MISNAMED: [(&str, &str); 10] = [
    ("REDIS_URI", "REDIS_URL"),
    ("REDISURL", "REDIS_URL"),
    ("REDIS_HOST", "REDIS_URL"),
    ("REDIS_TLS_URL", "REDIS_URL"),
    ("UPSTASH_REDIS_URL", "REDIS_URL"),
    ("UPSTASH_REDIS_REST_URL", "REDIS_URL"),
    ("ROCKET_REDIS_URL", "REDIS_URL"),
    ("SECRET_KEY", "ROCKET_SECRET_KEY"),
    ("PREVIOUS_SECRET_KEY", "PREVIOUS_SECRET_KEYS"),
    ("ROCKET_PREVIOUS_SECRET_KEYS", "PREVIOUS_SECRET_KEYS"),
];

/// Warnings about variables with a wrong name, unless the right one is set as well.
fn misnamed() -> impl Iterator<Item = String> {
    let meant = |name: &str| {
        // The names of variables are case-sensitive, except Rocket's own.
        let upper = name.to_ascii_uppercase();
        let own = ["REDIS_URL", "PREVIOUS_SECRET_KEYS", "EXPRESS_SECRET", "PORT"];
        if let Some(own) = own.into_iter().find(|own| upper == *own && name != *own) {
            return Some(own);
        }
        MISNAMED.iter().find(|(wrong, _)| upper == *wrong).map(|(_, right)| *right)
    };
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter_map(move |name| {
        let meant = meant(&name).filter(|meant| env::var_os(meant).is_none())?;
        Some(format!("the environment variable {name} has no effect; did you mean {meant}?"))
    })
}

/// The limits that Rocket reads, besides `file/` with a file name's extension.
const LIMITS: [&str; 7] = ["bytes", "data-form", "file", "form", "json", "msgpack", "string"];

/// Limits with other names. Rocket allows them for applications that read them, but this one reads
/// none.
fn unknown_limits(figment: &Figment) -> impl Iterator<Item = String> {
    let limits = figment.find_value("limits").ok().and_then(Value::into_dict).unwrap_or_default();
    let names = limits.into_keys();
    names.filter(|name| !LIMITS.contains(&&**name) && !name.starts_with("file/")).map(|name| {
        let known = LIMITS.join(", ");
        format!("the limit `{name}` in `limits` has no effect; the limits are {known}")
    })
}

struct Warning {
    text: String,
    is_about_sessions: bool,
}

fn warnings(figment: &Figment) -> impl Iterator<Item = Warning> {
    let unread = UnusedSetting::find(figment, &OWN_KEYS)
        .into_iter()
        .map(|it| Warning { text: it.to_string(), is_about_sessions: it.is_about_sessions() });
    let is_default = |it: &Metadata| it.name.starts_with("rocket::Config");
    let log_level = figment.find_metadata(rocket::Config::LOG_LEVEL).filter(|it| !is_default(it));
    let unused = misnamed()
        .chain(unknown_limits(figment))
        .map(|text| Warning { text, is_about_sessions: false });
    unread.chain(unused).chain(log_level.map(|_| {
        Warning {
            text:
                "the setting `log_level` has no effect; set RUST_LOG instead, such as RUST_LOG=warn"
                    .to_owned(),
            is_about_sessions: false,
        }
    }))
}

/// The application's defaults: the project's `Rocket.toml`. On Cloud Run, requests come from
/// outside the container, so the default address is different.
struct Defaults;

impl Provider for Defaults {
    fn metadata(&self) -> Metadata {
        let name = "the application's defaults";
        Metadata::from(name, Source::Custom(name.to_owned()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut data = Toml::string(include_str!("../Rocket.toml")).nested().data()?;
        if is_on_cloud_run() {
            let defaults = data.entry(Profile::Default).or_default();
            defaults.insert("address".to_owned(), Ipv4Addr::UNSPECIFIED.to_string().into());
        }
        Ok(data)
    }
}

/// An environment variable for one setting of a table. Error messages show the variable's name.
struct Variable {
    name: &'static str,
    path: &'static str,
    value: Result<Option<Value>, String>,
}

impl Variable {
    /// Reads a variable. An empty one counts as unset, which is an error if the setting is `set`
    /// elsewhere.
    fn read(
        name: &'static str,
        path: &'static str,
        set: &Figment,
        read: fn(&str) -> Value,
    ) -> Self {
        let value = match env::var_os(name).map(OsString::into_string) {
            Some(Err(_)) => Err(format!("the environment variable {name} is not UTF-8")),
            Some(Ok(text)) if !text.trim().is_empty() => Ok(Some(read(&text))),
            Some(Ok(_)) if is_set(set, path) => Err(format!(
                "the environment variable {name} is empty, but `{path}` is set elsewhere; \
                 remove one of the two"
            )),
            Some(Ok(_)) | None => Ok(None),
        };
        Self { name, path, value }
    }
}

fn is_set(figment: &Figment, path: &str) -> bool {
    let config = Sessions::extract(figment);
    match path {
        "session.url" => config.is_ok_and(|it| it.url.is_some()),
        "session.previous_keys" => config.is_ok_and(|it| !it.previous_keys.is_empty()),
        _ => figment.contains(path),
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        let path = self.path;
        Metadata::named(format!("the environment variable {}", self.name))
            .interpolater(move |_, _| path.to_owned())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        match self.value.clone()? {
            Some(value) => Serialized::global(self.path, value).data(),
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
            return Err(format!("ROCKET_CONFIG names `{file}`, which is not a file").into());
        }
        Ok(Map::new())
    }
}

//! Where the configuration comes from.
//!
//! From weak to strong: Rocket's defaults, `Rocket.toml`, `ROCKET_*`, then `REDIS_URL` and
//! `PREVIOUS_SECRET_KEYS`, which come from secrets, and `PORT`.

use std::env;

use figment::providers::{Env, Serialized};
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};

use rocket_server_sessions::Config as Sessions;

/// The figment that the application is built on.
///
/// `PORT` is how Cloud Run says where to listen, so nothing beats it. Rocket's own variables are
/// global, which a later profile does not override; so these are global too.
#[must_use]
pub fn figment() -> Figment {
    rocket::Config::figment()
        .merge(Variable { variable: "REDIS_URL", key: "url", read: |text| text.into() })
        .merge(Variable { variable: "PREVIOUS_SECRET_KEYS", key: "previous_keys", read: list })
        .merge(Env::raw().only(&["PORT"]).global())
}

/// What is between commas; nothing at all is no item.
fn list(text: &str) -> Value {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().into()
}

/// A variable as a setting of sessions, under its own name in error messages.
struct Variable {
    variable: &'static str,
    key: &'static str,
    read: fn(&str) -> Value,
}

impl Variable {
    fn path(&self) -> String {
        format!("{}.{}", Sessions::KEY, self.key)
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        let path = self.path();
        Metadata::named(format!("the environment variable {}", self.variable))
            .interpolater(move |_, _| path.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let Ok(text) = env::var(self.variable) else { return Ok(Map::new()) };
        Serialized::global(&self.path(), (self.read)(&text)).data()
    }
}

//! Where the configuration comes from.
//!
//! From weak to strong: Rocket's defaults, `Rocket.toml`, `ROCKET_*`, `REDIS_URL`, `PORT`.

use std::env;

use figment::providers::{Env, Serialized};
use figment::value::{Dict, Map};
use figment::{Error, Figment, Metadata, Profile, Provider};

use crate::session::Config as Session;

/// The figment that the application is built on.
///
/// `PORT` is how Cloud Run says where to listen, so nothing beats it. Rocket's own variables are
/// global, which a later profile does not override; so these are global too.
#[must_use]
pub fn figment() -> Figment {
    rocket::Config::figment().merge(RedisUrl).merge(Env::raw().only(&["PORT"]).global())
}

/// `REDIS_URL` as `session.url`, under its own name in error messages.
struct RedisUrl;

impl Provider for RedisUrl {
    fn metadata(&self) -> Metadata {
        Metadata::named("the environment variable REDIS_URL")
            .interpolater(|_, _| format!("{}.url", Session::KEY))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let Ok(url) = env::var("REDIS_URL") else { return Ok(Map::new()) };
        Serialized::global(&format!("{}.url", Session::KEY), url).data()
    }
}

//! Where the configuration comes from.
//!
//! From weak to strong: Rocket's defaults, `Rocket.toml`, `ROCKET_*`, `REDIS_URL`, `PORT`.

use figment::Figment;
use figment::providers::Env;

use crate::session::Config as Session;

/// The figment that the application is built on.
///
/// `PORT` is how Cloud Run says where to listen, so nothing beats it. Rocket's own variables are
/// global, which a later profile does not override; so these are global too.
#[must_use]
pub fn figment() -> Figment {
    let redis_url =
        Env::raw().only(&["REDIS_URL"]).map(|_| format!("{}.url", Session::KEY).into()).global();
    rocket::Config::figment().merge(redis_url).merge(Env::raw().only(&["PORT"]).global())
}

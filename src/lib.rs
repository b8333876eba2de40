//! A web application for Cloud Run that counts each visitor's page views.
//!
//! [`rocket()`] builds it from metrics, sessions ([`rocket_server_sessions`]) and the pages.

pub mod config;
pub mod observability;
mod platform;
pub mod site;

use site::express::Express;

/// The application, configured by `Rocket.toml` and the environment.
///
/// ```no_run
/// # #[rocket::main]
/// # async fn main() -> Result<(), rocket::Error> {
/// cloud_run_sessions::rocket().launch().await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn rocket() -> rocket::Rocket<rocket::Build> {
    let figment = config::figment();
    let sessions = Express::sessions(&figment);
    rocket::custom(figment)
        .attach(config::stage())
        .attach(observability::Prometheus::default())
        .attach(sessions)
        .attach(site::stage())
}

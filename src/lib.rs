//! A web application for Cloud Run that counts each visitor's page views.
//!
//! [`rocket()`] builds it from metrics, sessions ([`rocket_server_sessions`]) and the pages.

pub mod config;
pub mod observability;
mod platform;
pub mod site;

use rocket_server_sessions::Session;

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
    let sessions = match Express::extract(&figment) {
        Ok(Some(express)) => express.sessions(),
        // The site's stage reports errors.
        Ok(None) | Err(_) => Session::fairing(),
    };
    rocket::custom(figment)
        .attach(config::stage())
        .attach(observability::Prometheus::default())
        .attach(sessions)
        .attach(site::stage())
}

//! Page views that follow a visitor from instance to instance.
//!
//! [`rocket()`] is the application: its pages, on sessions by [`rocket_server_sessions`].

pub mod config;
mod exporter;
pub mod site;

use rocket_server_sessions::Session;

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
    rocket::custom(config::figment())
        .attach(config::stage())
        .attach(exporter::Exporter::default())
        .attach(Session::fairing())
        .attach(site::stage())
}

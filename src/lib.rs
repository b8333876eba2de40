//! Page views that follow a visitor from instance to instance, and the session layer they rest on.
//!
//! - [`session`] is for any Rocket application: a request guard, typed fields, and stores.
//! - [`rocket()`] is the application itself: its pages, on that layer.

pub mod session;

#[cfg(feature = "site")]
pub mod config;
#[cfg(feature = "site")]
mod exporter;
#[cfg(feature = "site")]
pub mod site;

/// The application, configured by `Rocket.toml` and the environment.
///
/// ```no_run
/// # #[rocket::main]
/// # async fn main() -> Result<(), rocket::Error> {
/// cloud_run_sessions::rocket().launch().await?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "site")]
#[must_use]
pub fn rocket() -> rocket::Rocket<rocket::Build> {
    rocket::custom(config::figment())
        .attach(exporter::Exporter::default())
        .attach(session::Sessions::fairing())
        .attach(site::stage())
}

//! The pages of the site.
//!
//! | URL | what | module |
//! |---|---|---|
//! | `GET /`, `/foo`, `/bar` | a page that counts its views | `views` |
//! | `GET /session`, `POST /session/regenerate`, `POST /session/destroy` | the visitor's session | `session_page` |
//! | `GET /about` | how it works | `about` |
//! | `GET /health/live`, `/health/ready` | for the platform; never accesses the store | `health` |
//! | `GET /static/…` | stylesheet and icon | `assets` |
//! | anything else | error pages | `errors` |
//!
//! A view of a page passes through these modules:
//!
//! 1. `page_request`, the request guard: the session, and whether the request counts (`visit`).
//! 2. `views`, the route: counts the view in the session.
//! 3. `page_view`, what the page shows; `page_response` sends it as HTML or JSON (`format`), and
//!    tells a visitor whose session has just begun what may be wrong with the cookie
//!    (`cookie_notice`).
//! 4. `rendered_page` and `page_cache`: the HTML. Steps 1 and 2 do not depend on the cache.

use std::thread;

use rocket::fairing::AdHoc;
use rocket::shield::Shield;
use rocket::{catchers, routes};
use rocket_server_sessions::Config;

mod about;
mod assets;
mod cookie_notice;
mod counts;
mod errors;
pub(crate) mod express;
mod format;
mod headers;
mod health;
pub(crate) mod hsts;
mod instance;
mod layout;
mod page;
mod page_cache;
mod page_request;
mod page_response;
mod page_view;
mod relative_time;
mod rendered_page;
mod scheme;
mod session_page;
pub(crate) mod templates;
mod view_metrics;
mod views;
mod visit;

use assets::Assets;
use cookie_notice::NeedsHttps;
use express::Express;
use headers::SecurityHeaders;
use instance::Instance;
use page_cache::PageCache;
use rendered_page::PageShape;
use scheme::Scheme;
use view_metrics::ViewMetrics;
use visit::Visit;

/// Starts to parse the page templates on a separate thread. Call this first, so that a launch on
/// several processors is ready sooner. Otherwise, the launch parses them.
pub fn parse_templates_early() {
    // If the thread cannot be started, the launch parses them.
    let _ = thread::Builder::new().name("templates".to_owned()).spawn(templates::parse);
}

/// The whole site. Attach it to a Rocket that has sessions.
#[must_use]
pub fn stage() -> AdHoc {
    AdHoc::try_on_ignite("Site", |rocket| async {
        // The fairing of sessions has reported errors already.
        let Ok(sessions) = Config::extract(rocket.figment()) else { return Err(rocket) };
        if let Err(errors) = Express::extract(rocket.figment()) {
            for error in errors {
                log::error!("{error}");
            }
            return Err(rocket);
        }
        let assets = Assets::built_in();
        let addresses = assets.addresses();
        let cache = PageCache::<PageShape>::default();
        let rendered = cache.clone();
        let rocket = templates::attach(rocket, move |engines| {
            engines.tera.register_function("asset", addresses.clone());
            rendered.clear();
        })?;
        let rocket = rocket
            .attach(SecurityHeaders)
            // An empty shield. By default, Rocket attaches one that sets some of the same headers.
            .attach(Shield::new())
            .attach(Visit::fairing())
            .manage(cache)
            .manage(Scheme::of_platform())
            .manage(NeedsHttps::of(&sessions))
            .manage(ViewMetrics::register())
            .manage(Instance::from_env())
            .manage(assets)
            .mount("/", routes![views::home, views::page, about::about])
            .mount(
                "/session",
                routes![session_page::show, session_page::regenerate, session_page::destroy],
            )
            .mount("/health", routes![health::live, health::ready])
            .mount("/static", routes![assets::file])
            .register("/", catchers![errors::page]);
        Ok(rocket)
    })
}

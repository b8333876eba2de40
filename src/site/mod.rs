//! The application: pages that count their views, and what every site has beside them.
//!
//! | URL | what |
//! |---|---|
//! | `GET /`, `/foo`, `/bar` | a page: counts one view of itself (`views`) |
//! | `GET /session`, `POST /session/regenerate`, `POST /session/end` | the visitor's own session (`own`) |
//! | `GET /about` | how it works (`about`) |
//! | `GET /health/live`, `/health/ready` | for the platform; never asks the store (`health`) |
//! | `GET /static/…` | files |

use rocket::fairing::AdHoc;
use rocket::fs::FileServer;
use rocket::routes;
use rocket_dyn_templates::{Engines, Template};

mod about;
mod errors;
mod frame;
mod headers;
mod health;
mod instance;
mod moment;
mod own;
mod page;
mod stencil;
mod views;

use headers::SecurityHeaders;
use instance::Instance;
use views::{Intent, Pages};

/// The whole site, to be attached to a Rocket that has sessions.
#[must_use]
pub fn stage() -> AdHoc {
    AdHoc::on_ignite("Site", |rocket| async {
        let pages = Pages::default();
        let drawn = pages.clone();
        rocket
            .attach(Template::custom(move |_: &mut Engines| drawn.clear()))
            .manage(pages)
            .attach(SecurityHeaders)
            .attach(Intent::fairing())
            .manage(Instance::from_env())
            .mount("/", routes![views::view, views::home, about::about])
            .mount("/session", routes![own::show, own::regenerate, own::end])
            .mount("/health", routes![health::live, health::ready])
            .mount("/static", FileServer::from("static"))
            .register("/", rocket::catchers![errors::page])
    })
}

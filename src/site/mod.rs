//! The application: pages that count their views, and what every site has beside them.
//!
//! | URL | what |
//! |---|---|
//! | `GET /`, `/foo`, `/bar` | a page: counts one view of itself (`views`) |
//! | `GET /session`, `POST /session/regenerate`, `POST /session/end` | the visitor's own session (`own`) |
//! | `GET /about` | how it works (`about`) |
//! | `GET /health/live`, `/health/ready` | for the platform; never asks the store (`health`) |
//! | `GET /static/…` | what pages are drawn with (`assets`) |

use rocket::fairing::AdHoc;
use rocket::routes;
use rocket_dyn_templates::{Engines, Template};

mod about;
mod assets;
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

use assets::Assets;
use headers::SecurityHeaders;
use instance::Instance;
use views::{Counters, Intent, Pages};

/// The whole site, to be attached to a Rocket that has sessions.
#[must_use]
pub fn stage() -> AdHoc {
    AdHoc::try_on_ignite("Site", |rocket| async {
        let assets = match Assets::read("static") {
            Ok(assets) => assets,
            Err(error) => {
                log::error!("the folder `static` cannot be read: {error}; start where it stands");
                return Err(rocket);
            }
        };
        let addresses = assets.addresses();
        let pages = Pages::default();
        let drawn = pages.clone();
        let rocket = rocket
            .attach(Template::custom(move |engines: &mut Engines| {
                engines.tera.register_function("asset", addresses.clone());
                drawn.clear();
            }))
            .manage(pages)
            .manage(Counters::register())
            .attach(SecurityHeaders)
            .attach(Intent::fairing())
            .manage(Instance::from_env())
            .manage(assets)
            .mount("/", routes![views::view, views::home, about::about])
            .mount("/session", routes![own::show, own::regenerate, own::end])
            .mount("/health", routes![health::live, health::ready])
            .mount("/static", routes![assets::file])
            .register("/", rocket::catchers![errors::page]);
        Ok(rocket)
    })
}

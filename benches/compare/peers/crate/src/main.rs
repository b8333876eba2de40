//! Rocket with the session crate: the pages of the peers, rendered in the same way, and the routes that
//! races.py needs. The application itself renders its pages with a cache, and has no log-in.

mod pages;
mod session;

use rocket::fairing::AdHoc;
use rocket::http::Header;
use rocket_dyn_templates::Template;
use rocket_server_sessions::Session;

#[rocket::launch]
fn rocket() -> _ {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL is set");
    let port: u16 = std::env::var("PORT").expect("PORT is set").parse().expect("PORT is a port");
    let settings = rocket::Config::figment()
        .merge(("port", port))
        .merge(("workers", page::WORKERS))
        .merge(("log_level", "off"))
        .merge(("session.url", url));
    let mut rocket = rocket::custom(settings)
        .attach(headers())
        .manage(page::Site::load())
        .mount("/", pages::routes(page::has_sessions()));
    if page::has_sessions() {
        rocket = rocket.attach(Session::fairing()).mount("/session", session::routes());
    }
    if page::renders_each_view() {
        rocket = rocket.attach(Template::custom(|engines| {
            engines.tera.register_function("asset", page::Asset);
        }));
    }
    rocket
}

fn headers() -> AdHoc {
    AdHoc::on_response("Headers", |_, response| {
        Box::pin(async move {
            for (name, value) in page::HEADERS {
                response.set_header(Header::new(name, value));
            }
        })
    })
}

//! Security headers, on every response.

use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::http::Header;
use rocket::{Build, Request, Response, Rocket};

use super::hsts::Hsts;
use super::scheme::Scheme;

/// The headers of every response. A page needs a stylesheet, images and its own forms. `connect-src`
/// is for tools that fetch `robots.txt` from within a page.
const HEADERS: [(&str, &str); 8] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Permissions-Policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
    ),
];

/// Sets the headers on all responses, including error pages.
pub(super) struct SecurityHeaders;

#[rocket::async_trait]
impl Fairing for SecurityHeaders {
    fn info(&self) -> Info {
        Info { name: "Security headers", kind: Kind::Ignite | Kind::Response | Kind::Singleton }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match Hsts::extract(rocket.figment()) {
            Ok(hsts) => Ok(rocket.manage(hsts)),
            Err(errors) => {
                for error in errors {
                    log::error!("{error}");
                }
                Err(rocket)
            }
        }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        // Responses that may be cached say so themselves. A page shows one visitor's counts, in one
        // of two formats. Scanning the headers costs less than looking a name up, which hashes it.
        for (name, value) in [("Cache-Control", "no-store"), ("Vary", "Cookie, Accept")] {
            if !response.headers().iter().any(|header| header.name() == name) {
                response.set_raw_header(name, value);
            }
        }
        for (name, value) in HEADERS {
            response.set_header(Header::new(name, value));
        }
        if let Some(Hsts(Some(value))) = request.rocket().state()
            && Scheme::of(request) == Scheme::Https
        {
            response.set_raw_header("Strict-Transport-Security", value.clone());
        }
    }
}

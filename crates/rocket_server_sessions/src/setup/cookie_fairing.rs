//! The fairing that sets the cookie in responses.

use std::sync::Arc;

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::{Header, Status};
use rocket::{Request, Response};

use crate::request::RequestSession;

/// Sets the cookie. It is attached at ignition, after the fairings that the application attaches
/// before the launch, so that their response fairings may use the session. Fairings that are
/// attached at ignition may run later; they get an error if they open a session.
pub(super) struct CookieFairing;

#[rocket::async_trait]
impl Fairing for CookieFairing {
    fn info(&self) -> Info {
        Info { name: "Session cookie", kind: Kind::Response | Kind::Singleton }
    }

    /// Rocket's jar cannot be used: it is written before response fairings run, and error catchers
    /// clear it.
    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(session) = request.local_cache(|| None::<Arc<RequestSession>>) else { return };
        let cookies = session.finish().await;
        if !cookies.is_empty() {
            for cookie in cookies {
                response.adjoin_header(Header::new("Set-Cookie", cookie));
            }
            let is_unshared = |value: &str| value.contains("no-store") || value.contains("private");
            if !response.headers().get("Cache-Control").any(is_unshared) {
                // RFC 9111, section 7.3: a cached response would give one visitor's cookie to
                // others.
                response.set_raw_header("Cache-Control", "no-store");
            }
        }
        if let (Some(wait), Status::ServiceUnavailable) = (session.outage(), response.status()) {
            response.set_raw_header("Retry-After", wait.as_secs().max(1).to_string());
        }
    }
}

//! The request guard of the pages that count their views.

use rocket::http::Status;
use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::{Ignite, Rocket, Sentinel};
use rocket_server_sessions::Session;

use super::layout::Layout;
use super::view_metrics::ViewMetrics;
use super::visit::Visit;

/// The parts of a request that a page that counts its views needs.
pub(super) struct PageRequest<'r> {
    pub(super) session: Session<'r>,
    pub(super) visit: Visit,
    pub(super) layout: Layout<'r>,
    pub(super) metrics: &'r ViewMetrics,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for PageRequest<'r> {
    type Error = &'static str;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let visit = Visit::of(request);
        let Ok(session) = Session::of(request) else {
            return Outcome::Error((Status::InternalServerError, "sessions are not attached"));
        };
        let layout = try_outcome!(request.guard::<Layout<'_>>().await);
        let Some(metrics) = request.rocket().state::<ViewMetrics>() else {
            return Outcome::Error((Status::InternalServerError, "the site is not attached"));
        };
        Outcome::Success(Self { session, visit, layout, metrics })
    }
}

/// Fails the launch if the fairing of sessions is not attached.
impl Sentinel for PageRequest<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        Session::abort(rocket)
    }
}

//! The response of a page that counts its views.

use rocket::Request;
use rocket::response::{self, Responder};
use rocket::serde::json::Json;
use rocket_server_sessions::Rejection;

use super::cookie_notice::CookieNotice;
use super::counts::Counts;
use super::format::Format;
use super::layout::Layout;
use super::relative_time::RelativeTime;
use super::rendered_page::RenderedPage;

/// The content of a page. The response is HTML, or JSON with the counts if the request prefers
/// that.
pub(super) struct PageView<'r> {
    pub(super) layout: Layout<'r>,
    pub(super) counts: Counts,
    /// The instances that have answered, by their ids.
    pub(super) instances: Vec<String>,
    /// The name of the store that holds the session.
    pub(super) store: &'static str,
    pub(super) created: RelativeTime,
    /// When the session expires if it is not used again.
    pub(super) expires: RelativeTime,
    /// Whether the browser has sent the session's cookie.
    pub(super) is_returning: bool,
    /// Why a cookie that the browser has sent was ignored.
    pub(super) rejection: Option<Rejection>,
}

impl<'r> Responder<'r, 'static> for PageView<'_> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        match Format::preferred_by(request) {
            Format::Html => {
                let notice =
                    (!self.is_returning).then(|| CookieNotice::of(request, self.rejection));
                RenderedPage::new(self, notice).respond_to(request)
            }
            Format::Json => Json(self.counts).respond_to(request),
        }
    }
}

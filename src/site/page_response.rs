//! The response of a page that counts its views: HTML, or JSON with the counts if the request prefers
//! that.

use rocket::Request;
use rocket::response::{self, Responder};
use rocket::serde::json::Json;

use super::cookie_notice::CookieNotice;
use super::format::Format;
use super::page_view::PageView;
use super::rendered_page::RenderedPage;

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

//! Whether a request for a page counts as a view.

use rocket::Request;
use rocket::fairing::AdHoc;
use rocket::http::Method;

/// The headers in which browsers say why they fetch a page: the standard's, then those of older
/// browsers.
const PURPOSE_HEADERS: [&str; 4] = ["Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"];

/// Whether a person views the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// A view. It counts.
    Counted,
    /// A `HEAD` request: it counts nothing and creates nothing.
    Unseen,
    /// A browser fetches or renders the page before a person asks for it. It is refused: the page would
    /// show the count before the view, and the view itself would never be counted. The browser then
    /// asks again at the click.
    Speculative,
}

impl Visit {
    /// Looks at each request before it is routed: Rocket sends a `HEAD` to the route for `GET`, where
    /// it looks like one.
    pub(super) fn fairing() -> AdHoc {
        AdHoc::on_request("Visit", |request, _| {
            Box::pin(async move {
                Self::of(request);
            })
        })
    }

    pub(super) fn of(request: &Request<'_>) -> Self {
        *request.local_cache(|| {
            let is_ahead = PURPOSE_HEADERS
                .iter()
                .flat_map(|name| request.headers().get(name))
                .any(|value| value.contains("prefetch") || value.contains("preview"));
            if is_ahead {
                Self::Speculative
            } else if request.method() == Method::Head {
                Self::Unseen
            } else {
                Self::Counted
            }
        })
    }
}

//! Whether a request for a page counts as a view.

use std::convert::Infallible;

use rocket::Request;
use rocket::fairing::AdHoc;
use rocket::http::{Method, Status};
use rocket::outcome::Outcome::Success;
use rocket::request::{self, FromRequest};

/// The headers in which browsers give the purpose of a request: the standard one, then those of
/// older browsers.
const PURPOSE_HEADERS: [&str; 4] = ["Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"];

/// Whether a request is a person's view of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// A view. It counts.
    Counted,
    /// A `HEAD` request. It counts nothing and creates nothing.
    Unseen,
    /// A browser prefetches or prerenders the page. This is refused with 425, because the page would show
    /// the count from before the view, and the view itself would never be counted. The browser
    /// requests the page again at the click.
    Speculative,
}

impl Visit {
    /// Checks each request before it is routed, because Rocket routes a `HEAD` request as a `GET`.
    pub(super) fn fairing() -> AdHoc {
        AdHoc::on_request("Visit", |request, _| {
            Box::pin(async move {
                Self::of(request);
            })
        })
    }

    pub(super) fn of(request: &Request<'_>) -> Self {
        *request.local_cache(|| {
            // One pass over the headers costs less than four lookups.
            let is_ahead = request.headers().iter().any(|header| {
                PURPOSE_HEADERS.iter().any(|name| header.name() == *name)
                    && (header.value().contains("prefetch") || header.value().contains("preview"))
            });
            if is_ahead {
                Self::Speculative
            } else if request.method() == Method::Head {
                Self::Unseen
            } else {
                Self::Counted
            }
        })
    }

    /// Refuses a request whose page may never be seen, for pages that show what is in the session. If
    /// a guard did so, Rocket would log a warning each time.
    pub(super) fn refuse_speculation(self) -> Result<(), Status> {
        if self == Self::Speculative { Err(Status::new(425)) } else { Ok(()) }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Visit {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        Success(Self::of(request))
    }
}

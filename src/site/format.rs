//! The format of a response.

use std::convert::Infallible;

use rocket::Request;
use rocket::request::{self, FromRequest};

/// The format in which a page is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
}

impl Format {
    /// Returns JSON if the request's `Accept` header prefers it, and HTML otherwise.
    pub(super) fn preferred_by(request: &Request<'_>) -> Self {
        // Parsing a browser's header takes longer than filling in a page.
        let names_json = |accept: &str| {
            accept.as_bytes().windows(4).any(|part| part.eq_ignore_ascii_case(b"json"))
        };
        let is_json = request.headers().get_one("Accept").is_some_and(names_json)
            && request.accept().is_some_and(|accept| accept.preferred().is_json());
        if is_json { Self::Json } else { Self::Html }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Format {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Infallible> {
        request::Outcome::Success(Self::preferred_by(request))
    }
}

//! A guard against cross-site requests.

use rocket::Request;
use rocket::request::{FromRequest, Outcome};

use crate::cross_site::is_same_origin;
use crate::error::Error;

/// A request guard that rejects cross-origin requests with a 403, including those from sibling
/// subdomains. Use it in every route that changes something, or protect the whole application with
/// [`require_same_origin`](crate::SessionFairing::require_same_origin).
///
/// Browsers send the origin of a request in headers that scripts cannot change: `Sec-Fetch-Site` on
/// every request over HTTPS or to localhost, and `Origin` on every `POST`. A `POST` with neither
/// header is accepted: current browsers always send at least one, so it comes from a client that is
/// not a browser, and such a client cannot be tricked into sending a visitor's cookie. Do not rely
/// on the guard for `GET` routes other than websockets: over plain HTTP, and in Safari before 16.4,
/// an ordinary `GET` has neither header. Browsers send `Origin` with every websocket.
///
/// `Origin` is compared with the host and port of the request, not with its scheme. The cookie's
/// `SameSite` attribute alone is not enough: it lets sibling subdomains through.
///
/// ```
/// use rocket_server_sessions::{self as session, SameOrigin, Session};
/// use rocket::post;
///
/// #[post("/logout")]
/// async fn logout(_same: SameOrigin, session: Session<'_>) -> session::Result<&'static str> {
///     session.destroy().await?;
///     Ok("bye")
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SameOrigin(());

#[rocket::async_trait]
impl<'r> FromRequest<'r> for SameOrigin {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        if is_same_origin(request) { Outcome::Success(Self(())) } else { Error::CrossSite.into() }
    }
}

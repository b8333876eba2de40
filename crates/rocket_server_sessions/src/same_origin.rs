//! A guard against cross-site requests.

use rocket::Request;
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};

/// A request guard that rejects cross-origin requests with a 403, including those that sibling
/// subdomains have sent. Use it in every route that changes something, or protect the whole
/// application with
/// [`require_same_origin`](crate::SessionFairing::require_same_origin).
///
/// Browsers send the origin of a request in headers that scripts cannot change: `Sec-Fetch-Site` on
/// every request over HTTPS or to localhost, and `Origin` on every `POST`. A `POST` with neither
/// header is accepted: current browsers always send at least one, so it comes from a client that is
/// not a browser, and such a client cannot be tricked into sending a visitor's cookie. Do not rely
/// on the guard for other `GET` routes than websockets: over plain HTTP, and in Safari before 16.4,
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
    type Error = &'static str;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        if is_same_origin(request) {
            Outcome::Success(Self(()))
        } else {
            Outcome::Error((Status::Forbidden, "the request was sent by another site"))
        }
    }
}

pub(crate) fn is_same_origin(request: &Request<'_>) -> bool {
    let headers = request.headers();
    if let Some(site) = headers.get_one("Sec-Fetch-Site") {
        // `none`: typed in or opened by the browser itself.
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = headers.get_one("Origin") else { return true };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    // HTTP/2 has no `Host` header; Rocket's local client sets only the header.
    let host = request.host().map(ToString::to_string);
    let Some(host) = host.as_deref().or_else(|| headers.get_one("Host")) else { return false };
    let implied = if scheme == "https" { 443 } else { 80 };
    let ((name, port), (own_name, own_port)) = (split(authority), split(host));
    name.eq_ignore_ascii_case(own_name) && port.unwrap_or(implied) == own_port.unwrap_or(implied)
}

/// A host and its port. Either side may leave out the port that the scheme implies.
fn split(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            // No port, and so no host that anything could be the same as.
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

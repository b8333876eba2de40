//! Cookies that the browser may hold although the request shows none.

use rocket::Request;
use rocket::http::Method;

use crate::config::{Config, SameSite};
use crate::event::Rejection;

/// Returns whether the browser may hold a valid cookie although the request shows none. A new
/// session must not replace that cookie, unless a user logs in.
///
/// This is the case if the cookies cannot be read, or if another site has caused the request and
/// `SameSite` makes the browser withhold the cookie. Otherwise, any page could end a visitor's
/// session.
pub(super) fn may_hide_cookie(
    request: &Request<'_>,
    config: &Config,
    rejection: Option<Rejection>,
) -> bool {
    let headers = request.headers();
    let is_cross_site = || headers.get_one("Sec-Fetch-Site") == Some("cross-site");
    let is_kept_off = match config.same_site {
        SameSite::Strict => true,
        // `Lax` lets links through. A form has an `Origin`, even if Rocket has changed its method.
        SameSite::Lax => {
            !matches!(request.method(), Method::Get | Method::Head)
                || headers.contains("Origin")
                || headers.get_one("Sec-Fetch-Dest").is_some_and(|it| it != "document")
        }
        SameSite::None => false,
    };
    rejection == Some(Rejection::UnreadableHeader) || (is_kept_off && is_cross_site())
}

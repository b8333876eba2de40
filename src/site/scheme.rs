//! Whether a request came over HTTPS.

use rocket::Request;

use crate::platform::is_on_cloud_run;

/// How a request was sent, as far as the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// The scheme of requests without `X-Forwarded-Proto`, for Rocket's managed state. Cloud Run
    /// serves HTTPS.
    pub(super) fn of_platform() -> Self {
        if is_on_cloud_run() { Self::Https } else { Self::Http }
    }

    /// Reads the header in which the proxy that terminates TLS sends the scheme. The first value
    /// counts.
    ///
    /// A client can send that header too. This does no harm, because browsers ignore
    /// `Strict-Transport-Security` over HTTP (RFC 6797, section 8.1).
    pub(super) fn of(request: &Request<'_>) -> Self {
        let rocket = request.rocket();
        let forwarded = request.headers().get_one("X-Forwarded-Proto");
        match forwarded.and_then(|it| it.split(',').next()).map(str::trim) {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => Self::Https,
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => Self::Http,
            _ if rocket.config().tls_enabled() => Self::Https,
            _ => rocket.state().copied().unwrap_or(Self::Http),
        }
    }
}

//! Why a visitor's count stays at 1, as far as one request shows it.

use std::net::IpAddr;

use rocket::Request;
use rocket_server_sessions::{Config, Rejection};

use super::page::Page;
use super::scheme::Scheme;

/// Whether the session's cookie needs HTTPS. This is part of Rocket's managed state.
#[derive(Clone, Copy, Debug)]
pub(super) struct NeedsHttps(bool);

impl NeedsHttps {
    pub(super) fn of(config: &Config) -> Self {
        Self(!config.insecure_http)
    }
}

/// What a page says to a visitor whose session has just begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CookieNotice {
    /// Nothing is known to be wrong.
    FirstView,
    /// The browser was probably on a page that set the cookie, and sends none. The cookie may have
    /// been deleted or have expired, or the page was an error page, which sets none.
    NoCookie,
    /// The same, with a `Secure` cookie and the application on the visitor's own machine.
    NoSecureCookie,
    /// The same, but the browser sends other cookies.
    OtherCookies,
    /// The cookie is only kept over HTTPS, and the request came over HTTP.
    NeedsHttps,
    /// The cookie was ignored.
    Rejected(Rejection),
}

impl CookieNotice {
    /// Reads the request of a visitor without a session. `rejection`: why the cookie was ignored.
    pub(super) fn of(request: &Request<'_>, rejection: Option<Rejection>) -> Self {
        if let Some(rejection) = rejection {
            return Self::Rejected(rejection);
        }
        let NeedsHttps(needs_https) = request.rocket().state().copied().unwrap_or(NeedsHttps(true));
        if needs_https && is_plain_http(request) {
            Self::NeedsHttps
        } else if !comes_from_a_page(request) {
            Self::FirstView
        } else if request.headers().contains("Cookie") {
            Self::OtherCookies
        } else if needs_https && request.headers().get_one("Host").is_some_and(is_own_machine) {
            Self::NoSecureCookie
        } else {
            Self::NoCookie
        }
    }

    /// Returns whether the cookie of this response is certain to be lost or ignored too, unless the
    /// visitor changes something.
    pub(super) fn is_lasting(self) -> bool {
        match self {
            Self::FirstView | Self::NoCookie | Self::NoSecureCookie | Self::OtherCookies => false,
            Self::NeedsHttps => true,
            Self::Rejected(why) => {
                matches!(why, Rejection::UnreadableHeader | Rejection::Ambiguous)
            }
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::FirstView => {
                "This is your first view, or your browser keeps no cookies. If the count stays at 1, \
                 the browser is not sending cookies back: allow them for this site and view the page \
                 again."
            }
            Self::NoCookie => {
                "Your browser has sent no cookie, so a new session begins. If the count stays at 1, the \
                 browser keeps none: allow cookies for this site and view the page again."
            }
            Self::NoSecureCookie => {
                "Your browser has sent no cookie, so a new session begins. If the count stays at 1, the \
                 browser keeps none: allow cookies for this site and view the page again. Some \
                 browsers, such as Safari, keep this cookie over https only, even on this machine."
            }
            Self::OtherCookies => {
                "Your browser has sent other cookies for this address, but no session cookie, so a \
                 new session begins. If the count stays at 1, something on the way removes the cookie, \
                 or the browser refuses it: look for a message in its developer tools."
            }
            Self::NeedsHttps => {
                "The count will stay at 1: this page came over plain http, and browsers keep its \
                 cookie over https only. Open the address with https."
            }
            Self::Rejected(rejection) => rejected(rejection),
        }
    }
}

/// Why a cookie was ignored, and what the visitor can do.
fn rejected(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::UnreadableHeader => {
            "The count stays at 1, because your cookies cannot be read: one of those that your browser \
             has for this address is not readable text, and hides the others. Another application \
             at this address has set it. Delete the cookies of this site and view the page again."
        }
        Rejection::CutOff => {
            "Your cookie arrived cut off and does not count. If the count stays at 1, your browser \
             or something between it and this site shortens cookies."
        }
        Rejection::Malformed => {
            "Your cookie arrived with unexpected characters and does not count. If the count \
             stays at 1, your browser or something between it and this site changes cookies, or \
             another application on this host has a cookie of the same name."
        }
        Rejection::InvalidCookie => {
            "Your cookie was made with a key that this site does not have, and does not count. If the \
             count stays at 1, the instances of the site have different keys, or another application \
             on this host has a cookie of the same name."
        }
        Rejection::Ambiguous => {
            "The count stays at 1: your browser sends two cookies of the same name, and neither \
             counts, because one of them may be planted. Delete the cookies of this site and view the \
             page again."
        }
        // The record is gone: it has expired, or the store has lost it.
        _ => "Your earlier session has expired or was lost, so a new one begins.",
    }
}

/// Browsers send `Sec-Fetch-Site` only over HTTPS and to their own machine. If this process sees no
/// TLS, that header or an `https` referrer shows that a proxy terminates it.
fn is_plain_http(request: &Request<'_>) -> bool {
    let headers = request.headers();
    let is_https = Scheme::of(request) == Scheme::Https
        || headers.contains("Sec-Fetch-Site")
        || headers.get_one("Referer").is_some_and(|it| it.starts_with("https://"));
    !is_https && !headers.get_one("Host").is_some_and(is_own_machine)
}

fn is_own_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || address.is_ok_and(|it| it.is_loopback())
}

/// Returns whether the browser was probably just on a page that sets the cookie: it followed a link
/// from there, or has loaded the page again.
fn comes_from_a_page(request: &Request<'_>) -> bool {
    let headers = request.headers();
    let is_page = |path: &str| Page::ALL.iter().any(|page| page.path() == path);
    let has_link = || {
        let (_, rest) = headers.get_one("Referer")?.split_once("://")?;
        let (host, path) = rest.split_at(rest.find('/')?);
        let path = path.split('?').next()?;
        Some(headers.get_one("Host")?.eq_ignore_ascii_case(host) && is_page(path))
    };
    let is_reload = headers.get_one("Cache-Control") == Some("max-age=0");
    is_reload || has_link().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::is_own_machine;

    #[test]
    fn own_machine_is_known_by_its_names() {
        for host in ["localhost", "LOCALHOST:8080", "app.localhost:1", "127.0.0.1:8080", "[::1]:80"]
        {
            assert!(is_own_machine(host), "{host}");
        }
        for host in ["192.168.1.7:8080", "localhost.example", "notlocalhost", "[2001:db8::1]", ""] {
            assert!(!is_own_machine(host), "{host}");
        }
    }
}

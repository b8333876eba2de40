//! Recognizes requests from other sites, and refuses them for the whole application.

use rocket::http::uri::{Origin, Path};
use rocket::http::{Method, Status};
use rocket::route::{BoxFuture, Outcome};
use rocket::{Data, Request, Route};

use crate::limited_log::LogLimit;

/// How much of a path is logged, in characters.
const MAX_LOGGED_PATH: usize = 200;

/// The paths that other sites may send requests to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exceptions(Vec<Origin<'static>>);

impl Exceptions {
    /// Adds a path and all paths below it.
    pub(crate) fn push(&mut self, path: &str) -> Result<(), String> {
        let why =
            |_| format!("{path:?} is not a path; write it as in a route, such as \"/webhooks\"");
        self.0.push(Origin::parse_owned(path.to_owned()).map_err(why)?);
        Ok(())
    }

    fn contains(&self, path: Path<'_>) -> bool {
        let is_below = |of: &Origin<'_>| {
            let mut segments = path.segments().filter(|it| !it.is_empty());
            let mut expected = of.path().segments().filter(|it| !it.is_empty());
            expected.all(|it| segments.next() == Some(it))
        };
        self.0.iter().any(is_below)
    }

    /// Returns whether another site has sent the request, and the request may change something: it
    /// is the handshake of a websocket, or its method is not `GET`, `HEAD` or `OPTIONS`.
    pub(crate) fn is_refused(&self, request: &Request<'_>) -> bool {
        let is_safe = matches!(request.method(), Method::Get | Method::Head | Method::Options)
            && !request.headers().contains("Sec-WebSocket-Key");
        !is_safe && !is_same_origin(request) && !self.contains(request.uri().path())
    }

    /// Directs the request to [`refusal`] if it is refused.
    ///
    /// A fairing cannot answer a request, but it can direct it to another route. No client uses the
    /// method `CONNECT` with a path, so there is only one such route. The path stays, for the error
    /// catchers.
    pub(crate) fn check(&self, request: &mut Request<'_>) {
        static LIMIT: LogLimit = LogLimit::new();

        if !self.is_refused(request) {
            return;
        }
        if let Some(left_out) = LIMIT.due() {
            let path = request.uri().path().as_str();
            let path: String = path.chars().take(MAX_LOGGED_PATH).collect();
            let method = request.method();
            log::warn!("{method} {path} was sent by another site, and is refused{left_out}");
        }
        request.set_method(Method::Connect);
    }
}

/// Returns whether a later fairing has directed a refused request to a route of the application
/// after all, or has changed a request so that it must be refused.
pub(crate) fn is_refused(request: &Request<'_>) -> bool {
    request.method() != Method::Connect
        && request.rocket().state::<Exceptions>().is_some_and(|it| it.is_refused(request))
}

/// The route that refused requests are directed to.
pub(crate) fn refusal() -> Route {
    fn refuse<'r>(_: &'r Request<'_>, _: Data<'r>) -> BoxFuture<'r> {
        Box::pin(async { Outcome::Error(Status::Forbidden) })
    }
    let mut route = Route::ranked(isize::MIN, Method::Connect, "/<_..>", refuse);
    route.name = Some("requests of other sites".into());
    route
}

/// Returns `false` if another origin has sent the request. The guard
/// [`SameOrigin`](crate::SameOrigin) documents the rules.
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
            // Not a valid port. The whole text is compared, and matches no valid host.
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

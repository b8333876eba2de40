//! Refuses requests that other sites have sent, for the whole application.

use rocket::http::uri::{Origin, Path};
use rocket::http::{Method, Status};
use rocket::route::{BoxFuture, Outcome};
use rocket::{Data, Request, Route};

use crate::same_origin::is_same_origin;

/// The paths that other sites may send requests to.
#[derive(Clone, Debug, Default)]
pub(super) struct Exceptions(Vec<Origin<'static>>);

impl Exceptions {
    /// Adds a path and all paths below it.
    pub(super) fn push(&mut self, path: &str) -> Result<(), String> {
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

    /// Refuses the request if another site has sent it, and it may change something.
    ///
    /// A fairing cannot answer a request, but it can direct it to another route. No client uses the
    /// method `CONNECT` with a path, so [`refusal`] is the only such route. The path stays, for the
    /// error catchers.
    pub(super) fn check(&self, request: &mut Request<'_>) {
        let is_safe = matches!(request.method(), Method::Get | Method::Head | Method::Options);
        if is_safe || is_same_origin(request) || self.contains(request.uri().path()) {
            return;
        }
        let (method, path) = (request.method(), request.uri().path());
        log::warn!("{method} {path} was sent by another site, and is refused");
        request.set_method(Method::Connect);
    }
}

/// The route that refused requests are directed to.
pub(super) fn refusal() -> Route {
    fn refuse<'r>(_: &'r Request<'_>, _: Data<'r>) -> BoxFuture<'r> {
        Box::pin(async { Outcome::Error(Status::Forbidden) })
    }
    let mut route = Route::ranked(isize::MIN, Method::Connect, "/<_..>", refuse);
    route.name = Some("requests of other sites".into());
    route
}

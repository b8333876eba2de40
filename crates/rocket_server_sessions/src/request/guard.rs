//! The session of a request, for its guards.

use std::sync::Arc;

use rocket::{Ignite, Request, Rocket};

use super::session::RequestSession;
use crate::cross_site;
use crate::error::{Error, Result};
use crate::shared::Shared;

/// Returns the session of a request, for its guards.
pub(crate) fn session_of<'r>(request: &'r Request<'_>) -> Result<&'r Arc<RequestSession>> {
    let shared = request.rocket().state::<Arc<Shared>>().ok_or(Error::Misuse(MISSING))?;
    if cross_site::is_refused(request) {
        return Err(Error::CrossSite);
    }
    let open = || Some(Arc::new(RequestSession::open(request, shared)));
    request.local_cache(open).as_ref().ok_or(Error::Misuse(
        "the response already has its cookies; attach fairings that use sessions before launch, not \
         at ignition",
    ))
}

const MISSING: &str = "a route uses sessions, but their fairing is not attached; \
     add `.attach(Session::fairing())` to the Rocket";

/// Fails the launch if the fairing is missing.
pub(crate) fn is_unattached(rocket: &Rocket<Ignite>) -> bool {
    let is_missing = rocket.state::<Arc<Shared>>().is_none();
    if is_missing {
        log::error!("{MISSING}");
    }
    is_missing
}

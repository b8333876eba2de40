//! The health checks for the platform. Neither depends on the store, because a restart does not
//! repair Redis.

use rocket::get;

/// The process serves requests.
#[get("/live")]
pub(super) fn live() -> &'static str {
    "alive\n"
}

/// The process can receive visitors.
#[get("/ready")]
pub(super) fn ready() -> &'static str {
    "ready\n"
}

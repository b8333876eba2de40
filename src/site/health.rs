//! What the platform asks. Neither answer depends on the store: no restart repairs Redis.

use rocket::get;

/// The process serves requests.
#[get("/live")]
pub(super) fn live() -> &'static str {
    "alive\n"
}

/// The process can be sent visitors.
#[get("/ready")]
pub(super) fn ready() -> &'static str {
    "ready\n"
}

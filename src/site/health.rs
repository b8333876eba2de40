//! What the platform asks. Neither answer depends on the store: restarting an instance, or taking
//! it out of service, mends no Redis.

use rocket::get;

/// The process serves requests.
#[get("/live")]
pub(super) fn live() -> &'static str {
    "alive\n"
}

/// The process may be sent visitors.
#[get("/ready")]
pub(super) fn ready() -> &'static str {
    "ready\n"
}

//! Work that no response waits for.

use std::task::{Context, Waker};

use rocket::tokio;

/// Runs a future in the background. It is polled once immediately, so that its call is sent before
/// the response: on Cloud Run, the instance may then be frozen until the next request.
pub(crate) fn detach(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    let mut context = Context::from_waker(Waker::noop());
    if work.as_mut().poll(&mut context).is_pending() {
        tokio::spawn(work);
    }
}

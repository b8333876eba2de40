//! The total time that a request has waited for the store.

use std::time::Duration;

use parking_lot::Mutex;
use rocket::tokio::time::Instant;

/// Measures the time during which at least one operation waits.
#[derive(Default)]
pub(crate) struct Wait(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    operations: usize,
    since: Option<Instant>,
    before: Duration,
}

impl Waiting {
    fn so_far(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// An operation waits until this value is dropped.
pub(crate) struct Pause<'w>(&'w Wait);

impl Wait {
    pub(crate) fn start(&self) -> Pause<'_> {
        let mut waiting = self.0.lock();
        waiting.operations += 1;
        waiting.since.get_or_insert_with(Instant::now);
        Pause(self)
    }

    pub(crate) fn so_far(&self) -> Duration {
        self.0.lock().so_far()
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.0.lock();
        waiting.operations -= 1;
        if waiting.operations == 0 {
            (waiting.before, waiting.since) = (waiting.so_far(), None);
        }
    }
}

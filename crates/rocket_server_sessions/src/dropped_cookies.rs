//! `Cookie` headers that Rocket drops.
//!
//! Rocket 0.5 drops a header that is not UTF-8. One such byte in any cookie of the host is enough,
//! and the request then looks like one without cookies. Only Rocket's log shows the difference.
//! Rocket logs in the task that answers the request, so the logger notes the task, and the fairing
//! checks whether its own task was noted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{Level, Record};
use parking_lot::Mutex;
use rocket::Request;
use rocket::tokio::task::{self, Id};

/// Where Rocket reads headers, and what it logs.
const TARGET: &str = "rocket::request::request";
const MESSAGE: &str = "Header 'cookie' contains invalid UTF-8";

/// A request that never reaches the fairing leaves its entry behind.
const MAX_ENTRIES: usize = 1024;

/// The tasks whose request has lost its cookies, the oldest first.
static TASKS: Mutex<Tasks> = Mutex::new(Tasks(VecDeque::new()));

struct Tasks(VecDeque<Id>);

impl Tasks {
    fn note(&mut self, task: Id) {
        if self.0.len() >= MAX_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back(task);
    }

    /// Returns whether the task was noted. Forgets it.
    fn take(&mut self, task: Id) -> bool {
        let place = self.0.iter().position(|it| *it == task);
        place.and_then(|place| self.0.remove(place)).is_some()
    }
}

/// Whether any task is noted, so that other requests need no lock.
static HAS_TASKS: AtomicBool = AtomicBool::new(false);

/// Recognizes the log record that Rocket writes when it drops a request's cookies. Returns `true`
/// for such a record, which you need not log.
///
/// If any cookie of a request contains a byte that is not UTF-8, Rocket 0.5 drops all of the
/// request's cookies, and only its log says so. Without this function, such a request looks like
/// one without cookies, and a new session replaces the browser's cookie. If your logger calls this
/// for every record, the request causes
/// [`Rejection::UnreadableHeader`](crate::Rejection::UnreadableHeader) instead, and leaves the
/// browser's cookie alone. The level `warn` must be enabled.
///
/// ```
/// struct Logger;
///
/// impl log::Log for Logger {
///     fn enabled(&self, _: &log::Metadata<'_>) -> bool {
///         true
///     }
///
///     fn log(&self, record: &log::Record<'_>) {
///         if !rocket_server_sessions::note_dropped_cookies(record) {
///             println!("{}", record.args());
///         }
///     }
///
///     fn flush(&self) {}
/// }
/// ```
pub fn note_dropped_cookies(record: &Record<'_>) -> bool {
    if record.level() != Level::Warn || record.target() != TARGET {
        return false;
    }
    let Some(task) = task::try_id() else { return false };
    if record.args().to_string() != MESSAGE {
        return false;
    }
    let mut tasks = TASKS.lock();
    tasks.note(task);
    HAS_TASKS.store(true, Ordering::Release);
    true
}

/// Whether Rocket has dropped the request's cookies. The first call must be in the task that
/// answers the request; the fairing makes it, unless another fairing has used the session before.
pub(crate) fn has_dropped_cookies(request: &Request<'_>) -> bool {
    struct DroppedCookies(bool);
    request.local_cache(|| DroppedCookies(take_note())).0
}

/// Returns whether the request that this task answers has lost its cookies. Forgets it.
fn take_note() -> bool {
    if !HAS_TASKS.load(Ordering::Acquire) {
        return false;
    }
    let Some(task) = task::try_id() else { return false };
    let mut tasks = TASKS.lock();
    let is_there = tasks.take(task);
    HAS_TASKS.store(!tasks.0.is_empty(), Ordering::Release);
    is_there
}

#[cfg(test)]
mod tests {
    use log::Level::{Info, Warn};

    use super::*;

    fn note(level: Level, target: &str, text: &str) -> bool {
        let args = format_args!("{text}");
        note_dropped_cookies(&Record::builder().level(level).target(target).args(args).build())
    }

    #[rocket::async_test]
    async fn dropped_cookies_are_known_once_and_only_to_the_request_that_lost_them() {
        let of_task = |is_noted: bool| {
            rocket::tokio::spawn(async move {
                assert_eq!(is_noted && note(Warn, TARGET, MESSAGE), is_noted);
                rocket::tokio::task::yield_now().await;
                (take_note(), take_note())
            })
        };
        let (one, other) = (of_task(true), of_task(false));
        assert_eq!((one.await.unwrap(), other.await.unwrap()), ((true, false), (false, false)));
    }

    #[rocket::async_test]
    async fn only_the_oldest_task_is_forgotten_if_there_are_too_many() {
        let id = async || rocket::tokio::spawn(async { task::id() }).await.unwrap();
        let mut tasks = Tasks(VecDeque::new());
        let first = id().await;
        tasks.note(first);
        let second = id().await;
        tasks.note(second);
        for _ in 1..MAX_ENTRIES {
            tasks.note(id().await);
        }
        assert_eq!((tasks.take(first), tasks.take(second)), (false, true));
    }

    #[rocket::async_test]
    async fn other_records_are_left_to_the_logger() {
        let task = async {
            for (level, target, text) in [
                (Warn, TARGET, "Header 'referer' contains invalid UTF-8"),
                (Warn, "application", MESSAGE),
                (Info, TARGET, MESSAGE),
            ] {
                assert!(!note(level, target, text), "{level} {target} {text}");
            }
            take_note()
        };
        assert!(!rocket::tokio::spawn(task).await.unwrap());
        assert!(!note(Warn, TARGET, MESSAGE), "it is not about a request of this task");
    }
}

//! What is known of the requests that are being answered.

use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;
use rocket::tokio::task::{self, Id};

/// Something of each request, by the task that answers it: Rocket handles every request in a task
/// of its own.
pub(crate) struct Requests<T>(LazyLock<Mutex<HashMap<Id, T>>>);

impl<T: Clone> Requests<T> {
    pub(crate) const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    pub(crate) fn insert(&self, value: T) {
        if let Some(task) = task::try_id() {
            self.0.lock().insert(task, value);
        }
    }

    /// That of the request which is being answered by this task.
    pub(crate) fn get(&self) -> Option<T> {
        let task = task::try_id()?;
        self.0.lock().get(&task).cloned()
    }

    pub(crate) fn remove(&self) -> Option<T> {
        let task = task::try_id()?;
        self.0.lock().remove(&task)
    }
}

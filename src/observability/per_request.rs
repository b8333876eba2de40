//! A value for each running request, for code that has no access to the request.

use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;
use rocket::tokio::task::{self, Id};

/// One `T` for each running request.
///
/// The key is the task, because Rocket answers each request in its own task. A task-local value
/// would not work: a fairing cannot wrap the handler's future.
pub(super) struct PerRequest<T>(LazyLock<Mutex<HashMap<Id, T>>>);

impl<T: Clone> PerRequest<T> {
    pub(super) const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// Sets the value of the request that this task answers.
    pub(super) fn insert(&self, value: T) {
        if let Some(task) = task::try_id() {
            self.0.lock().insert(task, value);
        }
    }

    /// The value of the request that this task answers.
    pub(super) fn get(&self) -> Option<T> {
        let task = task::try_id()?;
        self.0.lock().get(&task).cloned()
    }

    /// Removes the value of the request that this task answers, and returns it.
    pub(super) fn remove(&self) -> Option<T> {
        let task = task::try_id()?;
        self.0.lock().remove(&task)
    }
}

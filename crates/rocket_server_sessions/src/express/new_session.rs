//! The new session that an old one is converted into.

use std::fmt;
use std::time::SystemTime;

use crate::error::Result;
use crate::key::Field;
use crate::store::Values;
use crate::value::{self, Value};

/// What an old session becomes. An empty one creates no session.
pub struct NewSession {
    /// Whom to log in, and the label.
    pub(crate) user: Option<(String, String)>,
    pub(crate) logged_in_at: SystemTime,
    pub(crate) fields: Result<Values>,
}

impl Default for NewSession {
    fn default() -> Self {
        Self { user: None, logged_in_at: SystemTime::UNIX_EPOCH, fields: Ok(Values::new()) }
    }
}

impl NewSession {
    /// Sets `field` to `value`, as [`Session::insert`](crate::Session::insert) does.
    ///
    /// ```
    /// # use rocket_server_sessions::Key;
    /// # use rocket_server_sessions::express::NewSession;
    /// const NICKNAME: Key<String> = Key::new("nickname");
    ///
    /// let new = NewSession::default().insert(NICKNAME, "Al");
    /// ```
    #[must_use]
    pub fn insert<T>(mut self, field: impl Into<Field<T>>, value: impl Value<T>) -> Self {
        self.fields = value::insert(self.fields, field.into(), value);
        self
    }

    /// Logs a user in, as [`Session::log_in`](crate::Session::log_in) does. `label` describes the
    /// session in the user's list.
    ///
    /// [`User::logged_in_at`](crate::User::logged_in_at) is the beginning of 1970, because the
    /// import checks no password. If the old session records the time of the log-in, set it with
    /// [`logged_in_at`](Self::logged_in_at).
    ///
    /// ```
    /// # use rocket_server_sessions::express::NewSession;
    /// let new = NewSession::default().log_in("alice", "since before the migration");
    /// ```
    #[must_use]
    pub fn log_in(self, user: &str, label: &str) -> Self {
        Self { user: Some((user.to_owned(), label.to_owned())), ..self }
    }

    /// Sets when the user logged in, if the old session records it. A time in the future counts as
    /// now.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use rocket_server_sessions::express::NewSession;
    /// let seconds = 1_750_000_000;
    /// let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    /// let new = NewSession::default().log_in("alice", "from before").logged_in_at(time);
    /// ```
    #[must_use]
    pub fn logged_in_at(self, time: SystemTime) -> Self {
        Self { logged_in_at: time, ..self }
    }
}

/// Shows no values, because they may be personal.
impl fmt::Debug for NewSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSession").field("has_user", &self.user.is_some()).finish_non_exhaustive()
    }
}

//! The user of a record.

use std::time::SystemTime;

use super::record::Values;
use crate::time::{from_unix, unix, whole_seconds};

/// The user who is logged in to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedIn {
    /// The application's name for the user.
    pub name: String,
    /// The time of the log-in, in whole seconds.
    pub logged_in_at: SystemTime,
    /// The label that was passed to [`log_in`](crate::Session::log_in).
    pub label: String,
}

impl LoggedIn {
    /// A user who logged in at `time`, which is truncated to seconds.
    #[must_use]
    pub fn new(name: &str, label: &str, time: SystemTime) -> Self {
        let logged_in_at = whole_seconds(time);
        Self { name: name.to_owned(), logged_in_at, label: label.to_owned() }
    }

    /// The fields that a store sets in the user's record. They begin with `@`, and are read like
    /// any other. The name is a plain string, so that scripts can compare it.
    #[must_use]
    pub fn fields(&self) -> [(String, String); 2] {
        let login = format!("{} {}", unix(self.logged_in_at).as_secs(), self.label);
        [(USER.to_owned(), self.name.clone()), (LOGIN.to_owned(), login)]
    }

    /// Reads the user from a record's fields.
    #[must_use]
    pub fn from_fields(fields: &Values) -> Option<Self> {
        Some(Self::read(fields.get(USER)?, fields.get(LOGIN).map_or("", String::as_str)))
    }

    fn read(user: &str, login: &str) -> Self {
        let (time, label) = login.split_once(' ').unwrap_or((login, ""));
        Self::new(user, label, from_unix(time.parse().unwrap_or_default()))
    }
}

/// The field with the name of the logged-in user.
pub(crate) const USER: &str = "@user";

/// The field with the time of the log-in (Unix seconds) and the label.
pub(crate) const LOGIN: &str = "@login";

//! What a record says of its user.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::id::unix;
use super::store::{Fields, USER};

/// The value of the field [`USER`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SignIn {
    pub(super) user: String,
    /// Seconds since the Unix epoch.
    since: u32,
    pub(super) label: String,
}

impl SignIn {
    pub(super) fn new(user: &str, label: String, now: SystemTime) -> Self {
        let since = unix(now).as_secs().try_into().unwrap_or(u32::MAX);
        Self { user: user.to_owned(), since, label }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn of(fields: &Fields) -> Option<Self> {
        Self::read(fields.get(USER)?)
    }

    pub(super) fn since(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.since.into())
    }
}

//! How long a record lives.

use std::time::Duration;

use super::record::Values;

/// How long a record lives from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeToLive {
    /// The idle timeout of records that have none of their own.
    pub idle: Duration,
    /// The limit for every record: the rest of the absolute lifetime.
    pub max: Duration,
}

impl TimeToLive {
    /// A time to live that is the same for all records.
    #[must_use]
    pub fn fixed(ttl: Duration) -> Self {
        Self { idle: ttl, max: ttl }
    }

    /// The time to live of a record with these fields. A record may have a longer idle timeout of
    /// its own in the field `@idle`, in seconds.
    #[must_use]
    pub fn of(self, fields: &Values) -> Duration {
        let own = fields.get(IDLE).and_then(|it| it.parse().ok()).map(Duration::from_secs);
        self.idle.max(own.unwrap_or_default()).min(self.max)
    }
}

/// The field with the record's own idle timeout, in seconds.
pub(crate) const IDLE: &str = "@idle";

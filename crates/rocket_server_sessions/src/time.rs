//! Times as seconds since the Unix epoch, as stores keep them.

use std::time::{Duration, SystemTime};

/// The time since the Unix epoch; zero if the clock is before it.
pub(crate) fn unix(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Truncates a time to whole seconds, as stores keep it.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix(time).as_secs())
}

/// Converts Unix seconds to a time.
pub(crate) fn from_unix(seconds: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into())
}

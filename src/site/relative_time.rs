//! Times in words, such as "in 23 hours".

use std::fmt::{self, Display};
use std::time::{Duration, SystemTime};

use serde::Serialize;

/// A time relative to now, in words, and the exact time.
#[derive(Debug, Serialize)]
pub(super) struct RelativeTime {
    pub(super) text: String,
    pub(super) exact: String,
}

impl RelativeTime {
    pub(super) fn new(time: SystemTime, now: SystemTime) -> Self {
        let time = whole_seconds(time);
        let text = match time.duration_since(now) {
            Ok(ahead) if ahead < Duration::from_secs(1) => "now".to_owned(),
            Ok(ahead) => format!("in {}", words(ahead)),
            Err(error) if error.duration() < Duration::from_secs(1) => "just now".to_owned(),
            Err(error) => format!("{} ago", words(error.duration())),
        };
        Self { text, exact: humantime::format_rfc3339_seconds(time).to_string() }
    }
}

/// Cuts milliseconds off. Only some of a session's times have them, and two times of the same second
/// should read the same.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let age = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(age.as_secs())
}

/// A length of time in its largest unit, rounded down.
fn words(length: Duration) -> impl Display {
    let seconds = length.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) =
        units.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "second"));
    let count = seconds / size;
    fmt::from_fn(move |f| write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let says = |seconds: i64| {
            let length = Duration::from_secs(seconds.unsigned_abs());
            let time = if seconds < 0 { now - length } else { now + length };
            RelativeTime::new(time, now).text
        };
        assert_eq!(says(0), "now");
        assert_eq!(says(1), "in 1 second");
        assert_eq!(says(86_399), "in 23 hours");
        assert_eq!(says(86_400), "in 1 day");
        assert_eq!(says(-61), "1 minute ago");
        assert_eq!(says(-172_801), "2 days ago");
        assert_eq!(RelativeTime::new(now, now).exact, "2026-09-21T14:13:20Z");
    }

    #[test]
    fn times_of_one_second_read_the_same() {
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let now = second + Duration::from_millis(5_500);
        for milliseconds in [0, 499, 999] {
            let time = second + Duration::from_millis(milliseconds);
            assert_eq!(RelativeTime::new(time, now).text, "5 seconds ago", "{milliseconds}");
        }
    }
}

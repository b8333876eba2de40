//! Log lines that any visitor can cause, and that must not fill the log.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The shortest time between two lines.
const INTERVAL: Duration = Duration::from_mins(1);

/// Limits a log line to one a minute.
pub(crate) struct LogLimit(Mutex<Lines>);

struct Lines {
    last: Option<Instant>,
    /// How many were left out since the last.
    left_out: u32,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Lines { last: None, left_out: 0 }))
    }

    /// Returns how many lines were left out before this one, or `None` if this one is left out too.
    pub(crate) fn due(&self) -> Option<LeftOut> {
        self.due_at(Instant::now()).map(LeftOut)
    }

    fn due_at(&self, now: Instant) -> Option<u32> {
        let mut lines = self.0.lock();
        if lines.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            lines.left_out = lines.left_out.saturating_add(1);
            return None;
        }
        lines.last = Some(now);
        Some(std::mem::take(&mut lines.left_out))
    }
}

/// The end of a line: how many others there were.
pub(crate) struct LeftOut(u32);

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " (and {count} more since the last such line)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_is_logged_at_once_and_the_next_a_minute_later_with_the_number_of_others() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        let at = |seconds| limit.due_at(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61)], [Some(0), None, None, Some(2), None]);
    }
}

//! The log line about cookies that do not return as they were set.

use std::fmt::Write;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::event::{Event, Rejection};

/// The shortest time between two lines, and the time that new sessions have to return.
const INTERVAL: Duration = Duration::from_mins(1);

/// If this many new sessions begin and none returns, something is wrong. Robots rarely begin this
/// many before some visitor views a second page.
const MANY: u32 = 20;

/// Counts cookies that return damaged or not at all, and logs at most one line a minute.
///
/// The server cannot tell a visitor without a cookie from a new one. But it can tell whether any of
/// the new sessions ever return. Nothing here runs for a request whose cookie is valid.
pub(crate) struct CookieReport(Mutex<Counts>);

struct Counts {
    /// When the last line was written, or the process started.
    since: Instant,
    is_first: bool,
    cut_off: u32,
    malformed: u32,
    sealed_otherwise: u32,
    unreadable: u32,
    quoted: u32,
    new: NewSessions,
}

/// The sessions of one period: at least `MANY`, and for at least `INTERVAL`.
struct NewSessions {
    since: Instant,
    created: u32,
    returned: u32,
    /// The number of sessions in a period in which none has returned.
    lost: u32,
}

impl CookieReport {
    pub(crate) fn new() -> Self {
        let since = Instant::now();
        let new = NewSessions { since, created: 0, returned: 0, lost: 0 };
        Self(Mutex::new(Counts::after(since, true, new)))
    }

    /// Counts an event, and logs a line if that is due.
    pub(crate) fn note(&self, event: Event) {
        if let Some(line) = self.note_at(event, Instant::now()) {
            log::warn!("{line}");
        }
    }

    fn note_at(&self, event: Event, now: Instant) -> Option<String> {
        // Most events are about something else, and need no lock.
        if !matches!(
            event,
            Event::Created(_) | Event::Returned(_) | Event::Quoted(_) | Event::Rejected(_)
        ) {
            return None;
        }
        let mut counts = self.0.lock();
        counts.count(event, now);
        let is_due = counts.is_first || now.duration_since(counts.since) >= INTERVAL;
        if !is_due || !counts.has_anything() {
            return None;
        }
        let line = counts.line(now);
        let new = NewSessions { lost: 0, ..counts.new };
        *counts = Counts::after(now, false, new);
        Some(line)
    }
}

impl Counts {
    fn after(since: Instant, is_first: bool, new: NewSessions) -> Self {
        Self {
            since,
            is_first,
            cut_off: 0,
            malformed: 0,
            sealed_otherwise: 0,
            unreadable: 0,
            quoted: 0,
            new,
        }
    }

    fn count(&mut self, event: Event, now: Instant) {
        let count = match event {
            Event::Created(_) => return self.new.created(now),
            Event::Returned(_) => &mut self.new.returned,
            Event::Quoted(_) => &mut self.quoted,
            Event::Rejected(Rejection::CutOff) => &mut self.cut_off,
            Event::Rejected(Rejection::Malformed) => &mut self.malformed,
            Event::Rejected(Rejection::InvalidCookie) => &mut self.sealed_otherwise,
            Event::Rejected(Rejection::UnreadableHeader) => &mut self.unreadable,
            _ => return,
        };
        *count = count.saturating_add(1);
    }

    fn has_anything(&self) -> bool {
        let Self { cut_off, malformed, sealed_otherwise, unreadable, quoted, new, .. } = self;
        [cut_off, malformed, sealed_otherwise, unreadable, quoted, &new.lost]
            .iter()
            .any(|count| **count > 0)
    }

    fn line(&self, now: Instant) -> String {
        let mut line = "session cookies do not return as they were set:".to_owned();
        for (count, what) in [
            (self.new.lost, "new sessions, of which none has returned"),
            (
                self.unreadable,
                "requests whose cookies are not UTF-8, so that Rocket drops them all",
            ),
            (self.cut_off, "cookies cut off"),
            (self.malformed, "cookies with unexpected characters"),
            (self.sealed_otherwise, "cookies that no key decrypts"),
            (self.quoted, "cookies in double quotes, which were accepted"),
        ] {
            if count > 0 {
                // Writing to a string cannot fail.
                let _ = write!(line, " {count} {what};");
            }
        }
        let seconds = now.duration_since(self.since).as_secs();
        let _ = write!(line, " in {seconds} s");
        line
    }
}

impl NewSessions {
    fn created(&mut self, now: Instant) {
        if self.created == 0 {
            self.since = now;
        }
        self.created = self.created.saturating_add(1);
        if self.created >= MANY && now.duration_since(self.since) >= INTERVAL {
            let lost = if self.returned == 0 { self.created } else { 0 };
            *self = Self { since: now, created: 0, returned: 0, lost };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::id::PublicId;

    const DAMAGED: Event = Event::Rejected(Rejection::CutOff);

    fn id() -> PublicId {
        PublicId::new(SystemTime::now())
    }

    /// Notes the event `seconds` after the start.
    fn at(report: &CookieReport, start: Instant, seconds: u64, event: Event) -> Option<String> {
        report.note_at(event, start + Duration::from_secs(seconds))
    }

    #[test]
    fn first_line_is_logged_at_once_and_the_next_a_minute_later_with_all_events_in_between() {
        let (report, start) = (CookieReport::new(), Instant::now());
        let line = at(&report, start, 5, DAMAGED).unwrap();
        assert!(line.contains(" 1 cookies cut off;"), "{line}");
        for seconds in 6..65 {
            assert_eq!(at(&report, start, seconds, DAMAGED), None);
        }
        let unreadable = Event::Rejected(Rejection::UnreadableHeader);
        let line = at(&report, start, 66, unreadable).unwrap();
        assert!(line.contains(" 59 cookies cut off;") && line.contains(" 1 requests"), "{line}");
        assert!(line.ends_with(" in 61 s"), "{line}");
    }

    #[test]
    fn many_new_sessions_of_which_none_returns_are_reported() {
        let (report, start) = (CookieReport::new(), Instant::now());
        let mut lines = (0..19).filter_map(|n| at(&report, start, n * 4, Event::Created(id())));
        assert_eq!(lines.next(), None);
        let line = at(&report, start, 76, Event::Created(id())).unwrap();
        assert!(line.contains(" 20 new sessions, of which none has returned;"), "{line}");
    }

    #[test]
    fn new_sessions_that_had_no_time_to_return_or_did_return_are_not_reported() {
        let (report, start) = (CookieReport::new(), Instant::now());
        for _ in 0..100 {
            assert_eq!(at(&report, start, 1, Event::Created(id())), None);
        }
        assert_eq!(at(&report, start, 30, Event::Returned(id())), None);
        for seconds in 30..100 {
            assert_eq!(at(&report, start, seconds, Event::Created(id())), None);
        }
    }

    #[test]
    fn other_events_are_not_reported() {
        let (report, start) = (CookieReport::new(), Instant::now());
        for event in [Event::Touched(id()), Event::Rejected(Rejection::Missing(id()))] {
            assert_eq!(at(&report, start, 100, event), None);
        }
    }
}

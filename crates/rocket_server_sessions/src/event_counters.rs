//! The metrics that count events.

use metrics::{Counter, counter, describe_counter};

use crate::event::{Event, Rejection};

/// Counters of the events.
///
/// They are registered once, because looking a counter up is slower than incrementing it.
pub(crate) struct EventCounters {
    created: Counter,
    imported: Counter,
    returned: Counter,
    quoted: Counter,
    touched: Counter,
    regenerated: Counter,
    logged_in: Counter,
    destroyed: Counter,
    expired: Counter,
    rejected: Counter,
    undecodable: Counter,
    invalid_cookie: Counter,
    cut_off: Counter,
    malformed: Counter,
    unreadable_header: Counter,
    ambiguous: Counter,
    unverified_old_cookie: Counter,
    after_destroy: Counter,
    stale_token: Counter,
    missing: Counter,
}

impl EventCounters {
    pub(crate) fn register() -> Self {
        const EVENTS: &str = "session_events_total";
        const REJECTIONS: &str = "session_rejections_total";
        describe_counter!(EVENTS, "Events of sessions, by kind.");
        describe_counter!(REJECTIONS, "Session cookies that were ignored, by reason.");
        Self {
            created: counter!(EVENTS, "event" => "created"),
            imported: counter!(EVENTS, "event" => "imported"),
            returned: counter!(EVENTS, "event" => "returned"),
            quoted: counter!(EVENTS, "event" => "quoted"),
            touched: counter!(EVENTS, "event" => "touched"),
            regenerated: counter!(EVENTS, "event" => "regenerated"),
            logged_in: counter!(EVENTS, "event" => "logged_in"),
            destroyed: counter!(EVENTS, "event" => "destroyed"),
            expired: counter!(EVENTS, "event" => "expired"),
            rejected: counter!(EVENTS, "event" => "rejected"),
            undecodable: counter!(EVENTS, "event" => "undecodable"),
            invalid_cookie: counter!(REJECTIONS, "reason" => "invalid_cookie"),
            cut_off: counter!(REJECTIONS, "reason" => "cut_off"),
            malformed: counter!(REJECTIONS, "reason" => "malformed"),
            unreadable_header: counter!(REJECTIONS, "reason" => "unreadable_header"),
            ambiguous: counter!(REJECTIONS, "reason" => "ambiguous"),
            unverified_old_cookie: counter!(REJECTIONS, "reason" => "unverified_old_cookie"),
            after_destroy: counter!(REJECTIONS, "reason" => "destroyed"),
            stale_token: counter!(REJECTIONS, "reason" => "stale_token"),
            missing: counter!(REJECTIONS, "reason" => "missing"),
        }
    }

    pub(crate) fn count(&self, event: Event) {
        let counter = match event {
            Event::Created(_) => &self.created,
            Event::Imported(_) => &self.imported,
            Event::Returned(_) => &self.returned,
            Event::Quoted(_) => &self.quoted,
            Event::Touched(_) => &self.touched,
            Event::Regenerated(_) => &self.regenerated,
            Event::LoggedIn(_) => &self.logged_in,
            Event::Destroyed(_) => &self.destroyed,
            Event::Expired(_) => &self.expired,
            Event::Undecodable(..) => &self.undecodable,
            Event::Rejected(why) => {
                self.reason(why).increment(1);
                &self.rejected
            }
        };
        counter.increment(1);
    }

    fn reason(&self, why: Rejection) -> &Counter {
        match why {
            Rejection::InvalidCookie => &self.invalid_cookie,
            Rejection::CutOff => &self.cut_off,
            Rejection::Malformed => &self.malformed,
            Rejection::UnreadableHeader => &self.unreadable_header,
            Rejection::Ambiguous => &self.ambiguous,
            Rejection::UnverifiedOldCookie => &self.unverified_old_cookie,
            Rejection::Destroyed(_) => &self.after_destroy,
            Rejection::StaleToken(_) => &self.stale_token,
            Rejection::Missing(_) => &self.missing,
        }
    }
}

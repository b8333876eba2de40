//! What a response does to the cookie, and which session a browser has in the end.

use super::seen::{CookieChange, Fate, Stage};
use super::{Checked, Invariants};
use crate::simulation::browser::Browser;
use crate::simulation::machine::Place;
use crate::simulation::records::Record;
use crate::simulation::step::{Outcome, Step};

impl Invariants {
    /// The headers of a response were sent.
    pub(in crate::simulation) fn answered(
        &mut self,
        request: usize,
        status: u16,
        cookies: &[Option<Place>],
    ) -> Checked {
        if ![200, 409, 413, 503].contains(&status) {
            return Err(format!("request {request} is answered with {status}"));
        }
        self.requests[request].fate = Fate::Answered;
        let is_own = |it: &&Record| self.makers.get(&it.place) == Some(&Some(request));
        let lost =
            self.live.iter().filter(is_own).find(|it| !cookies.contains(&Some(it.place.clone())));
        if let Some(record) = lost.filter(|_| self.faults < 2) {
            return Err(format!("the response does not set the token of {}", record.place));
        }
        let cookie = match cookies {
            [] => return Ok(()),
            [Some(place)] => CookieChange::Set(place.clone()),
            [None] => CookieChange::Cleared,
            _ => return Err(format!("request {request} sets {} cookies", cookies.len())),
        };
        let seen = &self.requests[request];
        if let CookieChange::Set(place) = &cookie {
            let is_own = self.makers.get(place) == Some(&Some(request));
            let is_again = seen.presented.as_ref() == Some(place)
                && seen
                    .steps
                    .iter()
                    .any(|it| matches!(it.step, Step::Remember | Step::RememberFor));
            if !is_own && !is_again {
                return Err(format!("request {request} sets a cookie for {place}, and must not"));
            }
        } else {
            let own = self.known(request).first().map(|it| it.place.clone());
            let has_left = seen.is_unknown || seen.has_left(seen.steps.len());
            let presented = seen.presented.as_deref().filter(|_| !has_left);
            let presented = presented.and_then(|it| self.at_id_of(it));
            if let Some(place) = own.or(presented.map(|it| it.place.clone())) {
                return Err(format!("request {request} clears the cookie, but {place} is live"));
            }
        }
        self.requests[request].cookie = cookie;
        Ok(())
    }

    /// All responses have arrived.
    pub(in crate::simulation) fn settled(
        &self,
        browsers: &[Browser],
        place: impl Fn(&str) -> Option<Place>,
    ) -> Checked {
        for (number, browser) in browsers.iter().enumerate() {
            let held = browser.cookie.as_deref().and_then(&place);
            self.check_browser(number, held.as_ref())
                .map_err(|why| format!("browser {number} {why}"))?;
        }
        Ok(())
    }

    fn check_browser(&self, browser: usize, held: Option<&Place>) -> Checked {
        let own = || self.requests.iter().enumerate().filter(|(_, it)| it.browser == browser);
        let mut changes = own().filter(|(_, it)| it.has_changed_identity());
        let Some((last, seen)) = changes.next() else { return Ok(()) };
        let is_only = changes.next().is_none();
        if !is_only || seen.fate != Fate::Delivered {
            return Ok(());
        }
        let due = match &seen.cookie {
            CookieChange::Set(place) => Some(place),
            _ => None,
        };
        // A request without a session cannot be distinguished from that of a new browser. A
        // repeated token may be overtaken within seconds. A request that began with the new cookie
        // may have changed it.
        let is_excused = own().any(|(at, it)| {
            let has_waited = |it: &Stage| {
                matches!(it.step, Step::Wait(_)) && matches!(it.outcome, Some(Outcome::Done(_)))
            };
            // A task after the response does not delay it.
            let of_handler = it.steps.iter().take_while(|it| it.step != Step::Spawn);
            let backwards = of_handler.collect::<Vec<_>>().into_iter().rev();
            let is_late =
                backwards.take_while(|it| matches!(it.step, Step::Wait(_))).any(has_waited);
            let is_repeated = it.presented.clone().map(CookieChange::Set).as_ref()
                == Some(&it.cookie)
                && !is_late;
            let is_later = it.has_begun_after.contains(&last);
            at != last
                && it.cookie != CookieChange::Kept
                && (it.is_unknown || is_repeated || is_later)
        });
        if held == due || is_excused {
            return Ok(());
        }
        Err(format!("holds {held:?}, but the response to request {last} set {due:?}"))
    }
}

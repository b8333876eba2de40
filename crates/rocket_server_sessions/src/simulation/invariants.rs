//! What must hold at every point of every run, whatever the order.
//!
//! The invariants observe each change of a record when Redis makes it, know which request sent the
//! command, and see the result of each step. So every rule is checked as soon as it can be broken:
//!
//! | rule | checked |
//! |---|---|
//! | a session has one live record, and an id never lives twice | at each change |
//! | a user's live session is on the user's index | at each change |
//! | a record changes only as the step of its author may change it (F3, I5) | at each change |
//! | a step that was done has had its effect, once, and shows what was there (I1, I5) | at its end |
//! | a step that failed has had no effect, and has none later | at its end and at each change |
//! | what a request writes goes to the session that it has read (pinned identity) | at its end |
//! | after a new token, a request uses only tokens that it created itself (F1) | at its end |
//! | a session that was destroyed has no record again (F2) | at each change |
//! | a response sets only a cookie that its request has created or confirmed (I4) | at the response |
//! | a browser has the session of its last change of identity (F4) | when all responses have arrived |
//! | every key has a time to live (I8), and every browser is served again | a minute later |

mod effects;
mod outcomes;
mod responses;
mod seen;

use std::collections::{HashMap, HashSet};

use seen::{CookieChange, Fate, Seen, Stage};

use super::keyspace::Keyspace;
use super::machine::Place;
use super::plan::Plan;
use super::records::{Record, effects, records, tombstones};
use super::step::{Outcome, Step};
use super::world::{Author, Event};

/// How long a dead token must be remembered, in milliseconds.
const TOMBSTONE: u64 = 30_000;

type Checked = Result<(), String>;

pub(super) struct Invariants {
    requests: Vec<Seen>,
    live: Vec<Record>,
    /// Which request has created a place, if any.
    makers: HashMap<Place, Option<usize>>,
    /// When a token died, in milliseconds of Redis' clock.
    deaths: HashMap<Place, u64>,
    /// Every session that has ever existed.
    ids: HashSet<String>,
    faults: usize,
}

impl Invariants {
    pub(super) fn new(keyspace: &Keyspace, plans: &[Plan]) -> Self {
        let live = records(keyspace);
        let mut new = Self {
            requests: Vec::new(),
            makers: live.iter().map(|it| (it.place.clone(), None)).collect(),
            deaths: tombstones(keyspace).map(|place| (place, keyspace.now())).collect(),
            ids: live.iter().map(|it| it.id.clone()).collect(),
            live,
            faults: 0,
        };
        for plan in plans {
            new.planned(plan);
        }
        new
    }

    pub(super) fn planned(&mut self, plan: &Plan) {
        let stage = |step: &Step| Stage {
            step: *step,
            effects: Vec::new(),
            outcome: None,
            views: Vec::new(),
            meant: Vec::new(),
        };
        self.requests.push(Seen {
            browser: plan.browser,
            steps: plan.steps.iter().map(stage).collect(),
            presented: None,
            is_unknown: true,
            was_dead: false,
            pinned: None,
            is_secured: false,
            cookie: CookieChange::Kept,
            has_begun_after: Vec::new(),
            fate: Fate::Open,
        });
    }

    pub(super) fn begun(&mut self, request: usize, presented: Option<Place>, keyspace: &Keyspace) {
        let delivered =
            self.requests.iter().enumerate().filter(|(_, it)| it.fate == Fate::Delivered);
        let before = delivered.map(|(at, _)| at).collect();
        let is_known = |place: &Place| {
            let died = self.deaths.get(place);
            self.live.iter().any(|it| it.place == *place)
                || died.is_some_and(|at| keyspace.now() - at < TOMBSTONE)
        };
        let is_unknown = !presented.as_ref().is_some_and(is_known);
        let was_dead =
            presented.as_ref().is_some_and(|it| self.live.iter().all(|live| live.place != *it));
        let seen = &mut self.requests[request];
        (seen.is_unknown, seen.was_dead) = (is_unknown, was_dead);
        (seen.presented, seen.has_begun_after) = (presented, before);
    }

    pub(super) fn delivered(&mut self, request: usize) {
        self.requests[request].fate = Fate::Delivered;
    }

    pub(super) fn dropped(&mut self, request: usize) {
        self.requests[request].fate = Fate::Dropped;
    }

    /// A fault was injected.
    pub(super) fn faulted(&mut self) {
        self.faults += 1;
    }

    /// Time has passed, and records may have expired.
    pub(super) fn aged(&mut self, keyspace: &Keyspace) {
        self.live = records(keyspace);
        let is_forgotten = |place: &Place| {
            self.deaths.get(place).is_some_and(|at| keyspace.now() - at >= TOMBSTONE)
        };
        for seen in self.requests.iter_mut().filter(|it| it.was_dead) {
            seen.is_unknown |= seen.presented.as_ref().is_some_and(is_forgotten);
        }
    }

    /// Redis has executed a unit of commands.
    pub(super) fn executed(
        &mut self,
        author: Author,
        before: &Keyspace,
        after: &Keyspace,
    ) -> Checked {
        if before == after {
            return Ok(());
        }
        let new = records(after);
        for record in &new {
            if new.iter().filter(|it| it.id == record.id).count() > 1 {
                return Err(format!("session {} has two live records", record.id));
            }
            if let Some(user) = record.user.as_ref().filter(|it| !record.is_indexed(it, after)) {
                return Err(format!("the index of {user} does not lead to {}", record.place));
            }
        }
        let done = effects(&self.live, &new);
        self.live = new;
        for effect in done {
            self.check_effect(author, &effect)?;
            if let Some(place) = effect.dead_place() {
                self.deaths.insert(place.clone(), after.now());
            }
            if let Some(record) = effect.after() {
                self.makers.entry(record.place.clone()).or_insert(match author {
                    Author::Step { request, .. } => Some(request),
                    Author::Detached(_) => None,
                });
            }
            if let Author::Step { request, step } = author
                && let Some(stage) = self.requests[request].steps.get_mut(step)
            {
                stage.effects.push(effect);
            }
        }
        self.look();
        Ok(())
    }

    /// Notes what every step in progress could see now.
    fn look(&mut self) {
        for request in 0..self.requests.len() {
            let known = self.known(request);
            let mut steps = self.requests[request].steps.iter_mut();
            let is_under_way = |it: &&mut Stage| !it.views.is_empty() && it.outcome.is_none();
            if let Some(stage) = steps.find(is_under_way) {
                stage.views.push(known);
            }
        }
    }

    /// The live records under the tokens that a request knows.
    fn known(&self, request: usize) -> Vec<Record> {
        let seen = &self.requests[request];
        let is_known = |it: &&Record| {
            seen.presented.as_ref() == Some(&it.place)
                || self.makers.get(&it.place) == Some(&Some(request))
        };
        self.live.iter().filter(is_known).cloned().collect()
    }

    /// A step has begun, or has returned its result.
    pub(super) fn happened(&mut self, event: Event) -> Checked {
        match event {
            Event::Began { request, step } => {
                let known = self.known(request);
                let stage = &mut self.requests[request].steps[step];
                stage.views.push(known);
                if let Step::DestroyAll(user) | Step::DestroyOthers(user) = stage.step {
                    let of_user = |it: &&Record| it.user.as_deref() == Some(user);
                    stage.meant =
                        self.live.iter().filter(of_user).map(|it| it.id.clone()).collect();
                }
                Ok(())
            }
            Event::Ended { request, step, outcome } => {
                self.requests[request].steps[step].outcome = Some(outcome.clone());
                let checked = match &outcome {
                    Outcome::Done(answer) => self.check_done(request, step, answer),
                    Outcome::Conflict | Outcome::TooLarge | Outcome::Unavailable => {
                        let stage = &self.requests[request].steps[step];
                        match stage.effects.first() {
                            Some(effect) => Err(format!("it has had the effect {effect:?}")),
                            None => Ok(()),
                        }
                    }
                    Outcome::Unknown | Outcome::GivenUp => {
                        self.requests[request].pinned = None;
                        Ok(())
                    }
                    Outcome::Fault(error) => Err(error.clone()),
                };
                let step = self.requests[request].steps[step].step;
                checked.map_err(|why| {
                    format!("{step:?} of request {request} ended with {outcome:?}, and {why}")
                })
            }
        }
    }

    /// The live record of the session that a place belongs to.
    fn at_id_of(&self, place: &str) -> Option<&Record> {
        let id = place.split_once('{')?.1.split_once('}')?.0;
        self.live.iter().find(|it| it.id == id)
    }

    /// A minute later, with every browser served.
    pub(super) fn over(keyspace: &Keyspace) -> Checked {
        for (key, entry) in keyspace.entries() {
            let key = String::from_utf8_lossy(key);
            if entry.expires.is_none() {
                return Err(format!("{key} has no time to live"));
            }
            if !key.starts_with("session:") {
                return Err(format!("{key} is not a key of sessions"));
            }
        }
        Ok(())
    }

    /// The last request was answered, and no other was running.
    pub(super) fn check_served(&self) -> Checked {
        let Some(seen) = self.requests.last() else { return Ok(()) };
        match seen.steps.last().and_then(|it| it.outcome.clone()) {
            Some(Outcome::Done(_)) => Ok(()),
            outcome => Err(format!("a request without concurrency ends with {outcome:?}")),
        }
    }
}

//! What is known about requests and their steps.

use crate::simulation::machine::Place;
use crate::simulation::records::{Effect, Record};
use crate::simulation::step::{Outcome, Step};

/// What is known about a request.
pub(super) struct Seen {
    pub(super) browser: usize,
    pub(super) steps: Vec<Stage>,
    pub(super) presented: Option<Place>,
    /// Whether the token was neither live when the request began nor had died within the 30 seconds
    /// before, or was forgotten since. Such a request cannot be distinguished from one of a new
    /// browser.
    pub(super) is_unknown: bool,
    /// Whether the token was not live when the request began.
    pub(super) was_dead: bool,
    /// The session that it has read or written, until it changed its identity.
    pub(super) pinned: Option<String>,
    /// Whether it got a new token, and the store acknowledged it.
    pub(super) is_secured: bool,
    /// What its response did to the cookie.
    pub(super) cookie: CookieChange,
    pub(super) has_begun_after: Vec<usize>,
    pub(super) fate: Fate,
}

/// What a response did to the cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CookieChange {
    Kept,
    Set(Place),
    Cleared,
}

/// The progress of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Answered,
    Delivered,
    /// It was aborted, or its response was lost.
    Dropped,
}

/// In which session something was found.
pub(super) enum Found {
    In(String),
    /// In none: a request without a session finds the same.
    Nothing,
    /// This was never true.
    Never,
}

/// What is known about a step of a request.
pub(super) struct Stage {
    pub(super) step: Step,
    pub(super) effects: Vec<Effect>,
    pub(super) outcome: Option<Outcome>,
    /// The records in the places that the request knew, at any time during the step.
    pub(super) views: Vec<Vec<Record>>,
    /// Sessions that its user had when it began.
    pub(super) meant: Vec<String>,
}

impl Stage {
    /// The session for which `is_so` was true at some point of the step.
    pub(super) fn found(&self, is_so: impl Fn(&Record) -> bool) -> Found {
        let nothing = Record {
            place: String::new(),
            id: String::new(),
            user: None,
            counts: [None; 4],
            note: None,
            idle: None,
        };
        let is_usual = is_so(&nothing);
        match self.views.iter().flatten().find(|it| is_so(it)) {
            Some(record) if !is_usual => Found::In(record.id.clone()),
            Some(_) => Found::Nothing,
            None if is_usual && self.views.iter().any(Vec::is_empty) => Found::Nothing,
            None => Found::Never,
        }
    }
}

impl Seen {
    /// Whether the headers of its response were sent.
    pub(super) fn has_headers(&self) -> bool {
        matches!(self.fate, Fate::Answered | Fate::Delivered)
    }

    /// Whether one of its first `steps` steps has left the presented session for a new one.
    pub(super) fn has_left(&self, steps: usize) -> bool {
        let mut effects = self.steps[..steps].iter().flat_map(|it| &it.effects);
        effects.any(|it| matches!(it, Effect::Created(_)))
    }

    /// Whether a step has replaced the token or destroyed the request's session, and the response
    /// changes the cookie accordingly. The handler need not have waited for the step.
    pub(super) fn has_changed_identity(&self) -> bool {
        let is_own = |it: &Effect| match it {
            Effect::Deleted(record) => self.presented.as_ref() == Some(&record.place),
            Effect::Created(_) | Effect::Changed { .. } => false,
        };
        let is_change = |it: &Stage| match it.step {
            Step::Regenerate | Step::LogIn(_) | Step::LogInWith(_) | Step::Destroy => {
                !it.effects.is_empty()
            }
            Step::DestroyAll(_) | Step::DestroyOthers(_) => it.effects.iter().any(is_own),
            _ => false,
        };
        self.cookie != CookieChange::Kept && self.steps.iter().any(is_change)
    }
}

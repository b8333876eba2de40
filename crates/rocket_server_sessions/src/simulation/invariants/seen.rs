//! What is known of requests and their steps.

use crate::simulation::machine::Place;
use crate::simulation::operations::{Outcome, Step};
use crate::simulation::records::{Effect, Record};

/// What is known of a request.
pub(super) struct Seen {
    pub(super) browser: usize,
    pub(super) steps: Vec<Stage>,
    pub(super) presented: Option<Place>,
    /// Whether the store knew nothing of that token when the request began: neither a record, nor a
    /// tombstone. Nobody can tell such a request from one of a new browser.
    pub(super) is_unknown: bool,
    /// The session that it has read or written, until it changed its identity.
    pub(super) pinned: Option<String>,
    /// Whether it has got a new token that was acknowledged.
    pub(super) is_secured: bool,
    /// What its response did to the cookie.
    pub(super) cookie: Option<Option<Place>>,
    pub(super) has_begun_after: Vec<usize>,
    pub(super) is_answered: bool,
    pub(super) is_delivered: bool,
    pub(super) is_dropped: bool,
}

/// What is known of a request's step.
pub(super) struct Stage {
    pub(super) step: Step,
    pub(super) effects: Vec<Effect>,
    pub(super) outcome: Option<Outcome>,
    /// What stood in the places that the request knew, at any time during the step.
    pub(super) views: Vec<Vec<Record>>,
    /// Sessions that its user had when it began.
    pub(super) meant: Vec<String>,
}

impl Stage {
    /// The session that was so at some time during the step: `Some(None)` if what was found is
    /// nothing, and there was no session at some time.
    pub(super) fn found(&self, is_so: impl Fn(&Record) -> bool) -> Option<Option<String>> {
        let nothing = Record {
            place: String::new(),
            id: String::new(),
            user: None,
            counts: [None; 3],
            note: None,
        };
        let found = self.views.iter().flatten().find(|it| is_so(it));
        if let Some(record) = found {
            return Some(Some(record.id.clone()).filter(|_| !is_so(&nothing)));
        }
        let was_nothing = self.views.iter().any(Vec::is_empty) && is_so(&nothing);
        was_nothing.then_some(None)
    }
}

impl Seen {
    /// Whether it has gone on in another session than it presented, in one of its first steps.
    pub(super) fn has_left(&self, steps: usize) -> bool {
        let mut effects = self.steps[..steps].iter().flat_map(|it| &it.effects);
        effects.any(|it| matches!(it, Effect::Created(_)))
    }

    /// Whether a step has acknowledged another token, or that there is none any more.
    pub(super) fn has_changed_identity(&self) -> bool {
        let is_change = |it: &Stage| match it.step {
            Step::Regenerate | Step::LogIn(_) | Step::Destroy => true,
            // Their own session was among those.
            Step::DestroyAll(_) | Step::DestroyOthers(_) => self.cookie == Some(None),
            _ => false,
        };
        let is_done = |it: &Stage| matches!(it.outcome, Some(Outcome::Done(_)));
        self.cookie.is_some()
            && self.steps.iter().any(|it| is_change(it) && is_done(it) && !it.effects.is_empty())
    }
}

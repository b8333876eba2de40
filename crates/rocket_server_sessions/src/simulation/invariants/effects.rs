//! What a step may do to a record.

use super::{Checked, Invariants};
use crate::simulation::operations::{LARGE, UPDATE};
use crate::simulation::records::{Effect, Record};
use crate::simulation::step::{Outcome, Step};
use crate::simulation::world::Author;

impl Invariants {
    /// Checks that this author may have this effect on a record.
    pub(super) fn check_effect(&mut self, author: Author, effect: &Effect) -> Checked {
        let wrong = |why: &str| Err(format!("{why}: {effect:?} by {author:?}"));
        let Author::Step { request, step: at } = author else {
            return wrong("detached work changes a session");
        };
        let Some(stage) = self.requests[request].steps.get(at) else {
            return wrong("a session changes after the handler's last step");
        };
        if let Some(outcome @ (Outcome::Conflict | Outcome::TooLarge | Outcome::Unavailable)) =
            &stage.outcome
        {
            return wrong(&format!("a step has an effect after it ended with {outcome:?}"));
        }
        let step = stage.step;
        let is_known = |it: &Record| self.known_before(request, it);
        let seen = &self.requests[request];
        let is_new_token = match effect {
            Effect::Created(_) => true,
            Effect::Changed { before, after } => before.place != after.place,
            Effect::Deleted(_) => false,
        };
        if is_new_token && seen.has_headers() && self.faults < 2 {
            return wrong("a token was created after the response was sent");
        }
        if let Effect::Changed { before, .. } = effect
            && !is_known(before)
        {
            return wrong("a request changes a session whose token it does not know");
        }
        match effect {
            Effect::Created(record) => {
                if !self.ids.insert(record.id.clone()) {
                    return wrong("a destroyed session has a record again");
                }
                let is_right = match step {
                    Step::View | Step::Increment => record.counts == [Some(1), None, None, None],
                    Step::Batch => record.counts == [None, Some(1), Some(1), None],
                    Step::Small => record.counts == [None, None, None, Some(LARGE)],
                    Step::Insert | Step::LogInWith(_) => {
                        record.note == Some(step.note((request, at)))
                    }
                    Step::Update => record.note.as_deref() == Some(UPDATE),
                    Step::LogIn(_) => record.is_empty(),
                    _ => false,
                };
                if is_right && record.user.as_deref() == step.user_to_log_in() {
                    Ok(())
                } else {
                    wrong("a session begins with the wrong content")
                }
            }
            Effect::Deleted(record) => {
                let is_allowed = match step {
                    Step::Destroy => is_known(record),
                    Step::LogIn(user) | Step::LogInWith(user) => {
                        is_known(record) && record.user.as_deref().is_some_and(|it| it != user)
                    }
                    Step::DestroyAll(user) | Step::DestroyOthers(user) => {
                        record.user.as_deref() == Some(user)
                    }
                    _ => false,
                };
                if is_allowed { Ok(()) } else { wrong("a step deletes a session, but may not") }
            }
            Effect::Changed { before, after } if before.place != after.place => {
                let is_allowed = match step {
                    Step::Regenerate => after.user == before.user,
                    // The content of another user's session must not be taken over.
                    Step::LogIn(user) | Step::LogInWith(user) => {
                        after.user.as_deref() == Some(user)
                            && before.user.as_deref().is_none_or(|it| it == user)
                    }
                    _ => false,
                };
                let mut due = before.clone();
                if let Step::LogInWith(_) = step {
                    due.note = Some(step.note((request, at)));
                }
                let is_same = due.holds_same(after);
                if is_allowed && is_same { Ok(()) } else { wrong("a session was rotated wrongly") }
            }
            Effect::Changed { before, after } => {
                let mut due = before.clone();
                let add = |count: &mut Option<i64>| *count = Some(count.unwrap_or(0) + 1);
                match step {
                    Step::View | Step::Increment => add(&mut due.counts[0]),
                    Step::Batch => due.counts[1..3].iter_mut().for_each(add),
                    Step::Insert | Step::InsertFirst => due.note = Some(step.note((request, at))),
                    Step::Update => due.note = Some(due.note.unwrap_or_default() + UPDATE),
                    Step::Small if due.counts[3].is_none() => due.counts[3] = Some(LARGE),
                    Step::Clear => (due.counts, due.note) = ([None; 4], None),
                    Step::RememberFor => due.idle.clone_from(&after.idle),
                    // Undoes what the request itself chose before.
                    Step::Remember => due.idle = None,
                    Step::Take | Step::Remove => due.note = None,
                    _ => return wrong("a step changes a session, but may not"),
                }
                if due == *after { Ok(()) } else { wrong("a session has the wrong content") }
            }
        }
    }

    /// Whether a request knew the token of a record, which may be gone by now.
    fn known_before(&self, request: usize, record: &Record) -> bool {
        self.requests[request].presented.as_ref() == Some(&record.place)
            || self.makers.get(&record.place) == Some(&Some(request))
    }
}

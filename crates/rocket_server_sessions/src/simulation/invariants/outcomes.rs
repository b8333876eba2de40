//! What a step must have done if it returns `Ok`.

use super::seen::Found;
use super::{Checked, Invariants};
use crate::simulation::operations::LARGE;
use crate::simulation::records::{Effect, Record};
use crate::simulation::step::{Answer, Step};

impl Invariants {
    pub(super) fn check_done(&mut self, request: usize, at: usize, answer: &Answer) -> Checked {
        let seen = &self.requests[request];
        let stage = &seen.steps[at];
        let only = || match stage.effects.as_slice() {
            [effect] => Ok(effect.clone()),
            other => Err(format!("it has had {} effects: {other:?}", other.len())),
        };
        let written = |record: &Record| {
            let is_own = self.makers.get(&record.place) == Some(&Some(request));
            if seen.is_secured && !is_own {
                return Err("it wrote with an earlier token".to_owned());
            }
            Ok(record.id.clone())
        };
        // Checks the record after the step's only effect.
        let left = |is_right: &dyn Fn(&Record) -> bool| -> Result<String, String> {
            let effect = only()?;
            let record = effect.after().ok_or("it left no record")?;
            if !is_right(record) {
                return Err(format!("the record holds {record:?}"));
            }
            written(record)
        };
        let id = match (stage.step, answer) {
            (Step::View, Answer::Fields(counts, _)) => Some(left(&|it| it.counts[0] == counts[0])?),
            (Step::Batch, Answer::Fields(counts, _)) => {
                Some(left(&|it| it.counts[1..3] == counts[1..3])?)
            }
            (Step::Increment, Answer::Count(count)) => {
                Some(left(&|it| it.counts[0] == Some(*count))?)
            }
            (Step::Small, Answer::Count(sum)) => Some(left(&|it| it.counts[3] == Some(*sum))?),
            (Step::Small, _) => match stage.effects.first() {
                Some(effect) => return Err(format!("it has had the effect {effect:?}")),
                None => found(stage.found(|it| it.counts[3] == Some(LARGE)), "the sum fits")?,
            },
            (Step::Clear, _) => match stage.effects.first() {
                Some(effect) => Some(written(effect.after().ok_or("it left no record")?)?),
                None => found(stage.found(Record::is_empty), "the session was never empty")?,
            },
            (Step::RememberFor, _) => {
                let is_kept = |it: &Record| it.idle.is_some() || it.place.is_empty();
                found(stage.found(is_kept), "the session got no idle timeout")?
            }
            (Step::Insert | Step::InsertFirst, _) => Some(left(&|_| true)?),
            (Step::Update, Answer::Text(text)) => Some(left(&|it| it.note == *text)?),
            (Step::Take, Answer::Text(Some(text))) => match only()? {
                Effect::Changed { before, .. } if before.note.as_ref() == Some(text) => {
                    Some(written(&before)?)
                }
                effect => return Err(format!("it has had the effect {effect:?}")),
            },
            (Step::Take, _) => match stage.effects.first() {
                Some(effect) => return Err(format!("it has had the effect {effect:?}")),
                None => found(stage.found(|it| it.note.is_none()), "there always was a note")?,
            },
            (Step::Remove, _) => match stage.effects.first() {
                Some(effect) => Some(written(effect.after().ok_or("it left no record")?)?),
                None => found(stage.found(|it| it.note.is_none()), "there always was a note")?,
            },
            (Step::Get, Answer::Text(text)) => {
                found(stage.found(|it| it.note == *text), "the note never had this value")?
            }
            (Step::User, Answer::Text(user)) => {
                found(stage.found(|it| it.user == *user), "this user was never logged in")?
            }
            (Step::Snapshot, Answer::Fields(counts, text)) => found(
                stage.found(|it| it.counts == *counts && it.note == *text),
                "the record never had this content",
            )?,
            (Step::List(user), Answer::Sessions(ids)) => {
                let is_theirs = |it: &&Record| it.user.as_deref() == Some(user);
                let missing = self.live.iter().filter(is_theirs).find(|it| {
                    let is_old = self.makers.get(&it.place) == Some(&None);
                    is_old && !ids.contains(&it.id)
                });
                match missing {
                    Some(record) => return Err(format!("the list lacks {}", record.id)),
                    None => None,
                }
            }
            (Step::Regenerate | Step::LogIn(_) | Step::LogInWith(_), _) => {
                return self.check_identity(request, at);
            }
            (Step::Destroy | Step::DestroyAll(_) | Step::DestroyOthers(_), Answer::Nothing) => {
                return self.check_destroyed(request, at);
            }
            _ => None,
        };
        let Some(id) = id else { return Ok(()) };
        let pinned = &mut self.requests[request].pinned;
        match pinned {
            Some(pinned) if *pinned != id => {
                Err(format!("it used {id} after it had used {pinned}"))
            }
            _ => {
                *pinned = Some(id);
                Ok(())
            }
        }
    }

    /// After a rotation, only the new token of this request gives access to the session.
    fn check_identity(&mut self, request: usize, at: usize) -> Checked {
        let seen = &self.requests[request];
        let stage = &seen.steps[at];
        let gained = stage.effects.iter().filter_map(Effect::after).collect::<Vec<_>>();
        match (stage.step, gained.as_slice()) {
            (_, [record]) if self.makers.get(&record.place) == Some(&Some(request)) => {
                let id = record.id.clone();
                let seen = &mut self.requests[request];
                (seen.is_secured, seen.pinned) = (true, Some(id));
                Ok(())
            }
            (Step::Regenerate, []) => match self.known(request).first() {
                Some(record) => {
                    Err(format!("the old token still gives access to {}", record.place))
                }
                None => match seen.presented.as_deref().and_then(|it| self.at_id_of(it)) {
                    Some(record) if !seen.is_unknown => {
                        Err(format!("its session is still live at {}", record.place))
                    }
                    _ => Ok(()),
                },
            },
            (_, other) => Err(format!("it has left {other:?}")),
        }
    }

    fn check_destroyed(&mut self, request: usize, at: usize) -> Checked {
        let seen = &self.requests[request];
        let stage = &seen.steps[at];
        let mut gone: Vec<String> = stage.effects.iter().map(|it| it.id().to_owned()).collect();
        match stage.step {
            Step::DestroyOthers(_) => {
                let is_own = |id: &&String| {
                    let made = self.known(request).iter().any(|it| it.id == **id);
                    made || seen.presented.as_ref().is_some_and(|it| it.contains(*id))
                };
                gone.extend(stage.meant.iter().filter(|id| !is_own(id)).cloned());
            }
            Step::DestroyAll(_) => gone.extend(stage.meant.iter().cloned()),
            _ => {
                let own = self.known(request).first().map(|it| it.id.clone());
                let presented = seen.presented.as_deref().and_then(|it| self.at_id_of(it));
                let presented = presented.filter(|_| !seen.has_left(at) && !seen.is_unknown);
                let presented = presented.map(|it| it.id.clone());
                gone.extend(own.into_iter().chain(presented));
            }
        }
        for id in gone {
            if let Some(record) = self.live.iter().find(|it| it.id == id) {
                return Err(format!("{} is live", record.place));
            }
            self.ids.insert(id);
        }
        self.requests[request].pinned = None;
        Ok(())
    }
}

/// The session in which something was found, if it was found in one.
fn found(found: Found, never: &str) -> Result<Option<String>, String> {
    match found {
        Found::In(id) => Ok(Some(id)),
        Found::Nothing => Ok(None),
        Found::Never => Err(never.to_owned()),
    }
}

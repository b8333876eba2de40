//! Changes on their way to a record, and what they leave and come to.

use super::store::{Fields, Live, Op, Outcome, Read, Request};

/// Changes on their way. A rotation in their midst parts them: the first were made in the record
/// and have moved with it, the others are still to be made.
pub(super) struct Task {
    done: Vec<Op>,
    outcomes: Vec<Outcome>,
    pub(super) request: Request,
}

impl Task {
    pub(super) fn new(ops: Vec<Op>, read: Read) -> Self {
        let request = Request { ops, read, ttl: None };
        Self { done: Vec::new(), outcomes: Vec::new(), request }
    }

    pub(super) fn is_look(&self) -> bool {
        self.request.ops.is_empty()
    }

    /// Whether some of the changes were made already.
    pub(super) fn has_begun(&self) -> bool {
        !self.done.is_empty()
    }

    /// So many of the changes were made.
    pub(super) fn advance(&mut self, outcomes: Vec<Outcome>) {
        self.done.extend(self.request.ops.drain(..outcomes.len()));
        self.outcomes.extend(outcomes);
    }

    /// The last of them were made: the fields as all of them have left them, whatever others did
    /// meanwhile.
    pub(super) fn finish(mut self, live: Live) -> Live {
        self.done.append(&mut self.request.ops);
        self.outcomes.extend(live.outcomes);
        let fields = changed(live.fields, &self.done, &self.outcomes);
        Live { outcomes: self.outcomes, fields }
    }
}

/// The fields as the changes themselves leave them.
fn changed(mut fields: Fields, ops: &[Op], outcomes: &[Outcome]) -> Fields {
    for pair in ops.iter().zip(outcomes) {
        match pair {
            (Op::Insert(name, value), _) => {
                fields.insert(name.clone(), value.clone());
            }
            (Op::Increment(name, _), Outcome::Count(count)) => {
                fields.insert(name.clone(), count.to_string());
            }
            (Op::Increment(..), _) => {}
            (Op::Remove(name) | Op::Take(name), _) => {
                fields.remove(name);
            }
        }
    }
    fields
}

/// The changes that lead back, but for what was removed on purpose. A field that an increment has
/// made is taken, so that what others have added meanwhile is seen.
pub(super) fn undone(ops: &[Op], outcomes: &[Outcome]) -> Vec<Op> {
    let mut back = Vec::new();
    for (op, outcome) in ops.iter().zip(outcomes).rev() {
        match (op, outcome) {
            (Op::Increment(name, by), Outcome::Count(sum)) => {
                back.push(Op::Increment(name.clone(), by.wrapping_neg()));
                if by == sum {
                    back.push(Op::Take(name.clone()));
                }
            }
            (Op::Insert(name, _), Outcome::Replaced(Some(before))) => {
                back.push(Op::Insert(name.clone(), before.clone()));
            }
            (Op::Insert(name, _), _) => back.push(Op::Remove(name.clone())),
            _ => {}
        }
    }
    back
}

/// What changes come to where there is nothing yet.
pub(super) fn fresh(ops: &[Op]) -> (Fields, Vec<Outcome>) {
    let mut fields = Fields::new();
    let outcomes = ops.iter().map(|op| op.carry_out(&mut fields)).collect();
    (fields, outcomes)
}

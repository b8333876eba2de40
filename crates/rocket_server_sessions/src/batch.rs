//! Several changes and a look at everything, in one round trip.

use serde::Serialize;

use super::error::{Error, Result};
use super::key::Field;
use super::lifecycle::Lifecycle;
use super::snapshot::Snapshot;
use super::store::{Live, Op, Outcome, Read};

/// Changes that wait to be sent together; [`Session::batch`](super::Session::batch) starts one.
///
/// Nothing is sent before [`commit`](Self::commit).
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<'r> {
    lifecycle: Lifecycle<'r>,
    ops: Vec<Op>,
    fault: Option<Error>,
}

impl<'r> Batch<'r> {
    pub(super) fn new(lifecycle: Lifecycle<'r>) -> Self {
        Self { lifecycle, ops: Vec::new(), fault: None }
    }

    /// Sets `field` to `value`. A value that JSON cannot express fails the commit.
    pub fn insert<T: Serialize>(mut self, field: impl Into<Field<T>>, value: &T) -> Self {
        let field = field.into();
        match encode(&field, value) {
            Ok(text) => self.ops.push(Op::Insert(field.into_name(), text)),
            Err(error) => self.fault = self.fault.or(Some(error)),
        }
        self
    }

    /// Adds `by` to `field`; a missing field counts as 0.
    pub fn increment(mut self, field: impl Into<Field<i64>>, by: i64) -> Self {
        self.ops.push(Op::Increment(field.into().into_name(), by));
        self
    }

    /// Reads `field` and deletes it in one step: the commit's snapshot shows what it held, and no
    /// other request sees it again. Made for a message that is shown once.
    pub fn take<T>(mut self, field: impl Into<Field<T>>) -> Self {
        self.ops.push(Op::Take(field.into().into_name()));
        self
    }

    /// Deletes `field`.
    pub fn remove<T>(mut self, field: impl Into<Field<T>>) -> Self {
        self.ops.push(Op::Remove(field.into().into_name()));
        self
    }

    /// Sends the changes, and gives all fields as they are then.
    ///
    /// One round trip: a command for each change, two for an insertion, four for a field that is
    /// taken, and one that reads. An increment is exact, however many run beside it; of the other
    /// fields, the snapshot shows what this round trip has seen.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::OutcomeUnknown`] of the store; [`Error::TooLarge`], and
    /// then what was inserted and counted is taken back in a second round trip;
    /// [`Error::NotAnInteger`], and the other changes stand; [`Error::Serialize`] before anything is sent.
    pub async fn commit(self) -> Result<Snapshot> {
        if let Some(error) = self.fault {
            return Err(error);
        }
        let names: Vec<String> = self.ops.iter().map(|op| op.field().to_owned()).collect();
        let Live { outcomes, mut fields } = self.lifecycle.run(self.ops, Read::Everything).await?;
        for (field, outcome) in names.into_iter().zip(outcomes) {
            match outcome {
                Outcome::NotAnInteger => return Err(Error::NotAnInteger { field }),
                Outcome::Taken(Some(text)) => drop(fields.insert(field, text)),
                _ => {}
            }
        }
        Ok(Snapshot::new(fields))
    }
}

pub(super) fn encode<T: Serialize>(field: &Field<T>, value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|source| Error::Serialize { field: field.name().to_owned(), source })
}

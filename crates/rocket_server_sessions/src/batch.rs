//! Several changes that are sent in one round trip.

use crate::error::{Error, Result};
use crate::key::Field;
use crate::request::RequestSession;
use crate::snapshot::Snapshot;
use crate::store::{Applied, Fields, Op, OpResult, Update};
use crate::value::{Counter, Integer, Value, encode};

/// A set of changes that are sent in one round trip. Created by
/// [`Session::batch`](super::Session::batch).
///
/// Nothing is sent before [`commit`](Self::commit).
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<'r> {
    request: &'r RequestSession,
    ops: Vec<Op>,
    /// What each increment's sum must fit into.
    counters: Vec<Counter>,
    error: Option<Error>,
}

impl<'r> Batch<'r> {
    pub(super) fn new(request: &'r RequestSession) -> Self {
        Self { request, ops: Vec::new(), counters: Vec::new(), error: None }
    }

    /// Sets `field` to `value`. If the value cannot be serialized, [`commit`](Self::commit) returns
    /// an error.
    pub fn insert<T>(mut self, field: impl Into<Field<T>>, value: impl Value<T>) -> Self {
        let field = field.into();
        match encode(&field, value) {
            Ok(text) => self.ops.push(Op::Insert(field.into_name(), text)),
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }

    /// Adds `by` to `field`; a missing field counts as 0.
    pub fn increment<T: Integer>(mut self, field: impl Into<Field<T>>, by: i64) -> Self {
        self.counters.push(Counter::of::<T>());
        self.ops.push(Op::Increment(field.into().into_name(), by));
        self
    }

    /// Atomically reads and deletes `field`. The snapshot that [`commit`](Self::commit) returns
    /// contains its value; no other request can read it. Useful for flash messages.
    pub fn take<T>(mut self, field: impl Into<Field<T>>) -> Self {
        self.ops.push(Op::Take(field.into().into_name()));
        self
    }

    /// Deletes `field`.
    pub fn remove<T>(mut self, field: impl Into<Field<T>>) -> Self {
        self.ops.push(Op::Remove(field.into().into_name()));
        self
    }

    /// Sends the changes and returns a snapshot of the session after them. Other requests see all
    /// of the changes or none. If an increment is refused because its field is not an integer, the
    /// other changes are still made.
    ///
    /// One round trip; the [table of costs](crate::docs::cost) lists the commands.
    ///
    /// # Errors
    ///
    /// [`Error::Serialize`] if a value cannot be serialized, and [`Error::TooLarge`] if a limit is
    /// exceeded. In both cases, nothing was changed. [`Error::NotAnInteger`] if an incremented field
    /// is not an integer or the sum overflows, and [`Error::OutOfRange`] if the sum does not fit into
    /// the key's type; the other changes were made. For the errors common to all methods, see
    /// [`Session`](crate::Session#errors).
    pub async fn commit(self) -> Result<Snapshot> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let max_size = Some(self.request.sessions.config.max_record_size);
        let update = Update { ops: self.ops.clone(), read: Fields::All, max_size };
        let Applied { results, mut fields, .. } = self.request.run(update).await?;
        let mut counters = self.counters.into_iter();
        let (mut undo, mut error) = (Vec::new(), None);
        for (op, result) in self.ops.into_iter().zip(results) {
            let counter = matches!(op, Op::Increment(..)).then(|| counters.next()).flatten();
            let field = op.field().to_owned();
            let failure = match (result, counter, op) {
                (OpResult::NotAnInteger, ..) => Some(Error::NotAnInteger { field }),
                (OpResult::Count(sum), Some(counter), Op::Increment(_, by)) => {
                    // Others may have counted before the fields were read.
                    fields.insert(field.clone(), sum.to_string());
                    let failure = counter.check(&field, sum).err();
                    if failure.is_some() {
                        undo.push(Op::Increment(field, by.saturating_neg()));
                    }
                    failure
                }
                (OpResult::Taken(Some(text)), ..) => {
                    fields.insert(field, text);
                    None
                }
                _ => None,
            };
            error = error.or(failure);
        }
        if !undo.is_empty() {
            let update = Update { ops: undo, read: Fields::Some(vec![]), max_size: None };
            self.request.run(update).await.map_err(Error::partially_applied)?;
        }
        error.map_or_else(|| Ok(Snapshot::new(fields, self.request)), Err)
    }
}

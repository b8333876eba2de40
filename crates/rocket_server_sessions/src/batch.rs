//! Several changes that are sent in one round trip.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::key::Field;
use crate::request::RequestSession;
use crate::snapshot::Snapshot;
use crate::store::{Applied, Fields, Op, OpResult, Update};

/// A set of changes that are sent in one round trip. Created by
/// [`Session::batch`](super::Session::batch).
///
/// Nothing is sent before [`commit`](Self::commit).
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<'r> {
    request: &'r RequestSession,
    ops: Vec<Op>,
    error: Option<Error>,
}

impl<'r> Batch<'r> {
    pub(super) fn new(request: &'r RequestSession) -> Self {
        Self { request, ops: Vec::new(), error: None }
    }

    /// Sets `field` to `value`. If the value cannot be serialized, [`commit`](Self::commit) returns
    /// an error.
    pub fn insert<T: Serialize>(mut self, field: impl Into<Field<T>>, value: &T) -> Self {
        let field = field.into();
        match encode(&field, value) {
            Ok(text) => self.ops.push(Op::Insert(field.into_name(), text)),
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }

    /// Adds `by` to `field`; a missing field counts as 0.
    pub fn increment(mut self, field: impl Into<Field<i64>>, by: i64) -> Self {
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
    /// is not an integer or the sum overflows; the other changes were made. For the errors common to
    /// all methods, see [`Session`](crate::Session#errors).
    pub async fn commit(self) -> Result<Snapshot> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let names: Vec<String> = self.ops.iter().map(|op| op.field().to_owned()).collect();
        let max_size = Some(self.request.sessions.config.max_record_size);
        let update = Update { ops: self.ops, read: Fields::All, max_size };
        let Applied { results, mut fields, .. } = self.request.run(update).await?;
        for (field, result) in names.into_iter().zip(results) {
            match result {
                OpResult::NotAnInteger => return Err(Error::NotAnInteger { field }),
                OpResult::Taken(Some(text)) => drop(fields.insert(field, text)),
                // Others may have counted before the fields were read.
                OpResult::Count(sum) => drop(fields.insert(field, sum.to_string())),
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

//! Several changes that are sent in one round trip.

use std::any::type_name;

use crate::debug::opaque_debug;
use crate::error::{Error, Result};
use crate::key::Field;
use crate::request::RequestSession;
use crate::snapshot::Snapshot;
use crate::store::{Applied, Op, OpResult, Selection, Update};
use crate::value::{Integer, Value, encode, increment, sum_of};

/// A set of changes that are sent in one round trip. Created by
/// [`Session::batch`](super::Session::batch).
///
/// Nothing is sent before [`commit`](Self::commit). Each method takes the batch and returns it, so
/// a loop assigns it again:
///
/// ```
/// # use rocket_server_sessions::{Key, Result, Session};
/// const CART: Key<u32> = Key::new("cart");
///
/// # async fn run(session: Session<'_>, sold_out: Vec<String>) -> Result<()> {
/// let mut batch = session.batch();
/// for item in &sold_out {
///     batch = batch.remove(CART.at(item));
/// }
/// batch.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// [`Session::remove_items`](crate::Session::remove_items) removes a whole family.
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<'r> {
    request: &'r RequestSession,
    ops: Vec<Op>,
    /// The type of each field that is incremented.
    integers: Vec<&'static str>,
    error: Option<Error>,
}

opaque_debug!("Batch", Batch<'_>);

impl<'r> Batch<'r> {
    pub(super) fn new(request: &'r RequestSession) -> Self {
        Self { request, ops: Vec::new(), integers: Vec::new(), error: None }
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
        self.integers.push(type_name::<T>());
        self.ops.push(increment::<T>(field, by));
        self
    }

    /// Atomically reads and deletes `field`. The snapshot that [`commit`](Self::commit) returns
    /// contains its value; no other request can read it. Useful for flash messages.
    pub fn take<T>(mut self, field: impl Into<Field<T>>) -> Self {
        self.ops.push(Op::Take(field.into().into_name()));
        self
    }

    /// Deletes all fields, as [`Session::clear`](crate::Session::clear) does. Changes that follow
    /// in the batch are made afterwards.
    pub fn clear(mut self) -> Self {
        self.ops.push(Op::Clear);
        self
    }

    /// Deletes `field`.
    pub fn remove<T>(mut self, field: impl Into<Field<T>>) -> Self {
        self.ops.push(Op::Remove(field.into().into_name()));
        self
    }

    /// Sends the changes and returns a snapshot of the session after them. Other requests see all
    /// of the changes or none. If an increment is refused because its field is not an integer, or
    /// the sum does not fit, the other changes are still made.
    ///
    /// One round trip; the [table of costs](crate::docs::cost) lists the commands.
    ///
    /// # Errors
    ///
    /// [`Error::Serialize`] if a value cannot be serialized, [`Error::TooLarge`] if a limit is
    /// exceeded, and [`Error::TooManyChanges`] for more than 10,000 changes. In these cases,
    /// nothing was changed. [`Error::NotAnInteger`] if an incremented field is not an integer, and
    /// [`Error::OutOfRange`] if the sum does not fit into the key's type; the other changes were
    /// made. For the errors common to all methods, see [`Session`](crate::Session#errors).
    pub async fn commit(self) -> Result<Snapshot> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let max_size = Some(self.request.shared.config.max_record_size);
        let update = Update { ops: self.ops.clone(), read: Selection::All, max_size };
        let Applied { results, mut fields, .. } = self.request.run(update).await?;
        let mut integers = self.integers.into_iter();
        let mut error = None;
        for (op, result) in self.ops.iter().zip(results) {
            let field = op.field();
            if matches!(op, Op::Increment { .. }) {
                match sum_of(field, &result, integers.next().unwrap_or_default()) {
                    // Another request may have incremented the field before it was read.
                    Ok(Some(sum)) => drop(fields.insert(field.to_owned(), sum.to_string())),
                    Ok(None) => {}
                    Err(refused) => error = error.or(Some(refused)),
                }
            } else if let OpResult::Taken(Some(text)) = result {
                fields.insert(field.to_owned(), text);
            }
        }
        error.map_or_else(|| Ok(Snapshot::new(fields, self.request)), Err)
    }
}

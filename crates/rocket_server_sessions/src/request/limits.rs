//! How much a request may store.

use std::time::SystemTime;

use super::session::RequestSession;
use crate::error::{Error, Result};
use crate::store::{LoggedIn, Op, USER, Values, size};

/// The maximum length of a field's name in bytes.
const MAX_FIELD_NAME: usize = 256;

/// The maximum number of changes that are sent at once. Redis serves no other request while it
/// makes them.
const MAX_CHANGES: usize = 10_000;

/// The maximum length of a user's name in bytes.
const MAX_USER: usize = 256;

/// The maximum length of a label in characters.
const MAX_LABEL: usize = 120;

impl RequestSession {
    /// Checks the user's name, and truncates the label.
    pub(super) fn login_of(user: &str, label: &str, time: SystemTime) -> Result<LoggedIn> {
        if user.is_empty() {
            return Err(Error::EmptyUser);
        }
        if user.len() > MAX_USER {
            let (what, size, limit) = ("the length of the user's name", user.len(), MAX_USER);
            return Err(Error::TooLarge { field: USER.to_owned(), what, size, limit });
        }
        let label: String = label.chars().filter(|it| !it.is_control()).take(MAX_LABEL).collect();
        Ok(LoggedIn::new(user, &label, time))
    }

    /// Checks fields that are set at a log-in.
    pub(super) fn check_fields(&self, fields: &Values) -> Result<()> {
        let insert = |(name, text): (&String, &String)| Op::Insert(name.clone(), text.clone());
        let ops: Vec<_> = fields.iter().map(insert).collect();
        let (size, limit) = (size(fields), self.shared.config.max_record_size);
        if size > limit { Err(self.too_large(&ops, size)) } else { self.check(&ops) }
    }

    /// Checks changes.
    pub(super) fn check(&self, ops: &[Op]) -> Result<()> {
        if ops.len() > MAX_CHANGES {
            return Err(Error::TooManyChanges { changes: ops.len(), limit: MAX_CHANGES });
        }
        for op in ops {
            let name = op.field();
            let size = match op {
                Op::Insert(_, value) | Op::CompareExchange { new: value, .. } => value.len(),
                Op::Increment { .. } | Op::Remove(_) | Op::Take(_) | Op::Clear => 0,
            };
            let limit = self.shared.config.max_field_size;
            let too_large = |what, size, limit| {
                Err(Error::TooLarge { field: name.to_owned(), what, size, limit })
            };
            if name.len() > MAX_FIELD_NAME {
                return too_large("the length of its name", name.len(), MAX_FIELD_NAME);
            }
            if size > limit {
                return too_large("the length of its value", size, limit);
            }
        }
        Ok(())
    }

    /// The error of changes that would make the session too large.
    pub(super) fn too_large(&self, ops: &[Op], size: usize) -> Error {
        let grows = |op: &&Op| !matches!(op, Op::Remove(_) | Op::Take(_) | Op::Clear);
        let field = ops.iter().find(grows).map_or("", Op::field).to_owned();
        let limit = self.shared.config.max_record_size;
        Error::TooLarge { field, what: "the size of the session", size, limit }
    }
}

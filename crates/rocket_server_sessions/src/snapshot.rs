//! All fields of a session, from one round trip.

use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use super::key::Field;
use super::store::{USER, Values};

/// All fields of a session at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    fields: Values,
}

impl Snapshot {
    pub(super) fn new(fields: Values) -> Self {
        Self { fields }
    }

    /// Returns the value of a field, or `None` if it does not exist. No round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`] if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        self.fields.get(field.name()).map(|text| decode(field.name(), text)).transpose()
    }

    /// The user that was passed to [`log_in`]. No round trip.
    ///
    /// [`log_in`]: super::Session::log_in
    #[must_use]
    pub fn user(&self) -> Option<String> {
        self.fields.get(USER).cloned()
    }

    /// The number of fields, not counting the crate's own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.keys().filter(|name| !name.starts_with('@')).count()
    }

    /// Returns `true` if there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub(super) fn decode<T: DeserializeOwned>(field: &str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|source| Error::Deserialize { field: field.to_owned(), source })
}

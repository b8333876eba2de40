//! A session's fields as one round trip has seen them.

use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use super::key::Field;
use super::store::{USER, Values};

/// A session's fields as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    fields: Values,
}

impl Snapshot {
    pub(super) fn new(fields: Values) -> Self {
        Self { fields }
    }

    /// What `field` holds; `None` where there is no such field. No round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`] where it holds something other than a `T`.
    pub fn get<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        self.fields.get(field.name()).map(|text| decode(field.name(), text)).transpose()
    }

    /// Which user is logged in, as [`log_in`] was told. No round trip.
    ///
    /// [`log_in`]: super::Session::log_in
    #[must_use]
    pub fn user(&self) -> Option<String> {
        self.fields.get(USER).cloned()
    }

    /// How many fields there are, without what the layer keeps for itself.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.keys().filter(|name| !name.starts_with('@')).count()
    }

    /// Whether there are none, as in the session of somebody who is new.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub(super) fn decode<T: DeserializeOwned>(field: &str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|source| Error::Deserialize { field: field.to_owned(), source })
}

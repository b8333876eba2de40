//! All fields of a session, from one round trip.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::event::Event;
use crate::id::PublicId;
use crate::key::{Field, Key};
use crate::request::RequestSession;
use crate::shared::Shared;
use crate::store::{LoggedIn, Values, is_reserved};
use crate::user::User;
use crate::value::decode;

/// All fields of a session at one moment. Its methods make no round trip.
///
/// ```
/// # use rocket_server_sessions::{Key, Result, Session};
/// const NAME: Key<String> = Key::new("name");
/// const CART: Key<u32> = Key::new("cart");
///
/// #[rocket::get("/cart")]
/// async fn cart(session: Session<'_>) -> Result<String> {
///     let all = session.snapshot().await?;
///     let mut page = format!("{}\n", all.get(NAME)?.unwrap_or_else(|| "stranger".into()));
///     for (item, count) in all.items(CART)? {
///         page += &format!("{count} x {item}\n");
///     }
///     Ok(page)
/// }
/// ```
#[derive(Clone)]
pub struct Snapshot {
    fields: Values,
    /// Where a field that cannot be decoded is reported.
    origin: Option<(Arc<Shared>, PublicId)>,
}

impl Snapshot {
    /// A snapshot of the session of a request.
    pub(super) fn new(fields: Values, request: &RequestSession) -> Self {
        let origin = request.identity().map(|it| (request.shared.clone(), it.record.id));
        Self { fields, origin }
    }

    /// Returns the value of a field, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`](crate::Error::Deserialize) if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        let Some(text) = self.fields.get(field.name()) else { return Ok(None) };
        self.decode(&field, text)
    }

    /// Returns the value of a field, or the type's default if it does not exist.
    ///
    /// # Errors
    ///
    /// The same as [`get`](Self::get).
    pub fn get_or_default<T: DeserializeOwned + Default>(
        &self,
        field: impl Into<Field<T>>,
    ) -> Result<T> {
        self.get(field).map(Option::unwrap_or_default)
    }

    /// Returns the JSON text of a field by its name, such as `cart:tea`.
    #[must_use]
    pub fn get_json(&self, name: &str) -> Option<&str> {
        self.fields.get(name).filter(|_| !is_reserved(name)).map(String::as_str)
    }

    /// Returns `true` if a field exists.
    #[must_use]
    pub fn contains_key<T>(&self, field: impl Into<Field<T>>) -> bool {
        self.fields.contains_key(field.into().name())
    }

    /// The names of all fields, sorted.
    ///
    /// ```
    /// # use rocket_server_sessions::{Result, Session};
    /// #[rocket::get("/my-data")]
    /// async fn export(session: Session<'_>) -> Result<String> {
    ///     let all = session.snapshot().await?;
    ///     let line = |name| format!("{name} = {}\n", all.get_json(name).unwrap_or_default());
    ///     Ok(all.keys().map(line).collect())
    /// }
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str).filter(|name| !is_reserved(name))
    }

    /// The items of a family with their values, sorted by item, as text: `10` comes before `9`. To
    /// sort numbers, pad them: `CART.at(format!("{id:010}"))`.
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`](crate::Error::Deserialize) if a value is not a `T`.
    pub fn items<T: DeserializeOwned>(&self, family: Key<T>) -> Result<Vec<(&str, T)>> {
        let prefix = family.family();
        let mut items = Vec::new();
        for (name, text) in self.fields.range(prefix.clone()..) {
            let Some(item) = name.strip_prefix(&prefix) else { break };
            if let Some(value) = self.decode(&family.at(item), text)? {
                items.push((item, value));
            }
        }
        Ok(items)
    }

    /// The user who was logged in when the snapshot was taken, if any.
    #[must_use]
    pub fn user(&self) -> Option<User> {
        LoggedIn::from_fields(&self.fields).map(User::from)
    }

    /// The number of fields, not counting the crate's own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys().count()
    }

    /// Returns `true` if there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn decode<T: DeserializeOwned>(&self, field: &Field<T>, text: &str) -> Result<Option<T>> {
        decode(field, text, |key| {
            if let Some((shared, id)) = &self.origin {
                shared.emit(Event::Undecodable(*id, key));
            }
        })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("fields", &self.fields).finish_non_exhaustive()
    }
}

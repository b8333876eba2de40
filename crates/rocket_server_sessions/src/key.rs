//! Typed keys of session fields.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use crate::store::is_reserved;

/// Names a session field, or a family of fields, and the type of its values.
///
/// Declare keys as constants. Values are stored as JSON.
///
/// ```
/// use rocket_server_sessions::Key;
///
/// const NAME: Key<String> = Key::new("name");
/// const VIEWS: Key<i64> = Key::new("views");
///
/// assert_eq!(VIEWS.at("/foo").name(), "views:/foo");
/// ```
///
/// # Changing a type
///
/// Sessions live for weeks, so a new release finds values that an earlier one has stored. A value
/// that is no longer a `T` causes [`Error::Deserialize`](crate::Error::Deserialize), until the
/// field is replaced or removed. To change the type of a key:
///
/// - Add fields that have a default: `#[serde(default)]`. Old values can still be read.
/// - Or make the key [lenient](Self::lenient), if the value may be lost. An old value then counts
///   as missing.
/// - Or declare a key with another name, such as `cart2`. The old field is deleted with its
///   session.
///
/// While instances of both releases run, each reads what the other stores.
pub struct Key<T> {
    name: &'static str,
    is_lenient: bool,
    holds: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// Declares the key `name`.
    ///
    /// # Panics
    ///
    /// If the name is empty, longer than 64 bytes, or begins with `@`, which is reserved. In a
    /// constant, this is a compile error.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(!name.is_empty(), "a session key needs a name");
        assert!(name.len() <= 64, "a session key's name has at most 64 bytes");
        assert!(!is_reserved(name), "session keys that begin with @ are reserved");
        Self { name, is_lenient: false, holds: PhantomData }
    }

    /// Treats a value that is not a `T` as missing instead of as an error. It is reported as
    /// [`Event::Undecodable`](crate::Event::Undecodable), and stays in the store until it is
    /// replaced or removed.
    ///
    /// ```
    /// # use rocket_server_sessions::Key;
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// enum Theme { Light, Dark }
    ///
    /// /// An earlier release had a `Theme::Auto`.
    /// const THEME: Key<Theme> = Key::new("theme").lenient();
    /// ```
    #[must_use]
    pub const fn lenient(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    /// What the names of its items begin with.
    pub(super) fn family(self) -> String {
        format!("{}:", self.name)
    }

    /// The field `item` of this family. `VIEWS.at("/foo")` is the field `views:/foo`.
    ///
    /// Format an item with `format!`, not with `format_args!`: the latter borrows temporaries that
    /// a handler cannot hold across an `.await`.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const CART: Key<u32> = Key::new("cart");
    ///
    /// #[rocket::post("/cart/<id>")]
    /// async fn add(id: u32, session: Session<'_>) -> Result<()> {
    ///     session.batch().increment(CART.at(format!("{id:010}")), 1).commit().await.map(drop)
    /// }
    /// ```
    #[must_use]
    pub fn at(self, item: impl fmt::Display) -> Field<T> {
        Field { name: Cow::Owned(format!("{}:{item}", self.name)), key: self }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// One field of a session: a plain [`Key`], or one item of a key's family.
///
/// Every method that takes a field takes a `Key` as well.
pub struct Field<T> {
    name: Cow<'static, str>,
    key: Key<T>,
}

impl<T> Field<T> {
    /// The field's name in the store.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its key.
    pub(super) fn key(&self) -> &'static str {
        self.key.name
    }

    pub(super) fn is_lenient(&self) -> bool {
        self.key.is_lenient
    }

    pub(super) fn into_name(self) -> String {
        self.name.into_owned()
    }
}

impl<T> From<Key<T>> for Field<T> {
    fn from(key: Key<T>) -> Self {
        Self { name: Cow::Borrowed(key.name), key }
    }
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), key: self.key }
    }
}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&self.name).finish()
    }
}

//! Typed keys of session fields.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

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
pub struct Key<T> {
    name: &'static str,
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
        assert!(name.as_bytes()[0] != b'@', "session keys that begin with @ are reserved");
        Self { name, holds: PhantomData }
    }

    /// The field `item` of this family. `VIEWS.at("/foo")` is the field `views:/foo`.
    #[must_use]
    pub fn at(self, item: impl fmt::Display) -> Field<T> {
        Field { name: Cow::Owned(format!("{}:{item}", self.name)), holds: PhantomData }
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
    holds: PhantomData<fn() -> T>,
}

impl<T> Field<T> {
    /// The field's name in the store.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn into_name(self) -> String {
        self.name.into_owned()
    }
}

impl<T> From<Key<T>> for Field<T> {
    fn from(key: Key<T>) -> Self {
        Self { name: Cow::Borrowed(key.name), holds: PhantomData }
    }
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), holds: PhantomData }
    }
}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&self.name).finish()
    }
}

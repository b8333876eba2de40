//! A session that Express has stored.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A session of Express: the properties of `req.session`.
pub struct OldSession(Map<String, Value>);

impl OldSession {
    /// Parses a record of connect-redis: a JSON object.
    pub(super) fn parse(record: &str) -> serde_json::Result<Self> {
        serde_json::from_str(record).map(Self)
    }

    /// Reads a property. `None` if there is none, or if it is `null`.
    ///
    /// ```
    /// # use rocket_server_sessions::express::OldSession;
    /// # use rocket_server_sessions::Result;
    /// # fn read(old: &OldSession) -> Result<()> {
    /// let views = old.get::<u64>("views")?.unwrap_or_default();
    /// let anything = old.get::<serde_json::Value>("cart")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`] if the property is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.0.get(name).filter(|it| !it.is_null()) else { return Ok(None) };
        let field = || name.to_owned();
        T::deserialize(value)
            .map(Some)
            .map_err(|source| Error::Deserialize { field: field(), source })
    }

    /// The names of the properties. Express adds `cookie`.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The path and the domain of the old cookie, unless they could not be in a header. `None` if the
    /// record does not describe its cookie.
    pub(super) fn cookie_scope(&self) -> Option<(Option<&str>, Option<&str>)> {
        let cookie = self.0.get("cookie")?.as_object()?;
        let is_plain =
            |it: &&str| it.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';');
        let attribute = |name| cookie.get(name).and_then(Value::as_str).filter(is_plain);
        let path = attribute("path")?;
        Some((Some(path), attribute("domain")))
    }
}

/// Shows no values, because they may be personal.
impl fmt::Debug for OldSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// As connect-redis 9.0.0 stores it; see `tests/express/fixtures.js` of the workspace.
    const RECORD: &str = r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-11-27T19:08:43.481Z","httpOnly":true,"path":"/"},"views":{"/foo":3,"/bar":1},"user":null}"#;

    #[test]
    fn properties_are_read_by_name_and_null_is_none() {
        let old = OldSession::parse(RECORD).unwrap();
        let views: BTreeMap<String, i64> = old.get("views").unwrap().unwrap();
        assert_eq!(views["/foo"], 3);
        assert_eq!(old.get::<String>("user").unwrap(), None);
        assert_eq!(old.get::<String>("absent").unwrap(), None);
    }

    #[test]
    fn property_of_another_type_is_an_error_that_names_it() {
        let error = OldSession::parse(RECORD).unwrap().get::<u64>("views").unwrap_err();
        assert!(error.to_string().contains("`views`"), "{error}");
    }

    #[test]
    fn record_that_is_no_object_is_refused() {
        for record in ["", "[]", "1", "\"text\"", "{", "null"] {
            assert!(OldSession::parse(record).is_err(), "{record}");
        }
    }
}

//! Reads the table key by key and collects errors.

use figment::Figment;
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::rules::{RULES, is_secret, rule, why_unknown};
use super::setting_error::SettingError;
use super::settings::Config;

/// The configured settings, and the errors found in them.
pub(super) struct Table<'f> {
    figment: &'f Figment,
    given: Dict,
    errors: Vec<SettingError>,
}

impl<'f> Table<'f> {
    /// The table in the figment's selected profile; an empty one if there is none.
    pub(super) fn open(figment: &'f Figment) -> Result<Self, Vec<SettingError>> {
        let given = match figment.find_value(Config::KEY) {
            Ok(Value::Dict(_, given)) => given,
            Ok(_) => {
                let why = "must be a table, as in `[default.session]` of Rocket.toml or in \
                           ROCKET_SESSION='{idle_timeout=\"2h\"}'";
                return Err(vec![SettingError::new(figment, Config::KEY, why)]);
            }
            Err(error) if error.missing() => Dict::new(),
            Err(error) => return Err(SettingError::all(error)),
        };
        let mut table = Self { figment, given, errors: Vec::new() };
        let unknown: Vec<_> =
            table.given.keys().filter(|key| rule(key).is_none()).cloned().collect();
        for key in unknown {
            table.refuse(&key, &why_unknown(&key));
        }
        Ok(table)
    }

    /// The value of a key; `None` if it is unset or invalid.
    pub(super) fn get<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.given.get(key).filter(|value| !matches!(value, Value::Empty(..)))?;
        let value = value.deserialize().ok();
        self.check(key, value.is_some());
        value
    }

    /// Records an error if a configured value is invalid. Defaults are not checked.
    pub(super) fn check(&mut self, key: &str, is_right: bool) {
        let (false, Some(value)) = (is_right, self.given.get(key)) else { return };
        let rule = rule(key).unwrap_or("is wrong");
        match shown(key, value) {
            Some(value) => self.refuse(key, &format!("{rule}; it is {value}")),
            None => self.refuse(key, rule),
        }
    }

    /// Records an error for each of these settings that is set.
    pub(super) fn refuse_given(&mut self, keys: &[&str], why: &str) {
        for key in keys {
            if self.given.get(*key).is_some_and(|value| !matches!(value, Value::Empty(..))) {
                self.refuse(key, why);
            }
        }
    }

    /// Records an error, unless the setting already has one.
    pub(super) fn refuse(&mut self, key: &str, why: &str) {
        let path = format!("{}.{key}", Config::KEY);
        if !self.errors.iter().any(|error| error.key() == path) {
            self.errors.push(SettingError::new(self.figment, &path, why));
        }
    }

    /// Returns the errors, in the order of the settings.
    pub(super) fn finish(mut self) -> Result<(), Vec<SettingError>> {
        let place = |error: &SettingError| {
            RULES.iter().position(|(key, _)| error.key().ends_with(&format!(".{key}")))
        };
        self.errors.sort_by_key(place);
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }
}

/// Formats a value for an error message. `None` for secrets and long values.
fn shown(key: &str, value: &Value) -> Option<String> {
    match value {
        _ if is_secret(key) => None,
        Value::String(_, text) if text.len() <= 40 => Some(format!("\"{text}\"")),
        Value::Bool(_, bool) => Some(format!("`{bool}`")),
        Value::Num(_, num) => num
            .to_i128()
            .map(|it| it.to_string())
            .or_else(|| num.to_u128().map(|it| it.to_string()))
            .or_else(|| num.to_f64().map(|it| it.to_string())),
        Value::Dict(..) => Some("a table".to_owned()),
        Value::Array(..) => Some("a list".to_owned()),
        _ => None,
    }
}

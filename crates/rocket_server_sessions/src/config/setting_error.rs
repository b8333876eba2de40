//! What is wrong with a setting, and where it was set.

use std::fmt;

use figment::error::{Actual, Kind};
use figment::{Figment, Metadata};

use super::rules::is_secret;

/// An invalid setting. The message says which one, why, and where it was set, and contains no
/// secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    key: String,
    message: String,
    place: Option<String>,
}

impl SettingError {
    /// An error about the setting at `path`. The figment knows where it was set.
    pub(crate) fn new(figment: &Figment, path: &str, message: &str) -> Self {
        let place = place(figment, path);
        Self { key: path.to_owned(), message: message.to_owned(), place }
    }

    /// An error about a value that was set in `place`, which need not be part of a figment.
    pub(super) fn at(place: &str, key: &str, message: &str) -> Self {
        Self { key: key.to_owned(), message: message.to_owned(), place: Some(place.to_owned()) }
    }

    /// Converts every error in a [`figment::Error`], including those about Rocket's own settings.
    #[must_use]
    pub fn all(errors: figment::Error) -> Vec<Self> {
        errors.into_iter().map(Self::from).collect()
    }

    /// The setting's name in Rocket's configuration, such as `session.idle_timeout`. Empty if the
    /// configuration cannot be read at all.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.place {
            Some(place) => write!(f, " (set in {place})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SettingError {}

impl From<figment::Error> for SettingError {
    fn from(error: figment::Error) -> Self {
        let mut path = error.path;
        if let Kind::UnknownField(name, _) = &error.kind {
            // For an unknown field, Figment's path is reversed and contains the field's name.
            path.retain(|part| part != name);
            path.reverse();
            path.push(name.clone());
        }
        let key = path.join(".");
        let top = path.first().map_or("", String::as_str);
        let found = |actual: Actual| match actual {
            _ if is_secret(top) => "something else".to_owned(),
            Actual::Str(text) => format!("\"{text}\""),
            Actual::Unsigned(number) => number.to_string(),
            Actual::Signed(number) => number.to_string(),
            Actual::Bool(bool) => format!("`{bool}`"),
            Actual::Seq => "a list".to_owned(),
            Actual::Map => "a table".to_owned(),
            other => other.to_string(),
        };
        let message = match error.kind {
            Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
                format!("must be {}; it is {}", in_words(&expected), found(actual))
            }
            Kind::UnknownField(_, known) => {
                let known: Vec<_> = known.iter().map(|it| format!("`{it}`")).collect();
                format!("is not a setting; the settings are {}", known.join(", "))
            }
            Kind::UnknownVariant(_, known) => {
                let known: Vec<_> = known.iter().map(|it| format!("`{it}`")).collect();
                format!("must be one of {}", known.join(", "))
            }
            Kind::Message(text) if text == "invalid IP address syntax" => {
                "must be an IP address, such as 127.0.0.1 or 0.0.0.0; the port is a setting of its \
                 own"
                .to_owned()
            }
            Kind::Message(text) if key.is_empty() => without_source(&text),
            Kind::Message(text) => format!("is invalid: {}", without_source(&text)),
            other => other.to_string(),
        };
        // Without a key, the whole provider failed. Name it only if it is a file.
        let metadata = error.metadata.as_ref();
        let metadata = metadata.filter(|it| {
            !key.is_empty() || it.source.as_ref().is_some_and(|it| it.file_path().is_some())
        });
        let place = metadata.and_then(|it| place_of(it, top));
        Self { key, message, place }
    }
}

/// Translates Serde's name of a type to plain words.
fn in_words(expected: &str) -> String {
    match expected.trim_matches('`') {
        "u8" => "a number from 0 to 255".to_owned(),
        "u16" => "a number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "bool" | "boolean" | "a boolean" => "`true` or `false`".to_owned(),
        "string" | "a string" | "str" => "a string".to_owned(),
        "sequence" | "a sequence" => "a list".to_owned(),
        "map" | "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        // Already readable, for example "a valid TCP port".
        _ => expected.to_owned(),
    }
}

/// Removes quoted lines from a parser's message: they may contain a password.
fn without_source(text: &str) -> String {
    let is_quoted = |line: &str| {
        line.trim_start().trim_start_matches(|it: char| it.is_ascii_digit()).trim().starts_with('|')
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_quoted(line));
    lines.collect::<Vec<_>>().join(": ")
}

/// Where the value at `path` was set: a file, a variable, or a line of code. `None` if it is a
/// default, or is not there.
pub(crate) fn place(figment: &Figment, path: &str) -> Option<String> {
    let top = path.split('.').next().unwrap_or_default();
    // A table has no place of its own.
    let metadata = figment.find_metadata(path).or_else(|| {
        let value = figment.find_value(path).ok()?;
        let first = value.as_dict()?.values().next()?;
        figment.get_metadata(first.tag())
    });
    place_of(metadata?, top)
}

fn place_of(metadata: &Metadata, top: &str) -> Option<String> {
    const VARIABLE: &str = "the environment variable ";
    let name = metadata.name.as_ref();
    if name.starts_with("rocket::Config") {
        return None;
    }
    if name.starts_with(VARIABLE) {
        return Some(name.to_owned());
    }
    // Figment's own: "`ROCKET_` environment variable(s)", or the same without a prefix.
    if name.ends_with("environment variable(s)") {
        let prefix = name.split('`').nth(1).unwrap_or_default();
        return Some(format!("{VARIABLE}{prefix}{}", top.to_ascii_uppercase()));
    }
    match (&metadata.source, metadata.provide_location) {
        (Some(source), _) => Some(source.to_string()),
        (_, Some(location)) => Some(location.to_string()),
        _ => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use figment::providers::{Format, Toml};

    use super::*;

    #[test]
    fn file_that_cannot_be_parsed_is_reported_without_its_lines() {
        let figment =
            Figment::from(Toml::string("[default.session]\nurl = 'redis://:hunter2@h' 5").nested());
        let error = figment.extract_inner::<String>("session").unwrap_err();
        let text = SettingError::all(error)[0].to_string();
        assert!(text.contains("line 2") && !text.contains("hunter2"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }

    #[test]
    fn secret_in_place_of_the_import_table_is_not_shown() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only the type matters")]
        struct Express {
            secret: Option<String>,
        }
        let error = Figment::from(("express", "keyboard cat")).extract_inner::<Express>("express");
        let text = SettingError::all(error.unwrap_err())[0].to_string();
        assert!(text.contains("must be a table") && !text.contains("keyboard"), "{text}");
    }

    #[test]
    fn wrong_port_is_reported_on_one_line_with_its_name() {
        let figment = Figment::from(rocket::Config::default()).merge(("port", "http"));
        let error = figment.extract::<rocket::Config>().unwrap_err();
        let text = SettingError::all(error)[0].to_string();
        assert!(
            text.starts_with("`port` must be a number from 0 to 65535; it is \"http\" (set in "),
            "{text}"
        );
    }

    #[test]
    fn unknown_key_of_a_nested_table_is_named_with_its_path() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the names matter")]
        struct Table {
            known: Option<u8>,
            table: Option<Box<Table>>,
        }
        let figment = Figment::from(("table.table.unkown", 1));
        let error = figment.extract::<Table>().unwrap_err();
        let text = SettingError::all(error)[0].to_string();
        let start = "`table.table.unkown` is not a setting; the settings are `known`";
        assert!(text.starts_with(start), "{text}");
    }
}

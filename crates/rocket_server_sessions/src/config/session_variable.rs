//! `ROCKET_SESSION`, which holds a whole table.
//!
//! If Figment cannot parse the variable, it treats it as a string. If another provider sets a key
//! of the table, that string is silently dropped. So the variable is parsed again here, and
//! anything but a table is an error.

use std::env;
use std::ffi::OsStr;

use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::setting_error::SettingError;
use super::settings::Config;

const NAME: &str = "ROCKET_SESSION";

const FORM: &str = "write it as ROCKET_SESSION='{idle_timeout=\"2h\",prefix=\"shop:\"}': braces \
                    around it, `=` between name and value, double quotes around strings, and \
                    no comma at the end";

/// Adds the variable to the figment as a table if Figment could not parse it, below providers that
/// come after it.
pub(crate) fn with_variable(figment: &Figment) -> Result<Figment, SettingError> {
    let is_rockets = |it: &Metadata| it.name.starts_with("`ROCKET_` environment");
    let is_read = figment.metadata().any(is_rockets);
    let mut variables = env::vars_os();
    let variable = variables.find(|(name, _)| name.eq_ignore_ascii_case(NAME));
    match variable.filter(|_| is_read) {
        None => Ok(figment.clone()),
        Some((_, text)) => with_text(figment, &text),
    }
}

fn with_text(figment: &Figment, text: &OsStr) -> Result<Figment, SettingError> {
    let place = format!("the environment variable {NAME}");
    let wrong = |why: &str| SettingError::at(&place, Config::KEY, &format!("{why}; {FORM}"));
    let text = text.to_str().ok_or_else(|| wrong("is not UTF-8"))?.trim();
    if text.is_empty() {
        return Err(wrong("is empty: remove the variable, or give it settings"));
    }
    let twice = |table: &Dict| {
        let key = table.keys().find(|key| is_set_twice(text, key))?;
        let why = format!("sets `{key}` twice, and only one of them would count");
        Some(SettingError::at(&place, Config::KEY, &why))
    };
    if let Ok(Value::Dict(_, table)) = text.parse::<Value>() {
        return twice(&table).map_or_else(|| Ok(figment.clone()), Err);
    }
    // Figment does not parse JSON, which many deployment tools write.
    let Ok(table) = serde_json::from_str::<Dict>(text) else {
        return Err(wrong(what_is_wrong(text)));
    };
    if let Some(error) = twice(&table) {
        return Err(error);
    }
    let table = Variable(table);
    Ok(match figment.find_value(Config::KEY) {
        // Nothing has replaced the text.
        Ok(Value::String(..)) => figment.clone().merge(table),
        // Providers after the variable take precedence.
        _ => figment.clone().join(table),
    })
}

/// Whether a table sets a key more than once. Parsers keep only the last.
fn is_set_twice(text: &str, key: &str) -> bool {
    let is_start = |before: &str| before.trim_end_matches(['"', ' ', '\n']).ends_with(['{', ',']);
    let is_end = |after: &str| after.trim_start_matches(['"', ' ']).starts_with(['=', ':']);
    let places = text.match_indices(key);
    places.filter(|(at, _)| is_start(&text[..*at]) && is_end(&text[at + key.len()..])).count() > 1
}

fn what_is_wrong(text: &str) -> &'static str {
    if !text.starts_with('{') {
        "is not a table"
    } else if !text.ends_with('}') {
        "is truncated, perhaps by a tool that splits variables at commas"
    } else if text.contains('\'') {
        "has single quotes inside"
    } else if text.trim_end_matches('}').trim_end().ends_with(',') {
        "ends with a comma"
    } else {
        "is not a table"
    }
}

/// The table that the variable holds.
struct Variable(Dict);

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("the environment variable {NAME}"))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Serialized::global(Config::KEY, &self.0).data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Rocket and an application set them: a file, the variable, then single keys.
    fn figment(text: &str, url: Option<&str>) -> Figment {
        let file = Serialized::default("session.prefix", "file:");
        let value: Value = text.parse().unwrap_or_else(|never| match never {});
        let figment = Figment::from(file).merge(Serialized::global("session", value));
        match url {
            Some(url) => figment.merge(Serialized::global("session.url", url)),
            None => figment,
        }
    }

    fn read(text: &str, url: Option<&str>) -> Result<Config, Vec<SettingError>> {
        let figment = with_text(&figment(text, url), OsStr::new(text)).map_err(|it| vec![it])?;
        Config::extract(&figment)
    }

    #[test]
    fn variable_that_is_not_a_table_is_refused_whatever_is_set_after_it() {
        for (text, why) in [
            ("{idle_timeout='2h'}", "single quotes"),
            ("{idle_timeout=\"2h\"", "truncated"),
            ("{idle_timeout=\"2h\"},", "truncated"),
            ("idle_timeout=\"2h\"", "not a table"),
            ("{\"idle_timeout\": \"2h\",}", "ends with a comma"),
            ("{idle_timeout: 2h}", "not a table"),
            ("{{idle_timeout=2h}}", "not a table"),
            ("{hunter2 hunter2}", "not a table"),
            ("2h", "not a table"),
            ("", "empty"),
        ] {
            for url in [None, Some("redis://127.0.0.1")] {
                let errors = read(text, url).expect_err(text);
                let message = errors[0].to_string();
                assert!(message.contains(why), "{text}: {message}");
                assert!(message.contains("ROCKET_SESSION='{idle_timeout="), "{message}");
                assert!(!message.contains("hunter2"), "{message}");
            }
        }
    }

    #[test]
    fn key_that_is_set_twice_is_refused() {
        for text in [
            "{idle_timeout=\"1h\", prefix=\"a:\", idle_timeout=\"2h\"}",
            "{\"idle_timeout\": \"1h\",\n\"idle_timeout\": \"2h\"}",
        ] {
            let errors = read(text, None).unwrap_err();
            assert!(errors[0].to_string().contains("sets `idle_timeout` twice"), "{errors:?}");
        }
        for text in ["{idle_timeout=7200,first_idle_timeout=60}", "{prefix=\"prefix:\"}"] {
            assert!(read(text, None).is_ok(), "{text}");
        }
    }

    #[test]
    fn variable_is_merged_with_the_file_and_with_later_providers() {
        for text in [
            "{idle_timeout=\"2h\",url=\"redis://variable\"}",
            " { idle_timeout = \"2h\", url = \"redis://variable\" ,} ",
            "{\"idle_timeout\": \"2h\", \"url\": \"redis://variable\"}",
        ] {
            let alone = read(text, None).unwrap();
            assert_eq!(alone.idle_timeout.as_secs(), 7200);
            assert_eq!(alone.url, Some("redis://variable".into()));
            assert_eq!(alone.prefix, "file:");
            let beside = read(text, Some("redis://later")).unwrap();
            assert_eq!(beside.idle_timeout.as_secs(), 7200);
            assert_eq!(beside.url, Some("redis://later".into()));
            assert_eq!(beside.prefix, "file:");
        }
    }
}

//! Keys that encrypt cookies.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cookie::Key;
use figment::Figment;
use figment::value::{Num, Value};
use serde::de::{Deserialize, Deserializer, Error as _};

use super::setting_error::SettingError;

/// A key that encrypts cookies. `Debug` does not print it.
#[derive(Clone)]
pub struct SecretKey(pub(crate) Key);

/// The name of the setting.
pub(crate) const KEY: &str = "secret_key";

/// Describes a valid key.
const FORM: &str =
    "must be 32 or 64 random bytes in base64, as `openssl rand -base64 32` prints them";

const MISSING: &str = "is not set, but instances that share sessions need the same key to decrypt \
     cookies; set ROCKET_SECRET_KEY to the output of `openssl rand -base64 32`, the same for \
     every instance";

/// Keys that were published in documentation, such as Rocket's.
const PUBLISHED: [&str; 1] = ["hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk="];

impl SecretKey {
    /// Reads Rocket's `secret_key`; `None` if it is unset and optional.
    ///
    /// Required if several instances share the store, in every profile but `debug`.
    pub(crate) fn read(figment: &Figment, is_shared: bool) -> Result<Option<Self>, SettingError> {
        let is_development = figment.profile() == rocket::Config::DEBUG_PROFILE;
        let wrong = |message| Err(SettingError::new(figment, KEY, message));
        let value = figment.find_value(KEY).ok().filter(|value| !is_unset(value));
        let Some(value) = value else {
            return if is_shared && !is_development { wrong(MISSING) } else { Ok(None) };
        };
        let is_published = value.as_str().is_some_and(|it| PUBLISHED.contains(&it.trim()));
        match value.deserialize::<Self>() {
            Err(_) if value.as_str().is_some_and(|it| it.trim().is_empty()) => {
                wrong("is empty; remove it, or set it to the output of `openssl rand -base64 32`")
            }
            Err(_) => wrong(FORM),
            Ok(_) if is_published && !is_development => wrong(
                "is an example key from documentation; make your own with `openssl rand -base64 32`",
            ),
            Ok(key) => Ok(Some(key)),
        }
    }

    /// Parses a key in the format of Rocket's `secret_key`: base64, or 64 digits of hex. White
    /// space is ignored, because `openssl rand -base64 64` prints two lines. A key that repeats one
    /// byte is rejected.
    fn parse(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|it| !it.is_ascii_whitespace()).collect();
        let bytes = match text.len() {
            44 | 88 => STANDARD.decode(text).ok()?,
            64 => (0..64)
                .step_by(2)
                .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
                .collect::<Option<Vec<_>>>()?,
            _ => return None,
        };
        if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
            return None;
        }
        Some(Self(match bytes.len() {
            0..32 => return None,
            32..64 => Key::derive_from(&bytes),
            _ => Key::from(&bytes),
        }))
    }
}

/// Returns `true` for Rocket's placeholder for a missing key.
fn is_unset(value: &Value) -> bool {
    let is_zero = |value: &Value| matches!(value, Value::Num(_, Num::U8(0)));
    value.as_array().is_some_and(|bytes| bytes.iter().all(is_zero))
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([redacted])")
    }
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(de)?).ok_or_else(|| D::Error::custom(FORM))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_on_two_lines_equals_the_key_on_one() {
        let bytes: Vec<u8> = (0..64).collect();
        let line = STANDARD.encode(&bytes);
        let (first, second) = line.split_at(64);
        let SecretKey(key) = SecretKey::parse(&format!("{first}\n{second}\n")).unwrap();
        assert_eq!(key.master(), bytes);
        let windows = SecretKey::parse(&format!("{first}\r\n{second}\r\n")).unwrap();
        assert_eq!(windows.0.master(), bytes);
        assert!(SecretKey::parse(first).is_none(), "half of it is no key");
    }

    #[test]
    fn two_keys_without_a_comma_are_not_one_key() {
        let key = |byte| STANDARD.encode((byte..byte + 32).collect::<Vec<u8>>());
        assert!(SecretKey::parse(&format!("{}\n{}", key(0), key(7))).is_none());
    }
}

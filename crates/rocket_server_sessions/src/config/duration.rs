//! Durations in the configuration.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// A duration in the configuration: a number of seconds, or a string such as `"90s"`, `"15m"` or
/// `"1day 12h"`.
pub(super) struct Written(pub(super) Duration);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Given {
            Seconds(u64),
            Text(String),
        }
        match Given::deserialize(de)? {
            Given::Seconds(seconds) => Ok(Self(Duration::from_secs(seconds))),
            Given::Text(text) => {
                humantime::parse_duration(&text).map(Self).map_err(D::Error::custom)
            }
        }
    }
}

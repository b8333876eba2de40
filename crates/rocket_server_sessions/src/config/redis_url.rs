//! Where Redis is, read from a URL.

use std::fmt;

use serde::de::{Deserialize, Deserializer};

mod location;
mod place;
mod query;

pub(crate) use location::Location;
#[cfg(feature = "redis")]
pub(crate) use query::Servers;

/// The address of a Redis server, cluster or sentinels, including its password. `Debug` prints it
/// without user and password.
///
/// | scheme | server |
/// |---|---|
/// | `redis://`, `rediss://` | one server |
/// | `redis-sentinel://`, `rediss-sentinel://` | the master that the sentinels report |
/// | `redis-cluster://`, `rediss-cluster://` | a cluster |
///
/// `rediss` is encrypted. The scheme is followed by `[user:password@]host[:port][/database]`.
/// Special characters of the password are percent-encoded: `#` is `%23`, `/` is `%2F`, `?` is
/// `%3F`, `@` is `%40`. Clusters and sentinels take further parameters, which
/// [`Config::url`](crate::Config::url) lists.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The whole address, including the password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns `true` for an empty URL, which means unset.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses the URL. Error messages never contain parts of it.
    pub(crate) fn locate(&self) -> Result<Location, &'static str> {
        Location::parse(&self.0)
    }
}

impl From<&str> for RedisUrl {
    fn from(url: &str) -> Self {
        Self(url.trim().to_owned())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.locate() {
            Ok(location) => location.fmt(f),
            Err(_) => f.write_str("[not a Redis URL]"),
        }
    }
}

impl<'de> Deserialize<'de> for RedisUrl {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(de)?.as_str()))
    }
}

#[cfg(test)]
mod tests;

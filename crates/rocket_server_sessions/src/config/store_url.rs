//! Where sessions live, read from a URL.

use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer};

mod file;
mod location;
mod place;
mod query;

pub(crate) use location::Location;
#[cfg(feature = "redis")]
pub(crate) use query::Servers;

/// The address of a Redis server, cluster or sentinels, including its password, or a SQLite file.
/// `Debug` prints it without user and password.
///
/// | scheme | store |
/// |---|---|
/// | `redis://`, `rediss://` | one server |
/// | `redis-sentinel://`, `rediss-sentinel://` | the master that the sentinels report |
/// | `redis-cluster://`, `rediss-cluster://` | a cluster |
/// | `sqlite:` | a file |
///
/// `rediss` is encrypted. A Redis scheme is followed by `[user:password@]host[:port][/database]`.
/// Special characters in the password are percent-encoded: `#` is `%23`, `/` is `%2F`, `?` is
/// `%3F`, `@` is `%40`. Clusters and sentinels take more parameters, which
/// [`Config::url`](crate::Config::url) lists.
///
/// `sqlite:` is followed by a path, which is relative to the working directory unless it is
/// absolute: `sqlite:sessions.db`, `sqlite:///var/lib/shop/sessions.db`. Special characters in it
/// are percent-encoded, too.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
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
    pub(crate) fn locate(&self) -> Result<Place, &'static str> {
        match file::rest(&self.0) {
            Some(rest) => file::path(rest).map(Place::File),
            None => Location::parse(&self.0).map(Place::Redis),
        }
    }
}

/// Where sessions live, if not in memory.
pub(crate) enum Place {
    Redis(Location),
    /// A SQLite file.
    File(PathBuf),
}

impl From<&str> for StoreUrl {
    fn from(url: &str) -> Self {
        Self(url.trim().to_owned())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.locate() {
            Ok(Place::Redis(location)) => location.fmt(f),
            Ok(Place::File(path)) => write!(f, "sqlite:{}", path.display()),
            Err(_) => f.write_str("[not a valid URL]"),
        }
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(de)?.as_str()))
    }
}

#[cfg(test)]
mod tests;

//! The store that the settings name.

#[cfg(feature = "sqlite")]
use std::path::PathBuf;
use std::sync::Arc;

use super::contract::Store;
use super::memory::Memory;
#[cfg(feature = "redis")]
use super::redis::{Redis, RedisSettings};
#[cfg(feature = "sqlite")]
use super::sqlite::{self, Sqlite};
use crate::clock::Clock;
use crate::config::{Config, Place};
use crate::finding::Finding;

/// The store that `url` names, before it is opened.
pub(crate) enum ConfiguredStore {
    /// `url` is unset.
    Memory,
    #[cfg(feature = "redis")]
    Redis(RedisSettings),
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
}

#[cfg(not(feature = "redis"))]
const NEEDS_REDIS: &str = "is a URL of Redis, but this build lacks the cargo feature `redis`; add it to the \
     dependency `rocket_server_sessions`";
#[cfg(not(feature = "sqlite"))]
const NEEDS_SQLITE: &str = "names a SQLite file, but this build lacks the cargo feature `sqlite`; build with \
     `--features sqlite`, or add it to the dependency `rocket_server_sessions`";

impl ConfiguredStore {
    /// Returns the store, or what is wrong with `url`.
    pub(crate) fn of(config: &Config) -> Result<Self, &'static str> {
        let Some(url) = &config.url else { return Ok(Self::Memory) };
        match url.locate()? {
            #[cfg(feature = "redis")]
            Place::Redis(_) => Ok(Self::Redis(RedisSettings::from_config(config, url))),
            #[cfg(not(feature = "redis"))]
            Place::Redis(_) => Err(NEEDS_REDIS),
            #[cfg(feature = "sqlite")]
            Place::File(path) => Ok(Self::Sqlite(path)),
            #[cfg(not(feature = "sqlite"))]
            Place::File(_) => Err(NEEDS_SQLITE),
        }
    }

    /// Opens the store, or returns which setting is wrong, and why.
    #[cfg_attr(
        not(any(feature = "redis", feature = "sqlite")),
        expect(clippy::unnecessary_wraps, reason = "only memory can always be opened")
    )]
    pub(crate) fn open(
        &self,
        config: &Config,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Store>, (&'static str, String)> {
        match self {
            Self::Memory => Ok(Arc::new(Memory::with_clock(config.memory_capacity, clock.clone()))),
            #[cfg(feature = "redis")]
            Self::Redis(settings) => Redis::open(settings)
                .map(|store| Arc::new(store) as _)
                .map_err(|error| (error.key(), error.to_string())),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => Sqlite::from_config(path, config, clock.clone())
                .map(|store| Arc::new(store) as _)
                .map_err(|error| ("url", format!("names a file that cannot be used: {error}"))),
        }
    }

    /// Checks whether the store can be used. Blocks the thread, and changes nothing in the store.
    pub(crate) fn probe(&self) -> Vec<Finding> {
        match self {
            Self::Memory => Vec::new(),
            #[cfg(feature = "redis")]
            Self::Redis(settings) => settings.probe(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => sqlite::probe(path),
        }
    }
}

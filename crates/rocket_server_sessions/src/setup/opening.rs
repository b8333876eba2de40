//! What the settings say, for the launch and for `check`.

use std::fmt::Display;
use std::sync::Arc;

use figment::Figment;

use super::launch::Launch;
use crate::clock::Clock;
use crate::config::{Config, SecretKey, SettingError, UnusedSetting};
use crate::finding::{Finding, Verdict};
use crate::shared::{Observer, Shared};
use crate::store::{ConfiguredStore, Store};

/// The settings, before the store is opened.
pub(super) struct Opening {
    pub(super) config: Config,
    pub(super) source: Source,
    /// Rocket's `secret_key`; `None` if it is unset and optional.
    pub(super) key: Result<Option<SecretKey>, SettingError>,
    /// What is probably wrong, but does not stop the launch.
    pub(super) warnings: Vec<Finding>,
}

/// Where the store comes from.
pub(super) enum Source {
    /// The application.
    Custom(Arc<dyn Store>),
    /// The settings.
    Configured(ConfiguredStore),
}

const IN_MEMORY: &str = "sessions live in this process's memory and end with it; to keep them, set `url` in \
     [default.session], or REDIS_URL if your application reads it";

const NO_KEY: &str = "no `secret_key` is set, so cookies are encrypted with a random key, and become invalid when \
     the process stops; set ROCKET_SECRET_KEY to the output of `openssl rand -base64 32`";

impl Opening {
    /// Reads the settings. Does no I/O.
    pub(super) fn read(
        figment: &Figment,
        custom: Option<Arc<dyn Store>>,
    ) -> Result<Self, Vec<SettingError>> {
        let config = Config::extract(figment)?;
        let mut warnings = Vec::new();
        let mut warn = |what, text: &dyn Display| {
            warnings.push(Finding::new(Verdict::Warning, what, text));
        };
        for unused in UnusedSetting::about_sessions(figment) {
            warn("settings", &unused);
        }
        if config.insecure_http && figment.profile() != rocket::Config::DEBUG_PROFILE {
            let name = &config.cookie_name;
            let text = format!(
                "`insecure_http` is set: the cookie `{name}` has no `Secure`, so anyone on the network \
                 can read it and take over the session; remove the setting if visitors use https"
            );
            warn("cookie", &text);
        }
        let is_shared = custom.as_ref().map_or(config.url.is_some(), Store::is_shared);
        let key = SecretKey::read(figment, is_shared);
        if let Ok(None) = key {
            warn("secret_key", &NO_KEY);
        }
        let source = match custom {
            Some(store) => Source::Custom(store),
            None => Source::Configured(
                ConfiguredStore::of(&config).map_err(|why| vec![wrong(figment, "url", why)])?,
            ),
        };
        match (&source, &config.url) {
            (Source::Custom(_), Some(url)) => {
                let text = format!(
                    "the application uses a custom store, so `session.url` ({url:?}) is ignored"
                );
                warn("store", &text);
            }
            (Source::Configured(_), None) => warn("store", &IN_MEMORY),
            _ => {}
        }
        Ok(Self { config, source, key, warnings })
    }

    /// The URL of the store, unless the application has a custom one.
    #[cfg(feature = "express")]
    pub(super) fn url(&self) -> Option<&crate::config::StoreUrl> {
        match self.source {
            Source::Custom(_) => None,
            Source::Configured(_) => self.config.url.as_ref(),
        }
    }

    /// Opens the store, and returns what is left to do at launch.
    pub(super) fn open(
        self,
        figment: &Figment,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<Observer>>,
    ) -> Result<(Shared, Launch), Vec<SettingError>> {
        let key = self.key.map_err(|error| vec![error])?;
        let (store, configured) = match self.source {
            Source::Custom(store) => (store, None),
            Source::Configured(configured) => {
                let store = configured
                    .open(&self.config, &clock)
                    .map_err(|(key, why)| vec![wrong(figment, key, &why)])?;
                (store, Some(configured))
            }
        };
        let shared = Shared::new(store, self.config, key, clock, observer);
        Ok((shared, Launch::new(self.warnings, configured)))
    }
}

fn wrong(figment: &Figment, key: &str, why: &str) -> SettingError {
    SettingError::new(figment, &format!("{}.{key}", Config::KEY), why)
}

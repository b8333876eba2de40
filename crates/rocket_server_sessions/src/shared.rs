//! State shared by all sessions: the store, the settings, the keys and the clock.

use std::sync::Arc;

use figment::Figment;

use crate::check::IN_MEMORY;
use crate::clock::Clock;
use crate::config::{Config, Place, SecretKey, SettingError, UnusedSetting};
use crate::cookie_report::CookieReport;
use crate::event::Event;
use crate::event_counters::EventCounters;
#[cfg(feature = "express")]
use crate::express::{Import, Importer};
use crate::session_cookie::KeyRing;
use crate::store::{self, Instrumented, Memory, Store};

/// The callback for events.
pub(crate) type Observer = dyn Fn(Event) + Send + Sync;

/// What all sessions of an application share.
pub(crate) struct Shared {
    pub(crate) store: Arc<Instrumented>,
    pub(crate) config: Config,
    pub(crate) keys: KeyRing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Option<Arc<Observer>>,
    /// Imports the sessions of Express.
    #[cfg(feature = "express")]
    pub(crate) importer: Option<Importer>,
    counters: EventCounters,
    cookie_report: CookieReport,
    /// Whether the store was opened from the settings.
    pub(crate) is_own: bool,
    /// Warnings to log at launch.
    pub(crate) notices: Vec<String>,
}

impl Shared {
    /// Reads the configuration, and opens the store unless the application has a custom one.
    pub(crate) fn open(
        figment: &Figment,
        store: Option<Arc<dyn Store>>,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<Observer>>,
    ) -> Result<Self, Vec<SettingError>> {
        let config = Config::extract(figment)?;
        let mut notices: Vec<_> =
            UnusedSetting::about_sessions(figment).iter().map(ToString::to_string).collect();
        let is_own = store.is_none();
        let store = match store {
            Some(store) => store,
            None => open_store(figment, &config, &clock, &mut notices)?,
        };
        if !is_own && let Some(url) = &config.url {
            notices.push(format!(
                "the application uses a custom store, so `session.url` ({url:?}) is ignored"
            ));
        }
        let key = SecretKey::read(figment, store.is_shared()).map_err(|error| vec![error])?;
        let first = key.map_or_else(
            || {
                notices.push(
                    "no `secret_key` is set, so cookies are encrypted with a random key, and \
                     become invalid when the process stops"
                        .into(),
                );
                cookie::Key::generate()
            },
            |SecretKey(key)| key,
        );
        let previous = config.previous_keys.iter().map(|it| it.0.clone()).collect();
        let keys = KeyRing::new(first, previous);
        let (store, counters) = (Arc::new(Instrumented::new(store)), EventCounters::register());
        let cookie_report = CookieReport::new();
        Ok(Self {
            store,
            config,
            keys,
            clock,
            observer,
            #[cfg(feature = "express")]
            importer: None,
            counters,
            cookie_report,
            is_own,
            notices,
        })
    }

    /// Adds the import of old sessions.
    #[cfg(feature = "express")]
    pub(crate) fn with_import(
        self,
        import: Option<&Import>,
        figment: &Figment,
    ) -> Result<Self, Vec<SettingError>> {
        let url = self.config.url.as_ref().filter(|_| self.is_own);
        let open = |import| Importer::open(import, figment, &self.config, url);
        let importer = import.map(open).transpose()?;
        Ok(Self { importer, ..self })
    }

    /// Counts an event, reports it if it is about a damaged cookie, and calls the observer.
    pub(crate) fn emit(&self, event: Event) {
        self.counters.count(event);
        self.cookie_report.note(event);
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }
}

fn open_store(
    figment: &Figment,
    config: &Config,
    clock: &Arc<dyn Clock>,
    notices: &mut Vec<String>,
) -> Result<Arc<dyn Store>, Vec<SettingError>> {
    let Some(url) = &config.url else {
        notices.push(IN_MEMORY.to_owned());
        return Ok(Arc::new(Memory::with_clock(config.memory_capacity, clock.clone())));
    };
    let wrong = |key: &str, message: &str| {
        vec![SettingError::new(figment, &format!("{}.{key}", Config::KEY), message)]
    };
    match url.locate().map_err(|why| wrong("url", why))? {
        #[cfg(feature = "redis")]
        Place::Redis(_) => store::Redis::open(&store::RedisSettings::from_config(config, url))
            .map(|store| Arc::new(store) as _)
            .map_err(|error| wrong(error.key(), &error.to_string())),
        #[cfg(not(feature = "redis"))]
        Place::Redis(_) => Err(wrong("url", store::NEEDS_REDIS)),
        #[cfg(feature = "sqlite")]
        Place::File(path) => store::Sqlite::from_config(&path, config, clock.clone())
            .map(|store| Arc::new(store) as _)
            .map_err(|error| wrong("url", &format!("names a file that cannot be used: {error}"))),
        #[cfg(not(feature = "sqlite"))]
        Place::File(_) => Err(wrong("url", store::NEEDS_SQLITE)),
    }
}

//! State shared by all sessions: the store, the settings, the keys and the clock.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, SecretKey};
use crate::cookie_report::CookieReport;
use crate::event::Event;
use crate::event_counters::EventCounters;
#[cfg(feature = "express")]
use crate::express::Importer;
use crate::session_cookie::KeyRing;
use crate::store::{Instrumented, LoggedIn, RecordId, RecordStatus, Store, StoreError};

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
}

impl Shared {
    /// Without a key, cookies are encrypted with a random one.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        config: Config,
        key: Option<SecretKey>,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<Observer>>,
    ) -> Self {
        let first = key.map_or_else(cookie::Key::generate, |SecretKey(key)| key);
        let previous = config.previous_keys.iter().map(|it| it.0.clone()).collect();
        Self {
            store: Arc::new(Instrumented::new(store)),
            config,
            keys: KeyRing::new(first, previous),
            clock,
            observer,
            #[cfg(feature = "express")]
            importer: None,
            counters: EventCounters::register(),
            cookie_report: CookieReport::new(),
        }
    }

    /// Adds the import of old sessions.
    #[cfg(feature = "express")]
    pub(crate) fn with_importer(self, importer: Option<Importer>) -> Self {
        Self { importer, ..self }
    }

    /// The user who is logged in at a place.
    pub(crate) async fn login_at(&self, record: RecordId) -> Result<Option<LoggedIn>, StoreError> {
        let status = self.store.status(&[record]).await?;
        Ok(status.into_iter().find_map(|status| match status {
            RecordStatus::Live { user, .. } => user,
            RecordStatus::Dead | RecordStatus::Gone => None,
        }))
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

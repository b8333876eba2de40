//! What all sessions of an application share: the store, the settings, the keys and the clock.

use std::sync::Arc;
use std::task::{Context, Waker};

use figment::Figment;
use figment::value::{Num, Value};
use rocket::tokio;

use crate::clock::Clock;
use crate::config::{Config, SecretKey, located};
use crate::event::{Counters, Event};
use crate::request::cookie::KeyRing;
use crate::store::{Instrumented, Memory, Store};

/// Is told of what happens to sessions.
pub(crate) type Observer = dyn Fn(Event) + Send + Sync;

/// What every request's session works with. Rocket manages it.
pub(crate) struct Sessions {
    pub(crate) store: Arc<Instrumented>,
    pub(crate) config: Config,
    pub(crate) keys: KeyRing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Option<Arc<Observer>>,
    counters: Counters,
    /// What the operator should know, for the log at launch.
    pub(crate) notices: Vec<String>,
}

impl Sessions {
    /// Reads the configuration, and opens the store unless the application brings its own.
    pub(crate) fn open(
        figment: &Figment,
        store: Option<Arc<dyn Store>>,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<Observer>>,
    ) -> Result<Self, Vec<figment::Error>> {
        let config = Config::extract(figment)?;
        let is_development = figment.profile() == rocket::Config::DEBUG_PROFILE;
        let mut notices = Vec::new();
        let store = match store {
            Some(store) => store,
            None => open_store(figment, &config, &clock, &mut notices)?,
        };
        let first = match secret_key(figment)? {
            Some(SecretKey(key)) => key,
            None if store.is_shared() && !is_development => {
                return Err(vec![KEY_MISSING.to_owned().into()]);
            }
            None => {
                notices.push(
                    "no `secret_key` is set, so a random one seals the cookies: they are worth \
                     nothing after a restart"
                        .into(),
                );
                cookie::Key::generate()
            }
        };
        let previous = config.previous_keys.iter().map(|it| it.0.clone()).collect();
        let keys = KeyRing::new(first, previous);
        let (store, counters) = (Arc::new(Instrumented::new(store)), Counters::register());
        Ok(Self { store, config, keys, clock, observer, counters, notices })
    }

    /// Counts an event, and tells the observer.
    pub(crate) fn emit(&self, event: Event) {
        self.counters.count(event);
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }
}

/// Starts work that nobody waits for. It is begun at once: on Cloud Run, what has not reached the
/// connection when the response leaves may wait for the next request.
pub(crate) fn detach(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    let mut context = Context::from_waker(Waker::noop());
    if work.as_mut().poll(&mut context).is_pending() {
        tokio::spawn(work);
    }
}

const KEY_MISSING: &str = "sessions are in Redis, where several instances share them, but no \
     `secret_key` is set, so no two could read each other's cookies; set ROCKET_SECRET_KEY to the \
     output of `openssl rand -base64 32`, the same for every instance";

/// Keys that documentation has published, Rocket's among them.
const PUBLISHED_KEYS: [&str; 1] = ["hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk="];

fn open_store(
    figment: &Figment,
    config: &Config,
    clock: &Arc<dyn Clock>,
    notices: &mut Vec<String>,
) -> Result<Arc<dyn Store>, Vec<figment::Error>> {
    let Some(url) = &config.url else {
        notices.push(
            "sessions live in this process's memory and end with it; to keep them, set `url` in \
             [default.session], or ROCKET_SESSION='{url=\"rediss://…\"}'"
                .into(),
        );
        return Ok(Arc::new(Memory::with_clock(config.memory_capacity, clock.clone())));
    };
    #[cfg(feature = "redis")]
    let store = crate::store::Redis::open(&crate::store::Settings::from_config(config, url))
        .map(|store| Arc::new(store) as Arc<dyn Store>)
        .map_err(|error| (error.key(), error.to_string()));
    #[cfg(not(feature = "redis"))]
    let store: Result<Arc<dyn Store>, (&str, String)> =
        Err(("url", format!("{url:?} is set, but the feature `redis` is not built in")));
    store.map_err(|(key, message)| {
        vec![located(figment, &format!("{}.{key}", Config::KEY), &message)]
    })
}

/// Rocket's `secret_key`, if one was set.
fn secret_key(figment: &Figment) -> Result<Option<SecretKey>, Vec<figment::Error>> {
    const KEY: &str = "secret_key";
    let Ok(value) = figment.find_value(KEY) else { return Ok(None) };
    let is_zero = |value: &Value| matches!(value, Value::Num(_, Num::U8(0)));
    if value.as_array().is_some_and(|bytes| bytes.iter().all(is_zero)) {
        // What Rocket's own defaults hold where there is none.
        return Ok(None);
    }
    let is_development = figment.profile() == rocket::Config::DEBUG_PROFILE;
    let is_published = value.as_str().is_some_and(|it| PUBLISHED_KEYS.contains(&it));
    let wrong = |message| Err(vec![located(figment, KEY, message)]);
    let Ok(key) = figment.extract_inner::<SecretKey>(KEY) else {
        return wrong(SecretKey::FORM);
    };
    if is_published && !is_development {
        return wrong("is a key that anybody can know; make one with `openssl rand -base64 32`");
    }
    Ok(Some(key))
}

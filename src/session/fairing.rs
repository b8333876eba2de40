//! How sessions are wired to Rocket: configuration and store at ignition, the cookie at each
//! response.

use std::sync::Arc;

use figment::Figment;
use figment::value::{Num, Value};
use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::http::{Header, Status};
use rocket::{Build, Orbit, Request, Response, Rocket};

use super::clock::{Clock, System};
use super::config::{Config, SealingKey, located};
use super::cookie::KeyRing;
use super::store::{Memory, Store};
use super::visit::Visit;

/// Attaches sessions to a Rocket.
///
/// ```no_run
/// use cloud_run_sessions::session::{self, Key, Session, Sessions};
/// use rocket::{get, routes};
///
/// const VIEWS: Key<i64> = Key::new("views");
///
/// #[get("/")]
/// async fn index(session: Session<'_>) -> session::Result<String> {
///     Ok(format!("view {}", session.increment(VIEWS, 1).await?))
/// }
///
/// #[rocket::launch]
/// fn rocket() -> _ {
///     rocket::build().attach(Sessions::fairing()).mount("/", routes![index])
/// }
/// ```
pub struct Sessions {
    store: Option<Arc<dyn Store>>,
    clock: Arc<dyn Clock>,
}

/// What every request's session works with.
pub(super) struct Layer {
    pub(super) store: Arc<dyn Store>,
    pub(super) config: Config,
    pub(super) keys: KeyRing,
    pub(super) clock: Arc<dyn Clock>,
    notices: Vec<String>,
}

impl Sessions {
    /// Sessions as `[default.session]` describes them: in Redis where `url` is set, and in memory
    /// where it is not.
    #[must_use]
    pub fn fairing() -> Self {
        Self { store: None, clock: Arc::new(System) }
    }

    /// Sessions in a store of the application's own; `url` is not looked at.
    #[must_use]
    pub fn with_store(store: impl Store) -> Self {
        Self { store: Some(Arc::new(store)), clock: Arc::new(System) }
    }

    /// The same, with the time from `clock`.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    fn layer(&self, figment: &Figment) -> Result<Layer, Vec<figment::Error>> {
        let config = Config::extract(figment)?;
        let is_development = figment.profile() == rocket::Config::DEBUG_PROFILE;
        let mut notices = Vec::new();
        let store = match &self.store {
            Some(store) => store.clone(),
            None => open_store(figment, &config, &self.clock, &mut notices)?,
        };
        let is_shared = config.url.is_some();
        let first = match secret_key(figment)? {
            Some(SealingKey(key)) => key,
            None if is_shared && !is_development => {
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
        Ok(Layer { store, config, keys, clock: self.clock.clone(), notices })
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
            "sessions live in this process's memory and end with it; set REDIS_URL, or `url` in \
             [default.session], to keep them"
                .into(),
        );
        return Ok(Arc::new(Memory::with_clock(config.memory_capacity, clock.clone())));
    };
    #[cfg(feature = "redis")]
    let store = super::store::Redis::open(&super::store::Settings::from_config(config, url))
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
fn secret_key(figment: &Figment) -> Result<Option<SealingKey>, Vec<figment::Error>> {
    const KEY: &str = "secret_key";
    let Ok(value) = figment.find_value(KEY) else { return Ok(None) };
    let is_zero = |value: &Value| matches!(value, Value::Num(_, Num::U8(0)));
    if value.as_array().is_some_and(|bytes| bytes.iter().all(is_zero)) {
        // What Rocket's own defaults hold where there is none.
        return Ok(None);
    }
    let is_development = figment.profile() == rocket::Config::DEBUG_PROFILE;
    let is_published = value.as_str().is_some_and(|it| PUBLISHED_KEYS.contains(&it));
    let key: SealingKey = figment.extract_inner(KEY).map_err(|error| vec![error])?;
    if is_published && !is_development {
        let message = "is a key that anybody can know; make one with `openssl rand -base64 32`";
        return Err(vec![located(figment, KEY, message)]);
    }
    Ok(Some(key))
}

#[rocket::async_trait]
impl Fairing for Sessions {
    fn info(&self) -> Info {
        let kind = Kind::Ignite | Kind::Liftoff | Kind::Response | Kind::Singleton;
        Info { name: "Sessions", kind }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match self.layer(rocket.figment()) {
            Ok(layer) => Ok(rocket.manage(layer)),
            Err(errors) => {
                for error in errors {
                    rocket::config::pretty_print_error(error);
                }
                Err(rocket)
            }
        }
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        if let Some(layer) = rocket.state::<Layer>() {
            log::info!("sessions live in {}", layer.store.name());
            for notice in &layer.notices {
                log::warn!("{notice}");
            }
        }
    }

    /// Sends the cookie. Rocket's own jar is of no use for it: it becomes headers before response
    /// fairings run, and is wiped where an error catcher answers.
    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(layer) = request.rocket().state::<Layer>() else { return };
        let Some(visit) = request.local_cache(|| None::<Visit>) else { return };
        if let Some(cookie) = visit.set_cookie(layer) {
            response.adjoin_header(Header::new("Set-Cookie", cookie));
            if !response.headers().contains("Cache-Control") {
                // RFC 9111, section 7.3: a stored response would give one visitor's cookie to others.
                response.set_raw_header("Cache-Control", "no-store");
            }
        }
        if let (Some(wait), Status::ServiceUnavailable) = (visit.outage(), response.status()) {
            response.set_raw_header("Retry-After", wait.as_secs().max(1).to_string());
        }
    }
}

//! The fairing: reads the configuration at ignition, and sets the cookie in responses.

use std::sync::Arc;

use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::http::{Header, Status};
use rocket::{Build, Data, Orbit, Request, Response, Rocket};

use super::sessions::{Observer, Sessions};
use crate::check;
use crate::clock::{Clock, SystemClock};
use crate::event::Event;
use crate::request::RequestSession;
use crate::request::session::{DroppedCookies, arrived};
use crate::store::Store;
use crate::unreadable::has_dropped_cookies;

/// Attaches sessions to a Rocket.
///
/// ```no_run
/// use rocket_server_sessions::{self as session, Key, Session};
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
///     rocket::build().attach(Session::fairing()).mount("/", routes![index])
/// }
/// ```
pub struct SessionFairing {
    store: Option<Arc<dyn Store>>,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<Observer>>,
}

impl SessionFairing {
    /// A fairing that is configured by `[default.session]`: it uses Redis if `url` is set, and
    /// memory otherwise.
    pub(crate) fn new() -> Self {
        Self { store: None, clock: Arc::new(SystemClock), observer: None }
    }

    /// Uses a custom store. `url` is ignored.
    #[must_use]
    pub fn store(self, store: impl Store) -> Self {
        Self { store: Some(Arc::new(store)), ..self }
    }

    /// Uses a custom clock.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Calls `observer` for every [`Event`]. It runs while the request waits, so it should return
    /// quickly.
    ///
    /// ```
    /// use rocket_server_sessions::{Event, Session};
    ///
    /// let sessions = Session::fairing().observer(|event| match event {
    ///     Event::Rejected(_) => log::warn!("{event}"),
    ///     _ => log::debug!("{event}"),
    /// });
    /// ```
    #[must_use]
    pub fn observer(self, observer: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
    }
}

#[rocket::async_trait]
impl Fairing for SessionFairing {
    fn info(&self) -> Info {
        let kind = Kind::Ignite | Kind::Liftoff | Kind::Request | Kind::Response | Kind::Singleton;
        Info { name: "Sessions", kind }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let Self { store, clock, observer } = self;
        match Sessions::open(rocket.figment(), store.clone(), clock.clone(), observer.clone()) {
            Ok(sessions) => Ok(rocket.manage(Arc::new(sessions))),
            Err(errors) => {
                // One line each: what is wrong, and where it was set.
                for error in errors {
                    log::error!("{error}");
                }
                Err(rocket)
            }
        }
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        if let Some(sessions) = rocket.state::<Arc<Sessions>>() {
            log::info!("sessions live in {}", sessions.store.name());
            for notice in &sessions.notices {
                log::warn!("{notice}");
            }
            if sessions.config.insecure_http {
                let name = &sessions.config.cookie_name;
                if rocket.config().profile == rocket::Config::DEBUG_PROFILE {
                    log::info!(
                        "this is the profile debug, so plain http works: the cookie is `{name}`, \
                         without `Secure`; in a release, it needs https"
                    );
                } else {
                    log::warn!("{}", crate::check::insecure_http(name));
                }
            }
            if sessions.is_own && sessions.config.url.is_some() {
                let running = Arc::downgrade(sessions);
                let is_needed = move || running.strong_count() > 0;
                check::log_at_launch(&sessions.config, is_needed);
            }
        }
    }

    /// Records the arrival time, because the guard may run much later.
    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        arrived(request);
        if has_dropped_cookies() {
            request.local_cache(|| DroppedCookies(true));
        }
    }

    /// Sends the cookie. Rocket's jar cannot be used: it is written before response fairings run,
    /// and error catchers clear it.
    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(session) = request.local_cache(|| None::<RequestSession>) else { return };
        if let Some(cookie) = session.finish().await {
            response.adjoin_header(Header::new("Set-Cookie", cookie));
            let is_unshared = |value: &str| value.contains("no-store") || value.contains("private");
            if !response.headers().get("Cache-Control").any(is_unshared) {
                // RFC 9111, section 7.3: a stored response would give one visitor's cookie to others.
                response.set_raw_header("Cache-Control", "no-store");
            }
        }
        if let (Some(wait), Status::ServiceUnavailable) = (session.outage(), response.status()) {
            response.set_raw_header("Retry-After", wait.as_secs().max(1).to_string());
        }
    }
}

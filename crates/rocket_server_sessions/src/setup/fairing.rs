//! The fairing: reads the configuration at ignition.

use std::sync::Arc;

use figment::Figment;
use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::{Build, Data, Request, Rocket};

use super::check::check_with;
use super::cookie_fairing::CookieFairing;
use super::launch::Launch;
use super::opening::Opening;
use crate::clock::{Clock, SystemClock};
#[cfg(feature = "express")]
use crate::config::Config;
use crate::config::SettingError;
use crate::cross_site::{self, Exceptions};
use crate::debug::opaque_debug;
use crate::dropped_cookies::has_dropped_cookies;
use crate::event::Event;
#[cfg(feature = "express")]
use crate::express::{Import, Importer};
use crate::report::Report;
use crate::request::session::arrived;
use crate::session::Session;
use crate::sessions::Sessions;
use crate::shared::Observer;
use crate::store::Store;

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
    /// The paths that other sites may send requests to, if they may not send any to other paths.
    same_origin: Option<Exceptions>,
    errors: Vec<String>,
    #[cfg(feature = "express")]
    import: Option<Import>,
}

opaque_debug!("SessionFairing", SessionFairing);

impl Session<'_> {
    /// Returns the fairing, configured by `[default.session]`: it uses the store that `url` names,
    /// and memory if that is unset.
    ///
    /// ```
    /// use rocket_server_sessions::Session;
    ///
    /// let rocket = rocket::build().attach(Session::fairing());
    /// ```
    #[must_use]
    pub fn fairing() -> SessionFairing {
        SessionFairing::new()
    }
}

impl SessionFairing {
    /// See [`Session::fairing`].
    fn new() -> Self {
        Self {
            store: None,
            clock: Arc::new(SystemClock),
            observer: None,
            same_origin: None,
            errors: Vec::new(),
            #[cfg(feature = "express")]
            import: None,
        }
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

    /// Refuses all requests from other sites with a 403, before they reach a route. `GET`, `HEAD`
    /// and `OPTIONS` are let through: they should change nothing. The handshake of a websocket is
    /// refused like a `POST`.
    ///
    /// Attach the fairing after those that change a request's method or path, because its decision
    /// depends on them. If such a fairing runs later, routes without a session are not protected;
    /// in all others, the guards of this crate fail with
    /// [`Error::CrossSite`](crate::Error::CrossSite).
    ///
    /// The rules are those of the guard [`SameOrigin`](crate::SameOrigin), which protects a single
    /// route. Use [`allow_cross_site`](Self::allow_cross_site) for routes that other sites
    /// must reach.
    ///
    /// ```
    /// use rocket_server_sessions::Session;
    ///
    /// let sessions = Session::fairing().require_same_origin().allow_cross_site("/webhooks");
    /// let rocket = rocket::build().attach(sessions);
    /// ```
    #[must_use]
    pub fn require_same_origin(self) -> Self {
        Self { same_origin: Some(self.same_origin.unwrap_or_default()), ..self }
    }

    /// Lets requests from other sites through to `path` and all paths below it, and requires the
    /// same origin everywhere else.
    ///
    /// The launch fails if `path` is not a valid path.
    #[must_use]
    pub fn allow_cross_site(mut self, path: &str) -> Self {
        let exceptions = self.same_origin.get_or_insert_default();
        self.errors.extend(exceptions.push(path).err());
        self
    }

    /// Imports sessions from Express. See [`express`](crate::express).
    #[cfg(feature = "express")]
    #[must_use]
    pub fn import(self, import: Import) -> Self {
        Self { import: Some(import), ..self }
    }

    /// Opens the sessions without launching a Rocket, for a command-line tool or a separate job.
    /// See [`Sessions`].
    ///
    /// # Errors
    ///
    /// The errors that would stop the launch, such as invalid settings and where they were set.
    pub fn open(&self, figment: &Figment) -> Result<Sessions, Vec<SettingError>> {
        self.begin(figment).map(|(sessions, _)| sessions)
    }

    fn begin(&self, figment: &Figment) -> Result<(Sessions, Launch), Vec<SettingError>> {
        let opening = Opening::read(figment, self.store.clone())?;
        #[cfg(feature = "express")]
        let importer = {
            let open = |import| Importer::open(import, figment, &opening.config, opening.url());
            self.import.as_ref().map(open).transpose()?
        };
        let (shared, launch) = opening.open(figment, self.clock.clone(), self.observer.clone())?;
        #[cfg(feature = "express")]
        let shared = shared.with_importer(importer);
        Ok((Sessions::new(shared), launch))
    }

    /// Checks the configuration and the store as [`check`](crate::check()) does, and whether old sessions
    /// can be imported. A custom store is not checked.
    ///
    /// ```no_run
    /// let report = rocket_server_sessions::Session::fairing().check(&rocket::Config::figment());
    /// println!("{report}");
    /// std::process::exit(if report.is_ok() { 0 } else { 1 });
    /// ```
    #[must_use]
    pub fn check(&self, figment: &Figment) -> Report {
        let report = check_with(figment, self.store.clone());
        #[cfg(feature = "express")]
        let report = self.check_import(figment, report);
        report
    }

    #[cfg(feature = "express")]
    fn check_import(&self, figment: &Figment, mut report: Report) -> Report {
        // If this fails, the report says why.
        let (Some(import), Ok(config)) = (&self.import, Config::extract(figment)) else {
            return report;
        };
        let url = config.url.as_ref().filter(|_| self.store.is_none());
        match Importer::open(import, figment, &config, url) {
            Ok(importer) => report.extend(importer.probe_after(report.findings())),
            Err(errors) => report.push_setting_errors(errors),
        }
        report
    }
}

#[rocket::async_trait]
impl Fairing for SessionFairing {
    fn info(&self) -> Info {
        let kind = Kind::Ignite | Kind::Request | Kind::Singleton;
        Info { name: "Sessions", kind }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        if !self.errors.is_empty() {
            for error in &self.errors {
                log::error!("allow_cross_site: {error}");
            }
            return Err(rocket);
        }
        match self.begin(rocket.figment()) {
            Ok((sessions, launch)) => {
                let shared = sessions.shared.clone();
                let rocket = rocket.attach(CookieFairing).attach(launch.fairing(shared.clone()));
                let rocket = rocket.manage(shared).manage(sessions);
                Ok(match &self.same_origin {
                    Some(exceptions) => {
                        rocket.manage(exceptions.clone()).mount("/", [cross_site::refusal()])
                    }
                    None => rocket,
                })
            }
            Err(errors) => {
                // One line each: what is wrong, and where it was set.
                for error in errors {
                    log::error!("{error}");
                }
                Err(rocket)
            }
        }
    }

    /// Records the arrival time, because the guard may run much later.
    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        arrived(request);
        has_dropped_cookies(request);
        if let Some(exceptions) = &self.same_origin {
            exceptions.check(request);
        }
    }
}

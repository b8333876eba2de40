//! The request guard `Session`. Its methods for fields are in `fields`, those for the token and the
//! cookie in `token`, and those for users in `login`.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};

use crate::debug::opaque_debug;
use crate::error::{Error, Result};
use crate::event::Rejection;
use crate::id::{PublicId, TokenHash};
use crate::request::RequestSession;
use crate::request::guard::{is_unattached, session_of};
use crate::store::Store;

mod fields;
pub(crate) mod login;
mod token;

/// The visitor's session, as a request guard.
///
/// The guard only decrypts the cookie and does no I/O. Each method that you `.await` makes one
/// round trip unless documented otherwise. There is no implicit save at the end of a request. The
/// first write that stores a field, or a log-in, creates the session. Until then there is no cookie
/// and no record, reads return nothing, and `remove`, `take` and `clear` do nothing, all without a
/// round trip.
///
/// All guards of a request share one session.
///
/// # Errors
///
/// Every method that accesses the store can fail with these:
///
/// - [`Error::Unavailable`] if the store cannot be reached: nothing was changed.
/// - [`Error::OutcomeUnknown`] if it was reached and did not answer: the change may have been made.
/// - [`Error::Conflict`] if another request has just rotated or destroyed the session. Nothing was
///   changed.
///
/// ```
/// use rocket_server_sessions::{Key, Result, Session};
/// use rocket::{get, routes};
///
/// const VIEWS: Key<i64> = Key::new("views");
///
/// #[get("/")]
/// async fn index(session: Session<'_>) -> Result<String> {
///     Ok(format!("view {}", session.increment(VIEWS, 1).await?))
/// }
///
/// let rocket = rocket::build().attach(Session::fairing()).mount("/", routes![index]);
/// # let client = rocket::local::blocking::Client::tracked(rocket).unwrap();
/// # assert_eq!(client.get("/").dispatch().into_string().unwrap(), "view 1");
/// # assert_eq!(client.get("/").dispatch().into_string().unwrap(), "view 2");
/// ```
#[derive(Clone, Copy)]
pub struct Session<'r> {
    request: &'r Arc<RequestSession>,
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("info", &self.info()).finish_non_exhaustive()
    }
}

/// Information about a session, available without a round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The session's public id.
    pub id: PublicId,
    /// The hash of its token. It changes when the session is regenerated.
    pub token_hash: TokenHash,
    /// When the session was created.
    pub created: SystemTime,
    /// When the session expires, regardless of use.
    pub absolute_expiry: SystemTime,
    /// When the session's idle timeout was last reset. `None` until the store has answered in this
    /// request.
    pub last_seen: Option<SystemTime>,
    /// When the session expires unless it is used again. It expires later if it has a longer idle
    /// timeout of its own ([`remember_me`](Session::remember_me)). `None` until the store has
    /// answered in this request.
    pub idle_expiry: Option<SystemTime>,
}

impl Session<'_> {
    /// Returns information about the session, or `None` if there is none. This makes no round trip,
    /// so the session may already have been destroyed or have expired.
    ///
    /// ```
    /// # use rocket_server_sessions::Session;
    /// #[rocket::get("/session")]
    /// fn show(session: Session<'_>) -> String {
    ///     match session.info() {
    ///         Some(info) => format!("session {}, created {:?}", info.id, info.created),
    ///         None => "no session yet".into(),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn info(&self) -> Option<Info> {
        let identity = self.request.identity()?;
        let id = identity.record.id;
        let absolute_expiry = self.request.shared.config.absolute_expiry(id);
        Some(Info {
            id,
            token_hash: identity.record.token_hash,
            created: id.created(),
            absolute_expiry,
            last_seen: identity.seen.map(|seen| seen.at),
            idle_expiry: identity.seen.map(|seen| seen.expiry.min(absolute_expiry)),
        })
    }

    /// Returns why the request's cookie was ignored, as far as is known without a round trip.
    /// Returns `None` if the cookie was accepted, or if there was none.
    ///
    /// A lost record, a rotated token and a destroyed session are known once the store has
    /// answered.
    ///
    /// ```
    /// # use rocket_server_sessions::{Rejection, Session};
    /// #[rocket::get("/why")]
    /// fn why(session: Session<'_>) -> &'static str {
    ///     match session.rejection() {
    ///         None => "nothing is wrong with your cookie",
    ///         Some(Rejection::CutOff) => "something has truncated your cookie",
    ///         Some(_) => "your cookie is not valid",
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        self.request.rejection()
    }

    /// Whether an operation of this request has failed with [`Error::OutcomeUnknown`], so that its
    /// change may have been made. Lets an error catcher tell such a 503 from one that changed
    /// nothing. Makes no round trip.
    ///
    /// ```
    /// # use rocket_server_sessions::Session;
    /// use rocket::{Request, catch};
    ///
    /// #[catch(503)]
    /// fn unavailable(request: &Request<'_>) -> &'static str {
    ///     let session = Session::of(request);
    ///     if session.is_ok_and(|it| it.is_outcome_unknown()) {
    ///         "This may have been done. Check before you try again."
    ///     } else {
    ///         "Nothing was changed. Try again later."
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.request.is_outcome_unknown()
    }

    /// The name of the store, as [`Store::name`] returns it.
    #[must_use]
    pub fn store_name(&self) -> &'static str {
        self.request.shared.store.name()
    }
}

impl<'r> Session<'r> {
    /// Returns the session of a request, for guards, fairings and responders of your own. A
    /// response fairing may change the session, in whichever order the fairings are attached.
    ///
    /// ```
    /// use rocket::fairing::AdHoc;
    /// use rocket_server_sessions::{Key, Session};
    ///
    /// const LAST_STATUS: Key<u16> = Key::new("last_status");
    ///
    /// let note = AdHoc::on_response("Last status", |request, response| {
    ///     Box::pin(async move {
    ///         let Ok(session) = Session::of(request) else { return };
    ///         if let Err(error) = session.insert(LAST_STATUS, response.status().code).await {
    ///             log::warn!("{error}");
    ///         }
    ///     })
    /// });
    /// let rocket = rocket::build().attach(Session::fairing()).attach(note);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if [`Session::fairing`] is not attached.
    pub fn of(request: &'r Request<'_>) -> Result<Self> {
        Ok(Self { request: session_of(request)? })
    }

    /// Returns the session as a value that a task may hold beyond the request. See
    /// [`OwnedSession`].
    #[must_use]
    pub fn into_owned(self) -> OwnedSession {
        OwnedSession { request: self.request.clone() }
    }
}

/// A session that a spawned task may hold beyond the request. Streams and websockets do not need
/// it: they may hold the guard itself, as the example [`websocket`] shows. The following applies to
/// them, too.
///
/// [`websocket`]: https://github.com/cloud-run-sessions/cloud-run-sessions/blob/main/crates/rocket_server_sessions/examples/websocket.rs
///
/// Once the response's headers are sent, no cookie can be set. Operations that need one then fail
/// with [`Error::Unavailable`] and change nothing: creating a session, `regenerate`, `log_in` and
/// `remember_me`. The same happens if the headers are sent while they run, except that
/// `remember_me` then fails with [`Error::OutcomeUnknown`]. Each operation has its own deadline,
/// and works again after an outage. At the end of the absolute lifetime, operations fail with
/// [`Error::Conflict`].
///
/// ```
/// # use rocket_server_sessions::{Key, Result, Session};
/// const REPORT: Key<String> = Key::new("report");
///
/// #[rocket::post("/report")]
/// async fn report(session: Session<'_>) -> Result<&'static str> {
///     session.insert(REPORT, "in progress").await?;
///     let owned = session.into_owned();
///     rocket::tokio::spawn(async move {
///         // … for minutes …
///         if let Err(error) = owned.session().insert(REPORT, "done").await {
///             log::warn!("{error}");
///         }
///     });
///     Ok("in progress")
/// }
/// ```
#[derive(Clone)]
pub struct OwnedSession {
    request: Arc<RequestSession>,
}

opaque_debug!("OwnedSession", OwnedSession);

impl OwnedSession {
    /// Borrows the session.
    #[must_use]
    pub fn session(&self) -> Session<'_> {
        Session { request: &self.request }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Session<'r> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Self::of(request).map_or_else(Outcome::from, Outcome::Success)
    }
}

impl Sentinel for Session<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        is_unattached(rocket)
    }
}

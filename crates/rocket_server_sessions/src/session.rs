//! The request guard `Session`.

use std::sync::Arc;
use std::time::SystemTime;

use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::{Batch, encode};
use crate::error::{Error, Result};
use crate::event::Rejection;
use crate::id::{PublicId, TokenHash};
use crate::key::Field;
use crate::request::{RequestSession, identity};
use crate::setup::SessionFairing;
use crate::setup::sessions::Sessions;
use crate::snapshot::{Snapshot, decode};
use crate::store::{Fields, Op, OpResult, USER, Update};

/// The visitor's session, as a request guard.
///
/// The guard only decrypts the cookie and does no I/O. Each method that you `.await` makes one
/// round trip unless documented otherwise. There is no implicit save at the end of a request. The
/// first write creates the session. Until then there is no cookie and no record, and reads return
/// nothing without a round trip.
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
    request: &'r RequestSession,
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
    /// When the session expires unless it is used again. `None` until the store has answered in
    /// this request.
    pub idle_expiry: Option<SystemTime>,
}

impl Session<'_> {
    /// Returns the fairing, configured by `[default.session]`: it uses Redis if `url` is set, and
    /// memory otherwise.
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

impl<'r> Session<'r> {
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
        let absolute_expiry = self.request.sessions.config.absolute_expiry(id);
        Some(Info {
            id,
            token_hash: identity.record.token_hash,
            created: id.created(),
            absolute_expiry,
            last_seen: identity.seen.map(|seen| seen.at),
            idle_expiry: identity.seen.map(|seen| seen.expiry.min(absolute_expiry)),
        })
    }

    /// Returns why the request's cookie was ignored, as far as is known without a round trip. `None`
    /// if it was accepted, or if there was none.
    ///
    /// A lost record, a rotated token and a destroyed session are known once the store has answered.
    ///
    /// ```
    /// # use rocket_server_sessions::{Rejection, Session};
    /// #[rocket::get("/why")]
    /// fn why(session: Session<'_>) -> &'static str {
    ///     match session.rejection() {
    ///         None => "nothing is wrong with your cookie",
    ///         Some(Rejection::CutOff) => "something has cut your cookie off",
    ///         Some(_) => "your cookie is not valid",
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        self.request.rejection()
    }

    /// The name of the store.
    #[must_use]
    pub fn store(&self) -> &'static str {
        self.request.sessions.store.name()
    }

    /// Reads a field. `None` if it does not exist. One round trip, one command.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const NAME: Key<String> = Key::new("name");
    ///
    /// #[rocket::get("/name")]
    /// async fn name(session: Session<'_>) -> Result<String> {
    ///     Ok(session.get(NAME).await?.unwrap_or_else(|| "stranger".into()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`] if the value is not a `T`.
    pub async fn get<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        let fields = self.request.read(&[field.name()]).await?;
        fields.get(field.name()).map(|text| decode(field.name(), text)).transpose()
    }

    /// Reads all fields. One round trip, one command.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const NAME: Key<String> = Key::new("name");
    /// const VISITS: Key<i64> = Key::new("visits");
    ///
    /// #[rocket::get("/")]
    /// async fn index(session: Session<'_>) -> Result<String> {
    ///     let all = session.snapshot().await?;
    ///     Ok(format!("{:?} {:?}", all.get(NAME)?, all.get(VISITS)?))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(self.request.run(Update::look(Fields::All)).await?.fields))
    }

    /// Sets `field` to `value`. One round trip, three commands.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const NAME: Key<String> = Key::new("name");
    ///
    /// #[rocket::post("/name/<name>")]
    /// async fn rename(name: String, session: Session<'_>) -> Result<()> {
    ///     session.insert(NAME, &name).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Serialize`] if `value` cannot be serialized, and [`Error::TooLarge`] if a limit is
    /// exceeded. In both cases, nothing was changed.
    pub async fn insert<T: Serialize>(&self, field: impl Into<Field<T>>, value: &T) -> Result<()> {
        let field = field.into();
        let op = Op::Insert(field.name().to_owned(), encode(&field, value)?);
        let max_size = Some(self.request.sessions.config.max_record_size);
        let update = Update { ops: vec![op], read: Fields::Some(vec![]), max_size };
        self.request.run(update).await.map(drop)
    }

    /// Adds `by` to `field` and returns the sum. A missing field counts as 0. Atomic: concurrent
    /// increments are never lost.
    ///
    /// One round trip, two commands. The size of the whole session is not checked: if the field's
    /// name comes from a visitor, count in a [`batch`](Self::batch), which checks it.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const VIEWS: Key<i64> = Key::new("views");
    ///
    /// #[rocket::get("/")]
    /// async fn index(session: Session<'_>) -> Result<String> {
    ///     Ok(session.increment(VIEWS, 1).await?.to_string())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotAnInteger`] if the field is not an integer or the sum overflows; the field is not
    /// changed. After [`Error::OutcomeUnknown`], it may have been incremented once.
    pub async fn increment(&self, field: impl Into<Field<i64>>, by: i64) -> Result<i64> {
        let field = field.into().into_name();
        let op = Op::Increment(field.clone(), by);
        match self.change(op).await? {
            Some(OpResult::Count(count)) => Ok(count),
            _ => Err(Error::NotAnInteger { field }),
        }
    }

    /// Deletes `field`. One round trip, two commands.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const CART: Key<u32> = Key::new("cart");
    ///
    /// #[rocket::post("/cart/remove/<item>")]
    /// async fn remove(item: &str, session: Session<'_>) -> Result<()> {
    ///     session.remove(CART.at(item)).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn remove<T>(&self, field: impl Into<Field<T>>) -> Result<()> {
        self.change(Op::Remove(field.into().into_name())).await.map(drop)
    }

    /// Atomically reads and deletes a field, for example a flash message. One round trip, three
    /// commands.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const NOTICE: Key<String> = Key::new("notice");
    ///
    /// #[rocket::get("/notice")]
    /// async fn notice(session: Session<'_>) -> Result<Option<String>> {
    ///     session.take(NOTICE).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`] if the value is not a `T`. The field is deleted nevertheless.
    pub async fn take<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        match self.change(Op::Take(field.name().to_owned())).await? {
            Some(OpResult::Taken(Some(text))) => decode(field.name(), &text).map(Some),
            _ => Ok(None),
        }
    }

    async fn change(&self, op: Op) -> Result<Option<OpResult>> {
        let update = Update { ops: vec![op], read: Fields::Some(vec![]), max_size: None };
        Ok(self.request.run(update).await?.results.pop())
    }

    /// Starts a batch of changes, which are sent in one round trip.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const VIEWS: Key<i64> = Key::new("views");
    /// const LAST: Key<String> = Key::new("last");
    ///
    /// #[rocket::get("/<page>")]
    /// async fn page(page: String, session: Session<'_>) -> Result<String> {
    ///     let batch = session.batch().increment(VIEWS.at(&page), 1).insert(LAST, &page);
    ///     Ok(format!("{:?}", batch.commit().await?.get(VIEWS.at(&page))?))
    /// }
    /// ```
    #[must_use = "a batch does nothing until it is committed"]
    pub fn batch(&self) -> Batch<'r> {
        Batch::new(self.request)
    }

    /// Gives the session a new token, and the browser a new cookie. The session's data, public id
    /// and lifetime stay the same. Call it when the user gains rights, so that copies of the old
    /// cookie become useless; [`log_in`](Self::log_in) does it for you.
    ///
    /// The old token is invalid immediately. Concurrent requests that use it find no session, and
    /// their writes fail with [`Error::Conflict`]. Does nothing if there is no session.
    ///
    /// One round trip, up to eight commands. If a user is logged in, three round trips.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const IS_ADMIN: Key<bool> = Key::new("is_admin");
    ///
    /// #[rocket::post("/sudo")]
    /// async fn sudo(session: Session<'_>) -> Result<()> {
    ///     session.regenerate().await?;
    ///     session.insert(IS_ADMIN, &true).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if another request rotated or destroyed the session first;
    /// [`Error::Unavailable`] if the response's headers were already sent. In both cases, nothing
    /// was changed.
    pub async fn regenerate(&self) -> Result<()> {
        self.request.with_deadline(identity::regenerate(self.request)).await
    }

    /// Returns the logged-in user. One round trip, one command; none if no user is logged in.
    ///
    /// ```
    /// # use rocket_server_sessions::{Result, Session};
    /// #[rocket::get("/")]
    /// async fn index(session: Session<'_>) -> Result<String> {
    ///     Ok(session.user().await?.unwrap_or_else(|| "not logged in".into()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn user(&self) -> Result<Option<String>> {
        if !self.request.may_have_user() {
            return Ok(None);
        }
        Ok(self.request.read(&[USER]).await?.remove(USER))
    }

    /// Logs a user of your application in. Call it after you have verified the user's credentials.
    ///
    /// Rotates the token like [`regenerate`](Self::regenerate) (OWASP ASVS 5.0, 7.2.4), keeps the
    /// data, and adds the session to the user's [list](crate::UserSessions). `label` describes the
    /// session in that list, for example the browser. It is truncated to 120 characters.
    ///
    /// Creates a session if there is none, or if the current one was destroyed, replaced or lost. If
    /// another user is logged in, that session is destroyed and a new one is created. If the user
    /// has more sessions than [`max_user_sessions`](crate::Config::max_user_sessions), the sessions
    /// with the oldest log-ins are destroyed.
    ///
    /// Two round trips; up to four if the current session no longer exists or belongs to another
    /// user.
    ///
    /// ```
    /// # use rocket_server_sessions::{Result, SameOrigin, Session};
    /// #[rocket::post("/login")]
    /// async fn login(_same: SameOrigin, session: Session<'_>) -> Result<&'static str> {
    ///     // … check the password …
    ///     session.log_in("alice", "Firefox on Linux").await?;
    ///     Ok("welcome")
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if the name is empty or has more than 256 bytes. [`Error::Conflict`] if
    /// the user's sessions are being destroyed at the same time. [`Error::Unavailable`] if the
    /// response's headers were already sent.
    pub async fn log_in(&self, user: &str, label: &str) -> Result<()> {
        self.request.with_deadline(identity::log_in(self.request, user, label)).await
    }

    /// Destroys the session: deletes its data and removes the browser's cookie. Concurrent requests
    /// cannot revive it. Does nothing if there is no session.
    ///
    /// One round trip, five commands.
    ///
    /// ```
    /// # use rocket_server_sessions::{Result, SameOrigin, Session};
    /// #[rocket::post("/logout")]
    /// async fn logout(_same: SameOrigin, session: Session<'_>) -> Result<&'static str> {
    ///     session.destroy().await?;
    ///     Ok("bye")
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if another request rotated the session within the last 30 seconds. It
    /// still exists under its new token.
    pub async fn destroy(&self) -> Result<()> {
        self.request.with_deadline(identity::destroy(self.request)).await
    }

    /// Sets whether the cookie outlives the browser. If there is a session, its cookie is sent again
    /// with the new setting; otherwise, the setting applies to the session that this request
    /// creates. One round trip, one command; none if there is no session yet, or if the store has
    /// already answered in this request.
    ///
    /// ```
    /// # use rocket_server_sessions::{Result, Session};
    /// #[rocket::post("/login?<remember>")]
    /// async fn login(remember: bool, session: Session<'_>) -> Result<()> {
    ///     session.remember_me(remember).await?;
    ///     session.log_in("alice", "phone").await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the response's headers were already sent. For the others, see
    /// [`Session`](#errors).
    pub async fn remember_me(&self, is_remembered: bool) -> Result<()> {
        self.request.remember_me(is_remembered).await
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Session<'r> {
    type Error = &'static str;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        session_of(request).map(|request| Session { request })
    }
}

/// Returns the session of a request, for its guards.
pub(crate) fn session_of<'r>(
    request: &'r Request<'_>,
) -> Outcome<&'r RequestSession, &'static str> {
    let Some(sessions) = request.rocket().state::<Arc<Sessions>>() else {
        return Outcome::Error((Status::InternalServerError, MISSING));
    };
    match request.local_cache(|| Some(RequestSession::open(request, sessions))) {
        Some(session) => Outcome::Success(session),
        None => Outcome::Error((
            Status::InternalServerError,
            "the session was first requested after the response was complete",
        )),
    }
}

const MISSING: &str = "a route uses sessions, but their fairing is not attached; \
     add `.attach(Session::fairing())` to the Rocket";

/// Fails the launch if the fairing is missing.
pub(crate) fn is_unattached(rocket: &Rocket<Ignite>) -> bool {
    let is_missing = rocket.state::<Arc<Sessions>>().is_none();
    if is_missing {
        log::error!("{MISSING}");
    }
    is_missing
}

impl Sentinel for Session<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        is_unattached(rocket)
    }
}

//! The request guard: what a handler does with its visitor's session.

use std::sync::Arc;
use std::time::SystemTime;

use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::{Batch, encode};
use crate::error::{Error, Result};
use crate::id::{PublicId, TokenHash};
use crate::key::Field;
use crate::request::{RequestSession, identity};
use crate::setup::SessionFairing;
use crate::setup::sessions::Sessions;
use crate::snapshot::{Snapshot, decode};
use crate::store::{Fields, Op, OpResult, USER, Update};

/// The visitor's session, as a request guard.
///
/// The guard itself does no I/O: it opens the cookie. Each method that you `.await` makes one round
/// trip to the store, unless its documentation says otherwise, and nothing is saved behind your
/// back. A session is created by the first write. Until then there is no cookie and no record, and
/// reads find nothing without asking the store.
///
/// All guards of one request are one session.
///
/// # Errors
///
/// Every method that asks the store can fail with these:
///
/// - [`Error::Unavailable`] if the store cannot be reached: nothing was changed.
/// - [`Error::OutcomeUnknown`] if it was reached and did not answer: the change may have been made.
/// - [`Error::Conflict`] if another request has just given the session a new token or destroyed it,
///   and this one came with the old cookie: nothing was changed.
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

/// What is known of a session without asking the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The session's public id.
    pub id: PublicId,
    /// The hash of its token. It changes when the session is regenerated.
    pub token_hash: TokenHash,
    /// When the session was created.
    pub created: SystemTime,
    /// When the session ends, however much it is used.
    pub absolute_expiry: SystemTime,
    /// When its time to live was last set. `None` until the store has answered in this request.
    pub last_seen: Option<SystemTime>,
    /// When it ends if it is not used. `None` until the store has answered in this request.
    pub idle_expiry: Option<SystemTime>,
}

impl Session<'_> {
    /// Sessions as `[default.session]` describes them: in Redis if `url` is set, and in memory if
    /// it is not. Attach this to your Rocket.
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
    /// What is known of the session without asking the store. `None` without a session. A session
    /// that was destroyed elsewhere, or has expired, is still known here until the store is asked.
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

    /// The name of the store that the session lives in.
    #[must_use]
    pub fn store(&self) -> &'static str {
        self.request.sessions.store.name()
    }

    /// What `field` holds. `None` if there is no such field. One round trip, one command.
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
    /// [`Error::Deserialize`] if it holds something other than a `T`.
    pub async fn get<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        let fields = self.request.read(&[field.name()]).await?;
        fields.get(field.name()).map(|text| decode(field.name(), text)).transpose()
    }

    /// All fields. One round trip, one command.
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
    /// Those of every method; see [`Session`].
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
    /// [`Error::Serialize`] and [`Error::TooLarge`]: nothing was changed.
    pub async fn insert<T: Serialize>(&self, field: impl Into<Field<T>>, value: &T) -> Result<()> {
        let field = field.into();
        let op = Op::Insert(field.name().to_owned(), encode(&field, value)?);
        let max_size = Some(self.request.sessions.config.max_record_size);
        let update = Update { ops: vec![op], read: Fields::Some(vec![]), max_size };
        self.request.run(update).await.map(drop)
    }

    /// Adds `by` to `field` and returns the sum. A missing field counts as 0. However many requests
    /// do so at the same time, none is lost, and each gets another sum.
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
    /// [`Error::NotAnInteger`]: the field is as it was. After [`Error::OutcomeUnknown`] it may have
    /// been incremented; it was not sent twice.
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
    /// Those of every method; see [`Session`].
    pub async fn remove<T>(&self, field: impl Into<Field<T>>) -> Result<()> {
        self.change(Op::Remove(field.into().into_name())).await.map(drop)
    }

    /// Reads `field` and deletes it in one step: if two requests take it, one gets it. Made for a
    /// message that is shown once. One round trip, three commands.
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
    /// [`Error::Deserialize`] if it held something other than a `T`; it is deleted then.
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

    /// Starts a batch: several changes and a look at everything, in one round trip.
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

    /// Gives the session a new token, and the browser a new cookie. Everything in the session stays,
    /// and so do its public id and its lifetime. Call it when somebody gains rights, so that a copy
    /// of the old cookie is worth nothing; [`log_in`](Self::log_in) does it for you.
    ///
    /// The old token is dead at once. Requests that are on their way with it find no session, and
    /// their writes fail with [`Error::Conflict`]. Without a session, nothing happens.
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
    /// [`Error::Conflict`] if another request was faster; [`Error::Unavailable`] after the response's
    /// headers have left. In both cases, nothing was changed.
    pub async fn regenerate(&self) -> Result<()> {
        self.request.with_deadline(identity::regenerate(self.request)).await
    }

    /// Which user is logged in. One round trip, one command; none if nobody has logged in.
    ///
    /// ```
    /// # use rocket_server_sessions::{Result, Session};
    /// #[rocket::get("/")]
    /// async fn index(session: Session<'_>) -> Result<String> {
    ///     Ok(session.user().await?.unwrap_or_else(|| "nobody".into()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of every method; see [`Session`].
    pub async fn user(&self) -> Result<Option<String>> {
        if !self.request.may_have_user() {
            return Ok(None);
        }
        Ok(self.request.read(&[USER]).await?.remove(USER))
    }

    /// Logs a user of your application in. Call it once their password, or whatever proves who they
    /// are, was checked.
    ///
    /// The session gets a new token as by [`regenerate`](Self::regenerate) (OWASP ASVS 5.0, 7.2.4),
    /// keeps what it holds, and is found by [`UserSessions`](crate::UserSessions). `label` tells it
    /// from the user's other sessions, for people: a browser, a device. It is cut after 120
    /// characters.
    ///
    /// Without a session, one is created. So is one if the session is another user's, which is
    /// destroyed, or if its token is dead. If the user has more sessions than
    /// [`max_user_sessions`](crate::Config::max_user_sessions), the oldest log-ins are destroyed.
    ///
    /// Two round trips; up to four if the session is dead, gone or another user's.
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
    /// [`Error::TooLarge`] if the name is empty or has more than 256 bytes. [`Error::Conflict`] if the
    /// user's sessions are being destroyed at the same moment. [`Error::Unavailable`] after the
    /// response's headers have left.
    pub async fn log_in(&self, user: &str, label: &str) -> Result<()> {
        self.request.with_deadline(identity::log_in(self.request, user, label)).await
    }

    /// Destroys the session: what it holds is deleted, the browser's cookie is removed, and no request
    /// that is still on its way brings it back. Without a session, nothing happens.
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
    /// [`Error::Conflict`] if the session has got another token within the last 30 seconds, and lives on
    /// under that.
    pub async fn destroy(&self) -> Result<()> {
        self.request.with_deadline(identity::destroy(self.request)).await
    }

    /// Chooses whether the cookie outlives the browser's own session ("remember me"). Without a
    /// session, the choice is for one that this request creates; that makes no round trip. Otherwise
    /// one round trip, one command, and the cookie is sent again.
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
    /// Those of every method; see [`Session`].
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

/// The session of a request, for its guards.
pub(crate) fn session_of<'r>(
    request: &'r Request<'_>,
) -> Outcome<&'r RequestSession, &'static str> {
    let Some(sessions) = request.rocket().state::<Arc<Sessions>>() else {
        return Outcome::Error((Status::InternalServerError, MISSING));
    };
    match request.local_cache(|| Some(RequestSession::open(request, sessions))) {
        Some(session) => Outcome::Success(session),
        None => Outcome::Error((Status::InternalServerError, "the response is already made")),
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

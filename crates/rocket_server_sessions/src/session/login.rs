//! Who is logged in.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Session;
use crate::debug::opaque_debug;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::key::Field;
use crate::request::{RequestSession, identity};
use crate::store::Values;
use crate::user::User;
use crate::value::{self, Value};

impl<'r> Session<'r> {
    /// Returns the logged-in user. Each call reads the store; the guard [`User`] reads it only once
    /// per request. One round trip, one command; none if no user is logged in.
    ///
    /// ```
    /// # use rocket_server_sessions::{Result, Session};
    /// #[rocket::get("/greeting")]
    /// async fn greeting(session: Session<'_>) -> Result<String> {
    ///     let user = session.user().await?;
    ///     Ok(user.map_or_else(|| "Hello".into(), |user| format!("Hello {}", user.name)))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn user(&self) -> Result<Option<User>> {
        Ok(self.request.login().await?.map(User::from))
    }

    /// Returns `true` if a user is logged in, and has logged in at most this long ago by the clock
    /// of the [fairing](crate::SessionFairing::clock). Use it to ask for the password again before
    /// a sensitive action. If the password is right, call [`log_in`](Self::log_in) with the same
    /// user to renew the time.
    ///
    /// The time of a log-in is stored to the second. If it is in the future, because another
    /// instance's clock is ahead, the difference counts as its age.
    ///
    /// One round trip, one command, shared with the guard [`User`]; none if no user is logged in.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rocket_server_sessions::{Result, Session, User};
    /// #[rocket::post("/close-account")]
    /// async fn close(_user: User, session: Session<'_>) -> Result<&'static str> {
    ///     if !session.logged_in_within(Duration::from_mins(10)).await? {
    ///         return Ok("enter your password again");
    ///     }
    ///     Ok("closed")
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn logged_in_within(&self, age: Duration) -> Result<bool> {
        let Some(login) = self.request.known_login().await? else { return Ok(false) };
        let now = self.request.shared.clock.now();
        let since = now.duration_since(login.logged_in_at);
        Ok(since.unwrap_or_else(|ahead| ahead.duration()) <= age)
    }

    /// Logs a user of your application in. Call it after you have verified the user's credentials.
    ///
    /// Rotates the token like [`regenerate`](Self::regenerate) (OWASP ASVS 5.0, 7.2.4), keeps the
    /// data, and adds the session to the user's [list](crate::UserSessions). `label` describes the
    /// session in that list, for example the browser. It is truncated to 120 characters.
    ///
    /// Creates a session if there is none, or if the current one was destroyed, replaced or lost.
    /// If another user is logged in, that session is destroyed and a new one is created. If the
    /// same user is already logged in, [`logged_in_at`](User::logged_in_at) and the label are
    /// renewed. If the user has more sessions than
    /// [`max_user_sessions`](crate::Config::max_user_sessions), the sessions with the oldest
    /// log-ins are destroyed.
    ///
    /// A guest's session keeps its age: the [absolute lifetime](crate::Config::absolute_lifetime),
    /// 30 days by default, counts from the session's creation, and a log-in does not restart it. If
    /// users are to stay logged in for 30 days, set a longer one.
    ///
    /// Two round trips; four if the current session no longer exists or belongs to another user,
    /// and six if it belongs to another user while this user's sessions are being destroyed.
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
    /// [`LogIn::insert`] stores data in the same step.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyUser`] if the name is empty, and [`Error::TooLarge`] if it has more than 256
    /// bytes. [`Error::Conflict`] if the user's sessions are being destroyed at the same time.
    /// [`Error::Unavailable`] if the response's headers were already sent.
    pub fn log_in(&self, user: &str, label: &str) -> LogIn<'r> {
        LogIn {
            request: self.request,
            user: user.to_owned(),
            label: label.to_owned(),
            fields: Ok(Values::new()),
        }
    }
}

/// A log-in that takes place when it is awaited. Created by [`Session::log_in`].
#[must_use = "a log-in does nothing until it is awaited"]
pub struct LogIn<'r> {
    request: &'r Arc<RequestSession>,
    user: String,
    label: String,
    fields: Result<Values>,
}

opaque_debug!("LogIn", LogIn<'_>);

impl LogIn<'_> {
    /// Sets `field` to `value` in the same step as the log-in: either both happen or neither. This
    /// takes no additional round trip. The size of the whole session is not checked. More than
    /// 10,000 fields are refused with [`Error::TooManyChanges`].
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, SameOrigin, Session};
    /// const NICKNAME: Key<String> = Key::new("nickname");
    ///
    /// #[rocket::post("/login")]
    /// async fn login(_same: SameOrigin, session: Session<'_>) -> Result<()> {
    ///     session.log_in("alice", "Firefox on Linux").insert(NICKNAME, "Al").await
    /// }
    /// ```
    pub fn insert<T>(mut self, field: impl Into<Field<T>>, value: impl Value<T>) -> Self {
        self.fields = value::insert(self.fields, field.into(), value);
        self
    }
}

impl<'r> IntoFuture for LogIn<'r> {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>> + Send + 'r>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { request, user, label, fields } = self;
        Box::pin(async move {
            let log_in = identity::log_in(request, &user, &label, fields?);
            request.with_deadline(log_in).await
        })
    }
}

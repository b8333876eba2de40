//! Who is logged in, the token, and the cookie.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use super::Session;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::key::Field;
use crate::remember_me::RememberMe;
use crate::request::{RequestSession, identity};
use crate::store::{USER, Values};
use crate::value::{Value, encode};

impl<'r> Session<'r> {
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
    /// Two round trips; four if the current session no longer exists or belongs to another user, and
    /// six if it belongs to another user while this user's sessions are being destroyed.
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

    /// Returns when the user logged in, to the second; `None` if nobody has. Use it to ask for the
    /// password again before something important. One round trip, one command; none if no user is
    /// logged in.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rocket_server_sessions::{Result, Session};
    /// #[rocket::post("/close-account")]
    /// async fn close(session: Session<'_>) -> Result<&'static str> {
    ///     let logged_in_at = session.logged_in_at().await?;
    ///     let age = logged_in_at.and_then(|time| time.elapsed().ok());
    ///     if age.is_none_or(|age| age > Duration::from_mins(10)) {
    ///         return Ok("enter your password again");
    ///     }
    ///     Ok("closed")
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn logged_in_at(&self) -> Result<Option<SystemTime>> {
        Ok(self.request.login().await?.map(|login| login.logged_in_at))
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

    /// Sets how long the session and its cookie are kept. With `false`, the browser drops the
    /// cookie when it is closed. With `true`, it keeps the cookie. With a
    /// [`Duration`](std::time::Duration), it keeps the cookie, and the session gets this idle
    /// timeout if it is longer than the configured one. The absolute lifetime stays the limit.
    ///
    /// If there is a session, its cookie is sent again; otherwise, the setting applies to the session
    /// that this request creates. After a [`destroy`](Self::destroy), a new session has the configured
    /// defaults again. The idle timeout is kept in the store. A later request that sets `true` or
    /// `false` does not change it.
    ///
    /// One round trip, one command; none if there is no session yet, or if the store has already
    /// answered in this request. With a duration and a session, one round trip and three commands,
    /// and a touch in the background.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rocket_server_sessions::{Result, Session};
    /// #[rocket::post("/login?<remember>")]
    /// async fn login(remember: bool, session: Session<'_>) -> Result<()> {
    ///     if remember {
    ///         session.remember_me(Duration::from_hours(14 * 24)).await?;
    ///     } else {
    ///         session.remember_me(false).await?;
    ///     }
    ///     session.log_in("alice", "phone").await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the response's headers were already sent, and
    /// [`Error::OutcomeUnknown`] if they are sent meanwhile. For the others, see
    /// [`Session`](#errors).
    pub async fn remember_me(&self, choice: impl Into<RememberMe>) -> Result<()> {
        self.request.remember_me(choice.into()).await
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

impl LogIn<'_> {
    /// Sets `field` to `value` in the same step as the log-in: either both happen or neither. No
    /// round trip of its own. The size of the whole session is not checked. More than 10,000 fields are
    /// refused with [`Error::TooManyChanges`].
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
        let field = field.into();
        let text = encode(&field, value);
        self.fields = self.fields.and_then(|mut fields| {
            fields.insert(field.into_name(), text?);
            Ok(fields)
        });
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

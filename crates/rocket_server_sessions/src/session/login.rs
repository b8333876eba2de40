//! Who is logged in, the token, and the cookie.

use super::Session;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::request::identity;
use crate::store::USER;

impl Session<'_> {
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
    ///     Ok(session.user().await?.unwrap_or_else(|| "nobody".into()))
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
    /// See [`Session`](#errors).
    pub async fn remember_me(&self, is_remembered: bool) -> Result<()> {
        self.request.remember_me(is_remembered).await
    }
}

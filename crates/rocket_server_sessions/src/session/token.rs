//! The token: replacing it, destroying its session, and how long the browser keeps it.

use super::Session;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::remember_me::RememberMe;
use crate::request::identity;

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

    /// Destroys the session: deletes its data and removes the browser's cookie. Concurrent requests
    /// cannot revive it. Does nothing if there is no session.
    ///
    /// Only this response removes the cookie. Responses to other requests that still send it do
    /// not, because they could arrive after the response to a newer log-in, and would undo that.
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
    /// timeout if it is longer than the configured one.
    ///
    /// The [absolute lifetime](crate::Config::absolute_lifetime) remains the limit: 30 days by
    /// default, from when the session was created, even if no user was logged in then. For
    /// "remember me for 30 days", set a longer `absolute_lifetime`.
    ///
    /// Call it before or after [`log_in`](Self::log_in): it applies to the session in which the
    /// user is then logged in, even if another user was logged in before. If you call it before the
    /// log-in and there is no session yet, it makes no round trip. If you call it after the log-in,
    /// a failed log-in leaves a guest's session unchanged.
    ///
    /// If there is a session, its cookie is sent again; otherwise, the setting applies to the
    /// session that this request creates. After a [`destroy`](Self::destroy), a new session has the
    /// configured defaults again. The idle timeout is kept in the store. A later request that sets
    /// `true` or `false` does not change it.
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
    /// [`Error::OutcomeUnknown`] if they are sent during the call. For the others, see
    /// [`Session`](#errors).
    pub async fn remember_me(&self, choice: impl Into<RememberMe>) -> Result<()> {
        self.request.remember_me(choice.into()).await
    }
}

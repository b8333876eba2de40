//! The request guard `UserSessions`.

use std::sync::Arc;
use std::time::SystemTime;

use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};

use crate::debug::opaque_debug;
use crate::error::{Error, Result};
use crate::id::PublicId;
use crate::request::guard::{is_unattached, session_of};
use crate::request::{RequestSession, with_deadline};
use crate::sessions::Sessions;
use crate::shared::Shared;
use crate::user_index::{Scope, UserIndex};

/// The sessions in which your users are logged in, as a request guard.
///
/// Sessions are listed here after [`Session::log_in`](crate::Session::log_in).
///
/// These methods do not check permissions. Pass only the [logged-in user](crate::Session::user),
/// unless an administrator sent the request.
///
/// ```
/// use rocket_server_sessions::{Result, SameOrigin, Session, UserSessions};
/// use rocket::{get, post};
///
/// #[get("/devices")]
/// async fn devices(session: Session<'_>, users: UserSessions<'_>) -> Result<String> {
///     let Some(user) = session.user().await? else { return Ok("log in first".into()) };
///     let active = users.list(&user.name).await?;
///     Ok(active.iter().map(|it| format!("{}\n", it.label)).collect())
/// }
///
/// #[post("/devices/log-out-others")]
/// async fn others(_same: SameOrigin, session: Session<'_>, users: UserSessions<'_>) -> Result<()> {
///     if let (Some(user), Some(own)) = (session.user().await?, session.info()) {
///         users.destroy_others(&user.name, own.id).await?;
///     }
///     Ok(())
/// }
/// ```
///
/// Outside of a request, [`Sessions::users`] returns it.
#[derive(Clone, Copy)]
pub struct UserSessions<'r> {
    shared: &'r Arc<Shared>,
    /// The request, if any.
    request: Option<&'r Arc<RequestSession>>,
}

opaque_debug!("UserSessions", UserSessions<'_>);

impl Sessions {
    /// The sessions in which your users are logged in.
    #[must_use]
    pub fn users(&self) -> UserSessions<'_> {
        UserSessions { shared: &self.shared, request: None }
    }
}

/// A session in which a user is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActiveSession {
    /// The session's public id. It contains the [creation time](PublicId::created).
    pub id: PublicId,
    /// The label that was passed to [`log_in`](crate::Session::log_in).
    pub label: String,
    /// When the user logged in, to the second.
    pub logged_in_at: SystemTime,
    /// When the session was last used, accurate to a tenth of the idle timeout.
    pub last_seen: SystemTime,
}

impl UserSessions<'_> {
    /// The sessions in which `user` is logged in, the latest log-in first. Of log-ins within one
    /// second, the one in the newest session is first.
    ///
    /// Two round trips: one command for the index, and one for each session in it. Four round trips
    /// if a session was rotated or destroyed at about the same time.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::OutcomeUnknown`] if the store fails.
    pub async fn list(&self, user: &str) -> Result<Vec<ActiveSession>> {
        let index = UserIndex::new(self.shared, user);
        let active = self.with_deadline(index.active()).await?;
        let mut active: Vec<_> = active
            .into_iter()
            .map(|it| ActiveSession {
                id: it.record.id,
                label: it.login.label,
                logged_in_at: it.login.logged_in_at,
                last_seen: it
                    .seen
                    .map_or(it.login.logged_in_at, |seen| seen.max(it.login.logged_in_at)),
            })
            .collect();
        active.sort_by_key(|it| std::cmp::Reverse((it.logged_in_at, it.id)));
        Ok(active)
    }

    /// Destroys one session of `user`. Returns `false` if the user has no such session.
    ///
    /// If it is the session of another browser, that browser still sends its cookie. Reads then
    /// find nothing, writes fail with [`Error::Conflict`] for up to 30 seconds, and a log-in works
    /// at once. No response removes the cookie, because it could arrive after the response to a
    /// newer log-in, and would undo that. If it is the session of this request, its cookie is
    /// removed, and writes work at once, in a new session.
    ///
    /// Two round trips: one command for the index, five for the session.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the store cannot be reached; nothing was changed.
    /// [`Error::OutcomeUnknown`] if the store did not answer; the session may have been destroyed.
    pub async fn destroy(&self, user: &str, id: PublicId) -> Result<bool> {
        Ok(self.destroy_in(user, Scope::One(id)).await? > 0)
    }

    /// Destroys all sessions of `user` except `own`, and returns how many were destroyed. Use
    /// it for "log out everywhere else", and after a password change (OWASP ASVS 5.0, 7.4.3).
    ///
    /// Two round trips: one command for the index, five for each session. One or two more if a
    /// session is rotated meanwhile. If the same user logs in concurrently, the new session is
    /// destroyed too, or the log-in fails with [`Error::Conflict`] or takes effect after this call.
    ///
    /// If the fairing imports sessions of Express, those of `user` that were not imported yet are
    /// ended, too. That takes one more round trip. In a job outside of a request, this needs the same
    /// import.
    ///
    /// # Errors
    ///
    /// The same as [`destroy`](Self::destroy). After [`Error::OutcomeUnknown`], some of the
    /// sessions may have been destroyed.
    pub async fn destroy_others(&self, user: &str, own: PublicId) -> Result<usize> {
        self.destroy_in(user, Scope::Others(own)).await
    }

    /// Destroys all sessions of `user`, including the current one, and returns how many were
    /// destroyed. Use it when an account is closed (OWASP ASVS 5.0, 7.4.2).
    ///
    /// If the current session is one of them, this browser's cookie is removed, and writes work at
    /// once, in a new session. For other browsers, see [`destroy`](Self::destroy).
    ///
    /// As many round trips as [`destroy_others`](Self::destroy_others), which also says what becomes of
    /// sessions of Express.
    ///
    /// # Errors
    ///
    /// The same as [`destroy`](Self::destroy). After [`Error::OutcomeUnknown`], some of the
    /// sessions may have been destroyed.
    pub async fn destroy_all(&self, user: &str) -> Result<usize> {
        self.destroy_in(user, Scope::All).await
    }

    async fn destroy_in(&self, user: &str, scope: Scope) -> Result<usize> {
        let index = UserIndex::new(self.shared, user);
        let destroyed = self.with_deadline(index.destroy(scope)).await?;
        if let Some(request) = self.request {
            let is_own = request.note_destroyed(&destroyed);
            #[cfg(feature = "express")]
            if is_own {
                let ended =
                    async { request.end_ignored_old().await.map_err(Error::partially_applied) };
                request.with_deadline(ended).await?;
            }
            #[cfg(not(feature = "express"))]
            let _ = is_own;
        }
        Ok(destroyed.len())
    }

    async fn with_deadline<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.request {
            Some(request) => request.with_deadline(work).await,
            None => with_deadline(self.shared.config.deadline, work).await,
        }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for UserSessions<'r> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let of = |request: &'r Arc<RequestSession>| UserSessions {
            shared: &request.shared,
            request: Some(request),
        };
        session_of(request).map(of).map_or_else(Outcome::from, Outcome::Success)
    }
}

impl Sentinel for UserSessions<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        is_unattached(rocket)
    }
}

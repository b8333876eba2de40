//! The session of one request, shared by its guards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rocket::Request;
use rocket::tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use rocket::tokio::time::Instant;

use super::hidden_cookie::may_hide_cookie;
use super::state::{Identity, Next, State};
use super::wait::Wait;
#[cfg(feature = "express")]
use crate::cross_site::is_same_origin;
use crate::dropped_cookies::has_dropped_cookies;
use crate::event::{Event, Rejection};
#[cfg(feature = "express")]
use crate::express::{OldId, Unverified};
use crate::id::PublicId;
use crate::session_cookie::Opened;
use crate::shared::Shared;
use crate::store::{Death, LoggedIn, RecordId, StoreError};

/// The guard of [`identity_lock`](RequestSession::identity_lock).
pub(super) type Turn<'s> = MutexGuard<'s, ()>;

pub(crate) struct RequestSession {
    pub(crate) shared: Arc<Shared>,
    pub(super) arrived: Instant,
    pub(super) state: Mutex<State>,
    /// Whether the response's headers were sent. Set while `state` is locked.
    pub(super) is_answered: AtomicBool,
    pub(super) choices: Mutex<Choices>,
    /// How long to wait before trying again, if the store has failed this request.
    pub(super) outage: Mutex<Option<Duration>>,
    /// Whether the store did not confirm a change, which may have been made.
    pub(super) is_outcome_unknown: AtomicBool,
    /// Why the request's cookie was ignored.
    rejection: Mutex<Option<Rejection>>,
    /// Whether the browser may hold a cookie that this request could not show.
    pub(super) may_hide_cookie: bool,
    pub(super) wait: Wait,
    /// The logged-in user, once a guard has read it.
    pub(super) known_login: Mutex<Option<(RecordId, Option<LoggedIn>)>>,
    /// An old session whose cookie the request carries but does not use.
    #[cfg(feature = "express")]
    pub(super) ignored_old: Mutex<Option<OldId>>,
    /// Held while an operation changes the request's identity.
    pub(super) identity_lock: AsyncMutex<()>,
}

/// What the request has chosen about its cookie, and how long the session is kept.
pub(super) struct Choices {
    /// Whether a new cookie is persistent, if the request has chosen.
    pub(super) is_remembered: Option<bool>,
    /// The idle timeout of a new session, if it has one of its own.
    pub(super) idle_timeout: Option<Duration>,
    /// Whether to send the cookie again with the same token, for example to encrypt it with the
    /// current key.
    pub(super) is_repeated: bool,
    /// The `Set-Cookie` value that removes the old cookie.
    #[cfg(feature = "express")]
    pub(super) old_cookie_removal: Option<String>,
    /// Whether to remove it even if the session cookie is not set.
    #[cfg(feature = "express")]
    pub(super) is_old_cookie_useless: bool,
}

#[cfg(feature = "express")]
impl Choices {
    /// Removes an old cookie that leads to no session.
    pub(super) fn remove_old_cookie_alone(&mut self, removal: String) {
        (self.old_cookie_removal, self.is_old_cookie_useless) = (Some(removal), true);
    }
}

impl RequestSession {
    /// Reads the request's cookie. Does no I/O.
    pub(crate) fn open(request: &Request<'_>, shared: &Arc<Shared>) -> Self {
        let config = &shared.config;
        let opened = shared.keys.open(&config.cookie_name, request);
        let opened = match opened {
            Ok(None) if has_dropped_cookies(request) => Err(Rejection::UnreadableHeader),
            opened => opened,
        };
        let rejection = opened.as_ref().err().copied();
        if let Some(rejection) = rejection {
            shared.emit(Event::Rejected(rejection));
        }
        let opened = opened.ok().flatten();
        if let Some(opened) = opened.as_ref().filter(|it| it.is_quoted) {
            shared.emit(Event::Quoted(opened.value.id));
        }
        let may_hide_cookie = opened.is_none() && may_hide_cookie(request, config, rejection);
        let is_expired = |id: PublicId| {
            let is_expired = shared.clock.now() >= config.absolute_expiry(id);
            if is_expired {
                shared.emit(Event::Expired(id));
            }
            is_expired
        };
        let opened = opened.filter(|it| !is_expired(it.value.id));
        let session = Self::new(shared, arrived(request), opened);
        let session = Self { may_hide_cookie, rejection: Mutex::new(rejection), ..session };
        #[cfg(feature = "express")]
        session.find_old(request);
        session
    }

    /// Looks for a cookie of Express. Does no I/O.
    #[cfg(feature = "express")]
    fn find_old(&self, request: &Request<'_>) {
        let Some(importer) = &self.shared.importer else { return };
        let has_own = self.identity().is_some();
        // Another site could otherwise act in the visitor's session with the old cookie alone.
        let is_of_other_site = || request.headers().contains("Origin") && !is_same_origin(request);
        match importer.find(request) {
            Ok(Some(old)) if has_own => *self.ignored_old.lock() = Some(old),
            Ok(Some(old)) if !self.may_hide_cookie && !is_of_other_site() => {
                *self.state.lock() = State::Importable(old);
            }
            Err(Unverified) if !has_own => {
                self.shared.emit(Event::Rejected(Rejection::UnverifiedOldCookie));
                importer.report_unverified();
            }
            Ok(_) | Err(Unverified) => {}
        }
    }

    /// A session without a request, in which no user is logged in.
    pub(crate) fn detached(shared: &Arc<Shared>) -> Self {
        Self::new(shared, Instant::now(), None)
    }

    fn new(shared: &Arc<Shared>, arrived: Instant, opened: Option<Opened>) -> Self {
        let choices = Choices {
            is_remembered: None,
            idle_timeout: None,
            is_repeated: opened.as_ref().is_some_and(|it| it.is_key_old),
            #[cfg(feature = "express")]
            old_cookie_removal: None,
            #[cfg(feature = "express")]
            is_old_cookie_useless: false,
        };
        let state =
            opened.map_or(State::None, |it| State::Presented(Identity::presented(it.value)));
        Self {
            shared: shared.clone(),
            arrived,
            state: Mutex::new(state),
            is_answered: AtomicBool::new(false),
            choices: Mutex::new(choices),
            outage: Mutex::default(),
            is_outcome_unknown: AtomicBool::default(),
            rejection: Mutex::default(),
            may_hide_cookie: false,
            wait: Wait::default(),
            known_login: Mutex::default(),
            #[cfg(feature = "express")]
            ignored_old: Mutex::default(),
            identity_lock: AsyncMutex::default(),
        }
    }

    /// Why the request's cookie was ignored, as far as is known.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        *self.rejection.lock()
    }

    pub(super) fn reject(&self, rejection: Rejection) {
        self.rejection.lock().get_or_insert(rejection);
        self.shared.emit(Event::Rejected(rejection));
    }

    /// The request's current identity, if any.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.state.lock().identity().cloned()
    }

    /// Returns `false` if certainly no user is logged in.
    pub(crate) fn may_have_user(&self) -> bool {
        let state = self.state.lock();
        // If the session is lost or unsettled, only the store knows.
        state.is_undecided() || state.identity().is_some_and(|it| it.value.has_user)
    }

    /// Reports a field that could not be decoded.
    pub(crate) fn undecodable(&self, key: &'static str) {
        if let Some(identity) = self.identity() {
            self.shared.emit(Event::Undecodable(identity.record.id, key));
        }
    }

    /// What a write does next.
    pub(super) fn next(&self) -> Next {
        self.state.lock().next(false)
    }

    /// Returns `true` if another request is known to have destroyed the session.
    pub(super) fn is_known_destroyed(&self) -> bool {
        let state = self.state.lock();
        matches!(&*state, State::Dead(Death::Destroyed) | State::Lost(Some(Death::Destroyed)))
    }

    /// Marks the request's session as destroyed if it is one of `records`. Returns whether it is.
    pub(crate) fn note_destroyed(&self, records: &[RecordId]) -> bool {
        let mut state = self.state.lock();
        let is_own = !state.is_unsettled()
            && state.identity().is_some_and(|it| records.contains(&it.record));
        if is_own {
            state.destroyed(Instant::now());
        }
        is_own
    }

    pub(super) fn is_answered(&self) -> bool {
        self.is_answered.load(Ordering::SeqCst)
    }

    /// Fails if the response's headers were sent, because it can no longer set a cookie.
    pub(super) fn refuse_if_answered(&self) -> Result<(), StoreError> {
        if self.is_answered() {
            let why = "the response's headers were already sent, so no cookie can be set";
            return Err(StoreError::refused(why));
        }
        Ok(())
    }

    /// Starts a change that sends a new token, unless the response's headers were sent.
    pub(super) fn change_token(&self, pending: Identity, event: Event) -> Result<(), StoreError> {
        // The lock makes `finish` see either the pending token or no change at all.
        let mut state = self.state.lock();
        self.refuse_if_answered()?;
        state.begin(pending, event);
        Ok(())
    }

    /// Makes a new session begin with the defaults.
    pub(super) fn forget_choices(&self) {
        let mut choices = self.choices.lock();
        choices.is_remembered = None;
        choices.idle_timeout = None;
    }

    pub(super) fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }
}

/// When the request arrived, as recorded by the fairing.
pub(crate) fn arrived(request: &Request<'_>) -> Instant {
    struct Arrived(Instant);
    request.local_cache(|| Arrived(Instant::now())).0
}

//! The cookie of the response, and how long it and its session are kept.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rocket::tokio::time::{Instant, timeout};

use super::session::RequestSession;
use super::state::{CookieChange, Next};
use crate::error::{Error, Result};
use crate::remember_me::RememberMe;
use crate::session_cookie::removal;
use crate::store::{IDLE, Op, Selection, Update};

impl RequestSession {
    /// Sets how long the session and its cookie are kept. Without a session, this applies to the
    /// session that the request creates.
    pub(crate) async fn remember_me(&self, choice: RememberMe) -> Result<()> {
        self.refuse_if_answered()?;
        let is_remembered = choice != RememberMe::No;
        let idle_timeout = match choice {
            RememberMe::For(duration) => Some(duration),
            RememberMe::No | RememberMe::Yes => None,
        };
        let had_own = {
            let mut choices = self.choices.lock();
            choices.is_remembered = Some(is_remembered);
            std::mem::replace(&mut choices.idle_timeout, idle_timeout).is_some()
        };
        let next = self.next();
        if next == Next::Settle {
            // An operation that was dropped, or that is still running, may have created a session.
            // Or there is a session to import.
            self.with_deadline(async { self.lock_identity().await.map(drop) }).await?;
        }
        if self.identity().is_some() {
            self.keep_for(idle_timeout, had_own).await?;
        }
        let mut state = self.state.lock();
        // The idle timeout may have been stored, so the error must not say that nothing was
        // changed.
        self.refuse_if_answered().map_err(|error| Error::from(error).partially_applied())?;
        if state.remember(is_remembered) {
            self.choices.lock().is_repeated = true;
        }
        Ok(())
    }

    /// Stores the session's own idle timeout and touches it; or confirms the session, if it has
    /// none.
    async fn keep_for(&self, own: Option<Duration>, had_own: bool) -> Result<()> {
        let is_known = self.state.lock().is_live();
        let ops = match own {
            Some(own) => vec![Op::Insert(IDLE.to_owned(), own.as_secs().to_string())],
            None if had_own => vec![Op::Remove(IDLE.to_owned())],
            None if is_known => return Ok(()),
            None => Vec::new(),
        };
        let update = Update { ops, read: Selection::Some(vec![]), max_size: None };
        self.with_deadline(self.attempt(&update)).await?;
        if own.is_some()
            && let Some(identity) = self.identity()
        {
            if identity.has_returned {
                self.touch(identity.record);
            } else {
                self.touch_unseen(identity.record);
            }
        }
        Ok(())
    }

    /// The `Set-Cookie` values of the response: the session cookie, and the removal of an old
    /// cookie whose session was imported. Call this once, before the headers are sent. Makes a
    /// round trip only to settle a token of a dropped operation.
    pub(crate) async fn finish(&self) -> Vec<String> {
        let is_unsettled = {
            // From here on, no operation begins to change the token.
            let state = self.state.lock();
            self.is_answered.store(true, Ordering::SeqCst);
            state.is_unsettled()
        };
        if is_unsettled {
            let rest = self.shared.config.deadline.saturating_sub(self.wait.so_far());
            let _ = timeout(rest.max(self.settle_time()), self.lock_identity()).await;
            let mut state = self.state.lock();
            if state.is_unsettled() {
                state.lost();
            }
        }
        let config = &self.shared.config;
        let state = self.state.lock();
        let change = state.cookie(self.choices.lock().is_repeated, Instant::now());
        drop(state);
        let own = match change {
            CookieChange::Keep => None,
            CookieChange::Set(value) if self.may_hide_cookie && !value.has_user => None,
            CookieChange::Set(value) => Some(self.shared.keys.seal(&value, config, self.now())),
            CookieChange::Clear if self.may_hide_cookie => None,
            CookieChange::Clear => Some(removal(config)),
        };
        #[cfg(feature = "express")]
        let old = {
            let mut choices = self.choices.lock();
            let is_due = own.is_some() || choices.is_old_cookie_useless;
            choices.old_cookie_removal.take_if(|_| is_due)
        };
        #[cfg(not(feature = "express"))]
        let old = None;
        own.into_iter().chain(old).collect()
    }
}

//! The cookie of the response, and how long it and its session are kept.

use std::time::Duration;

use rocket::tokio::time::{Instant, timeout};

use super::session::RequestSession;
use super::state::{CookieChange, State};
use crate::error::Result;
use crate::remember_me::RememberMe;
use crate::session_cookie::removal;
use crate::store::{Fields, IDLE, Op, Update};

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
            choices.is_remembered = is_remembered;
            std::mem::replace(&mut choices.idle_timeout, idle_timeout).is_some()
        };
        if self.identity().is_some() {
            self.keep_for(idle_timeout, had_own).await?;
        }
        if self.state.lock().remember(is_remembered) {
            self.choices.lock().is_repeated = true;
        }
        Ok(())
    }

    /// Stores the session's own idle timeout and touches it; or confirms the session, if it has none.
    async fn keep_for(&self, own: Option<Duration>, had_own: bool) -> Result<()> {
        let is_known = self.state.lock().is_live();
        let ops = match own {
            Some(own) => vec![Op::Insert(IDLE.to_owned(), own.as_secs().to_string())],
            None if had_own => vec![Op::Remove(IDLE.to_owned())],
            None if is_known => return Ok(()),
            None => Vec::new(),
        };
        let update = Update { ops, read: Fields::Some(vec![]), max_size: None };
        self.with_deadline(self.attempt(&update)).await?;
        if own.is_some()
            && let Some(identity) = self.identity().filter(|it| it.has_returned)
        {
            self.touch(identity.record);
        }
        Ok(())
    }

    /// The `Set-Cookie` value of the response. Call this once, before the headers are sent. Makes a
    /// round trip only to settle a token of a dropped operation.
    pub(crate) async fn finish(&self) -> Option<String> {
        let is_unsettled = matches!(&*self.state.lock(), State::Unsettled { .. });
        if is_unsettled {
            let rest = self.sessions.config.deadline.saturating_sub(self.wait.so_far());
            let _ = timeout(rest.max(self.settle_time()), self.lock_identity()).await;
            let mut state = self.state.lock();
            if matches!(&*state, State::Unsettled { .. }) {
                state.lost();
            }
        }
        let is_repeated = {
            let mut choices = self.choices.lock();
            choices.is_answered = true;
            choices.is_repeated
        };
        let config = &self.sessions.config;
        let change = self.state.lock().cookie(is_repeated, Instant::now());
        match change {
            CookieChange::Keep => None,
            CookieChange::Set(value) if self.may_hide_cookie && !value.has_user => None,
            CookieChange::Set(value) => Some(self.sessions.keys.seal(&value, config, self.now())),
            CookieChange::Clear => Some(removal(config)),
        }
    }
}

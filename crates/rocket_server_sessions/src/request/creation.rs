//! Creating a session, and handling a token whose creation was not answered.

use super::session::{RequestSession, Turn};
use super::state::{Identity, Seen};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::{PublicId, Token};
use crate::session_cookie::CookieValue;
use crate::store::{IDLE, Store, StoreError, StoreErrorKind, Values};

impl RequestSession {
    /// Creates a record with these fields, which becomes the request's session.
    pub(super) async fn create(
        &self,
        _turn: &Turn<'_>,
        identity: Identity,
        mut fields: Values,
    ) -> Result<()> {
        let (record, now) = (identity.record, self.now());
        let own = self.choices.lock().idle_timeout;
        fields.extend(own.map(|own| (IDLE.to_owned(), own.as_secs().to_string())));
        let ttl = self.new_ttl(&identity, now).of(&fields);
        self.change_token(identity, Event::Created(record.id))?;
        match self.soon(self.shared.store.create(record, &fields, ttl)).await {
            Ok(true) => {
                self.settled(true);
                self.state.lock().note_seen(record, Seen { at: now, expiry: now + ttl });
                Ok(())
            }
            Ok(false) => {
                self.settled(false);
                Err(Error::Conflict)
            }
            Err(error) => {
                self.unanswered(&error);
                Err(error.into())
            }
        }
    }

    /// Handles the failure of a call that creates a token. A refused call created none.
    pub(super) fn unanswered(&self, error: &StoreError) {
        if error.kind == StoreErrorKind::Refused {
            self.settled(false);
        }
    }

    /// Records whether the pending token exists.
    pub(super) fn settled(&self, is_there: bool) {
        let mut state = self.state.lock();
        if !is_there {
            state.abandoned();
        } else if let Some(event) = state.settled() {
            drop(state);
            self.shared.emit(event);
        }
    }

    /// An identity for a new session.
    pub(super) fn new_identity(&self, has_user: bool) -> Identity {
        Identity::new(CookieValue {
            id: PublicId::new(self.now()),
            token: Token::generate(),
            is_remembered: self
                .choices
                .lock()
                .is_remembered
                .unwrap_or(self.shared.config.remember_me),
            has_user,
        })
    }
}

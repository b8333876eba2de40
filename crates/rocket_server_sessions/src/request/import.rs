//! Importing the session that an old cookie leads to.

use super::session::{RequestSession, Turn};
use super::state::{Identity, Seen, State};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::express::{Claim, Importer, NewSession, OldId, OldSession};
use crate::session_cookie::CookieValue;
use crate::store::{LoggedIn, RecordId, Store, Values};
use crate::user_index::{Scope, UserIndex, is_revoked};

/// A session that an old cookie leads to, and who is logged in.
type Found = (Identity, Option<LoggedIn>);

impl RequestSession {
    /// Finds the session that the request's old cookie leads to, and creates it if no request has.
    /// Does nothing if there is no old cookie, or if that was done before.
    ///
    /// The state stays `Importable` until the end. So if this fails or is dropped halfway, the next
    /// operation or request goes on from there.
    pub(super) async fn import(&self, _turn: &Turn<'_>) -> Result<()> {
        let old = match &*self.state.lock() {
            State::Importable(old) => old.clone(),
            _ => return Ok(()),
        };
        let Some(importer) = &self.shared.importer else { return Ok(()) };
        let (keys, config) = (&self.shared.keys, &self.shared.config);
        let proposed = self.new_identity(false).value;
        let ttl = config.absolute_lifetime;
        let found = match importer.claim(&old, keys, &proposed, ttl).await? {
            Claim::Nothing => {
                self.choices.lock().remove_old_cookie_alone(importer.removal(None));
                None
            }
            Claim::Unusable => {
                *self.ignored_old.lock() = Some(old);
                None
            }
            Claim::Closed(value) => {
                self.choices.lock().old_cookie_removal = Some(importer.removal(None));
                match value {
                    Some(value) => Some(self.imported_before(value).await?),
                    None => None,
                }
            }
            Claim::Open(value, record) => self.take_over(importer, &old, value, &record).await?,
        };
        let found = found.filter(|(it, _)| self.now() < config.absolute_expiry(it.record.id));
        let found = match found {
            Some((it, Some(login))) => self.enter(it.record, &login).await?.then_some(it),
            Some((it, None)) => Some(it),
            None => None,
        };
        // The browser does not have the session cookie yet.
        self.choices.lock().is_repeated = found.is_some();
        self.state.lock().imported(found);
        Ok(())
    }

    /// Creates the new session, unless it is there, and removes the old one.
    async fn take_over(
        &self,
        importer: &Importer,
        old: &OldId,
        value: CookieValue,
        record: &OldSession,
    ) -> Result<Option<Found>> {
        let new = importer.carry_over(record).and_then(|new| self.check_new(new));
        let (fields, login) = match new {
            Ok(new) => new,
            Err(error) => {
                importer.report(&error.to_string());
                *self.ignored_old.lock() = Some(old.clone());
                return Ok(None);
            }
        };
        let found = if fields.is_empty() {
            None
        } else {
            Some(self.create_claimed(value, &fields, login).await?)
        };
        let (keys, ttl) = (&self.shared.keys, self.shared.config.absolute_lifetime);
        let value = found.as_ref().map(|(it, _)| &it.value);
        let is_ours = importer.close(old, keys, value, ttl).await?;
        self.choices.lock().old_cookie_removal = Some(importer.removal(Some(record)));
        Ok(found.filter(|_| is_ours))
    }

    /// The session of a claim that is closed. The request that has closed it may not have entered the
    /// session in its user's index.
    async fn imported_before(&self, value: CookieValue) -> Result<Found> {
        let record = value.record();
        let login = if value.has_user { self.shared.login_at(record).await? } else { None };
        Ok((Identity::presented(value), login))
    }

    /// Enters a session in its user's index. No request uses it before that. Returns `false` if the user
    /// was logged out everywhere since the log-in: then the session is destroyed.
    async fn enter(&self, record: RecordId, login: &LoggedIn) -> Result<bool> {
        let index = UserIndex::new(&self.shared, &login.name);
        let entries = index.add(record).await?;
        if !is_revoked(&entries, record, login) {
            index.enforce_limit(entries, record);
            return Ok(true);
        }
        // If another request has destroyed it, the browser may hold a newer cookie, so this one meets
        // the tombstone.
        let is_left = index.destroy(Scope::One(record.id)).await?.is_empty();
        if let Some(importer) = self.shared.importer.as_ref().filter(|_| !is_left) {
            self.choices.lock().remove_old_cookie_alone(importer.removal(None));
        }
        Ok(is_left)
    }

    /// Ends the old session whose cookie the request carries but does not use. Otherwise, it would
    /// be imported after a log-out.
    pub(crate) async fn end_ignored_old(&self) -> Result<()> {
        let Some(old) = self.ignored_old.lock().clone() else { return Ok(()) };
        let Some(importer) = &self.shared.importer else { return Ok(()) };
        importer.end(&old, self.shared.config.absolute_lifetime).await?;
        *self.ignored_old.lock() = None;
        self.choices.lock().remove_old_cookie_alone(importer.removal(None));
        Ok(())
    }

    /// The fields of a new session, with those of its user.
    fn check_new(&self, new: NewSession) -> Result<(Values, Option<LoggedIn>)> {
        let mut fields = new.fields?;
        self.check_fields(&fields)?;
        let time = new.logged_in_at.min(self.now());
        let login =
            new.user.map(|(user, label)| Self::login_of(&user, &label, time)).transpose()?;
        fields.extend(login.iter().flat_map(LoggedIn::fields));
        Ok((fields, login))
    }

    /// Creates the record of a claimed identity, unless another request has.
    async fn create_claimed(
        &self,
        value: CookieValue,
        fields: &Values,
        login: Option<LoggedIn>,
    ) -> Result<Found> {
        let record = value.record();
        // By now, the visitor may have logged out, and the tombstone may be gone.
        if self.is_old() {
            return Err(Error::Conflict);
        }
        let (store, now) = (&self.shared.store, self.now());
        let ttl = self.ttl(record.id, now).of(fields);
        if !self.soon(store.create(record, fields, ttl)).await? {
            // Express may have changed the old record between the two requests.
            let login = self.shared.login_at(record).await?;
            let value = CookieValue { has_user: login.is_some(), ..value };
            return Ok((Identity::presented(value), login));
        }
        self.shared.emit(Event::Created(record.id));
        self.shared.emit(Event::Imported(record.id));
        if login.is_some() {
            self.shared.emit(Event::LoggedIn(record.id));
        }
        let seen = Some(Seen { at: now, expiry: now + ttl });
        let value = CookieValue { has_user: login.is_some(), ..value };
        Ok((Identity { seen, ..Identity::presented(value) }, login))
    }
}

//! Regenerating, logging in and destroying.
//!
//! If these return `Ok`, only the cookie in this response gives access to the session. If another
//! request won the race, they return [`Error::Conflict`] and change nothing.
//!
//! A user's index must contain all of the user's sessions, even if the process crashes: first the
//! new index entry is added, then the record is moved, and then the old entry is removed.

use rocket::tokio::time::Instant;

use super::session::{RequestSession, Turn};
use super::state::{Identity, Next, Seen};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::Token;
use crate::session_cookie::CookieValue;
use crate::store::{
    Death, DestroyResult, LoggedIn, RotateResult, Rotation, Store, StoreError, Values,
};
use crate::user_index::UserIndex;

/// Gives the session a new token. Does nothing if there is no session.
pub(crate) async fn regenerate(session: &RequestSession) -> Result<()> {
    let _turn = session.lock_identity().await?;
    session.refuse_if_answered()?;
    let before = match session.next() {
        Next::Ask(identity) => identity,
        Next::Create => return Ok(()),
        _ => return Err(Error::Conflict),
    };
    let has_user = before.value.has_user;
    let login = if has_user { session.shared.login_at(before.record).await? } else { None };
    let index = login.map(|login| UserIndex::new(&session.shared, &login.name));
    let new = next_token(&before, has_user);
    if let Some(index) = &index {
        index.add(new.record).await?;
    }
    let result = rotate(session, &before, &new, None, &Values::new()).await;
    if let Some(index) = &index {
        index.forget_after(&result, before.record, new.record);
    }
    match result? {
        RotateResult::Rotated => Ok(()),
        // The record is gone; later writes create a new session.
        RotateResult::Gone if session.next() == Next::Create => Ok(()),
        _ => Err(Error::Conflict),
    }
}

/// Logs a user in and rotates the token. Creates a new session if there is none, or if it is dead,
/// gone or another user's.
pub(crate) async fn log_in(
    session: &RequestSession,
    user: &str,
    label: &str,
    fields: Values,
) -> Result<()> {
    let login = RequestSession::login_of(user, label, session.now())?;
    let index = UserIndex::new(&session.shared, user);
    session.check_fields(&fields)?;

    let turn = session.lock_identity().await?;
    session.refuse_if_answered()?;
    #[cfg(feature = "express")]
    session.end_ignored_old().await?;
    let mut has_destroyed = false;
    if let Next::Ask(before) = session.next() {
        let new = next_token(&before, true);
        let entries = index.add(new.record).await?;
        let result = rotate(session, &before, &new, Some(login.clone()), &fields).await;
        index.forget_after(&result, before.record, new.record);
        match result? {
            RotateResult::Rotated => {
                index.enforce_limit(entries, new.record);
                return Ok(());
            }
            RotateResult::Barred => return Err(Error::Conflict),
            RotateResult::OtherUser(other) => {
                UserIndex::new(&session.shared, &other).forget(vec![before.record]);
                has_destroyed = true;
            }
            RotateResult::Dead(_) | RotateResult::Gone => {}
        }
    }
    let for_retry = has_destroyed.then(|| fields.clone());
    let mut result = log_in_to_new_session(session, &turn, &index, &login, fields).await;
    if let (Some(fields), Err(Error::Conflict)) = (for_retry, &result) {
        // The user's sessions were being destroyed at the same time. Try once more: a conflict
        // would claim that nothing was changed, but another user's session was destroyed.
        result = log_in_to_new_session(session, &turn, &index, &login, fields).await;
    }
    result.map_err(|error| if has_destroyed { error.partially_applied() } else { error })
}

async fn log_in_to_new_session(
    session: &RequestSession,
    turn: &Turn<'_>,
    index: &UserIndex,
    login: &LoggedIn,
    mut fields: Values,
) -> Result<()> {
    let identity = session.new_identity(true);
    let record = identity.record;
    let entries = index.add(record).await?;
    fields.extend(login.fields());
    session.create(turn, identity, fields).await?;
    session.shared.emit(Event::LoggedIn(record.id));
    index.enforce_limit(entries, record);
    Ok(())
}

/// Destroys the session. Does nothing if there is no session.
pub(crate) async fn destroy(session: &RequestSession) -> Result<()> {
    let _turn = session.lock_identity().await?;
    #[cfg(feature = "express")]
    session.end_ignored_old().await?;
    if session.is_known_destroyed() {
        return Ok(());
    }
    let before = match session.next() {
        Next::Ask(identity) => identity,
        Next::Create => return Ok(()),
        _ => return Err(Error::Conflict),
    };
    let record = before.record;
    match session.shared.store.destroy(record, None).await? {
        DestroyResult::Destroyed(user) => {
            session.shared.emit(Event::Destroyed(record.id));
            if let Some(user) = user {
                UserIndex::new(&session.shared, &user).forget(vec![record]);
            }
        }
        DestroyResult::Dead(death) => {
            session.note_dead(record, death);
            // Another request has destroyed it. If this browser sent that request, its response
            // removes the cookie.
            return if death == Death::Destroyed { Ok(()) } else { Err(Error::Conflict) };
        }
        DestroyResult::Gone if session.is_old() => {
            session.note_gone(record, false);
            return Err(Error::Conflict);
        }
        DestroyResult::Gone | DestroyResult::NotTheirs => {}
    }
    session.state.lock().destroyed(Instant::now());
    session.forget_choices();
    Ok(())
}

/// A new token for the same session.
fn next_token(before: &Identity, has_user: bool) -> Identity {
    let value = CookieValue { token: Token::generate(), has_user, ..before.value.clone() };
    Identity { has_returned: before.has_returned, ..Identity::new(value) }
}

/// Moves the record to the new token. The state records the token before it is sent, so that it can
/// be settled if this future is dropped. The caller holds the identity lock, so no other operation
/// of the request changes the identity meanwhile.
async fn rotate(
    session: &RequestSession,
    before: &Identity,
    new: &Identity,
    user: Option<LoggedIn>,
    fields: &Values,
) -> Result<RotateResult, StoreError> {
    let now = session.now();
    let ttl = session.new_ttl(new, now);
    let seen = before.has_returned.then_some(now);
    let (from, to) = (before.record, new.record.token_hash);
    let event = if user.is_some() { Event::LoggedIn(from.id) } else { Event::Regenerated(from.id) };
    let rotation = Rotation { from, to, ttl, seen, user, fields: fields.clone() };
    session.change_token(new.clone(), event)?;
    let result = session.soon(session.shared.store.rotate(&rotation)).await;
    let result = result.inspect_err(|error| session.unanswered(error))?;
    session.settled(result == RotateResult::Rotated);
    match &result {
        RotateResult::Rotated => {
            let seen = Seen { at: now, expiry: now + ttl.idle };
            session.state.lock().note_seen(new.record, seen);
        }
        RotateResult::OtherUser(_) => {
            session.shared.emit(Event::Destroyed(from.id));
            session.state.lock().destroyed(Instant::now());
        }
        RotateResult::Dead(death) => session.note_dead(from, *death),
        RotateResult::Gone => drop(session.note_gone(from, false)),
        RotateResult::Barred => {}
    }
    Ok(result)
}

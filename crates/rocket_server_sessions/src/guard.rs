//! The request guard: what a handler does with its visitor's session.

use std::time::SystemTime;

use rocket::http::Status;
use rocket::request::{FromRequest, Outcome as Guarded};
use rocket::{Ignite, Request, Rocket, Sentinel};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{Batch, encode};
use super::cookie::Persistence;
use super::error::{Error, Result};
use super::fairing::SessionFairing;
use super::id::{TokenHash, PublicId};
use super::key::Field;
use super::layer::Sessions;
use super::lifecycle::Lifecycle;
use super::snapshot::{Snapshot, decode};
use super::store::{Op, Outcome, Read};
use super::visit::RequestState;

/// The visitor's session, as a request guard.
///
/// The guard itself does no I/O: it reads and opens the cookie. Every `.await` on one of its
/// methods is one round trip to the store, or as many as the method says, and nothing happens
/// behind the handler's back. A session begins with the first write; until then there is no cookie
/// and no record, and reads find nothing without asking anybody.
///
/// All guards of one request are one session.
#[derive(Clone, Copy)]
pub struct Session<'r> {
    lifecycle: Lifecycle<'r>,
}

/// What is known of a session without asking the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The session's public name.
    pub id: PublicId,
    /// Which of its secrets the record is found by; it changes when the session is regenerated.
    pub token_hash: TokenHash,
    /// When both clocks were last set.
    pub touched: SystemTime,
    /// When the session lapses if it is not used.
    pub idle_expiry: SystemTime,
    /// When the session ends in any case.
    pub absolute_expiry: SystemTime,
}

impl Session<'_> {
    /// Sessions as `[default.session]` describes them: in Redis if `url` is set, and in memory if
    /// it is not. Attach it to your Rocket.
    #[must_use]
    pub fn fairing() -> SessionFairing {
        SessionFairing::new()
    }
}

impl<'r> Session<'r> {
    /// What is known of the session without asking the store; `None` where there is none. A
    /// session that was ended elsewhere, or lost, is still known here until the store is asked.
    #[must_use]
    pub fn info(&self) -> Option<Info> {
        let holding = self.lifecycle.visit.holding()?;
        let config = &self.lifecycle.layer.config;
        Some(Info {
            id: holding.ticket.id,
            token_hash: holding.record.token_hash,
            touched: holding.ticket.touched,
            idle_expiry: holding.ticket.idle_expiry(config),
            absolute_expiry: config.absolute_expiry(holding.ticket.id),
        })
    }

    /// The name of the store that the session lives in.
    #[must_use]
    pub fn store(&self) -> &'static str {
        self.lifecycle.layer.store.name()
    }

    /// What `field` holds; `None` where there is no such field. One round trip, one command.
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`] where it holds something other than a `T`; the store's faults.
    pub async fn get<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        let live = self.lifecycle.run(vec![], Read::Some(vec![field.name().to_owned()])).await?;
        live.fields.get(field.name()).map(|text| decode(field.name(), text)).transpose()
    }

    /// All fields. One round trip, one command.
    ///
    /// # Errors
    ///
    /// The store's faults.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let live = self.lifecycle.run(vec![], Read::Everything).await?;
        Ok(Snapshot::new(live.fields))
    }

    /// Sets `field` to `value`. One round trip, three commands.
    ///
    /// # Errors
    ///
    /// [`Error::Serialize`] and [`Error::TooLarge`], and then nothing has changed; the store's
    /// faults.
    pub async fn insert<T: Serialize>(&self, field: impl Into<Field<T>>, value: &T) -> Result<()> {
        let field = field.into();
        let text = encode(&field, value)?;
        self.lifecycle.run(vec![Op::Insert(field.into_name(), text)], Read::Everything).await?;
        Ok(())
    }

    /// Adds `by` to `field` and gives the sum; a missing field counts as 0. However many do so at
    /// the same time, none is lost and each gets another sum.
    ///
    /// One round trip, two commands. The size of the whole session is not looked at: where the
    /// field's name comes from a visitor, count in a [`batch`](Self::batch), which does.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnInteger`], and the field is as it was; the store's faults. After
    /// [`Error::OutcomeUnknown`] it may have been added; it was not sent twice.
    pub async fn increment(&self, field: impl Into<Field<i64>>, by: i64) -> Result<i64> {
        let field = field.into().into_name();
        let op = Op::Increment(field.clone(), by);
        match self.lifecycle.run(vec![op], Read::Some(vec![])).await?.outcomes.first() {
            Some(Outcome::Count(count)) => Ok(*count),
            _ => Err(Error::NotAnInteger { field }),
        }
    }

    /// Deletes `field`. One round trip, two commands.
    ///
    /// # Errors
    ///
    /// The store's faults.
    pub async fn remove<T>(&self, field: impl Into<Field<T>>) -> Result<()> {
        let op = Op::Remove(field.into().into_name());
        self.lifecycle.run(vec![op], Read::Some(vec![])).await?;
        Ok(())
    }

    /// Reads `field` and deletes it in one step: of two requests that take it, one gets it. Made
    /// for a message that is shown once. One round trip, five commands (`MULTI` and `EXEC` among
    /// them).
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`] where it held something other than a `T`; it is gone then. The store's
    /// faults.
    pub async fn take<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        let op = Op::Take(field.name().to_owned());
        match self.lifecycle.run(vec![op], Read::Some(vec![])).await?.outcomes.into_iter().next() {
            Some(Outcome::Taken(Some(text))) => decode(field.name(), &text).map(Some),
            _ => Ok(None),
        }
    }

    /// Starts a batch: several changes and a look at everything, in one round trip.
    pub fn batch(&self) -> Batch<'r> {
        Batch::new(self.lifecycle)
    }

    /// Gives the session a new secret, and the browser a new cookie; everything in the session
    /// stays, and so do its id, birth and deadlines. To be called when somebody gains rights,
    /// so that a cookie from before is worth nothing; [`log_in`](Self::log_in), for signing in, does it.
    ///
    /// Requests that are on their way with the old cookie are let through for
    /// [`regenerate_overlap`](super::Config::regenerate_overlap); after that it is dead. Where two
    /// requests rotate one session, one wins, and the other goes on in the winner's session
    /// without giving a cookie. Without a session, nothing happens.
    ///
    /// One round trip, five commands; one more with three where somebody is signed in.
    ///
    /// # Errors
    ///
    /// The store's faults. After [`Error::OutcomeUnknown`] the secret may be a new one that nobody has
    /// heard of: the session then ends with the overlap.
    pub async fn regenerate(&self) -> Result<()> {
        self.lifecycle.within(self.lifecycle.rotate()).await
    }

    /// Which user is signed in, as [`log_in`](Self::log_in) was told. One round trip, one command; none
    /// where nobody has signed in. It only reads, so in an outage it may find
    /// [nobody](super::OnOutage::Anonymous).
    ///
    /// # Errors
    ///
    /// The store's faults.
    pub async fn user(&self) -> Result<Option<String>> {
        self.lifecycle.look(self.lifecycle.signed_in()).await
    }

    /// Ties the session to a user of the application, to be called when somebody has signed in:
    /// the session gets a new secret as by [`regenerate`](Self::regenerate) (OWASP ASVS 5.0, 7.2.4),
    /// and stands in the user's list, where [`UserSessions`](super::UserSessions) finds it. `label` tells it from
    /// the user's other sessions, for people: a browser, a device. It is cut after 120 characters.
    ///
    /// Without a session, one begins. A session that is another user's is ended, and a new one
    /// begins. Where the user has more than
    /// [`max_user_sessions`](super::Config::max_user_sessions), the oldest sign-ins end.
    ///
    /// A cookie from before still leads to the session for the overlap, and shows no user; where
    /// another request has rotated the session just now, this one goes on in a copy of it.
    ///
    /// Three round trips: five or four commands for the new secret, three for the list, four for
    /// the record. Two more where somebody was signed in already; where the list is full, one for
    /// a look at all of them, with two commands for each, and two for each that ends.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for a name of more than 256 bytes; the store's faults. After
    /// [`Error::OutcomeUnknown`] the session may have a new secret already, or stand on the list.
    pub async fn log_in(&self, user: &str, label: &str) -> Result<()> {
        for ended in self.lifecycle.within(self.lifecycle.bind(user, label)).await? {
            self.lifecycle.strike(&ended).await;
        }
        Ok(())
    }

    /// Ends the session: what it held is deleted, the browser drops its cookie, and no request
    /// that is still on its way brings it back. Without a session, nothing happens.
    ///
    /// By a cookie whose secret was replaced, and whose overlap is over, only the cookie is dropped:
    /// the session is another's by then.
    ///
    /// Two round trips, five commands. One more with one where somebody is signed in; it is not
    /// waited for beyond the deadline. Two more for each rotation that the cookie has missed.
    ///
    /// # Errors
    ///
    /// The store's faults; the cookie is as it was then, and so may the session be.
    pub async fn destroy(&self) -> Result<()> {
        if let Some(ended) = self.lifecycle.within(self.lifecycle.end()).await? {
            self.lifecycle.strike(&ended).await;
        }
        Ok(())
    }

    /// Chooses whether this session's cookie outlives the browser's own session ("remember me").
    /// No round trip; the next one sends the cookie.
    pub fn remember_me(&self, is_remembered: bool) {
        let how =
            if is_remembered { Persistence::Persistent } else { Persistence::BrowserSession };
        self.lifecycle.visit.persist(how);
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Session<'r> {
    type Error = &'static str;

    async fn from_request(request: &'r Request<'_>) -> Guarded<Self, Self::Error> {
        Lifecycle::of(request).map(|lifecycle| Session { lifecycle })
    }
}

impl<'r> Lifecycle<'r> {
    /// The session operations of one request, for its guards.
    pub(super) fn of(request: &'r Request<'_>) -> Guarded<Self, &'static str> {
        let Some(layer) = request.rocket().state::<Sessions>() else {
            return Guarded::Error((Status::InternalServerError, MISSING));
        };
        match request.local_cache(|| Some(RequestState::resolve(request, layer))) {
            Some(visit) => Guarded::Success(Lifecycle { layer, visit }),
            None => Guarded::Error((Status::InternalServerError, "the response is already made")),
        }
    }
}

const MISSING: &str = "a route uses sessions, but their fairing is not attached; \
     add `.attach(Session::fairing())` to the Rocket";

/// Fails the launch where the fairing is missing.
pub(super) fn is_unattached(rocket: &Rocket<Ignite>) -> bool {
    let is_missing = rocket.state::<Sessions>().is_none();
    if is_missing {
        log::error!("{MISSING}");
    }
    is_missing
}

impl Sentinel for Session<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        is_unattached(rocket)
    }
}

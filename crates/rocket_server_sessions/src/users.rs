//! People and their sessions: which are signed in, and how they are ended from elsewhere.

use std::time::{Duration, SystemTime};

use rocket::futures::future::try_join_all;
use rocket::request::{FromRequest, Outcome as Guarded};
use rocket::{Ignite, Request, Rocket, Sentinel};

use super::cookie::Owner;
use super::ending::Ended;
use super::error::{Error, Result};
use super::event::Event;
use super::guard::is_unattached;
use super::id::PublicId;
use super::lifecycle::{Lifecycle, MAX_STEPS, endless};
use super::sign_in::SignIn;
use super::store::{
    Answer, Entry, StoreError, Fields, Op, Read, RecordId, Request as Ask, Standing, Trace, USER,
};
use super::task::Task;
use super::visit::{Holding, Role};

/// A user's name is an id of the application's; what is longer was not meant as one.
const MAX_USER: usize = 256;

/// Characters of a label.
const MAX_LABEL: usize = 120;

/// A record or its user that cannot be seen so soon after the sign-in may only be late on a
/// replica, or about to be written.
const REPLICA_LAG: Duration = Duration::from_secs(60);

/// The sessions of the application's users, as a request guard.
///
/// [`Session::log_in`](super::Session::log_in) puts a session on its user's list. The list is only a
/// way to find sessions: whether one lives, and whose it is, is asked of its own record each time.
/// So nothing has to change in two places at once, and no search goes through the store.
///
/// Whoever may ask for a user's sessions is the application's to decide: give it the name of the
/// [user](super::Session::user) who asks, or of anyone where an administrator does.
///
/// ```
/// use rocket_server_sessions::{self as session, SameOrigin, Session, UserSessions};
/// use rocket::{get, post};
///
/// #[get("/devices")]
/// async fn devices(session: Session<'_>, users: UserSessions<'_>) -> session::Result<String> {
///     let Some(user) = session.user().await? else { return Ok("sign in first".into()) };
///     let logins = users.list(&user).await?;
///     Ok(logins.iter().map(|login| format!("{}\n", login.label)).collect())
/// }
///
/// #[post("/devices/log-out-others")]
/// async fn others(_same: SameOrigin, session: Session<'_>, users: UserSessions<'_>) -> session::Result<()> {
///     if let (Some(user), Some(own)) = (session.user().await?, session.info()) {
///         users.destroy_others(&user, own.id).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy)]
pub struct UserSessions<'r> {
    lifecycle: Lifecycle<'r>,
}

/// A session in which a user is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActiveSession {
    /// The session's public name; its [birth](PublicId::birth) is in it.
    pub id: PublicId,
    /// What [`bind`](super::Session::log_in) was told.
    pub label: String,
    /// When the user signed in, to the second.
    pub since: SystemTime,
    /// When the session's clocks were last set: it was used then, and for less than a tenth of the
    /// idle timeout afterwards.
    pub touched: SystemTime,
}

impl UserSessions<'_> {
    /// The sessions in which `user` is signed in, the latest sign-in first.
    ///
    /// Two round trips: a command for the list, and two for each session on it. One more where a
    /// session has ended and left its entry, two for each rotation that the list has not heard of.
    ///
    /// # Errors
    ///
    /// The store's faults.
    pub async fn list(&self, user: &str) -> Result<Vec<ActiveSession>> {
        self.lifecycle.within(self.lifecycle.logins(user)).await
    }

    /// Ends one session of `user`, wherever it is. `false`: it is none of theirs, or has ended.
    ///
    /// Five round trips: a command for the list, two for a look at the session, five to end it, and
    /// one for the list again.
    ///
    /// # Errors
    ///
    /// The store's faults.
    pub async fn destroy(&self, user: &str, id: PublicId) -> Result<bool> {
        Ok(self.end_where(user, |it| it == id).await? > 0)
    }

    /// Ends all sessions of `user` but one, and says how many. For "log out everywhere else".
    ///
    /// As many round trips as [`logins`](Self::list), and three more; five commands for each
    /// session that ends.
    ///
    /// # Errors
    ///
    /// The store's faults; some may have ended then.
    pub async fn destroy_others(&self, user: &str, own: PublicId) -> Result<usize> {
        self.end_where(user, |it| it != own).await
    }

    /// Ends all sessions of `user`, the request's own among them, and says how many. For a changed
    /// password, or an account that is closed (OWASP ASVS 5.0, 7.4.2 and 7.4.3).
    ///
    /// As many round trips as [`destroy_others`](Self::destroy_others).
    ///
    /// # Errors
    ///
    /// The store's faults; some may have ended then.
    pub async fn destroy_all(&self, user: &str) -> Result<usize> {
        self.end_where(user, |_| true).await
    }

    async fn end_where(&self, user: &str, is_meant: impl Fn(PublicId) -> bool) -> Result<usize> {
        let ended = self.lifecycle.within(self.lifecycle.end_where(user, is_meant)).await?;
        self.lifecycle.strike(&ended).await;
        Ok(ended.handles.len())
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for UserSessions<'r> {
    type Error = &'static str;

    async fn from_request(request: &'r Request<'_>) -> Guarded<Self, Self::Error> {
        Lifecycle::of(request).map(|lifecycle| UserSessions { lifecycle })
    }
}

impl Sentinel for UserSessions<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        is_unattached(rocket)
    }
}

/// What an entry of a user's list turns out to be.
enum Found {
    /// A session of theirs, whose record lives on for so long.
    Theirs(SignIn, Duration),
    /// A session that is not theirs yet, or cannot be seen yet: a sign-in is on its way.
    Coming,
    /// Nothing that belongs on the list.
    Stale,
}

impl Lifecycle<'_> {
    /// Ties the session to a user, under a new secret.
    ///
    /// The list comes first: a session that is on no list could not be ended from elsewhere.
    ///
    /// What is to be struck off the list then, comes back.
    pub(super) async fn bind(&self, user: &str, label: &str) -> Result<Vec<Ended>> {
        if user.len() > MAX_USER {
            let (what, size, limit) = ("the user's name in bytes", user.len(), MAX_USER);
            return Err(Error::TooLarge { field: USER.to_owned(), what, size, limit });
        }
        let label: String = label.chars().filter(|it| !it.is_control()).take(MAX_LABEL).collect();
        let sign_in = SignIn::new(user, label, self.now());
        let text = serde_json::to_string(&sign_in)
            .map_err(|source| Error::Serialize { field: USER.to_owned(), source })?;
        let mut ended = None;
        if self.signed_in().await?.is_some_and(|before| before != user) {
            // What is in the session, and every cookie that leads to it, is somebody else's.
            ended = self.end().await?;
        } else {
            self.rotate().await?;
        }
        let over = self.enroll(user, &text).await.map_err(Error::midway)?;
        Ok(ended.into_iter().chain([over]).collect())
    }

    /// Puts the session on the user's list, and the user into the session.
    async fn enroll(&self, user: &str, text: &str) -> Result<Ended> {
        for _ in 0..MAX_STEPS {
            self.visit.demand_touch();
            let Some(holding) = self.visit.holding() else {
                self.create(Fields::new()).await?;
                continue;
            };
            if holding.role == Role::Follower {
                // Whoever has rotated it may not be the one who signs in here.
                self.leave(holding.record).await?;
                continue;
            }
            let record = holding.record;
            let entries = self.enlist(user, record).await?;
            let op = Op::Insert(USER.to_owned(), text.to_owned());
            let mut task = Task::new(vec![op], Read::Some(vec![]));
            if self.apply(&holding, &mut task).await?.is_some() {
                self.visit.bound(record);
                self.layer.tell(Event::LoggedIn(record.id));
                return self.cap(user, record.id, entries).await;
            }
        }
        Err(endless())
    }

    /// Which user is signed in. No round trip where the cookie says that nobody is.
    pub(super) async fn signed_in(&self) -> Result<Option<String>> {
        let is_visitor = |it: Holding| it.ticket.owner == Owner::Visitor;
        if self.visit.holding().is_none_or(is_visitor) {
            return Ok(None);
        }
        let live = self.carry_out(vec![], Read::Some(vec![USER.to_owned()])).await?;
        Ok(SignIn::of(&live.fields).map(|it| it.user))
    }

    /// Leaves the session for a new one with the same fields.
    async fn leave(&self, record: RecordId) -> Result<()> {
        match self.layer.store.apply(record, &Ask::look(Read::Everything)).await? {
            Answer::Live(live) => {
                let is_own = |name: &str| !name.starts_with('@');
                let fields = live.fields.into_iter().filter(|(name, _)| is_own(name)).collect();
                self.visit.forget(record);
                self.create(fields).await?;
                Ok(())
            }
            // It was moved there a moment ago: a copy of nothing would lose what it holds.
            Answer::Gone => Err(StoreError::unanswered("the session cannot be seen yet").into()),
            Answer::Tombstone(_) => self.follow(record).await,
        }
    }

    async fn logins(&self, user: &str) -> Result<Vec<ActiveSession>> {
        let entries = self.layer.store.list(user).await?;
        let now = self.now();
        let mut logins = Vec::with_capacity(entries.len());
        for (entry, found) in self.survey(user, entries).await? {
            if let Found::Theirs(sign_in, ttl) = found {
                let (id, since) = (entry.record.id, sign_in.since());
                // The clocks were set when the time to live was whole.
                let age = self.layer.config.ttl().saturating_sub(ttl);
                let touched = (now - age).max(since);
                logins.push(ActiveSession { id, label: sign_in.label, since, touched });
            }
        }
        logins.sort_by_key(|it| std::cmp::Reverse((it.since, it.id)));
        Ok(logins)
    }

    async fn end_where(&self, user: &str, is_meant: impl Fn(PublicId) -> bool) -> Result<Ended> {
        let mut entries = self.layer.store.list(user).await?;
        entries.retain(|it| is_meant(it.record.id));
        let meant = self.survey(user, entries).await?;
        let records = meant.into_iter().map(|(entry, _)| entry.record).collect();
        self.end_records(user, records).await
    }

    async fn end_records(&self, user: &str, records: Vec<RecordId>) -> Result<Ended> {
        let ends = records.iter().map(|record| self.end_record(*record, |_| true));
        try_join_all(ends).await.map_err(Error::midway)?;
        let handles: Vec<_> = records.iter().map(|it| it.id).collect();
        if self.visit.holding().is_some_and(|it| handles.contains(&it.record.id)) {
            self.visit.ended();
        }
        Ok(Ended { user: user.to_owned(), handles })
    }

    /// Ends the oldest sign-ins where there are too many.
    async fn cap(&self, user: &str, own: PublicId, entries: Vec<Entry>) -> Result<Ended> {
        let limit = self.layer.config.max_user_sessions;
        if entries.len() <= limit {
            return self.end_records(user, Vec::new()).await;
        }
        let found = self.survey(user, entries).await?;
        let when = |(entry, found): &(Entry, Found)| match found {
            Found::Theirs(sign_in, _) => sign_in.since(),
            Found::Coming | Found::Stale => entry.written,
        };
        let mut live: Vec<_> = found.iter().map(|it| (when(it), it.0.record)).collect();
        live.sort_by_key(|(since, record)| (record.id == own, *since, record.id));
        live.truncate(live.len().saturating_sub(limit));
        self.end_records(user, live.into_iter().map(|(_, record)| record).collect()).await
    }

    /// Looks at what the entries lead to, and takes off the list what does not belong there.
    async fn survey(&self, user: &str, entries: Vec<Entry>) -> Result<Vec<(Entry, Found)>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let records: Vec<_> = entries.iter().map(|it| it.record).collect();
        let standings = self.layer.store.inspect(&records).await?;
        let mut found = Vec::with_capacity(entries.len());
        let mut stale = Vec::new();
        for (mut entry, standing) in entries.into_iter().zip(standings) {
            match self.identify(user, &mut entry, standing).await? {
                Found::Stale => stale.push(entry.record.id),
                other => found.push((entry, other)),
            }
        }
        if !stale.is_empty() {
            self.layer.store.strike(user, &stale).await?;
        }
        Ok(found)
    }

    /// Says what an entry leads to. A rotation whose own entry was not written is followed.
    async fn identify(
        &self,
        user: &str,
        entry: &mut Entry,
        mut standing: Standing,
    ) -> Result<Found> {
        let is_young = self.now() < entry.written + REPLICA_LAG;
        for _ in 0..MAX_STEPS {
            match standing {
                Standing::Live { user: Some(text), ttl } => {
                    let theirs = SignIn::read(&text).filter(|it| it.user == user);
                    return Ok(theirs.map_or(Found::Stale, |it| Found::Theirs(it, ttl)));
                }
                Standing::Gone | Standing::Live { user: None, .. } => {
                    return Ok(if is_young { Found::Coming } else { Found::Stale });
                }
                Standing::Tombstone => {}
            }
            let Trace::Rotated(successor) = self.layer.store.trace(entry.record).await? else {
                return Ok(Found::Stale);
            };
            entry.record.token_hash = successor.token_hash;
            let mut found = self.layer.store.inspect(&[entry.record]).await?;
            standing = found.pop().unwrap_or(Standing::Gone);
        }
        Ok(Found::Coming)
    }
}

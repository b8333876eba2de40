//! The session of one request, shared by its guards.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rocket::Request;
use rocket::http::Method;
use rocket::tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use rocket::tokio::time::{Instant, timeout};

use super::cookie::{CookieValue, removal};
use super::state::{CookieChange, Identity, Next, Seen, State};
use super::wait::Wait;
use crate::config::{Config, OnOutage, SameSite};
use crate::error::{Error, Result};
use crate::event::{Deadline, Event, Rejection};
use crate::id::{PublicId, Token};
use crate::setup::sessions::{Sessions, detach};
use crate::store::{
    Applied, Death, Fields, Op, OpResult, RecordId, StoreError, StoreErrorKind, TOMBSTONE_TTL,
    Update, UpdateResult, Values, size,
};

/// The maximum length of a field's name in bytes.
const MAX_FIELD_NAME: usize = 256;

/// How often an operation is retried if a concurrent operation of the same request changed the
/// session.
const MAX_STEPS: usize = 8;

/// A request that has run for this long may have missed a tombstone. The remaining 15 seconds are
/// for the time that it may have spent before it reached us.
const OLD: Duration = TOMBSTONE_TTL.saturating_sub(Duration::from_secs(15));

/// The fraction of the deadline that is reserved for settling.
const SETTLE_SHARE: u32 = 8;

/// The guard of `identity_lock`.
pub(super) type Turn<'s> = MutexGuard<'s, ()>;

pub(crate) struct RequestSession {
    pub(crate) sessions: Arc<Sessions>,
    arrived: Instant,
    pub(super) state: Mutex<State>,
    choices: Mutex<Choices>,
    /// Whether the browser may hold a cookie that this request could not show.
    may_hide_cookie: bool,
    wait: Wait,
    /// Held while an operation changes the request's identity.
    identity_lock: AsyncMutex<()>,
}

/// Further state of the request.
struct Choices {
    /// Whether a new cookie is persistent.
    is_remembered: bool,
    /// Whether to send the cookie again with the same token.
    is_repeated: bool,
    /// How long to wait before trying again, if the store has failed this request.
    outage: Option<Duration>,
    /// Whether the response's headers were sent.
    is_answered: bool,
    /// Why the request's cookie was ignored.
    rejection: Option<Rejection>,
}

impl RequestSession {
    /// Reads the request's cookie. Does no I/O.
    pub(crate) fn open(request: &Request<'_>, sessions: &Arc<Sessions>) -> Self {
        let config = &sessions.config;
        let opened = sessions.keys.open(&config.cookie_name, request);
        let opened = match opened {
            Ok(None) if has_dropped_cookies(request) => Err(Rejection::UnreadableHeader),
            opened => opened,
        };
        let rejection = opened.as_ref().err().copied();
        if let Some(rejection) = rejection {
            sessions.emit(Event::Rejected(rejection));
        }
        let opened = opened.ok().flatten();
        if let Some(opened) = opened.as_ref().filter(|it| it.is_quoted) {
            sessions.emit(Event::Quoted(opened.value.id));
        }
        let may_hide_cookie = opened.is_none() && may_hide_cookie(request, config, rejection);
        let is_expired = |id: PublicId| {
            let is_expired = sessions.clock.now() >= config.absolute_expiry(id);
            if is_expired {
                sessions.emit(Event::Expired(id, Deadline::Absolute));
            }
            is_expired
        };
        let opened = opened.filter(|it| !is_expired(it.value.id));
        let choices = Choices {
            is_remembered: opened.as_ref().map_or(config.remember_me, |it| it.value.is_remembered),
            is_repeated: opened.as_ref().is_some_and(|it| it.is_key_old),
            outage: None,
            is_answered: false,
            rejection,
        };
        let state =
            opened.map_or(State::None, |it| State::Presented(Identity::presented(it.value)));
        Self {
            sessions: sessions.clone(),
            arrived: arrived(request),
            state: Mutex::new(state),
            choices: Mutex::new(choices),
            may_hide_cookie,
            wait: Wait::default(),
            identity_lock: AsyncMutex::default(),
        }
    }

    /// Why the request's cookie was ignored, as far as is known.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        self.choices.lock().rejection
    }

    fn reject(&self, rejection: Rejection) {
        self.choices.lock().rejection.get_or_insert(rejection);
        self.sessions.emit(Event::Rejected(rejection));
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

    /// What a write does next.
    pub(super) fn next(&self) -> Next {
        self.state.lock().next(false)
    }

    /// Returns `true` if another request is known to have destroyed the session.
    pub(super) fn is_known_destroyed(&self) -> bool {
        let state = self.state.lock();
        matches!(&*state, State::Dead(Death::Destroyed) | State::Lost(Some(Death::Destroyed)))
    }

    /// Marks the request's session as destroyed if it is one of `records`.
    pub(crate) fn note_destroyed(&self, records: &[RecordId]) {
        let mut state = self.state.lock();
        let is_settled = !matches!(&*state, State::Unsettled { .. });
        if is_settled && state.identity().is_some_and(|it| records.contains(&it.record)) {
            state.destroyed(Instant::now());
        }
    }

    /// Returns `true` if the request has run for so long that it may have missed a tombstone.
    pub(super) fn is_old(&self) -> bool {
        self.arrived.elapsed() >= OLD
    }

    /// Applies changes and reads fields afterwards. The results are in the order of the changes.
    pub(crate) async fn run(&self, update: Update) -> Result<Applied> {
        self.check(&update.ops)?;
        if !update.ops.is_empty() {
            return self.with_deadline(self.attempt(&update)).await;
        }
        let is_anonymous = self.sessions.config.on_outage == OnOutage::Anonymous;
        match self.with_deadline(self.attempt(&update)).await {
            // Only if the store has not answered before, so that a request is consistent.
            Err(error)
                if is_anonymous
                    && error.retry_after().is_some()
                    && !self.state.lock().is_pinned() =>
            {
                Ok(Applied::default())
            }
            result => result,
        }
    }

    /// Reads some fields.
    pub(crate) async fn read(&self, names: &[&str]) -> Result<Values> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(self.run(Update::look(Fields::Some(names))).await?.fields)
    }

    async fn attempt(&self, update: &Update) -> Result<Applied> {
        let is_read = update.ops.is_empty();
        for _ in 0..MAX_STEPS {
            let next = self.state.lock().next(is_read);
            match next {
                Next::Ask(identity) => {
                    if let Some(applied) = self.ask(&identity, update).await? {
                        return Ok(applied);
                    }
                }
                Next::FindNothing => return Ok(Applied::default()),
                Next::Create => {
                    if let Some(applied) = self.begin(update).await? {
                        return Ok(applied);
                    }
                }
                Next::Settle => drop(self.lock_identity().await?),
                Next::Conflict => return Err(Error::Conflict),
            }
        }
        Err(Error::Conflict)
    }

    /// Sends the update to the store. `None` if the state changed and the caller must retry.
    async fn ask(&self, identity: &Identity, update: &Update) -> Result<Option<Applied>> {
        let record = identity.record;
        let is_read = update.ops.is_empty();
        self.check_lifetime(record.id)?;
        match self.sessions.store.update(record, update).await? {
            UpdateResult::Applied(applied) => {
                self.found_live(record, applied.seen);
                Ok(Some(applied))
            }
            UpdateResult::TooLarge(size) => {
                self.state.lock().applied(record, Instant::now());
                Err(self.too_large(&update.ops, size))
            }
            UpdateResult::Dead(death) => {
                self.found_dead(record, death).await?;
                Ok(None)
            }
            UpdateResult::Gone => {
                let is_lost = self.found_gone(record, is_read).await?;
                Ok((is_read && !is_lost).then(Applied::default))
            }
        }
    }

    /// Creates a session with the changes, unless they result in no fields. `None` if a concurrent
    /// operation created one.
    async fn begin(&self, update: &Update) -> Result<Option<Applied>> {
        let mut fields = Values::new();
        let results: Vec<OpResult> = update.ops.iter().map(|op| op.apply_to(&mut fields)).collect();
        let applied = Applied { results, fields, seen: None };
        if applied.fields.is_empty() {
            return Ok(Some(applied));
        }
        let size = size(&applied.fields);
        if update.max_size.is_some_and(|limit| size > limit) {
            return Err(self.too_large(&update.ops, size));
        }
        let turn = self.lock_identity().await?;
        if self.next() != Next::Create {
            return Ok(None);
        }
        let identity = self.new_identity(false);
        self.create(&turn, identity, applied.fields.clone()).await?;
        Ok(Some(applied))
    }

    /// Creates a record with these fields, which becomes the request's session.
    pub(super) async fn create(
        &self,
        _turn: &Turn<'_>,
        identity: Identity,
        fields: Values,
    ) -> Result<()> {
        self.refuse_if_answered()?;
        let (record, ttl) = (identity.record, self.sessions.config.first_ttl());
        let now = self.now();
        self.state.lock().begin(identity, Event::Created(record.id));
        match self.soon(self.sessions.store.create(record, fields, ttl)).await {
            Ok(true) => {
                self.settled(true);
                self.state.lock().note_seen(record, Seen { at: now, expiry: now + ttl });
                Ok(())
            }
            Ok(false) => {
                self.settled(false);
                Err(Error::Conflict)
            }
            Err(error) => Err(self.unanswered(error)),
        }
    }

    /// Runs a call that creates a token, and leaves time for settling.
    pub(super) async fn soon<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = self.sessions.config.deadline;
        let rest = deadline.saturating_sub(self.settle_time()).saturating_sub(self.wait.so_far());
        timeout(rest, call).await.unwrap_or_else(|_| Err(late()))
    }

    fn settle_time(&self) -> Duration {
        self.sessions.config.deadline / SETTLE_SHARE
    }

    /// Handles the failure of a call that creates a token. A refused call created none.
    pub(super) fn unanswered(&self, error: StoreError) -> Error {
        if error.kind == StoreErrorKind::Refused {
            self.settled(false);
        }
        error.into()
    }

    /// Records whether the pending token exists.
    pub(super) fn settled(&self, is_there: bool) {
        let mut state = self.state.lock();
        if !is_there {
            state.abandoned();
        } else if let Some(event) = state.settled() {
            drop(state);
            self.sessions.emit(event);
        }
    }

    /// An identity for a new session.
    pub(super) fn new_identity(&self, has_user: bool) -> Identity {
        Identity::new(CookieValue {
            id: PublicId::new(self.now()),
            token: Token::generate(),
            is_remembered: self.choices.lock().is_remembered,
            has_user,
        })
    }

    /// Locks the identity, and settles a token of an operation whose future was dropped.
    pub(super) async fn lock_identity(&self) -> Result<Turn<'_>> {
        let turn = self.identity_lock.lock().await;
        let pending = match &*self.state.lock() {
            State::Unsettled { pending, .. } => Some(pending.record),
            _ => None,
        };
        if let Some(record) = pending {
            let is_there = self.sessions.store.settle(record).await?;
            self.settled(is_there);
        }
        Ok(turn)
    }

    /// Notes that the record is live, and touches it in the background if that is due. If the touch
    /// fails, the next request retries.
    fn found_live(&self, record: RecordId, seen: Option<SystemTime>) {
        let config = &self.sessions.config;
        let now = self.now();
        let mut state = self.state.lock();
        state.applied(record, Instant::now());
        let Some(identity) = state.identity().filter(|it| it.record == record && it.has_returned)
        else {
            return;
        };
        let is_first_return = seen.is_none() && identity.seen.is_none();
        // This request may have touched it already.
        let seen = seen.max(identity.seen.map(|seen| seen.at));
        let is_due = seen.is_none_or(|seen| {
            // A time in the future comes from an instance whose clock is ahead.
            now.duration_since(seen).map_or(true, |age| age >= config.idle_timeout / 10)
        });
        let at = if is_due { now } else { seen.unwrap_or(now) };
        state.note_seen(record, Seen { at, expiry: at + config.idle_timeout });
        drop(state);
        if is_first_return {
            self.sessions.emit(Event::Returned(record.id));
        }
        if is_due {
            self.touch(record);
        }
    }

    fn touch(&self, record: RecordId) {
        let (store, now) = (self.sessions.store.clone(), self.now());
        let ttl = self.sessions.config.ttl(record.id, now);
        self.sessions.emit(Event::Touched(record.id));
        detach(async move { drop(store.touch(record, now, ttl).await) });
    }

    /// Handles a tombstone.
    pub(super) async fn found_dead(&self, record: RecordId, death: Death) -> Result<()> {
        // A concurrent operation of this request may have rotated the session.
        let _turn = self.lock_identity().await?;
        self.note_dead(record, death);
        Ok(())
    }

    pub(super) fn note_dead(&self, record: RecordId, death: Death) {
        if self.state.lock().dead(record, death) {
            self.reject(match death {
                Death::Destroyed => Rejection::Destroyed(record.id),
                Death::Rotated => Rejection::StaleToken(record.id),
            });
        }
    }

    /// Handles a missing record. Returns whether the request lost its session.
    async fn found_gone(&self, record: RecordId, is_read: bool) -> Result<bool> {
        let _turn = self.lock_identity().await?;
        Ok(self.note_gone(record, is_read))
    }

    pub(super) fn note_gone(&self, record: RecordId, is_read: bool) -> bool {
        let is_old = self.is_old();
        let mut state = self.state.lock();
        let is_meant = state.gone(record, is_read, is_old);
        let is_lost = !is_meant || state.is_pinned();
        drop(state);
        if is_meant && (is_lost || !is_read) {
            self.reject(Rejection::Missing(record.id));
        }
        is_lost
    }

    /// Limits the total time that a request waits for the store. After a failure, later operations
    /// of the request fail immediately. After the response's headers are sent (in streams), each
    /// operation has its own deadline and may try again.
    pub(crate) async fn with_deadline<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let deadline = self.sessions.config.deadline;
        if self.is_answered() {
            return timeout(deadline, work).await.unwrap_or_else(|_| Err(late().into()));
        }
        if let Some(retry_after) = self.outage() {
            let error = StoreError::refused("an earlier operation of this request failed");
            return Err(StoreError { retry_after, ..error }.into());
        }
        let _pause = self.wait.start();
        let rest = deadline.saturating_sub(self.wait.so_far());
        if rest.is_zero() {
            return Err(StoreError::refused("the request has used up its deadline").into());
        }
        let result = timeout(rest, work).await.unwrap_or_else(|_| Err(late().into()));
        let retry_after = result.as_ref().err().and_then(Error::retry_after);
        if let Some(retry_after) = retry_after.filter(|it| !it.is_zero()) {
            self.choices.lock().outage = Some(retry_after);
        }
        result
    }

    /// How long to wait before trying again, if the store has failed this request.
    pub(crate) fn outage(&self) -> Option<Duration> {
        self.choices.lock().outage
    }

    fn is_answered(&self) -> bool {
        self.choices.lock().is_answered
    }

    /// Fails if the response's headers were sent, because it can no longer set a cookie.
    pub(super) fn refuse_if_answered(&self) -> Result<()> {
        if self.is_answered() {
            let why = "the response's headers were already sent, so no cookie can be set";
            return Err(StoreError::refused(why).into());
        }
        Ok(())
    }

    /// Sets whether the cookie is persistent. Without a session, this applies to the session that
    /// the request creates.
    pub(crate) async fn remember_me(&self, is_remembered: bool) -> Result<()> {
        self.refuse_if_answered()?;
        self.choices.lock().is_remembered = is_remembered;
        let is_known = self.state.lock().remember(is_remembered);
        if !is_known && self.identity().is_some() {
            let look = Update::look(Fields::Some(vec![]));
            self.with_deadline(self.attempt(&look)).await?;
        }
        if is_known || self.state.lock().remember(is_remembered) {
            self.choices.lock().is_repeated = true;
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

    /// Fails if a stream outlives its session.
    fn check_lifetime(&self, id: PublicId) -> Result<()> {
        if !self.is_answered() || self.now() < self.sessions.config.absolute_expiry(id) {
            return Ok(());
        }
        self.state.lock().lost();
        self.sessions.emit(Event::Expired(id, Deadline::Absolute));
        Err(Error::Conflict)
    }

    fn check(&self, ops: &[Op]) -> Result<()> {
        for op in ops {
            let (name, size) = match op {
                Op::Insert(name, value) => (name, value.len()),
                Op::Increment(name, _) | Op::Remove(name) | Op::Take(name) => (name, 0),
            };
            let limit = self.sessions.config.max_field_size;
            let too_large =
                |what, size, limit| Err(Error::TooLarge { field: name.clone(), what, size, limit });
            if name.len() > MAX_FIELD_NAME {
                return too_large("the length of its name", name.len(), MAX_FIELD_NAME);
            }
            if size > limit {
                return too_large("the length of its value", size, limit);
            }
        }
        Ok(())
    }

    fn too_large(&self, ops: &[Op], size: usize) -> Error {
        let grows = |op: &&Op| matches!(op, Op::Insert(..) | Op::Increment(..));
        let field = ops.iter().find(grows).map_or("", Op::field).to_owned();
        let limit = self.sessions.config.max_record_size;
        Error::TooLarge { field, what: "the size of the session", size, limit }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.sessions.clock.now()
    }
}

/// When the request arrived, as recorded by the fairing.
pub(crate) fn arrived(request: &Request<'_>) -> Instant {
    struct Arrived(Instant);
    request.local_cache(|| Arrived(Instant::now())).0
}

/// Whether Rocket has dropped the request's cookies, as recorded by the fairing.
pub(crate) struct DroppedCookies(pub(crate) bool);

fn has_dropped_cookies(request: &Request<'_>) -> bool {
    request.local_cache(|| DroppedCookies(false)).0
}

/// Returns whether the browser may hold a good cookie although the request shows none. A new session
/// must not replace that cookie, unless a user logs in.
///
/// Besides cookies that cannot be read, these are requests that other sites have caused, if
/// `SameSite` keeps the cookie off them: any page could otherwise end a visitor's session.
fn may_hide_cookie(request: &Request<'_>, config: &Config, rejection: Option<Rejection>) -> bool {
    let headers = request.headers();
    let is_cross_site = || headers.get_one("Sec-Fetch-Site") == Some("cross-site");
    let is_kept_off = match config.same_site {
        SameSite::Strict => true,
        // `Lax` lets links through. A form has an `Origin`, even if Rocket has changed its method.
        SameSite::Lax => {
            !matches!(request.method(), Method::Get | Method::Head)
                || headers.contains("Origin")
                || headers.get_one("Sec-Fetch-Dest").is_some_and(|it| it != "document")
        }
        SameSite::None => false,
    };
    rejection == Some(Rejection::UnreadableHeader) || (is_kept_off && is_cross_site())
}

fn late() -> StoreError {
    StoreError::unanswered("the deadline passed")
}

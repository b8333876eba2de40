//! What happens to a session between two answers of the store: it begins, is followed, is rotated, is
//! found gone. Everything here is the same for every store; how it ends stands in `ending`.

use std::future::Future;
use std::time::SystemTime;

use rocket::tokio;

use super::config::OnOutage;
use super::cookie::{Owner, Stage, Ticket};
use super::error::{Error, Result};
use super::event::{Event, Rejection};
use super::id::{PublicId, Token};
use super::layer::Sessions;
use super::sign_in::SignIn;
use super::store::{
    Answer, Entry, StoreError, Fields, Live, Op, Outcome, Read, RecordId, Request, Rotation, Successor,
    Trace, USER,
};
use super::task::{Task, fresh, undone};
use super::visit::{Holding, Role, RequestState};

/// More steps than any chain of events that one request can meet: each is a rotation, an end or a
/// loss that has just happened.
pub(super) const MAX_STEPS: usize = 8;

/// A field's name is a key and an item; what is longer was not meant as a name.
const MAX_FIELD_NAME: usize = 256;

/// A session operation on its way.
#[derive(Clone, Copy)]
pub(super) struct Lifecycle<'r> {
    pub(super) layer: &'r Sessions,
    pub(super) visit: &'r RequestState,
}

impl Lifecycle<'_> {
    /// Carries out changes and reads. The outcomes stand in the order of the changes, and the
    /// fields are as the changes have left them.
    pub(super) async fn run(&self, ops: Vec<Op>, read: Read) -> Result<Live> {
        self.check(&ops)?;
        if ops.is_empty() {
            return self.look(self.carry_out(ops, read)).await;
        }
        self.within(self.carry_out(ops, read)).await
    }

    /// An operation that only reads: in an outage it may find nothing, rather than fail. Whatever
    /// the request goes on to write is refused: the visit has suffered the outage.
    pub(super) async fn look<T: Default>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let is_anonymous = self.layer.config.on_outage == OnOutage::Anonymous;
        match self.within(work).await {
            Err(error) if is_anonymous && error.retry_after().is_some() => Ok(T::default()),
            result => result,
        }
    }

    pub(super) async fn carry_out(&self, ops: Vec<Op>, read: Read) -> Result<Live> {
        let mut task = Task::new(ops, read);
        let mut error = endless();
        for _ in 0..MAX_STEPS {
            let step = match self.visit.holding() {
                None => self.begin(&task.request).await,
                Some(holding) => self.apply(&holding, &mut task).await,
            };
            match step {
                Ok(Some(live)) => return Ok(task.finish(live)),
                Ok(None) => {}
                Err(fault) => {
                    error = fault;
                    break;
                }
            }
        }
        Err(if task.has_begun() { error.midway() } else { error })
    }

    /// Gives the session a new secret. Without a session, nothing happens; where another request
    /// has given it one just now, that one is theirs to keep.
    pub(super) async fn rotate(&self) -> Result<()> {
        let _turn = self.visit.turnstile.lock().await;
        for _ in 0..MAX_STEPS {
            let Some(holding) = self.visit.holding() else { return Ok(()) };
            if holding.role == Role::Follower {
                return Ok(());
            }
            let config = &self.layer.config;
            let now = self.now();
            let mut ticket = Ticket { secret: Token::generate(), ..holding.ticket.clone() };
            let to = Successor {
                token_hash: ticket.secret.token_hash(),
                until: now + std::time::Duration::from_secs(5),
            };
            let rotation = Rotation {
                from: holding.record,
                to,
                tombstone_ttl: match ticket.owner {
                    // The user's list may lead here, for as long as the session lives.
                    Owner::User => config.rest(ticket.id, now),
                    Owner::Visitor => config.tombstone_ttl(ticket.id, now),
                },
                ttl: holding.is_touch_due.then(|| config.ttl()),
            };
            match self.layer.store.rotate(rotation).await? {
                Answer::Live(live) => {
                    if rotation.ttl.is_some() {
                        (ticket.touched, ticket.stage) = (now, Stage::Returning);
                    }
                    self.layer.tell(Event::Regenerated(ticket.id));
                    let record = ticket.record();
                    self.visit.issue(ticket);
                    if let Some(sign_in) = SignIn::of(&live.fields) {
                        self.enlist(&sign_in.user, record).await.map_err(Error::midway)?;
                    }
                    return Ok(());
                }
                Answer::Gone => {
                    // What was no record has moved all the same.
                    let token_hash = to.token_hash;
                    self.layer.store.discard(RecordId { token_hash, ..holding.record }).await?;
                    self.lose(holding.record).await?;
                }
                Answer::Tombstone(_) => self.follow(holding.record).await?,
            }
        }
        Err(endless())
    }

    /// Writes on a user's list where a record is now, and gives the list.
    pub(super) async fn enlist(&self, user: &str, record: RecordId) -> Result<Vec<Entry>> {
        let entry = Entry { record, written: self.now() };
        Ok(self.layer.store.enlist(user, entry, self.layer.config.list_ttl()).await?)
    }

    /// Asks the record. `None`: the visit has another identity now, so ask again.
    pub(super) async fn apply(&self, holding: &Holding, task: &mut Task) -> Result<Option<Live>> {
        let Sessions { store, config, .. } = self.layer;
        let record = holding.record;
        task.request.ttl = holding.is_touch_due.then(|| config.ttl());
        match store.apply(record, &task.request).await? {
            Answer::Live(mut live) => {
                if task.request.ttl.is_some() {
                    self.visit.touched(record, self.now());
                    self.layer.tell(Event::Touched(record.id));
                }
                if let Some(error) = self.too_large(&task.request.ops, &live) {
                    let undo = undone(&task.request.ops, &live.outcomes);
                    self.undo(record, undo).await.map_err(Error::midway)?;
                    return Err(error);
                }
                if holding.ticket.owner == Owner::Visitor {
                    // A cookie from before the sign-in may still lead here, and must not sign in.
                    live.fields.remove(USER);
                }
                return Ok(Some(live));
            }
            // A replica that lags has no record yet either; only a write is sure of it.
            Answer::Gone if task.is_look() => return Ok(Some(Live::default())),
            Answer::Gone => self.lose(record).await?,
            Answer::Tombstone(outcomes) => {
                task.advance(outcomes);
                self.follow(record).await?;
            }
        }
        Ok(None)
    }

    /// Takes changes back. Where somebody else has counted on meanwhile, their part stays.
    async fn undo(&self, record: RecordId, mut ops: Vec<Op>) -> Result<()> {
        while !ops.is_empty() {
            let undo = Request { ops, read: Read::Some(vec![]), ttl: None };
            let Answer::Live(live) = self.layer.store.apply(record, &undo).await? else { break };
            let others = |(op, outcome): (&Op, Outcome)| match (op, outcome) {
                (Op::Take(name), Outcome::Taken(Some(text))) => {
                    let part = text.parse().ok().filter(|part| *part != 0)?;
                    Some(Op::Increment(name.clone(), part))
                }
                _ => None,
            };
            ops = undo.ops.iter().zip(live.outcomes).filter_map(others).collect();
        }
        Ok(())
    }

    /// Makes a new session, if the changes leave anything to keep. `None`: the visit has got an
    /// identity in the meantime.
    async fn begin(&self, request: &Request) -> Result<Option<Live>> {
        let (fields, outcomes) = fresh(&request.ops);
        if fields.is_empty() {
            return Ok(Some(Live { outcomes, fields }));
        }
        let live = Live { outcomes, fields };
        if let Some(error) = self.too_large(&request.ops, &live) {
            return Err(error);
        }
        let is_new = self.create(live.fields.clone()).await?;
        Ok(is_new.then_some(live))
    }

    /// Makes a new session of these fields. `false`: the visit has got an identity in the meantime.
    pub(super) async fn create(&self, fields: Fields) -> Result<bool> {
        let _turn = self.visit.turnstile.lock().await;
        if self.visit.holding().is_some() {
            return Ok(false);
        }
        if self.visit.is_answered() {
            let why = "the response is on its way already, and can give no cookie any more";
            return Err(StoreError::refused(why).into());
        }
        let now = self.now();
        let ticket = Ticket {
            id: PublicId::born(now),
            secret: Token::generate(),
            touched: now,
            stage: Stage::First,
            persistence: self.visit.persistence(),
            owner: Owner::Visitor,
        };
        let ttl = self.layer.config.first_ttl();
        self.layer.store.create(ticket.record(), fields, ttl).await?;
        self.layer.tell(Event::Created(ticket.id));
        self.visit.issue(ticket);
        Ok(true)
    }

    /// The record has vanished: evicted, flushed, or lost in a failover. Its identity is not used
    /// again, and what a write has left there is cleared away.
    async fn lose(&self, record: RecordId) -> Result<()> {
        self.layer.store.discard(record).await?;
        self.reject(record, Rejection::Missing(record.id));
        Ok(())
    }

    /// There is a tombstone where the record was: go on with the successor, or without a session.
    pub(super) async fn follow(&self, record: RecordId) -> Result<()> {
        match self.layer.store.trace(record).await? {
            Trace::Rotated(successor) if self.now() < successor.until => {
                let moved = RecordId { token_hash: successor.token_hash, ..record };
                self.visit.follow(record, moved);
            }
            Trace::Live => {
                // Neither a record nor a tombstone, or a replica that still shows the record.
                log::warn!("session {}: its record is no record; a new one begins", record.id);
                self.reject(record, Rejection::Missing(record.id));
            }
            Trace::Rotated(_) => self.reject(record, Rejection::StaleToken(record.id)),
            Trace::Ended => self.reject(record, Rejection::Destroyed(record.id)),
            Trace::Gone => self.reject(record, Rejection::Missing(record.id)),
        }
        Ok(())
    }

    pub(super) fn reject(&self, record: RecordId, why: Rejection) {
        self.layer.tell(Event::Rejected(why));
        self.visit.forget(record);
    }

    /// Holds a request's operations to the deadline, and remembers an outage for the response. Once
    /// the store has failed a request, that request does not wait for it again.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if let Some(retry_after) = self.visit.outage() {
            let fault = StoreError::refused("it has failed earlier in this request");
            return Err(StoreError { retry_after, ..fault }.into());
        }
        let wait = self.visit.wait();
        let rest = self.layer.config.deadline.saturating_sub(wait.so_far());
        let done = tokio::time::timeout(rest, work).await;
        let result = done.unwrap_or_else(|_| Err(StoreError::unanswered("the deadline passed").into()));
        if let Some(retry_after) = result.as_ref().err().and_then(Error::retry_after) {
            self.visit.suffered(retry_after);
        }
        result
    }

    fn check(&self, ops: &[Op]) -> Result<()> {
        for op in ops {
            let (name, size) = match op {
                Op::Insert(name, value) => (name, value.len()),
                Op::Increment(name, _) | Op::Remove(name) | Op::Take(name) => (name, 0),
            };
            let limit = self.layer.config.max_field_size;
            let too_large =
                |what, size, limit| Err(Error::TooLarge { field: name.clone(), what, size, limit });
            if name.len() > MAX_FIELD_NAME {
                return too_large("its name in bytes", name.len(), MAX_FIELD_NAME);
            }
            if size > limit {
                return too_large("its value in bytes", size, limit);
            }
        }
        Ok(())
    }

    /// Whether the changes have made the record larger, and past its limit.
    fn too_large(&self, ops: &[Op], live: &Live) -> Option<Error> {
        let has_grown = |pair: (&Op, &Outcome)| match pair {
            (Op::Insert(name, _), _) => Some(name.clone()),
            (Op::Increment(name, by), Outcome::Count(sum)) if by == sum => Some(name.clone()),
            _ => None,
        };
        let field = ops.iter().zip(&live.outcomes).find_map(has_grown)?;
        let limit = self.layer.config.max_record_size;
        let size = live.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let what = "the session in bytes";
        (size > limit).then_some(Error::TooLarge { field, what, size, limit })
    }

    pub(super) fn now(&self) -> SystemTime {
        self.layer.clock.now()
    }
}

pub(super) fn endless() -> Error {
    StoreError::refused("the session changes faster than it can be followed").into()
}

//! What happens to a session between two answers of the store: it begins, is followed, is found
//! gone, is rotated and ends. Everything here is the same for every store.

use std::future::Future;
use std::time::SystemTime;

use rocket::tokio;

use super::config::OnOutage;
use super::cookie::{Owner, Stage, Ticket};
use super::error::{Error, Result};
use super::event::{Event, Rejection};
use super::id::{Handle, Secret};
use super::layer::Layer;
use super::snapshot::decode;
use super::store::{
    Answer, Fault, Fields, Live, Op, Outcome, Read, RecordId, Request, Rotation, Successor, Trace,
    USER,
};
use super::visit::{Holding, Role, Visit};

/// More steps than any chain of events that one request can meet: each is a rotation, an end or a
/// loss that has just happened.
pub(super) const MAX_STEPS: usize = 8;

/// A field's name is a key and an item; what is longer was not meant as a name.
const MAX_FIELD_NAME: usize = 256;

/// A session operation on its way.
#[derive(Clone, Copy)]
pub(super) struct Lifecycle<'r> {
    pub(super) layer: &'r Layer,
    pub(super) visit: &'r Visit,
}

impl Lifecycle<'_> {
    /// Carries out changes and reads. The outcomes stand in the order of the changes, and the
    /// fields are as the changes have left them.
    pub(super) async fn run(&self, ops: Vec<Op>, read: Read) -> Result<Live> {
        self.check(&ops)?;
        let is_look = ops.is_empty();
        match self.within(self.carry_out(ops, read)).await {
            Err(error) if is_look && self.goes_on_after(&error) => Ok(Live::default()),
            result => result,
        }
    }

    /// Whether an operation that only reads finds nothing, rather than fail. Whatever the request
    /// goes on to write is refused: the visit has suffered the outage.
    fn goes_on_after(&self, error: &Error) -> bool {
        self.layer.config.on_outage == OnOutage::Anonymous && error.retry_after().is_some()
    }

    pub(super) async fn carry_out(&self, ops: Vec<Op>, read: Read) -> Result<Live> {
        let mut request = Request { ops, read, ttl: None };
        for _ in 0..MAX_STEPS {
            let Some(holding) = self.visit.holding() else {
                if let Some(live) = self.begin(&request).await? {
                    return Ok(live);
                }
                continue;
            };
            if let Some(live) = self.apply(&holding, &mut request).await? {
                return Ok(live);
            }
        }
        Err(endless())
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
            let mut ticket = Ticket { secret: Secret::generate(), ..holding.ticket.clone() };
            let to = Successor {
                fingerprint: ticket.secret.fingerprint(),
                until: now + config.regenerate_overlap,
            };
            let rotation = Rotation {
                from: holding.record,
                to,
                tombstone_ttl: config.tombstone_ttl(ticket.handle, now),
                ttl: holding.is_touch_due.then(|| config.ttl()),
            };
            match self.layer.store.rotate(rotation).await? {
                Answer::Live(_) => {
                    if rotation.ttl.is_some() {
                        (ticket.touched, ticket.stage) = (now, Stage::Returning);
                    }
                    self.layer.tell(Event::Regenerated(ticket.handle));
                    self.visit.issue(ticket);
                    return Ok(());
                }
                Answer::Gone => self.lose(holding.record).await?,
                Answer::Tombstone => self.follow(holding.record).await?,
            }
        }
        Err(endless())
    }

    /// Ends the session, and takes it off its user's list.
    pub(super) async fn end(&self) -> Result<()> {
        let _turn = self.visit.turnstile.lock().await;
        let Some(holding) = self.visit.holding() else { return Ok(()) };
        let user = self.user(&holding).await?;
        self.end_record(holding.record).await?;
        self.visit.ended();
        if let Some(user) = user {
            // The session has ended already; an entry that stays is passed over and lapses.
            let _ = self.layer.store.strike(&user, &[holding.record.handle]).await;
        }
        Ok(())
    }

    async fn user(&self, holding: &Holding) -> Result<Option<String>> {
        if holding.ticket.owner == Owner::Visitor {
            return Ok(None);
        }
        let request = Request { ops: vec![], read: Read::Some(vec![USER.to_owned()]), ttl: None };
        Ok(match self.layer.store.apply(holding.record, &request).await? {
            Answer::Live(live) => live.fields.get(USER).and_then(|it| decode(USER, it).ok()),
            Answer::Gone | Answer::Tombstone => None,
        })
    }

    /// Ends a record, and every successor that rotations have made of it.
    pub(super) async fn end_record(&self, mut record: RecordId) -> Result<()> {
        let ttl = self.layer.config.tombstone_ttl(record.handle, self.now());
        loop {
            // Every turn leaves a tombstone without a successor, so the chain only gets shorter.
            match self.layer.store.end(record, ttl).await? {
                Trace::Rotated(Successor { fingerprint, .. }) => record.fingerprint = fingerprint,
                Trace::Live => {
                    self.layer.tell(Event::Ended(record.handle));
                    return Ok(());
                }
                Trace::Gone | Trace::Ended => return Ok(()),
            }
        }
    }

    /// Asks the record. `None`: the visit has another identity now, so ask again.
    pub(super) async fn apply(
        &self,
        holding: &Holding,
        request: &mut Request,
    ) -> Result<Option<Live>> {
        let Layer { store, config, .. } = self.layer;
        let record = holding.record;
        request.ttl = holding.is_touch_due.then(|| config.ttl());
        let mut answer = store.apply(record, request).await?;
        if is_doubtful(request, &answer) {
            let marker = Request { ops: vec![], read: Read::Some(vec![]), ttl: None };
            match store.apply(record, &marker).await? {
                Answer::Live(_) => {}
                dead => answer = dead,
            }
        }
        match answer {
            Answer::Live(live) => {
                if request.ttl.is_some() {
                    self.visit.touched(record, self.now());
                    self.layer.tell(Event::Touched(record.handle));
                }
                let mut live = self.settle(record, request, live).await?;
                if holding.ticket.owner == Owner::Visitor {
                    // A cookie from before the sign-in may still lead here, and must not sign in.
                    live.fields.remove(USER);
                }
                Ok(Some(live))
            }
            // A replica that lags has no record yet either; only a write is sure of it.
            Answer::Gone if request.ops.is_empty() => Ok(Some(Live::default())),
            Answer::Gone => self.lose(record).await.map(|()| None),
            Answer::Tombstone => self.follow(record).await.map(|()| None),
        }
    }

    /// Shows a live record as these changes have left it, whatever others did meanwhile, and takes
    /// back what has made it too large.
    async fn settle(&self, record: RecordId, request: &Request, live: Live) -> Result<Live> {
        let after = changed(live.fields, &request.ops, &live.outcomes);
        if let Some(error) = self.too_large(&request.ops, &after) {
            let ops = undone(&request.ops, &live.outcomes);
            let undo = Request { ops, read: Read::Nothing, ttl: None };
            self.layer.store.apply(record, &undo).await?;
            return Err(error);
        }
        Ok(Live { outcomes: live.outcomes, fields: after })
    }

    /// Makes a new session, if the changes leave anything to keep. `None`: the visit has got an
    /// identity in the meantime.
    async fn begin(&self, request: &Request) -> Result<Option<Live>> {
        let (fields, outcomes) = fresh(&request.ops);
        if fields.is_empty() {
            return Ok(Some(Live { outcomes, fields }));
        }
        if let Some(error) = self.too_large(&request.ops, &fields) {
            return Err(error);
        }
        let is_new = self.create(fields.clone()).await?;
        Ok(is_new.then_some(Live { outcomes, fields }))
    }

    /// Makes a new session of these fields. `false`: the visit has got an identity in the meantime.
    pub(super) async fn create(&self, fields: Fields) -> Result<bool> {
        let _turn = self.visit.turnstile.lock().await;
        if self.visit.holding().is_some() {
            return Ok(false);
        }
        let now = self.now();
        let ticket = Ticket {
            handle: Handle::born(now),
            secret: Secret::generate(),
            touched: now,
            stage: Stage::First,
            persistence: self.visit.persistence(),
            owner: Owner::Visitor,
        };
        let ttl = self.layer.config.first_ttl();
        self.layer.store.create(ticket.record(), fields, ttl).await?;
        self.layer.tell(Event::Created(ticket.handle));
        self.visit.issue(ticket);
        Ok(true)
    }

    /// The record has vanished: evicted, flushed, or lost in a failover. Its identity is not used
    /// again, and what a write has left there is cleared away.
    async fn lose(&self, record: RecordId) -> Result<()> {
        self.layer.store.discard(record).await?;
        self.reject(record, Rejection::Lost(record.handle));
        Ok(())
    }

    /// There is a tombstone where the record was: go on with the successor, or without a session.
    async fn follow(&self, record: RecordId) -> Result<()> {
        match self.layer.store.trace(record).await? {
            Trace::Rotated(successor) if self.now() < successor.until => {
                let moved = RecordId { fingerprint: successor.fingerprint, ..record };
                self.visit.follow(record, moved);
            }
            Trace::Live => {
                // Neither a record nor a tombstone: nobody but us writes here, so it is damaged.
                log::warn!("session {}: its record is damaged; a new one begins", record.handle);
                self.lose(record).await?;
            }
            Trace::Rotated(_) => self.reject(record, Rejection::Superseded(record.handle)),
            Trace::Ended => self.reject(record, Rejection::Ended(record.handle)),
            Trace::Gone => self.reject(record, Rejection::Lost(record.handle)),
        }
        Ok(())
    }

    fn reject(&self, record: RecordId, why: Rejection) {
        self.layer.tell(Event::Rejected(why));
        self.visit.forget(record);
    }

    /// Holds an operation to the deadline, and remembers an outage for the response. Once the
    /// store has failed a request, that request does not wait for it again.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if let Some(retry_after) = self.visit.outage() {
            let fault = Fault::refused("it has failed earlier in this request");
            return Err(Fault { retry_after, ..fault }.into());
        }
        let done = tokio::time::timeout(self.layer.config.deadline, work).await;
        let result = done.unwrap_or_else(|_| Err(Fault::unanswered("the deadline passed").into()));
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

    /// Whether an insertion leaves the record past its limit.
    fn too_large(&self, ops: &[Op], fields: &Fields) -> Option<Error> {
        let field = ops.iter().find_map(|op| match op {
            Op::Insert(name, _) => Some(name.clone()),
            _ => None,
        })?;
        let limit = self.layer.config.max_record_size;
        let size = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let what = "the session in bytes";
        (size > limit).then_some(Error::TooLarge { field, what, size, limit })
    }

    pub(super) fn now(&self) -> SystemTime {
        self.layer.clock.now()
    }
}

/// Whether the answer to a write fits a record that was not there as well as a live one: nothing
/// was read, and an increment has found nothing.
fn is_doubtful(request: &Request, answer: &Answer) -> bool {
    let Answer::Live(live) = answer else { return false };
    request.read == Read::Nothing
        && request.ops.iter().zip(&live.outcomes).any(
            |pair| matches!(pair, (Op::Increment(_, by), Outcome::Count(count)) if by == count),
        )
}

/// The fields as the changes themselves leave them.
fn changed(mut fields: Fields, ops: &[Op], outcomes: &[Outcome]) -> Fields {
    for pair in ops.iter().zip(outcomes) {
        match pair {
            (Op::Insert(name, value), _) => {
                fields.insert(name.clone(), value.clone());
            }
            (Op::Increment(name, _), Outcome::Count(count)) => {
                fields.insert(name.clone(), count.to_string());
            }
            (Op::Increment(..), _) => {}
            (Op::Remove(name) | Op::Take(name), _) => {
                fields.remove(name);
            }
        }
    }
    fields
}

/// The changes that lead back, but for what was removed on purpose.
fn undone(ops: &[Op], outcomes: &[Outcome]) -> Vec<Op> {
    let undo = |(op, outcome): (&Op, &Outcome)| match (op, outcome) {
        (Op::Increment(name, by), Outcome::Count(_)) => {
            Some(Op::Increment(name.clone(), by.checked_neg()?))
        }
        (Op::Insert(name, _), Outcome::Replaced(Some(before))) => {
            Some(Op::Insert(name.clone(), before.clone()))
        }
        (Op::Insert(name, _), _) => Some(Op::Remove(name.clone())),
        _ => None,
    };
    ops.iter().zip(outcomes).rev().filter_map(undo).collect()
}

/// What changes come to where there is nothing yet.
fn fresh(ops: &[Op]) -> (Fields, Vec<Outcome>) {
    let mut fields = Fields::new();
    let outcomes = ops.iter().map(|op| op.carry_out(&mut fields)).collect();
    (fields, outcomes)
}

pub(super) fn endless() -> Error {
    Fault::refused("the session changes faster than it can be followed").into()
}

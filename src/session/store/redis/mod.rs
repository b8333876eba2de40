//! Sessions in Redis: one hash for each, reached through an r2d2 pool by a few threads.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use rocket::tokio;

mod address;
mod breaker;
mod connection;
mod fault;
mod frame;
mod index;
mod protocol;
mod stubs;
mod worker;

pub use address::{OpenError, Settings};

use address::Address;
use protocol::Pipeline;
use stubs::Stubs;
use worker::Workers;

use super::{
    Answer, Entry, Fault, FaultKind, Fields, Handle, Op, Read, RecordId, Request, Rotation,
    Standing, Store, Trace,
};

/// Keeps sessions in Redis, or whatever speaks its protocol: Upstash, Valkey, Dragonfly.
///
/// Each request is one pipeline on one connection, and so one round trip. Commands of many
/// requests share a write. While Redis does not answer, requests are refused at once.
pub struct Redis {
    workers: Arc<Workers>,
    stubs: Arc<Stubs>,
    prefix: String,
}

impl Redis {
    /// Opens the store. Nothing is connected before the first request, so an application starts
    /// whether or not Redis is there.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for a setting that cannot work.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        let address = Address::parse(settings)?;
        let workers =
            Workers::start(address, settings).map_err(|error| OpenError::threads(&error))?;
        let (workers, stubs) = (Arc::new(workers), Arc::default());
        Ok(Self { workers, stubs, prefix: settings.prefix.clone() })
    }

    async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, Fault> {
        self.workers.ask(pipeline.packed, pipeline.replies).await
    }

    async fn try_apply(
        &self,
        record: RecordId,
        request: &Request,
    ) -> Result<Option<Answer>, Fault> {
        let key = self.key(record);
        let pipeline = protocol::apply(&key, request);
        if !may_leave_stub(request) {
            let replies = self.ask(pipeline).await?;
            if let Some(ttl) = request.ttl.filter(|_| protocol::is_untouched(&replies)) {
                self.ask(stubs::expire(&[key], ttl)).await?;
            }
            return protocol::read_apply(record.handle, request, replies);
        }
        self.expire_stubs();
        let doubt = self.stubs.doubt(key);
        let answer = match self.ask(pipeline).await {
            Ok(replies) => protocol::read_apply(record.handle, request, replies),
            Err(fault) => Err(fault),
        };
        if is_settled(&answer) {
            doubt.settle();
        }
        answer
    }

    /// Sees to it that nothing stays for ever; nobody waits for that.
    fn expire_stubs(&self) {
        let keys = self.stubs.take_old();
        if keys.is_empty() {
            return;
        }
        let (workers, stubs) = (self.workers.clone(), self.stubs.clone());
        tokio::spawn(async move {
            let Pipeline { packed, replies } = stubs::expire(&keys, stubs::TTL);
            let asked = workers.ask(packed, replies).await;
            if asked.is_err_and(|fault| fault.kind == FaultKind::Unanswered) {
                for key in keys {
                    stubs.suspect(key);
                }
            }
        });
    }

    fn key(&self, record: RecordId) -> String {
        protocol::key(&self.prefix, record)
    }
}

/// Whether a request makes a key without a time to live where there was none.
fn may_leave_stub(request: &Request) -> bool {
    let makes = |op: &Op| matches!(op, Op::Insert(..) | Op::Increment(..));
    request.ttl.is_none() && request.ops.iter().any(makes)
}

/// Whether an answer tells that no stub was left.
fn is_settled(answer: &Result<Option<Answer>, Fault>) -> bool {
    match answer {
        Err(fault) => fault.kind == FaultKind::Refused,
        Ok(None | Some(Answer::Gone)) => false,
        Ok(Some(Answer::Live(_) | Answer::Tombstone(_))) => true,
    }
}

#[rocket::async_trait]
impl Store for Redis {
    fn name(&self) -> &'static str {
        "Redis"
    }

    async fn create(&self, record: RecordId, fields: Fields, ttl: Duration) -> Result<(), Fault> {
        self.ask(protocol::create(&self.key(record), record.handle, &fields, ttl)).await?;
        Ok(())
    }

    async fn apply(&self, record: RecordId, request: &Request) -> Result<Answer, Fault> {
        if let Some(answer) = self.try_apply(record, request).await? {
            return Ok(answer);
        }
        // Another session's marker: either a reply has gone astray, and nobody may see it, or the
        // record itself is damaged. Asking once more tells which.
        let marker = Request { ops: vec![], read: Read::Some(vec![]), ttl: None };
        if self.try_apply(record, &marker).await?.is_some() {
            return Err(Fault::unanswered("a reply was about another session"));
        }
        log::warn!("session {}: its record is damaged; a new one begins", record.handle);
        Ok(Answer::Gone)
    }

    async fn trace(&self, record: RecordId) -> Result<Trace, Fault> {
        protocol::read_trace(self.ask(protocol::trace(&self.key(record))).await?)
    }

    async fn rotate(&self, rotation: Rotation) -> Result<Answer, Fault> {
        let Rotation { from, to, .. } = rotation;
        let moved = RecordId { fingerprint: to.fingerprint, ..from };
        let pipeline = protocol::rotate(&self.key(from), &self.key(moved), &rotation);
        protocol::read_rotate(from.handle, self.ask(pipeline).await?)
    }

    async fn end(&self, record: RecordId, tombstone_ttl: Duration) -> Result<Trace, Fault> {
        protocol::read_end(self.ask(protocol::end(&self.key(record), tombstone_ttl)).await?)
    }

    async fn discard(&self, record: RecordId) -> Result<(), Fault> {
        let key = self.key(record);
        self.ask(protocol::discard(&key)).await?;
        self.stubs.clear(&key);
        Ok(())
    }

    async fn enlist(&self, user: &str, entry: Entry, ttl: Duration) -> Result<Vec<Entry>, Fault> {
        let pipeline = index::enlist(&index::key(&self.prefix, user), &entry, ttl);
        index::read_list(self.ask(pipeline).await?)
    }

    async fn list(&self, user: &str) -> Result<Vec<Entry>, Fault> {
        index::read_list(self.ask(index::list(&index::key(&self.prefix, user))).await?)
    }

    async fn strike(&self, user: &str, handles: &[Handle]) -> Result<(), Fault> {
        self.ask(index::strike(&index::key(&self.prefix, user), handles)).await?;
        Ok(())
    }

    async fn inspect(&self, records: &[RecordId]) -> Result<Vec<Standing>, Fault> {
        let keys: Vec<_> = records.iter().map(|record| self.key(*record)).collect();
        let replies = self.ask(index::inspect(keys.iter().map(String::as_str))).await?;
        index::read_inspect(records, replies)
    }
}

//! SessionFairing in Redis: one hash for each, reached through an r2d2 pool by a few threads.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use rocket::tokio;

mod address;
mod breaker;
mod cluster;
mod connection;
mod decoder;
mod driver;
mod duplex;
mod framing;
mod in_flight;
mod index;
mod jitter;
mod manager;
mod metrics;
mod pipeline;
mod protocol;
mod queue;
mod reply_error;
mod request;
mod resolve;
mod sentinel;
mod server;
mod stubs;
mod topology;
mod transport;

pub use address::{OpenError, Settings};

use cluster::Cluster;
use manager::Target;
use pipeline::Pipeline;
use server::Server;
use stubs::{Doubt, Stubs};
use topology::Topology;

use super::{
    Answer, Entry, Fields, Op, PublicId, Read, RecordId, Request, Rotation, Standing, Store,
    StoreError, StoreErrorKind, Trace,
};

/// Keeps sessions in Redis, or whatever speaks its protocol: Upstash, Valkey, Dragonfly. It may be
/// one server, the master that sentinels name, or a cluster.
///
/// Each request is one pipeline on one connection, and so one round trip. Commands of many
/// requests share a write. While Redis does not answer, requests are refused at once.
pub struct Redis {
    servers: Arc<Servers>,
    stubs: Arc<Stubs>,
    prefix: String,
}

/// Who is asked.
enum Servers {
    /// One for all sessions.
    One(Server),
    /// One for each slot.
    Cluster(Cluster),
}

impl Servers {
    async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        match self {
            Self::One(server) => server.ask(pipeline).await,
            Self::Cluster(cluster) => cluster.ask(pipeline).await,
        }
    }

    /// Whether what is asked now would be refused at once, whatever it is about.
    fn is_refusing(&self) -> bool {
        match self {
            Self::One(server) => server.is_refusing(),
            Self::Cluster(_) => false,
        }
    }
}

impl Redis {
    /// Opens the store. Nothing is connected before the first request, so an application starts
    /// whether or not Redis is there.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for a setting that cannot work.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        let one = |target| Servers::One(Server::new(target, settings));
        let servers = match Topology::parse(settings)? {
            Topology::Server(address) => one(Target::Server(address)),
            Topology::Master(sentinels) => one(Target::Master(sentinels)),
            Topology::Cluster(seeds) => Servers::Cluster(Cluster::new(seeds, settings)),
        };
        let (servers, stubs) = (Arc::new(servers), Arc::default());
        Ok(Self { servers, stubs, prefix: settings.prefix.clone() })
    }

    async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        self.servers.ask(pipeline).await
    }

    async fn try_apply(
        &self,
        record: RecordId,
        request: &Request,
    ) -> Result<Option<Answer>, StoreError> {
        let key = self.key(record);
        let pipeline = protocol::apply(&key, request);
        if !makes_key(request) && request.ttl.is_none() {
            return protocol::read_apply(record.id, request, self.ask(pipeline).await?);
        }
        let doubt = self.doubt(key.clone());
        let mut is_touched = true;
        let answer = self.ask(pipeline).await.and_then(|replies| {
            is_touched = request.ttl.is_none() || !protocol::is_untouched(&replies);
            protocol::read_apply(record.id, request, replies)
        });
        if let (false, Ok(Some(Answer::Live(_))), Some(ttl)) = (is_touched, &answer, request.ttl) {
            // Its time to live is longer, or something has taken it away.
            if self.ask(stubs::expire(&[key], ttl)).await.is_err() {
                return answer;
            }
        }
        if !makes_key(request) || is_settled(answer.as_ref().map(Option::as_ref)) {
            doubt.settle();
        }
        answer
    }

    /// A write begins that may make a key without a time to live.
    fn doubt(&self, key: String) -> Doubt<'_> {
        self.expire_stubs();
        self.stubs.doubt(key)
    }

    /// Gives earlier stubs a time to live; nobody waits for that.
    fn expire_stubs(&self) {
        if self.servers.is_refusing() {
            return;
        }
        let keys = self.stubs.take_old();
        if keys.is_empty() {
            return;
        }
        let (servers, stubs) = (self.servers.clone(), self.stubs.clone());
        tokio::spawn(async move {
            if servers.ask(stubs::expire(&keys, stubs::TTL)).await.is_err() {
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

/// Whether a request makes a key where there was none. It has no time to live, touched or not:
/// a touch only lengthens one.
fn makes_key(request: &Request) -> bool {
    request.ops.iter().any(|op| matches!(op, Op::Insert(..) | Op::Increment(..)))
}

/// Whether an answer tells that no stub was left.
fn is_settled(answer: Result<Option<&Answer>, &StoreError>) -> bool {
    match answer {
        Err(fault) => fault.kind == StoreErrorKind::Refused,
        Ok(None | Some(Answer::Gone)) => false,
        Ok(Some(Answer::Live(_) | Answer::Tombstone(_))) => true,
    }
}

#[rocket::async_trait]
impl Store for Redis {
    fn name(&self) -> &'static str {
        "Redis"
    }

    async fn create(
        &self,
        record: RecordId,
        fields: Fields,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let pipeline = protocol::create(&self.key(record), record.id, &fields, ttl);
        protocol::read_create(self.ask(pipeline).await?)
    }

    async fn apply(&self, record: RecordId, request: &Request) -> Result<Answer, StoreError> {
        if let Some(answer) = self.try_apply(record, request).await? {
            return Ok(answer);
        }
        // Another session's marker: either a reply has gone astray, and nobody may see it, or the
        // record itself is damaged. Asking once more tells which.
        let marker = Request::look(Read::Some(vec![]));
        if self.try_apply(record, &marker).await?.is_some() {
            return Err(StoreError::unanswered("a reply was about another session"));
        }
        log::warn!("session {}: its record is damaged; a new one begins", record.id);
        Ok(Answer::Gone)
    }

    async fn trace(&self, record: RecordId) -> Result<Trace, StoreError> {
        protocol::read_trace(self.ask(protocol::trace(&self.key(record))).await?)
    }

    async fn rotate(&self, rotation: Rotation) -> Result<Answer, StoreError> {
        let Rotation { from, to, .. } = rotation;
        let moved = RecordId { token_hash: to.token_hash, ..from };
        let to = self.key(moved);
        let pipeline = protocol::rotate(&self.key(from), &to, &rotation);
        // What moves may be a stub.
        let doubt = self.doubt(to);
        let replies = self.ask(pipeline).await;
        let answer = replies.and_then(|replies| protocol::read_rotate(from.id, replies));
        if is_settled(answer.as_ref().map(Some)) {
            doubt.settle();
        }
        answer
    }

    async fn end(&self, record: RecordId, tombstone_ttl: Duration) -> Result<Trace, StoreError> {
        protocol::read_end(self.ask(protocol::end(&self.key(record), tombstone_ttl)).await?)
    }

    async fn discard(&self, record: RecordId) -> Result<(), StoreError> {
        let key = self.key(record);
        self.ask(protocol::discard(&key)).await?;
        self.stubs.clear(&key);
        Ok(())
    }

    async fn enlist(
        &self,
        user: &str,
        entry: Entry,
        ttl: Duration,
    ) -> Result<Vec<Entry>, StoreError> {
        let pipeline = index::enlist(&index::key(&self.prefix, user), &entry, ttl);
        index::read_list(self.ask(pipeline).await?)
    }

    async fn list(&self, user: &str) -> Result<Vec<Entry>, StoreError> {
        index::read_list(self.ask(index::list(&index::key(&self.prefix, user))).await?)
    }

    async fn strike(&self, user: &str, handles: &[PublicId]) -> Result<(), StoreError> {
        self.ask(index::strike(&index::key(&self.prefix, user), handles)).await?;
        Ok(())
    }

    async fn inspect(&self, records: &[RecordId]) -> Result<Vec<Standing>, StoreError> {
        let keys: Vec<_> = records.iter().map(|record| self.key(*record)).collect();
        let replies = self.ask(index::inspect(keys.iter().map(String::as_str))).await?;
        index::read_inspect(records, replies)
    }
}

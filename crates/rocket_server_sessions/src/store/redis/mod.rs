//! Sessions in Redis: one hash for each, over connections of an r2d2 pool.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::Value;
use rocket::tokio;

mod address;
mod breaker;
mod cluster;
mod commands;
mod connection;
mod decoder;
mod driver;
mod duplex;
mod framing;
mod in_flight;
mod jitter;
mod manager;
mod metrics;
mod orphan_keys;
mod pipeline;
mod probe;
mod queue;
mod remedy;
mod reply_error;
mod request;
mod resolve;
mod scripts;
mod sentinel;
mod server;
mod topology;
mod transport;
mod user_index;

pub use address::{OpenError, Settings};

use cluster::Cluster;
use commands::PlainReply;
use manager::Target;
use orphan_keys::OrphanKeys;
use pipeline::Pipeline;
use server::Server;
use topology::Topology;

use super::{
    Applied, DestroyResult, Fields, IndexEntry, Op, OpResult, RecordId, RecordStatus, RotateResult,
    Rotation, Store, StoreError, StoreErrorKind, Update, UpdateResult, Values, size,
};

/// Keeps sessions in Redis, or whatever speaks its protocol: Upstash, Valkey, Dragonfly. It may be
/// one server, the master that sentinels name, or a cluster.
///
/// Each request is one pipeline on one connection, and so one round trip. Commands of many
/// requests share a write. While Redis does not answer, requests are refused at once.
pub struct Redis {
    servers: Arc<Servers>,
    orphans: Arc<OrphanKeys>,
    prefix: String,
}

/// Who is asked.
enum Servers {
    /// One for all sessions.
    One(Server),
    /// One for each slot.
    Cluster(Cluster),
    #[cfg(test)]
    Simulated(crate::simulation::World),
}

impl Servers {
    async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        match self {
            Self::One(server) => server.ask(pipeline).await,
            Self::Cluster(cluster) => cluster.ask(pipeline).await,
            #[cfg(test)]
            Self::Simulated(world) => {
                let units = pipeline.units.iter().map(|unit| unit.replies).collect();
                let replies = world.ask(pipeline.packed, units).await?;
                reply_error::server_failure(&replies, false).map_or(Ok(replies), |it| Err(it.error))
            }
        }
    }

    /// Whether what is asked now would be refused at once, whatever it is about.
    fn is_refusing(&self) -> bool {
        match self {
            Self::One(server) => server.is_refusing(),
            Self::Cluster(_) => false,
            #[cfg(test)]
            Self::Simulated(_) => false,
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
        let orphans = Arc::new(OrphanKeys::new(settings.deadline));
        Ok(Self { servers: Arc::new(servers), orphans, prefix: settings.prefix.clone() })
    }

    /// The store as it is, with somebody else in Redis' place.
    #[cfg(test)]
    pub(crate) fn simulated(world: crate::simulation::World, prefix: &str) -> Self {
        let servers = Arc::new(Servers::Simulated(world));
        let orphans = Arc::new(OrphanKeys::new(crate::Config::default().deadline));
        Self { servers, orphans, prefix: prefix.to_owned() }
    }

    /// Forgets earlier writes.
    #[cfg(test)]
    pub(crate) fn forget_orphans(&self) {
        self.orphans.clear();
    }

    async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        self.servers.ask(pipeline).await
    }

    /// An update that decides nothing.
    async fn update_plainly(
        &self,
        record: RecordId,
        update: &Update,
    ) -> Result<UpdateResult, StoreError> {
        let key = self.key(record);
        let pending = makes_key(update).then(|| self.orphans.pending(record));
        let replies = match self.ask(commands::plain_update(&key, update)).await {
            Ok(replies) => replies,
            Err(error) => {
                if let (StoreErrorKind::Refused, Some(pending)) = (error.kind, pending) {
                    pending.settle();
                }
                return Err(error);
            }
        };
        let result = match commands::read_plain_update(record.id, update, replies)? {
            PlainReply::Applied(applied) => self.check_size(record, update, applied).await?,
            PlainReply::NoHash => self.absent(record).await?,
            PlainReply::Late(results) if update.read == Fields::Some(Vec::new()) => {
                UpdateResult::Applied(Applied { results, ..Applied::default() })
            }
            PlainReply::Late(_) => return Err(late(update)),
            PlainReply::Foreign if self.is_live(record).await? => {
                // The record is in order, so the reply was not about it, and must not be shown.
                let why = "a reply was about another session";
                return Err(StoreError {
                    retry_after: Duration::ZERO,
                    ..StoreError::unanswered(why)
                });
            }
            PlainReply::Foreign => {
                log::warn!("session {}: its record is damaged; a new one begins", record.id);
                self.delete_orphan(record, pending.is_some()).await?;
                UpdateResult::Gone
            }
            PlainReply::Gone => {
                self.delete_orphan(record, pending.is_some()).await?;
                UpdateResult::Gone
            }
        };
        if let Some(pending) = pending {
            pending.settle();
        }
        Ok(result)
    }

    /// Takes an increment back that has made a field, and the record too large.
    async fn check_size(
        &self,
        record: RecordId,
        update: &Update,
        applied: Applied,
    ) -> Result<UpdateResult, StoreError> {
        let size = size(&applied.fields);
        if let (Some(limit), [Op::Increment(name, by)], [OpResult::Count(sum)]) =
            (update.max_size, &update.ops[..], &applied.results[..])
            && size > limit
            && by == sum
        {
            let take_back = commands::take_back(&self.key(record), record.id, name, *sum);
            let replies = self.ask(take_back).await.map_err(unknown)?;
            // If others have counted on meanwhile, it stays.
            if commands::read_take_back(replies)? {
                return Ok(UpdateResult::TooLarge(size));
            }
        }
        Ok(UpdateResult::Applied(applied))
    }

    /// Why there is no hash.
    async fn absent(&self, record: RecordId) -> Result<UpdateResult, StoreError> {
        let replies = self.ask(commands::death(&self.key(record))).await?;
        let death = commands::read_death(replies)?;
        Ok(death.map_or(UpdateResult::Gone, UpdateResult::Dead))
    }

    async fn is_live(&self, record: RecordId) -> Result<bool, StoreError> {
        let status = self.status(&[record]).await?;
        Ok(matches!(status[..], [RecordStatus::Live { .. }]))
    }

    async fn delete_orphan(&self, record: RecordId, is_made: bool) -> Result<(), StoreError> {
        if is_made {
            let mut pipeline = Pipeline::default();
            commands::delete_orphan(&mut pipeline, &self.key(record), record.id);
            self.ask(pipeline).await?;
        }
        Ok(())
    }

    /// Deletes orphans of earlier writes. The caller does not wait for it.
    fn delete_old_orphans(&self) {
        if self.servers.is_refusing() {
            return;
        }
        let records = self.orphans.take_old();
        if records.is_empty() {
            return;
        }
        let mut pipeline = Pipeline::default();
        for record in &records {
            commands::delete_orphan(&mut pipeline, &self.key(*record), record.id);
        }
        let (servers, orphans) = (self.servers.clone(), self.orphans.clone());
        tokio::spawn(async move {
            if servers.ask(pipeline).await.is_err() {
                for record in records {
                    orphans.track(record);
                }
            }
        });
    }

    fn key(&self, record: RecordId) -> String {
        commands::key(&self.prefix, record)
    }

    fn index_key(&self, user: &str) -> String {
        user_index::key(&self.prefix, user)
    }
}

/// Whether an update makes a key if there is none. Such a key has no time to live.
fn makes_key(update: &Update) -> bool {
    matches!(update.ops[..], [Op::Increment(..)])
}

/// A change that was made just before its record moved on or was destroyed. The fields beside it
/// cannot be read any more.
fn late(update: &Update) -> StoreError {
    let field = update.ops.first().map_or("it", Op::field);
    let why = format!("the session moved on just after `{field}` was changed");
    StoreError { retry_after: Duration::ZERO, ..StoreError::unanswered(why) }
}

/// What fails after a part of the work was done.
fn unknown(error: StoreError) -> StoreError {
    StoreError { kind: StoreErrorKind::OutcomeUnknown, ..error }
}

#[rocket::async_trait]
impl Store for Redis {
    fn name(&self) -> &'static str {
        "Redis"
    }

    async fn create(
        &self,
        record: RecordId,
        fields: Values,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let pipeline = commands::create(&self.key(record), record.id, &fields, ttl);
        commands::read_is_live(self.ask(pipeline).await?)
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        self.delete_old_orphans();
        if commands::is_plain(update) {
            return self.update_plainly(record, update).await;
        }
        let pipeline = commands::script_update(&self.key(record), record.id, update);
        commands::read_script_update(update, self.ask(pipeline).await?)
    }

    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.ask(commands::touch(&self.key(record), record.id, seen, ttl)).await.map(drop)
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        let to = RecordId { token_hash: rotation.to, ..rotation.from };
        let pipeline = commands::rotate(&self.key(rotation.from), &self.key(to), rotation);
        commands::read_rotate(self.ask(pipeline).await?)
    }

    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        let pipeline = commands::destroy(&self.key(record), record.id, user);
        commands::read_destroy(self.ask(pipeline).await?)
    }

    async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        commands::read_is_live(self.ask(commands::settle(&self.key(record), record.id)).await?)
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        let keys: Vec<_> = records.iter().map(|record| self.key(*record)).collect();
        let replies = self.ask(commands::status(keys.iter().map(String::as_str))).await?;
        commands::read_status(records, replies)
    }

    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        let key = self.index_key(user);
        let replies = self.ask(user_index::add(&key, &entry, ttl)).await?;
        if let Some(entries) = user_index::entries(replies)? {
            return Ok(entries);
        }
        log::warn!("a user's index of sessions is damaged; it begins anew");
        self.ask(user_index::delete(&key)).await?;
        let replies = self.ask(user_index::add(&key, &entry, ttl)).await?;
        Ok(user_index::entries(replies)?.unwrap_or_default())
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        let replies = self.ask(user_index::read(&self.index_key(user))).await?;
        // To find nothing would be to say that the user has no session.
        let damaged = "a user's index of sessions is damaged; their next log-in begins it anew";
        user_index::entries(replies)?.ok_or_else(|| StoreError::refused(damaged))
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.ask(user_index::remove(&self.index_key(user), records)).await.map(drop)
    }
}

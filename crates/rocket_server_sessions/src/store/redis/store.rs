//! The store: what each call of the contract sends, and what its replies mean.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::Value;

use super::orphan_keys::OrphanKeys;
use super::pipeline::Pipeline;
use super::replies::PlainReply;
use super::servers::Servers;
#[cfg(test)]
use super::servers::Simulated;
use super::settings::{OpenError, RedisSettings};
use super::{commands, replies, user_index};
use crate::background::detach;
use crate::debug::opaque_debug;
use crate::store::contract::{DestroyResult, RecordStatus, Store};
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::record::{IndexEntry, RecordId, Values, size};
use crate::store::rotation::{RotateResult, Rotation};
use crate::store::time_to_live::TimeToLive;
use crate::store::update::{Applied, Op, OpResult, Selection, Update, UpdateResult};

/// Keeps sessions in Redis or a compatible server, such as Upstash or Valkey: a single server, a
/// cluster, or a master that sentinels monitor.
///
/// A call is usually one pipeline on one connection, and so one round trip. Concurrent calls share
/// a write. While Redis does not answer, calls fail immediately.
///
/// The setting `url = "rediss://…"` opens it, too.
///
/// ```no_run
/// use rocket_server_sessions::store::{OpenError, Redis, RedisSettings};
/// use rocket_server_sessions::{Config, Session, StoreUrl};
///
/// let url = StoreUrl::from("redis://127.0.0.1:6379");
/// let store = Redis::open(&RedisSettings::from_config(&Config::default(), &url))?;
/// let rocket = rocket::build().attach(Session::fairing().store(store));
/// # Ok::<(), OpenError>(())
/// ```
pub struct Redis {
    servers: Arc<Servers>,
    orphans: Arc<OrphanKeys>,
    pub(super) settings: RedisSettings,
}

opaque_debug!("Redis", Redis);

impl Redis {
    /// Opens the store. It connects at the first request, so an application starts even if Redis is
    /// not available.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if a setting is invalid.
    pub fn open(settings: &RedisSettings) -> Result<Self, OpenError> {
        let servers = Servers::open(settings)?;
        let orphans = Arc::new(OrphanKeys::new(settings.deadline));
        Ok(Self { servers: Arc::new(servers), orphans, settings: settings.clone() })
    }

    /// A store on simulated servers.
    #[cfg(test)]
    pub(crate) fn simulated(servers: impl Simulated + 'static, prefix: &str) -> Self {
        let servers = Arc::new(Servers::Simulated(Box::new(servers)));
        let config = crate::Config { prefix: prefix.to_owned(), ..crate::Config::default() };
        let orphans = Arc::new(OrphanKeys::new(config.deadline));
        let settings = RedisSettings::from_config(&config, &"redis://simulated".into());
        Self { servers, orphans, settings }
    }

    /// Forgets the orphans of earlier writes.
    #[cfg(test)]
    pub(crate) fn forget_orphans(&self) {
        self.orphans.clear();
    }

    pub(super) async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        self.delete_old_orphans();
        self.servers.ask(pipeline).await
    }

    /// Runs an update without a script.
    async fn update_plainly(
        &self,
        record: RecordId,
        update: &Update,
        pipeline: Pipeline,
    ) -> Result<UpdateResult, StoreError> {
        let pending = makes_key(update).then(|| self.orphans.pending(record));
        let replies = match self.ask(pipeline).await {
            Ok(replies) => replies,
            Err(error) => {
                if let (StoreErrorKind::Refused, Some(pending)) = (error.kind, pending) {
                    pending.settle();
                }
                return Err(error);
            }
        };
        let result = match replies::read_plain_update(record.id, update, replies)? {
            PlainReply::Applied(applied) => self.check_size(record, update, applied).await?,
            PlainReply::NoHash => self.absent(record).await?,
            PlainReply::Late(results) if update.read == Selection::Some(Vec::new()) => {
                UpdateResult::Late(Applied { results, ..Applied::default() })
            }
            PlainReply::Late(_) => return Err(late(update)),
            PlainReply::Foreign if self.is_live(record).await? => {
                // The record is intact, so the reply belongs to another request and must not be
                // used.
                let why = "a reply was about another session";
                return Err(StoreError {
                    retry_after: Duration::ZERO,
                    ..StoreError::outcome_unknown(why)
                });
            }
            PlainReply::Foreign => {
                log::warn!(
                    "session {}: its record is damaged and is replaced by a new session",
                    record.id
                );
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

    /// Undoes an increment that created a field and made the record too large.
    async fn check_size(
        &self,
        record: RecordId,
        update: &Update,
        applied: Applied,
    ) -> Result<UpdateResult, StoreError> {
        let size = size(&applied.fields);
        if let (Some(limit), [Op::Increment { field, by, .. }], [OpResult::Count(sum)]) =
            (update.max_size, &update.ops[..], &applied.results[..])
            && size > limit
            && by == sum
        {
            let take_back = commands::take_back(&self.key(record), record.id, field, *sum);
            let replies = self.ask(take_back).await.map_err(unknown)?;
            // If another request has incremented the field since, it stays.
            if replies::read_take_back(replies)? {
                return Ok(UpdateResult::TooLarge(size));
            }
        }
        Ok(UpdateResult::Applied(applied))
    }

    /// Finds out why the key is not a hash.
    async fn absent(&self, record: RecordId) -> Result<UpdateResult, StoreError> {
        let replies = self.ask(commands::death(&self.key(record))).await?;
        let death = replies::read_death(replies)?;
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

    /// Deletes orphans of earlier writes in the background.
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
        detach(async move {
            if servers.ask(pipeline).await.is_err() {
                for record in records {
                    orphans.track(record);
                }
            }
        });
    }

    fn key(&self, record: RecordId) -> String {
        commands::key(&self.settings.prefix, record)
    }

    fn index_key(&self, user: &str) -> String {
        user_index::key(&self.settings.prefix, user)
    }
}

/// Whether an update creates the key if it is missing. Such a key has no time to live.
fn makes_key(update: &Update) -> bool {
    matches!(update.ops[..], [Op::Increment { .. }])
}

/// The error for a change that was applied just before the session was rotated or destroyed, so
/// that the fields could not be read.
fn late(update: &Update) -> StoreError {
    let field = update.ops.first().map_or("it", Op::field);
    let why = format!("the session was rotated or destroyed just after `{field}` was changed");
    StoreError { retry_after: Duration::ZERO, ..StoreError::outcome_unknown(why) }
}

/// Marks the outcome as unknown, because part of the work was done.
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
        fields: &Values,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let pipeline = commands::create(&self.key(record), record.id, fields, ttl);
        replies::read_is_live(self.ask(pipeline).await?)
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        let key = self.key(record);
        if let Some(pipeline) = commands::plain_update(&key, update) {
            return self.update_plainly(record, update, pipeline).await;
        }
        let pipeline = commands::script_update(&key, record.id, update);
        replies::read_script_update(update, self.ask(pipeline).await?)
    }

    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: TimeToLive,
    ) -> Result<(), StoreError> {
        self.ask(commands::touch(&self.key(record), record.id, seen, ttl)).await.map(drop)
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        let to = RecordId { token_hash: rotation.to, ..rotation.from };
        let pipeline = commands::rotate(&self.key(rotation.from), &self.key(to), rotation);
        replies::read_rotate(self.ask(pipeline).await?)
    }

    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        let pipeline = commands::destroy(&self.key(record), record.id, user);
        replies::read_destroy(self.ask(pipeline).await?)
    }

    async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        replies::read_is_live(self.ask(commands::settle(&self.key(record), record.id)).await?)
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        let keys: Vec<_> = records.iter().map(|record| self.key(*record)).collect();
        let replies = self.ask(commands::status(keys.iter().map(String::as_str))).await?;
        replies::read_status(records, replies)
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
        log::warn!("a user's session index is damaged and is replaced");
        self.ask(user_index::delete(&key)).await?;
        let replies = self.ask(user_index::add(&key, &entry, ttl)).await?;
        Ok(user_index::entries(replies)?.unwrap_or_default())
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        let replies = self.ask(user_index::read(&self.index_key(user))).await?;
        // Returning nothing would mean that the user has no sessions.
        let damaged = "a user's session index is damaged; the user's next log-in replaces it";
        user_index::entries(replies)?.ok_or_else(|| StoreError::refused(damaged))
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.ask(user_index::remove(&self.index_key(user), records)).await.map(drop)
    }
}

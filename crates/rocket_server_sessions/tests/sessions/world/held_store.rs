//! A store in memory that holds the answers of some calls at the gate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rocket_server_sessions::store::{
    DestroyResult, IndexEntry, Memory, RecordId, RecordStatus, RotateResult, Rotation, Store,
    StoreError, TimeToLive, Update, UpdateResult, Values,
};

use super::gate::Gate;

/// Which calls are held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held {
    Update,
    IndexAdd,
}

pub struct HeldStore {
    pub store: Memory,
    pub gate: Arc<Gate>,
    pub held: Held,
}

type Result<T> = std::result::Result<T, StoreError>;

#[rocket::async_trait]
impl Store for HeldStore {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn create(&self, record: RecordId, fields: &Values, ttl: Duration) -> Result<bool> {
        self.store.create(record, fields, ttl).await
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult> {
        let result = self.store.update(record, update).await;
        if self.held == Held::Update {
            self.gate.pass().await;
        }
        result
    }

    async fn touch(&self, record: RecordId, seen: SystemTime, ttl: TimeToLive) -> Result<()> {
        self.store.touch(record, seen, ttl).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult> {
        self.store.rotate(rotation).await
    }

    async fn destroy(&self, record: RecordId, user: Option<&str>) -> Result<DestroyResult> {
        self.store.destroy(record, user).await
    }

    async fn settle(&self, record: RecordId) -> Result<bool> {
        self.store.settle(record).await
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>> {
        self.store.status(records).await
    }

    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>> {
        let result = self.store.index_add(user, entry, ttl).await;
        if self.held == Held::IndexAdd {
            self.gate.pass().await;
        }
        result
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>> {
        self.store.index(user).await
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<()> {
        self.store.index_remove(user, records).await
    }
}

//! A store that tells whether it is at work: no request waits for a touch, or for an index entry that
//! is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rocket_server_sessions::store::{
    DestroyResult, IndexEntry, RecordId, RecordStatus, RotateResult, Rotation, Store, StoreError,
    Update, UpdateResult, Values,
};

use super::SpiedStore;

pub struct WatchedStore {
    store: Arc<SpiedStore>,
    calls: AtomicUsize,
}

/// A call that is under way.
struct Call<'s>(&'s WatchedStore);

impl WatchedStore {
    pub fn new(store: Arc<SpiedStore>) -> Self {
        Self { store, calls: AtomicUsize::new(0) }
    }

    pub fn is_idle(&self) -> bool {
        self.calls.load(Ordering::SeqCst) == 0
    }

    fn begin(&self) -> Call<'_> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Call(self)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

#[rocket::async_trait]
impl Store for WatchedStore {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn create(
        &self,
        record: RecordId,
        fields: Values,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let _call = self.begin();
        self.store.create(record, fields, ttl).await
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        let _call = self.begin();
        self.store.update(record, update).await
    }

    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let _call = self.begin();
        self.store.touch(record, seen, ttl).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        let _call = self.begin();
        self.store.rotate(rotation).await
    }

    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        let _call = self.begin();
        self.store.destroy(record, user).await
    }

    async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        let _call = self.begin();
        self.store.settle(record).await
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        let _call = self.begin();
        self.store.status(records).await
    }

    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        let _call = self.begin();
        self.store.index_add(user, entry, ttl).await
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        let _call = self.begin();
        self.store.index(user).await
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError> {
        let _call = self.begin();
        self.store.index_remove(user, records).await
    }
}

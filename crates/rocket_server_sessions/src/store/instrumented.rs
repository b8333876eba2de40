//! A wrapper that records metrics and spans for each store call.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use metrics::{Histogram, Unit, describe_histogram, histogram};
use tracing::field::{self, Empty};
use tracing::{Instrument, Span, debug_span};

use super::{
    DestroyResult, IndexEntry, PublicId, RecordId, RecordStatus, RotateResult, Rotation, Store,
    StoreError, StoreErrorKind, Update, UpdateResult, Values,
};

const SECONDS: &str = "session_store_seconds";

/// A store with metrics and spans. It does not implement [`Store`], to avoid another boxed future
/// per call.
pub(crate) struct Instrumented {
    store: Arc<dyn Store>,
    create: Operation,
    update: Operation,
    touch: Operation,
    rotate: Operation,
    destroy: Operation,
    settle: Operation,
    status: Operation,
    index_add: Operation,
    index: Operation,
    index_remove: Operation,
}

/// The histograms of one kind of call, by outcome.
struct Operation {
    name: &'static str,
    ok: Histogram,
    refused: Histogram,
    unknown: Histogram,
}

impl Operation {
    /// Looks the histograms up once, because that is slower than recording.
    fn register(name: &'static str) -> Self {
        let of = |outcome| histogram!(SECONDS, "operation" => name, "outcome" => outcome);
        Self { name, ok: of("ok"), refused: of("refused"), unknown: of("unknown") }
    }
}

impl Instrumented {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        describe_histogram!(SECONDS, Unit::Seconds, "Duration of store calls.");
        Self {
            store,
            create: Operation::register("create"),
            update: Operation::register("update"),
            touch: Operation::register("touch"),
            rotate: Operation::register("rotate"),
            destroy: Operation::register("destroy"),
            settle: Operation::register("settle"),
            status: Operation::register("status"),
            index_add: Operation::register("index_add"),
            index: Operation::register("index"),
            index_remove: Operation::register("index_remove"),
        }
    }

    /// Runs a call. `id` is the session's public id; tokens and hashes are never recorded.
    async fn call<T>(
        &self,
        operation: &Operation,
        id: Option<PublicId>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let span = debug_span!(
            "session_store",
            operation = operation.name,
            store = self.store.name(),
            id = id.map(field::display),
            outcome = Empty,
        );
        let mut pending = Pending { operation, span, start: Instant::now(), is_over: false };
        let result = call.instrument(pending.span.clone()).await;
        pending.end(match &result {
            Ok(_) => ("ok", &operation.ok),
            Err(StoreError { kind: StoreErrorKind::Refused, .. }) => {
                ("refused", &operation.refused)
            }
            Err(StoreError { kind: StoreErrorKind::OutcomeUnknown, .. }) => {
                ("unknown", &operation.unknown)
            }
        });
        result
    }
}

/// A call in progress. If its future is dropped, its outcome is unknown.
struct Pending<'o> {
    operation: &'o Operation,
    span: Span,
    start: Instant,
    is_over: bool,
}

impl Pending<'_> {
    fn end(&mut self, (outcome, histogram): (&str, &Histogram)) {
        self.is_over = true;
        self.span.record("outcome", outcome);
        histogram.record(self.start.elapsed());
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(("unknown", &self.operation.unknown));
        }
    }
}

/// The calls of [`Store`].
impl Instrumented {
    pub(crate) fn name(&self) -> &'static str {
        self.store.name()
    }

    pub(crate) async fn create(
        &self,
        record: RecordId,
        fields: Values,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let call = self.store.create(record, fields, ttl);
        self.call(&self.create, Some(record.id), call).await
    }

    pub(crate) async fn update(
        &self,
        record: RecordId,
        update: &Update,
    ) -> Result<UpdateResult, StoreError> {
        self.call(&self.update, Some(record.id), self.store.update(record, update)).await
    }

    pub(crate) async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.call(&self.touch, Some(record.id), self.store.touch(record, seen, ttl)).await
    }

    pub(crate) async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        self.call(&self.rotate, Some(rotation.from.id), self.store.rotate(rotation)).await
    }

    pub(crate) async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        self.call(&self.destroy, Some(record.id), self.store.destroy(record, user)).await
    }

    pub(crate) async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        self.call(&self.settle, Some(record.id), self.store.settle(record)).await
    }

    pub(crate) async fn status(
        &self,
        records: &[RecordId],
    ) -> Result<Vec<RecordStatus>, StoreError> {
        self.call(&self.status, None, self.store.status(records)).await
    }

    pub(crate) async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        let id = entry.record.id;
        self.call(&self.index_add, Some(id), self.store.index_add(user, entry, ttl)).await
    }

    pub(crate) async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        self.call(&self.index, None, self.store.index(user)).await
    }

    pub(crate) async fn index_remove(
        &self,
        user: &str,
        records: &[RecordId],
    ) -> Result<(), StoreError> {
        self.call(&self.index_remove, None, self.store.index_remove(user, records)).await
    }
}

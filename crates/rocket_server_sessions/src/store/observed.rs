//! The store as the layer uses it: each call is timed, and is a span.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Histogram, Unit, describe_histogram, histogram};
use tracing::field::{self, Empty};
use tracing::{Instrument, Span, debug_span};

use super::{
    Answer, Entry, StoreError, StoreErrorKind, Fields, PublicId, RecordId, Request, Rotation, Standing, Store,
    Trace,
};

const SECONDS: &str = "session_store_seconds";

/// Any store. It is no [`Store`] itself: as one, each call would be put into a box once more.
pub(crate) struct Instrumented {
    store: Arc<dyn Store>,
    create: Operation,
    apply: Operation,
    trace: Operation,
    rotate: Operation,
    end: Operation,
    discard: Operation,
    enlist: Operation,
    list: Operation,
    strike: Operation,
    inspect: Operation,
}

/// One kind of call, and how long it took, by what became of it.
struct Operation {
    name: &'static str,
    ok: Histogram,
    refused: Histogram,
    unanswered: Histogram,
}

impl Operation {
    /// The histograms are asked for once: to find one by its labels takes longer than to record.
    fn register(name: &'static str) -> Self {
        let of = |outcome| histogram!(SECONDS, "operation" => name, "outcome" => outcome);
        Self { name, ok: of("ok"), refused: of("refused"), unanswered: of("unanswered") }
    }
}

impl Instrumented {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        describe_histogram!(SECONDS, Unit::Seconds, "How long calls of the store take.");
        Self {
            store,
            create: Operation::register("create"),
            apply: Operation::register("apply"),
            trace: Operation::register("trace"),
            rotate: Operation::register("rotate"),
            end: Operation::register("end"),
            discard: Operation::register("discard"),
            enlist: Operation::register("enlist"),
            list: Operation::register("list"),
            strike: Operation::register("strike"),
            inspect: Operation::register("inspect"),
        }
    }

    /// Makes a call. `id` names the session, where there is one; what proves anything stays out.
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
            Err(StoreError { kind: StoreErrorKind::Refused, .. }) => ("refused", &operation.refused),
            Err(StoreError { kind: StoreErrorKind::OutcomeUnknown, .. }) => ("unanswered", &operation.unanswered),
        });
        result
    }
}

/// A call that is under way. Where nobody waits for it any more, it stays unanswered.
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
            self.end(("unanswered", &self.operation.unanswered));
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
        fields: Fields,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let call = self.store.create(record, fields, ttl);
        self.call(&self.create, Some(record.id), call).await
    }

    pub(crate) async fn apply(
        &self,
        record: RecordId,
        request: &Request,
    ) -> Result<Answer, StoreError> {
        self.call(&self.apply, Some(record.id), self.store.apply(record, request)).await
    }

    pub(crate) async fn trace(&self, record: RecordId) -> Result<Trace, StoreError> {
        self.call(&self.trace, Some(record.id), self.store.trace(record)).await
    }

    pub(crate) async fn rotate(&self, rotation: Rotation) -> Result<Answer, StoreError> {
        self.call(&self.rotate, Some(rotation.from.id), self.store.rotate(rotation)).await
    }

    pub(crate) async fn end(
        &self,
        record: RecordId,
        tombstone_ttl: Duration,
    ) -> Result<Trace, StoreError> {
        self.call(&self.end, Some(record.id), self.store.end(record, tombstone_ttl)).await
    }

    pub(crate) async fn discard(&self, record: RecordId) -> Result<(), StoreError> {
        self.call(&self.discard, Some(record.id), self.store.discard(record)).await
    }

    pub(crate) async fn enlist(
        &self,
        user: &str,
        entry: Entry,
        ttl: Duration,
    ) -> Result<Vec<Entry>, StoreError> {
        let id = entry.record.id;
        self.call(&self.enlist, Some(id), self.store.enlist(user, entry, ttl)).await
    }

    pub(crate) async fn list(&self, user: &str) -> Result<Vec<Entry>, StoreError> {
        self.call(&self.list, None, self.store.list(user)).await
    }

    pub(crate) async fn strike(
        &self,
        user: &str,
        handles: &[PublicId],
    ) -> Result<(), StoreError> {
        self.call(&self.strike, None, self.store.strike(user, handles)).await
    }

    pub(crate) async fn inspect(
        &self,
        records: &[RecordId],
    ) -> Result<Vec<Standing>, StoreError> {
        self.call(&self.inspect, None, self.store.inspect(records)).await
    }
}

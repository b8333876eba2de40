//! The store as the layer uses it: each call is timed, and is a span.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Histogram, Unit, describe_histogram, histogram};
use tracing::field::{self, Empty};
use tracing::{Instrument, Span, debug_span};

use super::{
    Answer, Entry, Fault, FaultKind, Fields, Handle, RecordId, Request, Rotation, Standing, Store,
    Trace,
};

const SECONDS: &str = "session_store_seconds";

/// Any store. It is no [`Store`] itself: as one, each call would be put into a box once more.
pub(in crate::session) struct Observed {
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

impl Observed {
    pub(in crate::session) fn new(store: Arc<dyn Store>) -> Self {
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

    /// Makes a call. `handle` names the session, where there is one; what proves anything stays out.
    async fn call<T>(
        &self,
        operation: &Operation,
        handle: Option<Handle>,
        call: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let span = debug_span!(
            "session_store",
            operation = operation.name,
            store = self.store.name(),
            handle = handle.map(field::display),
            outcome = Empty,
        );
        let mut pending = Pending { operation, span, start: Instant::now(), is_over: false };
        let result = call.instrument(pending.span.clone()).await;
        pending.end(match &result {
            Ok(_) => ("ok", &operation.ok),
            Err(Fault { kind: FaultKind::Refused, .. }) => ("refused", &operation.refused),
            Err(Fault { kind: FaultKind::Unanswered, .. }) => ("unanswered", &operation.unanswered),
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
impl Observed {
    pub(in crate::session) fn name(&self) -> &'static str {
        self.store.name()
    }

    pub(in crate::session) async fn create(
        &self,
        record: RecordId,
        fields: Fields,
        ttl: Duration,
    ) -> Result<(), Fault> {
        let call = self.store.create(record, fields, ttl);
        self.call(&self.create, Some(record.handle), call).await
    }

    pub(in crate::session) async fn apply(
        &self,
        record: RecordId,
        request: &Request,
    ) -> Result<Answer, Fault> {
        self.call(&self.apply, Some(record.handle), self.store.apply(record, request)).await
    }

    pub(in crate::session) async fn trace(&self, record: RecordId) -> Result<Trace, Fault> {
        self.call(&self.trace, Some(record.handle), self.store.trace(record)).await
    }

    pub(in crate::session) async fn rotate(&self, rotation: Rotation) -> Result<Answer, Fault> {
        self.call(&self.rotate, Some(rotation.from.handle), self.store.rotate(rotation)).await
    }

    pub(in crate::session) async fn end(
        &self,
        record: RecordId,
        tombstone_ttl: Duration,
    ) -> Result<Trace, Fault> {
        self.call(&self.end, Some(record.handle), self.store.end(record, tombstone_ttl)).await
    }

    pub(in crate::session) async fn discard(&self, record: RecordId) -> Result<(), Fault> {
        self.call(&self.discard, Some(record.handle), self.store.discard(record)).await
    }

    pub(in crate::session) async fn enlist(
        &self,
        user: &str,
        entry: Entry,
        ttl: Duration,
    ) -> Result<Vec<Entry>, Fault> {
        let handle = entry.record.handle;
        self.call(&self.enlist, Some(handle), self.store.enlist(user, entry, ttl)).await
    }

    pub(in crate::session) async fn list(&self, user: &str) -> Result<Vec<Entry>, Fault> {
        self.call(&self.list, None, self.store.list(user)).await
    }

    pub(in crate::session) async fn strike(
        &self,
        user: &str,
        handles: &[Handle],
    ) -> Result<(), Fault> {
        self.call(&self.strike, None, self.store.strike(user, handles)).await
    }

    pub(in crate::session) async fn inspect(
        &self,
        records: &[RecordId],
    ) -> Result<Vec<Standing>, Fault> {
        self.call(&self.inspect, None, self.store.inspect(records)).await
    }
}

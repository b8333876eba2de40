//! A wrapper that records metrics and spans for each store call.

use std::sync::Arc;
use std::time::Instant;

use metrics::{Histogram, Unit, describe_histogram, histogram};
use tracing::field::{self, Empty};
use tracing::{Instrument, Span, debug_span};

use super::contract::Store;
use super::error::{StoreError, StoreErrorKind};
use super::wrap::{Call, Wrap, store_by_wrapping};

const SECONDS: &str = "session_store_seconds";

/// A store with metrics and spans.
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

    fn operation(&self, call: Call<'_>) -> &Operation {
        match call {
            Call::Create(..) => &self.create,
            Call::Update(..) => &self.update,
            Call::Touch(..) => &self.touch,
            Call::Rotate(_) => &self.rotate,
            Call::Destroy(_) => &self.destroy,
            Call::Settle(_) => &self.settle,
            Call::Status(_) => &self.status,
            Call::IndexAdd(_) => &self.index_add,
            Call::Index => &self.index,
            Call::IndexRemove(_) => &self.index_remove,
        }
    }
}

impl Wrap for Instrumented {
    type Store = dyn Store;

    fn wrapped(&self) -> &dyn Store {
        &*self.store
    }

    /// Records the session's public id. Tokens and hashes are never recorded.
    async fn around<T: Send>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let operation = self.operation(call);
        let span = debug_span!(
            "session_store",
            operation = operation.name,
            store = self.store.name(),
            id = call.id().map(field::display),
            outcome = Empty,
        );
        let mut pending = Pending { operation, span, start: Instant::now(), is_over: false };
        let result = work.instrument(pending.span.clone()).await;
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

store_by_wrapping!(Instrumented);

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

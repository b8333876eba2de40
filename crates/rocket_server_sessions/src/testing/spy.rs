//! A store that records its calls and fails on demand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::debug::opaque_debug;
use crate::store::{
    self, Rotation, Store, StoreError, TimeToLive, Update, Values, Wrap, store_by_wrapping,
};

/// A call that a [`Spy`] recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// [`Store::create`], with the fields and the time to live.
    Create(Values, Duration),
    /// [`Store::update`].
    Update(Update),
    /// [`Store::touch`], with the time to live.
    Touch(TimeToLive),
    /// [`Store::rotate`].
    Rotate(Rotation),
    /// [`Store::destroy`].
    Destroy,
    /// [`Store::settle`].
    Settle,
    /// [`Store::status`], with the number of records.
    Status(usize),
    /// [`Store::index_add`].
    IndexAdd,
    /// [`Store::index`].
    Index,
    /// [`Store::index_remove`], with the number of records.
    IndexRemove(usize),
}

/// A store that records calls and can be made to fail.
pub struct Spy<S> {
    store: S,
    calls: Mutex<Vec<Call>>,
    /// The number of calls that still succeed, and the error of later ones.
    fault: Mutex<Option<(usize, StoreError)>>,
    /// The number of calls in progress.
    pending: AtomicUsize,
}

opaque_debug!("Spy", Spy<S>, <S>);

impl<S: Store> Spy<S> {
    /// Wraps `store`.
    pub fn new(store: S) -> Self {
        Self {
            store,
            calls: Mutex::default(),
            fault: Mutex::default(),
            pending: AtomicUsize::new(0),
        }
    }

    /// Returns the recorded calls, in order, and clears them.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock())
    }

    /// The number of recorded calls since [`take_calls`](Self::take_calls). In Redis, a call is
    /// usually one round trip.
    pub fn round_trips(&self) -> usize {
        self.calls.lock().len()
    }

    /// Returns `true` if no call is in progress. Touches and the removal of index entries may still
    /// be in progress after a response.
    pub fn is_idle(&self) -> bool {
        self.pending.load(Ordering::SeqCst) == 0
    }

    /// Makes every call fail with `fault`, without calling the store. `None` resets it.
    pub fn fail(&self, fault: Option<StoreError>) {
        *self.fault.lock() = fault.map(|fault| (0, fault));
    }

    /// Lets the next `calls` calls reach the store, and makes all later ones fail with `fault`.
    pub fn fail_after(&self, calls: usize, fault: StoreError) {
        *self.fault.lock() = Some((calls, fault));
    }

    fn note(&self, call: Call) -> Result<(), StoreError> {
        self.calls.lock().push(call);
        match &mut *self.fault.lock() {
            None => Ok(()),
            Some((0, fault)) => Err(fault.clone()),
            Some((calls, _)) => {
                *calls -= 1;
                Ok(())
            }
        }
    }
}

impl<S: Store> Wrap for Spy<S> {
    type Store = S;

    fn wrapped(&self) -> &S {
        &self.store
    }

    async fn around<T: Send>(
        &self,
        call: store::Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let _pending = Pending::new(&self.pending);
        self.note(call.into())?;
        work.await
    }
}

store_by_wrapping!(Spy<S>, S: Store);

/// A call in progress, even if its future is dropped.
struct Pending<'s>(&'s AtomicUsize);

impl<'s> Pending<'s> {
    fn new(pending: &'s AtomicUsize) -> Self {
        pending.fetch_add(1, Ordering::SeqCst);
        Self(pending)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl From<store::Call<'_>> for Call {
    fn from(call: store::Call<'_>) -> Self {
        match call {
            store::Call::Create(_, fields, ttl) => Self::Create(fields.clone(), ttl),
            store::Call::Update(_, update) => Self::Update(update.clone()),
            store::Call::Touch(_, ttl) => Self::Touch(ttl),
            store::Call::Rotate(rotation) => Self::Rotate(rotation.clone()),
            store::Call::Destroy(_) => Self::Destroy,
            store::Call::Settle(_) => Self::Settle,
            store::Call::Status(records) => Self::Status(records.len()),
            store::Call::IndexAdd(_) => Self::IndexAdd,
            store::Call::Index => Self::Index,
            store::Call::IndexRemove(records) => Self::IndexRemove(records.len()),
        }
    }
}

//! Helpers for tests: a manual clock, and a store that records its calls.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use rocket_server_sessions::store::Memory;
//! use rocket_server_sessions::testing::{ManualClock, Spy};
//! use rocket_server_sessions::{Key, Session, SessionFairing};
//! use rocket::local::blocking::Client;
//!
//! const VIEWS: Key<i64> = Key::new("views");
//!
//! #[rocket::get("/")]
//! async fn index(session: Session<'_>) -> rocket_server_sessions::Result<String> {
//!     Ok(session.increment(VIEWS, 1).await?.to_string())
//! }
//!
//! let clock = ManualClock::now();
//! let spy = Arc::new(Spy::new(Memory::with_clock(100, Arc::new(clock.clone()))));
//! let sessions = Session::fairing().store(spy.clone()).clock(clock.clone());
//! let rocket = rocket::build().attach(sessions).mount("/", rocket::routes![index]);
//! let client = Client::tracked(rocket).unwrap();
//!
//! assert_eq!(client.get("/").dispatch().into_string().unwrap(), "1");
//! assert_eq!(client.get("/").dispatch().into_string().unwrap(), "2");
//! // The second view also touches the session, because the client sent its cookie.
//! assert_eq!(spy.round_trips(), 3);
//!
//! clock.advance(Duration::from_hours(48));
//! assert_eq!(client.get("/").dispatch().into_string().unwrap(), "1", "idle for too long");
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::clock::Clock;
use super::store::{
    DestroyResult, IndexEntry, RecordId, RecordStatus, RotateResult, Rotation, Store, StoreError,
    Update, UpdateResult, Values,
};

/// A clock that only moves when told to. Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<SystemTime>>);

impl ManualClock {
    /// A clock that starts at the current time.
    #[must_use]
    pub fn now() -> Self {
        Self::at(SystemTime::now())
    }

    /// A clock that starts at `time`.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    /// Moves the clock to `time`.
    #[cfg(test)]
    pub(crate) fn set(&self, time: SystemTime) {
        *self.0.lock() = time;
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.lock()
    }
}

/// A call that a [`Spy`] recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Store::create`], with the fields and the time to live.
    Create(Values, Duration),
    /// [`Store::update`].
    Update(Update),
    /// [`Store::touch`], with the time to live.
    Touch(Duration),
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
}

impl<S: Store> Spy<S> {
    /// Wraps `store`.
    pub fn new(store: S) -> Self {
        Self { store, calls: Mutex::default(), fault: Mutex::default() }
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

    /// Makes every call fail with `fault`, without calling the store. `None` resets it.
    pub fn fail(&self, fault: Option<StoreError>) {
        *self.fault.lock() = fault.map(|fault| (0, fault));
    }

    /// Makes calls fail with `fault`, after `calls` more that reach the store.
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

#[rocket::async_trait]
impl<S: Store> Store for Spy<S> {
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
        self.note(Call::Create(fields.clone(), ttl))?;
        self.store.create(record, fields, ttl).await
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        self.note(Call::Update(update.clone()))?;
        self.store.update(record, update).await
    }

    async fn touch(
        &self,
        record: RecordId,
        seen: SystemTime,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.note(Call::Touch(ttl))?;
        self.store.touch(record, seen, ttl).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        self.note(Call::Rotate(rotation.clone()))?;
        self.store.rotate(rotation).await
    }

    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        self.note(Call::Destroy)?;
        self.store.destroy(record, user).await
    }

    async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        self.note(Call::Settle)?;
        self.store.settle(record).await
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        self.note(Call::Status(records.len()))?;
        self.store.status(records).await
    }

    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        self.note(Call::IndexAdd)?;
        self.store.index_add(user, entry, ttl).await
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        self.note(Call::Index)?;
        self.store.index(user).await
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError> {
        self.note(Call::IndexRemove(records.len()))?;
        self.store.index_remove(user, records).await
    }
}

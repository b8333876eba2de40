//! For an application's own tests: a clock that stands until it is moved, and a store that tells
//! what it was asked.
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
//! assert_eq!(spy.round_trips(), 2);
//!
//! clock.advance(Duration::from_secs(2 * 24 * 3600));
//! assert_eq!(client.get("/").dispatch().into_string().unwrap(), "1", "idle for too long");
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::clock::Clock;
use super::store::{
    Answer, Entry, StoreError, Fields, PublicId, RecordId, Request, Rotation, Standing, Store, Trace,
};

/// A clock that stands until it is moved. Its clones are one clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<SystemTime>>);

impl ManualClock {
    /// A clock that shows the present time.
    #[must_use]
    pub fn now() -> Self {
        Self::at(SystemTime::now())
    }

    /// A clock that shows `time`.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
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

/// What a [`Spy`] was asked. Each is one round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Store::create`], with the fields and the time to live.
    Create(Fields, Duration),
    /// [`Store::apply`].
    Apply(Request),
    /// [`Store::trace`].
    Trace,
    /// [`Store::rotate`].
    Rotate,
    /// [`Store::end`].
    End,
    /// [`Store::discard`].
    Discard,
    /// [`Store::enlist`].
    Enlist,
    /// [`Store::list`].
    List,
    /// [`Store::strike`], with the number of sessions.
    Strike(usize),
    /// [`Store::inspect`], with the number of records.
    Inspect(usize),
}

/// A store that remembers what it was asked, and can be told to fail.
pub struct Spy<S> {
    store: S,
    calls: Mutex<Vec<Call>>,
    /// How many calls are still carried out, and what becomes of those after them.
    fault: Mutex<Option<(usize, StoreError)>>,
}

impl<S: Store> Spy<S> {
    /// Watches `store`.
    pub fn new(store: S) -> Self {
        Self { store, calls: Mutex::default(), fault: Mutex::default() }
    }

    /// What was asked since the last time, in order.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock())
    }

    /// How many round trips were made since [`take_calls`](Self::take_calls).
    pub fn round_trips(&self) -> usize {
        self.calls.lock().len()
    }

    /// Makes every call fail with `fault`, without asking the store; `None` ends that.
    pub fn fail(&self, fault: Option<StoreError>) {
        *self.fault.lock() = fault.map(|fault| (0, fault));
    }

    /// The same, after so many calls that are carried out.
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

    async fn create(&self, record: RecordId, fields: Fields, ttl: Duration) -> Result<(), StoreError> {
        self.note(Call::Create(fields.clone(), ttl))?;
        self.store.create(record, fields, ttl).await
    }

    async fn apply(&self, record: RecordId, request: &Request) -> Result<Answer, StoreError> {
        self.note(Call::Apply(request.clone()))?;
        self.store.apply(record, request).await
    }

    async fn trace(&self, record: RecordId) -> Result<Trace, StoreError> {
        self.note(Call::Trace)?;
        self.store.trace(record).await
    }

    async fn rotate(&self, rotation: Rotation) -> Result<Answer, StoreError> {
        self.note(Call::Rotate)?;
        self.store.rotate(rotation).await
    }

    async fn end(&self, record: RecordId, tombstone_ttl: Duration) -> Result<Trace, StoreError> {
        self.note(Call::End)?;
        self.store.end(record, tombstone_ttl).await
    }

    async fn discard(&self, record: RecordId) -> Result<(), StoreError> {
        self.note(Call::Discard)?;
        self.store.discard(record).await
    }

    async fn enlist(&self, user: &str, entry: Entry, ttl: Duration) -> Result<Vec<Entry>, StoreError> {
        self.note(Call::Enlist)?;
        self.store.enlist(user, entry, ttl).await
    }

    async fn list(&self, user: &str) -> Result<Vec<Entry>, StoreError> {
        self.note(Call::List)?;
        self.store.list(user).await
    }

    async fn strike(&self, user: &str, handles: &[PublicId]) -> Result<(), StoreError> {
        self.note(Call::Strike(handles.len()))?;
        self.store.strike(user, handles).await
    }

    async fn inspect(&self, records: &[RecordId]) -> Result<Vec<Standing>, StoreError> {
        self.note(Call::Inspect(records.len()))?;
        self.store.inspect(records).await
    }
}

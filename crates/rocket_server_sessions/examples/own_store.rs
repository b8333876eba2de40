//! A store of your own.
//!
//! Run `cargo run -p rocket_server_sessions --example own_store`, and open <http://localhost:8080>.
//!
//! It keeps everything in one map under a lock. A database would do the same in a transaction. The
//! test of this example checks it with `testing::conformance`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rocket::{get, launch, routes};
use rocket_server_sessions::store::{
    Death, DestroyResult, IndexEntry, LoggedIn, RecordId, RecordStatus, RotateResult, Rotation,
    Store, StoreError, TOMBSTONE_TTL, TimeToLive, Update, UpdateResult, Values,
};
use rocket_server_sessions::{self as session, Key, Session};

/// What is stored under a record's id. Expired entries are removed.
enum Place {
    Live { fields: Values, seen: Option<SystemTime> },
    Dead(Death),
}

#[derive(Default)]
struct Tables {
    places: HashMap<RecordId, (Place, Instant)>,
    indexes: HashMap<String, HashMap<RecordId, SystemTime>>,
}

impl Tables {
    fn get(&mut self, record: RecordId) -> Option<&mut Place> {
        if self.places.get(&record).is_some_and(|(_, expiry)| *expiry <= Instant::now()) {
            self.places.remove(&record);
        }
        self.places.get_mut(&record).map(|(place, _)| place)
    }

    fn put(&mut self, record: RecordId, place: Place, ttl: Duration) {
        self.places.insert(record, (place, Instant::now() + ttl));
    }

    fn bury(&mut self, record: RecordId, death: Death) {
        self.put(record, Place::Dead(death), TOMBSTONE_TTL);
    }

    fn index(&self, user: &str) -> Vec<IndexEntry> {
        let entries = self.indexes.get(user).into_iter().flatten();
        entries.map(|(&record, &written)| IndexEntry { record, written }).collect()
    }
}

#[derive(Default)]
pub(crate) struct Map(Mutex<Tables>);

impl Map {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The contract requires whole seconds.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn user_of(fields: &Values) -> Option<String> {
    LoggedIn::from_fields(fields).map(|login| login.name)
}

#[rocket::async_trait]
impl Store for Map {
    fn name(&self) -> &'static str {
        "a map"
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn create(
        &self,
        record: RecordId,
        fields: &Values,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let is_free = tables.get(record).is_none();
        if is_free {
            tables.put(record, Place::Live { fields: fields.clone(), seen: None }, ttl);
        }
        Ok(is_free)
    }

    async fn update(&self, record: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        Ok(match self.tables().get(record) {
            Some(Place::Live { fields, seen }) => update.apply(fields, *seen),
            Some(Place::Dead(death)) => UpdateResult::Dead(*death),
            None => UpdateResult::Gone,
        })
    }

    async fn touch(
        &self,
        record: RecordId,
        now: SystemTime,
        ttl: TimeToLive,
    ) -> Result<(), StoreError> {
        let mut tables = self.tables();
        if let Some(Place::Live { fields, .. }) = tables.get(record) {
            let fields = fields.clone();
            let ttl = ttl.of(&fields);
            tables.put(record, Place::Live { fields, seen: Some(whole_seconds(now)) }, ttl);
        }
        Ok(())
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
        let Rotation { from, to, ttl, seen, user, fields, .. } = rotation;
        let to = RecordId { token_hash: *to, ..*from };
        let mut tables = self.tables();
        let (mut record, before) = match tables.get(*from) {
            Some(Place::Live { fields, seen }) => (fields.clone(), *seen),
            Some(Place::Dead(death)) => return Ok(RotateResult::Dead(*death)),
            None => return Ok(RotateResult::Gone),
        };
        if let (Some(owner), Some(login)) = (user_of(&record), user)
            && owner != login.name
        {
            tables.bury(*from, Death::Destroyed);
            return Ok(RotateResult::OtherUser(owner));
        }
        if tables.get(to).is_some() {
            return Ok(RotateResult::Barred);
        }
        record.extend(user.iter().flat_map(LoggedIn::fields));
        record.extend(fields.clone());
        let seen = seen.map(whole_seconds).or(before);
        tables.bury(*from, Death::Rotated);
        let ttl = ttl.of(&record);
        tables.put(to, Place::Live { fields: record, seen }, ttl);
        Ok(RotateResult::Rotated)
    }

    async fn destroy(
        &self,
        record: RecordId,
        user: Option<&str>,
    ) -> Result<DestroyResult, StoreError> {
        let mut tables = self.tables();
        let owner = match tables.get(record) {
            Some(Place::Live { fields, .. }) => user_of(fields),
            Some(Place::Dead(death)) => return Ok(DestroyResult::Dead(*death)),
            None => return Ok(DestroyResult::Gone),
        };
        if user.is_some() && owner.as_deref() != user {
            return Ok(DestroyResult::NotTheirs);
        }
        tables.bury(record, Death::Destroyed);
        Ok(DestroyResult::Destroyed(owner))
    }

    async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        match tables.get(record) {
            Some(Place::Live { .. }) => return Ok(true),
            Some(Place::Dead(_)) => {}
            None => tables.bury(record, Death::Destroyed),
        }
        Ok(false)
    }

    async fn status(&self, records: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        let mut tables = self.tables();
        let status = |record: &RecordId| match tables.get(*record) {
            Some(Place::Live { fields, seen }) => {
                RecordStatus::Live { seen: *seen, user: LoggedIn::from_fields(fields) }
            }
            Some(Place::Dead(_)) => RecordStatus::Dead,
            None => RecordStatus::Gone,
        };
        Ok(records.iter().map(status).collect())
    }

    /// Here, indexes are kept until they are empty. A database would let them expire after the time
    /// to live.
    async fn index_add(
        &self,
        user: &str,
        entry: IndexEntry,
        _ttl: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        let mut tables = self.tables();
        let index = tables.indexes.entry(user.to_owned()).or_default();
        index.insert(entry.record, whole_seconds(entry.written));
        Ok(tables.index(user))
    }

    async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(self.tables().index(user))
    }

    async fn index_remove(&self, user: &str, records: &[RecordId]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        if let Some(index) = tables.indexes.get_mut(user) {
            index.retain(|record, _| !records.contains(record));
        }
        tables.indexes.retain(|_, index| !index.is_empty());
        Ok(())
    }
}

const VIEWS: Key<u64> = Key::new("views");

#[get("/")]
async fn index(session: Session<'_>) -> session::Result<String> {
    Ok(format!("{} views, kept in {}\n", session.increment(VIEWS, 1).await?, session.store_name()))
}

#[launch]
pub(crate) fn rocket() -> _ {
    let store = Arc::new(Map::default());
    rocket::build().attach(Session::fairing().store(store)).mount("/", routes![index])
}

//! The project's own pages and cookies, on a store that answers from constants: what is left of a
//! view when there is nothing to ask. No store can make it faster than this.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use cloud_run_sessions::{config, site};
use rocket_server_sessions::Session;
use rocket_server_sessions::store::{
    Applied, DestroyResult, IndexEntry, Op, OpResult, RecordId, RecordStatus, RotateResult, Rotation,
    Store, StoreError, Update, UpdateResult, Values,
};

/// Holds the fields of the first session, and gives them to everybody.
#[derive(Default)]
struct Constant(OnceLock<Values>);

#[rocket::async_trait]
impl Store for Constant {
    fn name(&self) -> &'static str {
        "Redis"
    }

    async fn create(&self, _: RecordId, fields: &Values, _: Duration) -> Result<bool, StoreError> {
        self.0.get_or_init(|| fields.clone());
        Ok(true)
    }

    async fn update(&self, _: RecordId, update: &Update) -> Result<UpdateResult, StoreError> {
        let mut fields = self.0.get().cloned().unwrap_or_default();
        let result = |op: &Op| match op {
            Op::Increment(name, _) => {
                fields.insert(name.clone(), "100".to_owned());
                OpResult::Count(100)
            }
            _ => OpResult::Done,
        };
        let results = update.ops.iter().map(result).collect();
        Ok(UpdateResult::Applied(Applied { results, fields, seen: Some(SystemTime::now()) }))
    }

    async fn touch(&self, _: RecordId, _: SystemTime, _: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    async fn rotate(&self, _: &Rotation) -> Result<RotateResult, StoreError> {
        Ok(RotateResult::Rotated)
    }

    async fn destroy(&self, _: RecordId, _: Option<&str>) -> Result<DestroyResult, StoreError> {
        Ok(DestroyResult::Destroyed(None))
    }

    async fn settle(&self, _: RecordId) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn status(&self, _: &[RecordId]) -> Result<Vec<RecordStatus>, StoreError> {
        Ok(Vec::new())
    }

    async fn index_add(
        &self,
        _: &str,
        _: IndexEntry,
        _: Duration,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn index(&self, _: &str) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn index_remove(&self, _: &str, _: &[RecordId]) -> Result<(), StoreError> {
        Ok(())
    }
}

#[rocket::launch]
fn rocket() -> _ {
    let sessions = Session::fairing().store(Constant::default());
    rocket::custom(config::figment()).attach(sessions).attach(site::stage())
}

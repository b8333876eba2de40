//! The project's own pages and cookies, on a store that answers from constants: what is left of a
//! view when there is nothing to ask. No store can make it faster than this.

use std::sync::OnceLock;
use std::time::Duration;

use rocket_server_sessions::Sessions;
use rocket_server_sessions::store::{
    Answer, Entry, StoreError, Fields, PublicId, Live, Op, Outcome, RecordId, Request, Rotation, Standing,
    Store, Trace,
};
use cloud_run_sessions::{config, site};

/// Holds the fields of the first session, and gives them to everybody.
#[derive(Default)]
struct Constant(OnceLock<Fields>);

#[rocket::async_trait]
impl Store for Constant {
    fn name(&self) -> &'static str {
        "Redis"
    }

    async fn create(&self, _: RecordId, fields: Fields, _: Duration) -> Result<(), StoreError> {
        self.0.get_or_init(|| fields);
        Ok(())
    }

    async fn apply(&self, _: RecordId, request: &Request) -> Result<Answer, StoreError> {
        let mut fields = self.0.get().cloned().unwrap_or_default();
        let outcome = |op: &Op| match op {
            Op::Increment(name, _) => {
                fields.insert(name.clone(), "100".to_owned());
                Outcome::Count(100)
            }
            _ => Outcome::Done,
        };
        let outcomes = request.ops.iter().map(outcome).collect();
        Ok(Answer::Live(Live { outcomes, fields }))
    }

    async fn trace(&self, _: RecordId) -> Result<Trace, StoreError> {
        Ok(Trace::Live)
    }

    async fn rotate(&self, _: Rotation) -> Result<Answer, StoreError> {
        Ok(Answer::Live(Live::default()))
    }

    async fn end(&self, _: RecordId, _: Duration) -> Result<Trace, StoreError> {
        Ok(Trace::Live)
    }

    async fn discard(&self, _: RecordId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn enlist(&self, _: &str, _: Entry, _: Duration) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    async fn list(&self, _: &str) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    async fn strike(&self, _: &str, _: &[PublicId]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn inspect(&self, _: &[RecordId]) -> Result<Vec<Standing>, StoreError> {
        Ok(Vec::new())
    }
}

#[rocket::launch]
fn rocket() -> _ {
    let sessions = Session::fairing().store(Constant::default());
    rocket::custom(config::figment()).attach(sessions).attach(site::stage())
}

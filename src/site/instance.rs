//! This instance of the service, and the instances that have answered a session.

use std::env;

use log::Level;
use rocket::http::Status;
use rocket_server_sessions::{Batch, Key, Session, Snapshot};
use serde::Serialize;
use uuid::Uuid;

/// The instances that have answered the session, in the order of their first answer.
const INSTANCES: Key<Vec<String>> = Key::new("instances");

/// The maximum number of instances that a session remembers. Each costs one more round trip, once.
const MAX_INSTANCES: usize = 6;

/// One running process of the service, with a random name.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Instance {
    id: String,
    revision: String,
}

/// The instances that have answered a session.
pub(super) struct SeenInstances {
    /// Their ids, in the order of their first answer.
    pub(super) ids: Vec<String>,
    /// Whether this instance is new to the session.
    is_new: bool,
}

impl Instance {
    /// Creates the instance. Cloud Run sets the revision; elsewhere it is `local`.
    pub(super) fn from_env() -> Self {
        // The last digits of a UUID v7 are random.
        let (_, random) = Uuid::now_v7().as_u64_pair();
        let revision = env::var("K_REVISION").unwrap_or_else(|_| "local".into());
        Self { id: format!("{:06x}", random & 0xff_ffff), revision }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The instances that have answered the session, including this one.
    pub(super) fn seen(&self, snapshot: &Snapshot) -> SeenInstances {
        let mut ids = snapshot.get(INSTANCES).ok().flatten().unwrap_or_default();
        let is_new = !ids.contains(&self.id);
        if is_new {
            ids.push(self.id.clone());
        }
        SeenInstances { ids, is_new }
    }

    /// Adds this instance to a batch that begins a session.
    pub(super) fn remember_in<'r>(&self, batch: Batch<'r>) -> Batch<'r> {
        batch.insert(INSTANCES, vec![self.id.clone()])
    }

    /// Remembers this instance if it is new to the session, which takes one round trip.
    pub(super) async fn remember(&self, session: Session<'_>, seen: &SeenInstances) {
        if !seen.is_new || seen.ids.len() > MAX_INSTANCES {
            return;
        }
        // The view is counted already, so a failure here does not fail the request.
        if let Err(error) = session.insert(INSTANCES, &seen.ids).await {
            // The session has just been regenerated or destroyed by another request.
            let is_conflict = error.status() == Status::Conflict;
            let level = if is_conflict { Level::Info } else { Level::Warn };
            log::log!(level, "the instance {} was not remembered: {error}", self.id);
        }
    }
}

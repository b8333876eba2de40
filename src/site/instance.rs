//! Which instance of the service this process is.

use std::env;

use serde::Serialize;
use uuid::Uuid;

/// One running process of the service, told apart from others by a random name.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) revision: String,
}

impl Instance {
    /// Cloud Run says which revision this is; elsewhere it is `local`.
    pub(super) fn from_env() -> Self {
        let random = Uuid::now_v7().simple().to_string();
        let revision = env::var("K_REVISION").unwrap_or_else(|_| "local".into());
        Self { id: random[random.len() - 6..].to_owned(), revision }
    }
}

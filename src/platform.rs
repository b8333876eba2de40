//! Where the application runs.

use std::env;

/// Whether this is an instance of Cloud Run, which sets `K_SERVICE` to the service's name.
pub(crate) fn is_on_cloud_run() -> bool {
    env::var_os("K_SERVICE").is_some_and(|name| !name.is_empty())
}

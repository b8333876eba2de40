//! The public handle to the shared state.

use std::sync::Arc;

use crate::debug::opaque_debug;
use crate::shared::Shared;

/// All sessions of the application, outside of a request: for a job, a webhook or a command-line
/// tool.
///
/// [`users`](Self::users) lists and destroys the sessions of a user. Clones are cheap and share the
/// store.
///
/// The fairing adds it to Rocket's managed state at ignition. Handlers and other fairings find it
/// there. A task may hold a clone:
///
/// ```
/// use rocket::{State, post};
/// use rocket_server_sessions::{Result, Sessions};
///
/// /// The identity provider says that an account was closed.
/// #[post("/webhooks/closed/<user>")]
/// async fn closed(user: &str, sessions: &State<Sessions>) -> Result<String> {
///     let destroyed = sessions.users().destroy_all(user).await?;
///     Ok(format!("{destroyed} sessions were destroyed"))
/// }
/// ```
///
/// A command-line tool opens the store without launching Rocket:
///
/// ```no_run
/// use rocket_server_sessions::Session;
///
/// let figment = rocket::Config::figment();
/// let sessions = Session::fairing().open(&figment).expect("a valid configuration");
/// rocket::execute(async {
///     let destroyed = sessions.users().destroy_all("alice").await;
///     println!("{destroyed:?}");
/// });
/// ```
#[derive(Clone)]
pub struct Sessions {
    pub(crate) shared: Arc<Shared>,
}

opaque_debug!("Sessions", Sessions);

impl Sessions {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }
}

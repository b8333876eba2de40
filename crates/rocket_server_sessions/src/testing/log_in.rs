//! Sessions in which a user is logged in already.

use rocket::http::Cookie;
use rocket::{Orbit, Rocket};

use crate::error::{Error, Result};
use crate::request::{RequestSession, identity};
use crate::sessions::Sessions;
use crate::store::Values;

/// Logs a user in to a new session, without a request, and returns its cookie.
///
/// ```
/// use rocket::local::blocking::Client;
/// use rocket_server_sessions::testing::force_log_in;
/// use rocket_server_sessions::{Session, User};
///
/// #[rocket::get("/account")]
/// fn account(user: User) -> String {
///     user.name
/// }
///
/// let routes = rocket::routes![account];
/// let rocket = rocket::build().attach(Session::fairing()).mount("/", routes);
/// let client = Client::tracked(rocket).unwrap();
///
/// let cookie = rocket::execute(force_log_in(client.rocket(), "alice")).unwrap();
/// let response = client.get("/account").cookie(cookie).dispatch();
/// assert_eq!(response.into_string().unwrap(), "alice");
/// ```
///
/// # Errors
///
/// The same as [`Session::log_in`](crate::Session::log_in), and [`Error::Misuse`] if
/// [`Session::fairing`](crate::Session::fairing) is not attached.
pub async fn force_log_in(rocket: &Rocket<Orbit>, user: &str) -> Result<Cookie<'static>> {
    let sessions = rocket.state::<Sessions>();
    let sessions = sessions.ok_or(Error::Misuse("the fairing of sessions is not attached"))?;
    let session = RequestSession::detached(&sessions.shared);
    let log_in = identity::log_in(&session, user, "test", Values::new());
    session.with_deadline(log_in).await?;
    let cookie = session.finish().await.into_iter().next();
    let cookie = cookie.and_then(|cookie| Cookie::parse(cookie).ok());
    cookie.ok_or(Error::Conflict)
}

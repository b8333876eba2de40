//! The request guard `User`.

use std::time::SystemTime;

use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};

use crate::error::{Error, Result};
use crate::request::guard::{is_unattached, session_of};
use crate::store::LoggedIn;

/// The user who is logged in, as a request guard.
///
/// If no user is logged in, the request is forwarded to the next matching route, for example to a
/// log-in page. If there is none, the response is a 401. `Option<User>` is `None` then.
///
/// One round trip and one command, however many guards a request has; none if no user is logged in.
/// During an outage, the guard fails with a 503. `Option<User>` hides that, and is `None`. If a
/// page must not look logged out during an outage, use `Result<User, session::Error>` or
/// [`User::of`]. If [`on_outage`](crate::Config::on_outage) is `anonymous`, users seem logged out.
///
/// ```
/// use rocket::response::Redirect;
/// use rocket::{get, routes, uri};
/// use rocket_server_sessions::{Session, User};
///
/// #[get("/account")]
/// fn account(user: User) -> String {
///     format!("Hello {}", user.name)
/// }
///
/// #[get("/account", rank = 2)]
/// fn log_in_first() -> Redirect {
///     Redirect::to("/log-in")
/// }
///
/// let routes = routes![account, log_in_first];
/// let rocket = rocket::build().attach(Session::fairing()).mount("/", routes);
/// ```
///
/// Build guards of your own on it, for example for administrators:
///
/// ```
/// use rocket::Request;
/// use rocket::http::Status;
/// use rocket::outcome::try_outcome;
/// use rocket::request::{FromRequest, Outcome};
/// use rocket_server_sessions::{Error, User};
///
/// struct Admin(User);
///
/// #[rocket::async_trait]
/// impl<'r> FromRequest<'r> for Admin {
///     type Error = Error;
///
///     async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
///         let user = try_outcome!(request.guard::<User>().await);
///         match user.name.as_str() {
///             "root" => Outcome::Success(Self(user)),
///             _ => Outcome::Forward(Status::Forbidden),
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The name that was passed to [`log_in`](crate::Session::log_in).
    pub name: String,
    /// The label that was passed to [`log_in`](crate::Session::log_in).
    pub label: String,
    /// When the user logged in, to the second. Logging in the same user again renews it.
    /// [`Session::logged_in_within`](crate::Session::logged_in_within) compares it with the clock.
    pub logged_in_at: SystemTime,
}

impl User {
    /// Returns the user who is logged in, if any, for fairings and guards of your own. Costs as
    /// much as the guard.
    ///
    /// # Errors
    ///
    /// The same as [`Session::user`](crate::Session::user), and [`Error::Misuse`] if
    /// [`Session::fairing`](crate::Session::fairing) is not attached.
    pub async fn of(request: &Request<'_>) -> Result<Option<Self>> {
        Ok(session_of(request)?.known_login().await?.map(Self::from))
    }
}

impl From<LoggedIn> for User {
    fn from(LoggedIn { name, logged_in_at, label }: LoggedIn) -> Self {
        Self { name, label, logged_in_at }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for User {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        match Self::of(request).await {
            Ok(Some(user)) => Outcome::Success(user),
            Ok(None) => Outcome::Forward(Status::Unauthorized),
            Err(error) => error.into(),
        }
    }
}

impl Sentinel for User {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        is_unattached(rocket)
    }
}

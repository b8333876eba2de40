//! SessionFairing for Rocket: state that follows a visitor from request to request, whichever instance
//! of the application answers.
//!
//! ```
//! use rocket_server_sessions::{self as session, Key, Session};
//! use rocket::{get, routes};
//!
//! const VIEWS: Key<i64> = Key::new("views");
//!
//! #[get("/foo")]
//! async fn foo(session: Session<'_>) -> session::Result<String> {
//!     let now = session.batch().increment(VIEWS.at("/foo"), 1).commit().await?;
//!     Ok(format!("you viewed this page {} times", now.get(VIEWS.at("/foo"))?.unwrap_or(0)))
//! }
//!
//! let rocket = rocket::build().attach(Session::fairing()).mount("/", routes![foo]);
//! # let client = rocket::local::blocking::Client::tracked(rocket).unwrap();
//! # client.get("/foo").dispatch();
//! # let page = client.get("/foo").dispatch().into_string().unwrap();
//! # assert_eq!(page, "you viewed this page 2 times");
//! ```
//!
//! - Attach [`Session::fairing`]; its settings are [`Config`], in `[default.session]`. Without a `url` there,
//!   or in `ROCKET_SESSION='{url="…"}'`, sessions live in memory.
//! - Declare each field once, as a [`Key`].
//! - Take a [`Session`] in a handler. **Count the `.await`s on it, and you have counted the round
//!   trips to the store**: the guard does no I/O, and nothing is saved behind the handler's back.
//!   Ending takes two, signing in three, and regenerating or ending a session that is a user's one
//!   more. Where another request has just rotated or ended the session, or the store has lost it,
//!   finding that out takes one or two as well.
//! - Sign people in with [`Session::log_in`], and find their sessions with [`UserSessions`].
//! - Give [`Result`] back, or deal with [`Error`]: an outage is a 503 that leaves the visitor's
//!   cookie alone.
//! - Name [`SameOrigin`] in routes that change something.
//! - See what it does through the facades `metrics` and `tracing`: any recorder that is installed
//!   before the launch gets counts of [`Event`]s, the store's latency, and Redis's batches, queue,
//!   breaker and commands, under names that begin with `session_`; any subscriber gets a span at
//!   level debug for each call of the store. With neither installed, both cost next to nothing.
//! - Test with the clock and the spy in [`testing`].
//!
//! A session begins with the first write. Increments are exact, however many run at the same time.
//! A session that was ended stays ended, whatever is still on its way.

mod batch;
mod check;
mod clock;
mod config;
mod cookie;
mod csrf;
mod ending;
mod error;
mod event;
mod fairing;
mod guard;
mod id;
mod key;
mod layer;
mod lifecycle;
mod sign_in;
mod snapshot;
pub mod store;
mod task;
pub mod testing;
mod users;
mod visit;

pub use batch::Batch;
pub use check::{Finding, Report, Verdict, check};
pub use clock::{Clock, SystemClock};
pub use config::{Config, OnOutage, RedisUrl, SecretKey, SettingError, Unread};
pub use csrf::SameOrigin;
pub use error::{Error, Result};
pub use event::{Deadline, Event, Rejection};
pub use fairing::SessionFairing;
pub use guard::{Info, Session};
pub use id::{PublicId, TokenHash};
pub use key::{Field, Key};
pub use snapshot::Snapshot;
pub use users::{ActiveSession, UserSessions};

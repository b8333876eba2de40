//! Helpers for tests: a manual clock, sessions in which a user is logged in, a store that records
//! its calls, and the contract of stores.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use rocket_server_sessions::store::Memory;
//! use rocket_server_sessions::testing::{ManualClock, Spy};
//! use rocket_server_sessions::{Key, Session};
//! use rocket::local::blocking::Client;
//!
//! const VIEWS: Key<i64> = Key::new("views");
//!
//! #[rocket::get("/")]
//! async fn index(session: Session<'_>) -> rocket_server_sessions::Result<String> {
//!     Ok(session.increment(VIEWS, 1).await?.to_string())
//! }
//!
//! let clock = ManualClock::now();
//! let spy = Arc::new(Spy::new(Memory::with_clock(100, clock.clone())));
//! let sessions = Session::fairing().store(spy.clone()).clock(clock.clone());
//! let rocket = rocket::build().attach(sessions).mount("/", rocket::routes![index]);
//! let client = Client::tracked(rocket).unwrap();
//!
//! assert_eq!(client.get("/").dispatch().into_string().unwrap(), "1");
//! assert_eq!(client.get("/").dispatch().into_string().unwrap(), "2");
//! // The second view also touches the session, because the client sent its cookie.
//! assert_eq!(spy.round_trips(), 3);
//! assert!(spy.is_idle());
//!
//! clock.advance(Duration::from_hours(48));
//! assert_eq!(client.get("/").dispatch().into_string().unwrap(), "1", "idle for too long");
//! ```
//!
//! Touches, and the removal of index entries, run in the background. In memory, they are complete
//! when the response arrives. With another store, wait until [`Spy::is_idle`] before you advance
//! the clock; otherwise, a touch may come too late to keep the session.
//!
//! Each [`Client`](rocket::local::blocking::Client) is one browser. Two that share a store are two
//! browsers that use the same application:
//!
//! ```
//! use std::sync::Arc;
//!
//! use rocket::http::Status;
//! use rocket::local::blocking::Client;
//! use rocket::{get, post, routes};
//! use rocket_server_sessions::store::Memory;
//! use rocket_server_sessions::{Result, Session, User, UserSessions};
//!
//! #[post("/log-in")]
//! async fn log_in(session: Session<'_>) -> Result<()> {
//!     session.log_in("alice", "phone").await
//! }
//!
//! #[get("/account")]
//! fn account(user: User) -> String {
//!     user.name
//! }
//!
//! #[post("/log-out-everywhere")]
//! async fn log_out_everywhere(user: User, users: UserSessions<'_>) -> Result<()> {
//!     users.destroy_all(&user.name).await.map(drop)
//! }
//!
//! let store = Arc::new(Memory::new(100));
//! let browser = || {
//!     let sessions = Session::fairing().store(store.clone());
//!     let routes = routes![log_in, account, log_out_everywhere];
//!     Client::tracked(rocket::build().attach(sessions).mount("/", routes)).unwrap()
//! };
//! let (phone, laptop) = (browser(), browser());
//! for browser in [&phone, &laptop] {
//!     browser.post("/log-in").dispatch();
//! }
//! laptop.post("/log-out-everywhere").dispatch();
//! assert_eq!(phone.get("/account").dispatch().status(), Status::Unauthorized);
//! ```

mod conformance;
mod log_in;
mod manual_clock;
mod spy;

pub use conformance::conformance;
pub use log_in::force_log_in;
pub use manual_clock::ManualClock;
pub use spy::{Call, Spy};

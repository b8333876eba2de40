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
//!
//! clock.advance(Duration::from_hours(48));
//! assert_eq!(client.get("/").dispatch().into_string().unwrap(), "1", "idle for too long");
//! ```

mod conformance;
mod log_in;
mod manual_clock;
mod spy;

pub use conformance::conformance;
pub use log_in::force_log_in;
pub use manual_clock::ManualClock;
pub use spy::{Call, Spy};

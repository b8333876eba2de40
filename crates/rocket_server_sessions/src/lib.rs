// These link definitions override those of the README, so that links lead to items instead of
// files.
//! [`Config`]: crate::Config
//! [`check`]: crate::check()
//! [`Event`]: crate::Event
//! [`Key`]: crate::Key
//! [`Result`]: crate::Result
//! [`SameOrigin`]: crate::SameOrigin
//! [`Error`]: crate::Error
//! [`OwnedSession`]: crate::OwnedSession
//! [`Sessions`]: crate::Sessions
//! [`User`]: crate::User
//! [`require_same_origin`]: crate::SessionFairing::require_same_origin
//! [`UserSessions`]: crate::UserSessions
//! [`note_dropped_cookies`]: crate::note_dropped_cookies()
//! [`log_in`]: crate::Session::log_in
//! [`testing`]: crate::testing
//! [cost]: crate::docs::cost
//! [vocabulary]: crate::docs::vocabulary
//! [migration]: crate::docs::migration
//! [redis]: crate::docs::redis
//! [changelog]: crate::docs::changelog
//! [examples]: https://github.com/cloud-run-sessions/cloud-run-sessions/tree/main/crates/rocket_server_sessions/examples
//! [behaviour]: https://github.com/cloud-run-sessions/cloud-run-sessions/blob/main/docs/behaviour.md
//! [operations]: https://github.com/cloud-run-sessions/cloud-run-sessions/blob/main/docs/operations.md
//! [performance]: https://github.com/cloud-run-sessions/cloud-run-sessions/blob/main/docs/performance.md
//! [security]: https://github.com/cloud-run-sessions/cloud-run-sessions/blob/main/docs/security.md
//! [mit]: https://opensource.org/license/mit
//! [apache 2.0]: https://www.apache.org/licenses/LICENSE-2.0
#![doc = include_str!("../README.md")]
//! # Overview
//!
//! | to | see |
//! |---|---|
//! | attach sessions to a Rocket | [`Session::fairing`], [`SessionFairing`], [`Config`] |
//! | use the visitor's session in a handler | [`Session`], [`Key`], [`Batch`], [`Snapshot`] |
//! | know who is logged in | [`User`], [`LogIn`] |
//! | use a session in a task or a websocket | [`OwnedSession`] |
//! | check a configuration | [`check`], [`UnusedSetting`] |
//! | manage the sessions of a user | [`UserSessions`], [`ActiveSession`]; outside of a request, [`Sessions`] |
//! | reject requests from other sites | [`SameOrigin`] |
//! | handle errors and observe events | [`Error`], [`Event`], [`Rejection`], [`note_dropped_cookies`] |
//! | import sessions from Express | `express`, with the feature of that name |
//! | write tests | [`testing`] |
//! | implement a custom store | [`store`] |

// Each module uses only those after it in this table. The test `layers` checks that.
//
// | modules | content |
// |---|---|
// | `simulation` | a test that runs requests in every order, on simulated servers |
// | `setup` | the fairing, and the check of a configuration |
// | `testing` | for tests of applications and stores |
// | `session`, `batch`, `snapshot`, `user`, `user_sessions`, `same_origin` | what handlers use |
// | `request` | what one request does with its session |
// | `user_index`, `sessions` | the sessions of a user; those of the whole application |
// | `shared`, `cookie_report`, `event_counters` | what all sessions share; what becomes of events |
// | `express` | sessions of Express that are taken over |
// | `session_cookie`, `value`, `key`, `error` | the cookie; fields as keys and JSON; errors for applications |
// | `store` | the contract of a store, and the stores |
// | `config` | the settings |
// | `cross_site`, `dropped_cookies`, `limited_log` | which requests come from other sites, or have lost their cookies |
// | `report`, `event`, `id`, `time`, `clock`, `finding`, `remember_me`, `background`, `debug` | what all may name |

mod background;
mod batch;
mod clock;
mod config;
mod cookie_report;
mod cross_site;
mod debug;
mod dropped_cookies;
mod error;
mod event;
mod event_counters;
#[cfg(feature = "express")]
pub mod express;
mod finding;
mod id;
mod key;
#[cfg(test)]
mod layers;
mod limited_log;
mod remember_me;
mod report;
mod request;
mod same_origin;
mod session;
mod session_cookie;
mod sessions;
mod setup;
mod shared;
#[cfg(test)]
#[cfg(feature = "redis")]
mod simulation;
mod snapshot;
pub mod store;
pub mod testing;
mod time;
mod user;
mod user_index;
mod user_sessions;
mod value;

pub use batch::Batch;
pub use clock::Clock;
pub use config::{Config, OnOutage, SameSite, SecretKey, SettingError, StoreUrl, UnusedSetting};
pub use dropped_cookies::note_dropped_cookies;
pub use error::{Error, Result};
pub use event::{Event, Rejection};
pub use finding::{Finding, Verdict};
pub use id::{PublicId, TokenHash};
pub use key::{Field, Key};
pub use remember_me::RememberMe;
pub use report::Report;
pub use same_origin::SameOrigin;
pub use session::login::LogIn;
pub use session::{Info, OwnedSession, Session};
pub use sessions::Sessions;
pub use setup::{SessionFairing, check};
pub use snapshot::Snapshot;
pub use user::User;
pub use user_sessions::{ActiveSession, UserSessions};
pub use value::{Integer, Value};

/// The crate's pages: costs, vocabulary, migration, Redis, changelog.
#[cfg(doc)]
pub mod docs {
    #[doc = include_str!("../docs/cost.md")]
    pub mod cost {}
    #[doc = include_str!("../docs/vocabulary.md")]
    pub mod vocabulary {}
    #[doc = include_str!("../docs/migration.md")]
    pub mod migration {}
    /// [costs]: crate::docs::cost
    #[doc = include_str!("../docs/redis.md")]
    pub mod redis {}
    #[doc = include_str!("../CHANGELOG.md")]
    pub mod changelog {}
}

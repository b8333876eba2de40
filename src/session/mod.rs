//! Sessions for Rocket: state that follows a visitor from request to request, whichever instance
//! of the application answers.

mod batch;
mod clock;
mod config;
mod cookie;
mod csrf;
mod error;
mod fairing;
mod guard;
mod id;
mod key;
mod lifecycle;
mod snapshot;
pub mod store;
pub mod testing;
mod visit;

pub use batch::Batch;
pub use clock::{Clock, System};
pub use config::{Config, SealingKey, Url};
pub use cookie::Persistence;
pub use csrf::SameOrigin;
pub use error::{Error, Result};
pub use fairing::Sessions;
pub use guard::{Info, Session};
pub use id::{Fingerprint, Handle};
pub use key::{Field, Key};
pub use snapshot::Snapshot;

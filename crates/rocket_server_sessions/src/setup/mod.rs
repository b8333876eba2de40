//! The fairing, and the state that it adds to Rocket.

mod cookie_fairing;
mod cross_site;
mod fairing;
mod sessions;
pub(crate) mod shared;

pub use fairing::SessionFairing;
pub use sessions::Sessions;

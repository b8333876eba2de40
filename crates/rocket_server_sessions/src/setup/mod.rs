//! The fairing, and the state that it adds to Rocket.

mod fairing;
pub(crate) mod sessions;

pub use fairing::SessionFairing;

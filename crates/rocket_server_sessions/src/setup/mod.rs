//! How sessions are wired to Rocket: the fairing, and what it manages.

mod fairing;
pub(crate) mod sessions;

pub use fairing::SessionFairing;

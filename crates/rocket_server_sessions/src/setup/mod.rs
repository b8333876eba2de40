//! The fairing.

mod cookie_fairing;
mod fairing;

pub use fairing::SessionFairing;

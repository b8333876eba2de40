//! The fairing.

mod cookie_fairing;
mod cross_site;
mod fairing;

pub use fairing::SessionFairing;

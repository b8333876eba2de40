//! A deterministic simulation: the real code on a simulated Redis, with a scheduler that chooses
//! which request takes its next step.

mod differential;
mod keyspace;
mod lua;
mod random;
mod reply;
mod server;

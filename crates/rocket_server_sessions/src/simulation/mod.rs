//! A deterministic simulation: the real code on a simulated Redis, with a scheduler that chooses
//! which request takes its next step.

mod browser;
mod cases;
mod chance;
mod choice;
mod commands;
mod differential;
mod exhaustive;
#[cfg(feature = "express")]
mod import;
mod invariants;
mod keyspace;
mod lua;
mod machine;
mod mutants;
mod mutation;
mod operations;
mod plan;
mod random;
mod records;
mod reply;
mod scheduler;
mod server;
mod start;
mod step;
mod world;

//! What one request does with its session.
//!
//! - [`state`] says which session that is: one enum, with all its transitions.
//! - [`session`] is what the request's guards share: it reads and writes the record, and creates it.
//! - [`identity`] changes which session it is: regenerate, log in, destroy.
//! - [`cookie`] is what the browser holds.
//! - [`wait`] is how long the request has waited for the store.

pub(crate) mod cookie;
pub(crate) mod identity;
pub(crate) mod session;
pub(crate) mod state;
mod wait;

pub(crate) use session::RequestSession;

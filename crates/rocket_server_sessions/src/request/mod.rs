//! What one request does with its session.
//!
//! | module | content |
//! |---|---|
//! | [`state`] | the state machine: which session it is |
//! | [`session`] | what the guards share, and the deadline |
//! | [`update`] | reading and writing fields |
//! | [`creation`] | creating a session, and settling a token |
//! | [`findings`] | what the store's answers say about the record |
//! | [`identity`] | regenerate, log in, destroy |
//! | [`guard`] | the session of a request, for its guards |
//! | [`hidden_cookie`] | cookies that the request does not show |
//! | [`wait`] | the time spent waiting for the store |

mod creation;
mod findings;
pub(crate) mod guard;
pub(crate) mod hidden_cookie;
pub(crate) mod identity;
pub(crate) mod session;
pub(crate) mod state;
mod update;
mod wait;

pub(crate) use session::{RequestSession, with_deadline};

//! What one request does with its session.
//!
//! | module | content |
//! |---|---|
//! | [`state`] | the state machine: which session it is |
//! | [`session`] | what the guards share: reading, writing, creating |
//! | [`identity`] | regenerate, log in, destroy |
//! | [`cookie`] | the cookie |
//! | [`wait`] | the time spent waiting for the store |

pub(crate) mod cookie;
pub(crate) mod identity;
pub(crate) mod session;
pub(crate) mod state;
mod wait;

pub(crate) use session::RequestSession;

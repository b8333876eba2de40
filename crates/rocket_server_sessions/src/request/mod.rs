//! What one request does with its session.
//!
//! Each module uses only those below it, and calls only their methods of [`RequestSession`]. The
//! test `layers` checks that.
//!
//! | module | content |
//! |---|---|
//! | [`guard`] | the session of a request, for its guards |
//! | [`identity`] | regenerate, log in, destroy |
//! | [`set_cookie`] | the cookie of the response, and how long it is kept |
//! | [`login`] | who is logged in |
//! | [`update`] | reading and writing fields |
//! | [`findings`] | what the store's answers say about the record |
//! | [`identity_lock`] | one change of the identity at a time; settles a pending token first |
//! | `import` | importing the session that an old cookie leads to |
//! | [`creation`] | creating a session |
//! | [`limits`] | how much a request may store |
//! | [`lifetime`] | how long a record lives |
//! | [`deadline`] | how long a request may wait for the store |
//! | [`session`] | what all of them share |
//! | [`state`] | the state machine: which session it is |
//! | [`hidden_cookie`] | cookies that the request does not show |
//! | [`wait`] | the time spent waiting for the store |

mod creation;
mod deadline;
mod findings;
pub(crate) mod guard;
mod hidden_cookie;
pub(crate) mod identity;
mod identity_lock;
#[cfg(feature = "express")]
mod import;
mod lifetime;
mod limits;
mod login;
pub(crate) mod session;
mod set_cookie;
mod state;
mod update;
mod wait;

pub(crate) use deadline::with_deadline;
pub(crate) use session::RequestSession;

//! Takes over the sessions of [express-session] with [connect-redis], so that a migration logs nobody
//! out. Needs the feature `express`.
//!
//! If a request has no valid session cookie of this crate, but has a correctly signed
//! `connect.sid`, its first use of the session reads the old record. Your function converts it into
//! a [`NewSession`], and the request continues in that session. The response sets the new cookie
//! and removes the old one.
//!
//! ```
//! use rocket_server_sessions::express::{Import, NewSession, OldSession};
//! use rocket_server_sessions::{Key, Result, Session};
//!
//! const CART: Key<Vec<String>> = Key::new("cart");
//!
//! /// What `passport` keeps in `req.session`.
//! #[derive(serde::Deserialize)]
//! struct Passport {
//!     user: String,
//! }
//!
//! fn carry_over(old: &OldSession) -> Result<NewSession> {
//!     let mut new = NewSession::default();
//!     if let Some(cart) = old.get::<Vec<String>>("cart")? {
//!         new = new.insert(CART, cart);
//!     }
//!     if let Some(passport) = old.get::<Passport>("passport")? {
//!         new = new.log_in(&passport.user, "since before the migration");
//!     }
//!     Ok(new)
//! }
//!
//! let import = Import::new("the secret of express-session", carry_over);
//! let rocket = rocket::build().attach(Session::fairing().import(import));
//! ```
//!
//! # What you can rely on
//!
//! - A request that does not use its session, or whose `connect.sid` is forged, costs no round trip.
//! - Requests with the same old cookie end up in the same session, however many run at once, on
//!   however many instances. The first one creates it.
//! - The old record is removed once the new session exists, before the response is sent. If the
//!   store fails in between, the request fails with a 503, and the next one completes the import.
//! - After a log-out or a new token, the old cookie gives access to nothing. Until then, it leads to
//!   the new session, as it led to the old one. So a visitor whose first response was lost is not
//!   logged out.
//! - [`destroy_all`] and [`destroy_others`] also end the user's old sessions that were not imported yet,
//!   unless [`logged_in_at`] says that the log-in is newer. The clocks of Express and of this application
//!   are compared. The import must be configured at that moment, also in a job outside of a request. If
//!   the store is full, the sessions that are listed are destroyed, but the call fails: try it again.
//! - A log-out or a log-in also ends an old session that was not imported, whether the browser has
//!   a cookie of this crate as well or your function returned an error. The old record and the old
//!   cookie are removed. That costs one more round trip.
//! - A request with an `Origin` imports only if it comes from the same origin.
//! - An imported log-in does not count as recent: its time is 1970, unless your function sets
//!   another with [`logged_in_at`](NewSession::logged_in_at).
//! - A cookie that is signed with none of the secrets causes
//!   [`Rejection::UnverifiedOldCookie`](crate::Rejection::UnverifiedOldCookie), and a warning at most once
//!   a minute.
//! - As in Express, a session is valid while its record is in Redis. `cookie.expires` in the
//!   record is ignored, because connect-redis does not update it when it renews the record.
//! - The new session's absolute lifetime begins with the import.
//! - If your function returns an error, or the record is not a JSON object, the error is logged,
//!   the visitor begins a new session, and the old record is kept until a log-out or log-in.
//!
//! # What you should know
//!
//! - Switch all traffic of a host from Express to Rocket at once. An Express server that is still
//!   running does not know the new cookie and no longer finds the old record, so it begins a new
//!   session. If a request that it was serving writes the old record back, that record is not
//!   imported again before `absolute_lifetime` has passed, and is removed when its cookie is seen.
//! - The time of imported log-ins makes them the oldest. If a user has too many sessions, they are
//!   destroyed first.
//! - The old record tells the domain and the path of the old cookie, without which a browser does not
//!   remove it. If they are not the default, set [`cookie_domain`](Import::cookie_domain) and
//!   [`cookie_path`](Import::cookie_path) for cookies whose record is gone. A cookie that stays costs
//!   one round trip in each request that uses the session and has no cookie of this crate.
//! - A session is not imported if a custom `genid` made its id longer than 256 bytes, or put
//!   spaces, braces or non-ASCII characters into it.
//! - In a request with only the old cookie, `session.info()` is `None` until the session is used.
//! - An old cookie is not as safe as ours: in many setups, a subdomain can plant one. Remove the import
//!   when the last old record has expired; connect-redis keeps them for a day unless told otherwise.
//! - If the new sessions live in a SQLite file, and the machine loses power, the sessions that were
//!   imported in the last half minute may be lost: their old records are removed at once.
//! - The Redis user needs access to the old keys, for example `~sess:*`. [`SessionFairing::check`](crate::SessionFairing::check)
//!   tests it, and so does the launch if the store is the one in `url`.
//!
//! # The protocol
//!
//! Each old record has a *claim*: the key `<prefix>express:{<old key>}` in the same slot. It
//! holds the identity of the new session, encrypted with `secret_key` and bound to the old id, so it
//! can neither be used as a cookie nor be moved to another old session.
//!
//! | step | script or command | what it decides |
//! |---|---|---|
//! | 1. claim | *claim*, on old record and claim | The first request stores the identity that it proposes. Every other one gets the same identity. |
//! | 2. create | *create*, at the claimed identity | Only the first creates the record. Others find it there, live or dead, and go on with that. |
//! | 3. close | *close*, on old record and claim | Removes the old record, and marks the claim as closed. From now on nothing is imported. |
//! | 4. enter | `index_add`, if a user is logged in | Enters the session in its user's index. If the index has a *revocation* of the log-in, the session is destroyed instead. |
//!
//! No request uses the session, and no response carries our cookie, before all steps are done. So whatever
//! the browser does with the new session, such as a log-out, comes after that. And a session that a user
//! can see in the list, and destroy there, has a closed claim.
//!
//! A revocation is an entry that stands for no session. `destroy_all` and `destroy_others` write it to the
//! index before they read it. It says when the user was logged out, and which session was kept. An import
//! enters its session before it looks for one, so one of the two finds the other. A revocation is only
//! deleted once a newer one has replaced it for ten minutes, because a concurrent call may renew it.
//!
//! | a process dies, or the answer is lost, after | what is there | the next request with the old cookie |
//! |---|---|---|
//! | nothing | the old record | begins at 1 |
//! | claim | the old record, an open claim | gets the same identity, and goes on at 2 |
//! | create | the old record, an open claim, the new record | the same; create finds the record |
//! | close | a closed claim, the new record | gets the identity from the claim, reads who is logged in, and goes on at 4 |
//! | enter | also an index entry | the same |
//! | any of these, then `destroy_all` | also a revocation; the new record only if it was not in the index | the same, and destroys the new record at 4 |
//! | close, then a log-out | a closed claim | finds no session |
//! | close, then the old record is written back | a closed claim, an old record | removes the old record, and uses the identity |
//! | *end* (see below), at a log-out or log-in | a closed claim without an identity | finds no session |
//!
//! *End* removes the old record and closes the claim without an identity, whatever the claim was. An import
//! that runs at the same time learns of it when it closes the claim, and does not use its session.
//!
//! A request that has run for 15 seconds no longer creates the session, and fails with a conflict:
//! by then, others may have closed the claim, and its visitor may have logged out.
//!
//! The claim lives for `absolute_lifetime`, so no longer than the session can.
//!
//! [`destroy_all`]: crate::UserSessions::destroy_all
//! [`destroy_others`]: crate::UserSessions::destroy_others
//! [`logged_in_at`]: NewSession::logged_in_at
//! [express-session]: https://www.npmjs.com/package/express-session
//! [connect-redis]: https://www.npmjs.com/package/connect-redis

mod cookie;
mod import;
mod importer;
mod new_session;
mod old_session;

pub(crate) use cookie::{OldId, Unverified};
pub use import::Import;
pub(crate) use importer::{Claim, Importer};
pub use new_session::NewSession;
pub use old_session::OldSession;

//! A rotation: a record moves to a new token.

use std::time::SystemTime;

use super::logged_in::LoggedIn;
use super::record::{Death, RecordId, Values};
use super::time_to_live::TimeToLive;
use crate::id::TokenHash;

/// Replaces a session's token, which moves its record to a new [`RecordId`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotation {
    /// The record's current id.
    pub from: RecordId,
    /// The hash of the new token.
    pub to: TokenHash,
    /// The record's time to live from now on.
    pub ttl: TimeToLive,
    /// The time to store as last seen; `None` if the browser has not yet sent the cookie back.
    pub seen: Option<SystemTime>,
    /// The user to log in, if any.
    pub user: Option<LoggedIn>,
    /// Fields to set. Empty unless the rotation logs a user in.
    pub fields: Values,
}

impl Rotation {
    /// A rotation without a log-in, of a record whose cookie the browser has not sent back yet.
    #[must_use]
    pub fn new(from: RecordId, to: TokenHash, ttl: TimeToLive) -> Self {
        Self { from, to, ttl, seen: None, user: None, fields: Values::new() }
    }
}

/// The result of a [`Rotation`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RotateResult {
    /// The record was moved, and its old id has a tombstone.
    Rotated,
    /// Another user was logged in. That session was destroyed. Contains the user's name.
    OtherUser(String),
    /// There is already a record or a tombstone at the new id. Nothing was changed.
    Barred,
    /// The token is dead. Nothing was changed.
    Dead(Death),
    /// There is no such record. Nothing was changed.
    Gone,
}

//! Errors of Redis that are about a record.

use redis::{ServerError, Value};

/// An error about the record. Every other error is about the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyError {
    WrongType,
    NotAnInteger,
    Overflow,
    /// The key belongs to another server of the cluster, or is being moved. Nothing was changed.
    Elsewhere,
}

pub(super) fn reply_error(error: &ServerError) -> Option<ReplyError> {
    let details = error.details().unwrap_or_default();
    match error.code() {
        "WRONGTYPE" => Some(ReplyError::WrongType),
        "ERR" if details.starts_with("hash value is not an integer") => {
            Some(ReplyError::NotAnInteger)
        }
        "ERR" if details.starts_with("increment or decrement would overflow") => {
            Some(ReplyError::Overflow)
        }
        "MOVED" | "ASK" | "TRYAGAIN" => Some(ReplyError::Elsewhere),
        _ => None,
    }
}

pub(super) fn has_error(reply: &Value, about: ReplyError) -> bool {
    matches!(reply, Value::ServerError(error) if reply_error(error) == Some(about))
}

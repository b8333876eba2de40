//! What Redis' errors mean for a session.

use redis::{RedisError, ServerError, Value};

use super::address::Address;
use super::breaker::Gravity;
use crate::session::store::Fault;

/// A job that Redis has answered with an error of its own state, rather than of the record's.
pub(super) struct Refusal {
    pub(super) fault: Fault,
    pub(super) gravity: Gravity,
}

/// What a reply says of the record; everything else is about the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    WrongType,
    NotACounter,
    NoSuchKey,
    /// Another server of the cluster has it, or will have it in a moment. Nothing was done.
    Elsewhere,
}

pub(super) fn complaint(error: &ServerError) -> Option<Complaint> {
    let details = error.details().unwrap_or_default();
    match error.code() {
        "WRONGTYPE" => Some(Complaint::WrongType),
        "ERR" if details.starts_with("hash value is not an integer") => {
            Some(Complaint::NotACounter)
        }
        "ERR" if details.starts_with("increment or decrement would overflow") => {
            Some(Complaint::NotACounter)
        }
        "ERR" if details.starts_with("no such key") => Some(Complaint::NoSuchKey),
        // A transaction that is aborted for another reason has that reason before it.
        "MOVED" | "ASK" | "TRYAGAIN" | "EXECABORT" => Some(Complaint::Elsewhere),
        _ => None,
    }
}

/// The first error among the replies that is about the server.
pub(super) fn refusal(replies: &[Value], is_cluster: bool) -> Option<Refusal> {
    let error = replies.iter().find_map(|reply| server_error(reply, is_cluster))?;
    let code = error.code();
    let details = error.details().unwrap_or_default();
    let gravity = if is_quota(details) { Gravity::Quota } else { Gravity::Connection };
    // The text may name the user or the key; the code does not.
    let message = match gravity {
        Gravity::Quota => format!("Redis refused: {code} {details}"),
        _ if complaint(error) == Some(Complaint::Elsewhere) => {
            "it is part of a cluster; write `redis-cluster://` or `rediss-cluster://` in `url`"
                .to_owned()
        }
        _ => format!("Redis refused: {code}"),
    };
    // A pipeline runs on after an error: what was answered before and after it was done.
    let is_partly_done = replies.iter().any(is_done);
    let fault = if is_partly_done { Fault::unanswered(message) } else { Fault::refused(message) };
    Some(Refusal { fault, gravity })
}

fn server_error(reply: &Value, is_cluster: bool) -> Option<&ServerError> {
    match reply {
        Value::ServerError(error) => match complaint(error) {
            None => Some(error),
            Some(Complaint::Elsewhere) if !is_cluster => Some(error),
            Some(_) => None,
        },
        Value::Array(items) => items.iter().find_map(|item| server_error(item, is_cluster)),
        _ => None,
    }
}

/// Whether a reply is to something that was carried out: neither an error, nor the acknowledgement
/// of a transaction's parts, which are carried out with `EXEC` or thrown away.
fn is_done(reply: &Value) -> bool {
    match reply {
        Value::ServerError(_) | Value::Okay => false,
        Value::SimpleString(text) => text != "QUEUED",
        _ => true,
    }
}

/// Upstash's words for an account, a database or a plan that is used up.
fn is_quota(details: &str) -> bool {
    ["max requests limit", "max daily request limit", "DB capacity quota"]
        .iter()
        .any(|text| details.contains(text))
}

/// Why a connection cannot be used, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(pub(super) String);

/// Why no connection came about, for the log: with the remedy where the cause can be told.
pub(super) fn describe_connect(error: &RedisError, address: &Address) -> Unusable {
    let (host, port) = (&address.host, address.port);
    let hint = match (error.code(), &address.tls) {
        (Some("WRONGPASS" | "NOAUTH"), _) => "; check the user and the password in `url`",
        (Some("NOPERM"), _) => "; the user may not do what sessions need",
        (Some(_), _) if error.to_string().contains("cluster support disabled") => {
            "; it is part of no cluster: write `redis://` or `rediss://`"
        }
        (_, None) if error.is_connection_dropped() => {
            "; if it speaks TLS, write `rediss://` instead of `redis://`"
        }
        (_, Some(_)) if error.to_string().contains("UnknownIssuer") => {
            "; name its certificate authority in `ca_file`"
        }
        // A plain server takes the greeting for the beginning of a command, and may wait for more.
        (_, Some(_)) if error.is_timeout() || error.to_string().contains("corrupt message") => {
            "; if it does not speak TLS, write `redis://` instead of `rediss://`"
        }
        _ => "",
    };
    Unusable(match error.code() {
        Some(code) => format!("{host}:{port} says {code}{hint}"),
        None => format!("{host}:{port}: {error}{hint}"),
    })
}

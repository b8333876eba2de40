//! Errors of Redis that are about the server, and what they mean for the connection.

use std::time::Duration;

use redis::{ServerError, Value};

use super::breaker::Severity;
use super::remedy::{advised, remedy};
use super::reply_error::{ReplyError, has_error, reply_error};
use crate::store::error::StoreError;

/// An error about the state of the server, not of the record.
pub(super) struct ServerFailure {
    pub(super) error: StoreError,
    /// `None` if only this request failed.
    pub(super) severity: Option<Severity>,
}

/// Returns the first error in the replies that is about the server.
pub(super) fn server_failure(replies: &[Value], is_cluster: bool) -> Option<ServerFailure> {
    let is_meant = |at: usize| !(is_cluster && is_redirection(&replies[..=at]));
    let mut errors = replies.iter().map(server_error).enumerate();
    let (at, error) = errors.find_map(|(at, it)| Some((at, it.filter(|_| is_meant(at))?)))?;
    let details = error.details().unwrap_or_default();
    let code = cause(error);
    if is_raised_by_script(error) {
        // The input of one visitor must not cause an outage for the others.
        let error = StoreError::outcome_unknown("a script failed because of its arguments");
        let error = StoreError { retry_after: Duration::ZERO, ..error };
        return Some(ServerFailure { error, severity: None });
    }
    let severity = if is_quota(details) { Severity::Quota } else { Severity::Connection };
    // The text may name the user or the key; the code does not.
    let what = match severity {
        Severity::Quota => format!("Redis refused: {code} {details}"),
        _ => format!("Redis refused: {code}"),
    };
    let message = advised(what, remedy(code, details));
    // The commands that were answered before the error were applied: our pipelines read after they
    // write. A script that lacks a right may have been applied in part.
    let is_partly_done = replies[..at].iter().any(is_done)
        || is_done_in_part(&replies[at])
        || (code == "NOPERM" && is_of_script(details));
    let error = if is_partly_done {
        StoreError::outcome_unknown(message)
    } else {
        StoreError::refused(message)
    };
    Some(ServerFailure { error, severity: Some(severity) })
}

/// The code of the error, or of its cause.
fn cause(error: &ServerError) -> &str {
    let details = error.details().unwrap_or_default();
    if is_of_script(details) && details.contains("can't run this command") {
        return "NOPERM";
    }
    // A transaction may be checked again as a whole; Redis 6 wraps the errors of scripts.
    let wrapped = match error.code() {
        ABORTED => details.split_once("because of: "),
        "ERR" if is_of_script(details) => details.rsplit_once(": -"),
        _ => None,
    };
    wrapped.and_then(|(_, cause)| cause.split(' ').next()).unwrap_or(error.code())
}

/// Whether a script has failed by itself, rather than one of its commands.
fn is_raised_by_script(error: &ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    // Redis 6 appends the position to its own message.
    let is_of_redis_6 = details.starts_with("Error running script") && !details.contains(": -");
    error.code() == "ERR"
        && (details.starts_with("user_script:") || is_of_redis_6)
        && cause(error) == "ERR"
}

/// Whether a command within a script has failed.
fn is_of_script(details: &str) -> bool {
    ["script:", "Error running script", "executing the script"]
        .iter()
        .any(|it| details.contains(it))
}

/// Whether a list of replies, such as a transaction's, contains that of a command that was applied.
fn is_done_in_part(reply: &Value) -> bool {
    matches!(reply, Value::Array(items) if items.iter().any(is_done))
}

/// The error code of an aborted transaction.
const ABORTED: &str = "EXECABORT";

/// Whether the last of these replies is a redirection, or aborts a transaction because of one.
fn is_redirection(replies: &[Value]) -> bool {
    let is_elsewhere = |reply: &Value| has_error(reply, ReplyError::Elsewhere);
    let Some((Value::ServerError(last), before)) = replies.split_last() else { return false };
    let mut own = before.iter().rev().take_while(|reply| **reply != Value::Okay);
    reply_error(last) == Some(ReplyError::Elsewhere)
        || (last.code() == ABORTED && own.any(is_elsewhere))
}

fn server_error(reply: &Value) -> Option<&ServerError> {
    match reply {
        Value::ServerError(error) => match reply_error(error) {
            None | Some(ReplyError::Elsewhere) => Some(error),
            Some(_) => None,
        },
        Value::Array(items) => items.iter().find_map(server_error),
        _ => None,
    }
}

/// Whether a reply means that a command was applied. Errors do not, and neither do the replies to
/// the parts of a transaction, which are applied by `EXEC` or discarded.
fn is_done(reply: &Value) -> bool {
    match reply {
        Value::ServerError(_) | Value::Okay => false,
        Value::SimpleString(text) => text != "QUEUED",
        _ => true,
    }
}

/// Upstash's messages for an account, a database or a plan that is used up.
fn is_quota(details: &str) -> bool {
    ["max requests limit", "max daily request limit", "DB capacity quota"]
        .iter()
        .any(|text| details.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses replies in wire format.
    fn replies(lines: &[&str]) -> Vec<Value> {
        lines
            .iter()
            .map(|it| redis::parse_redis_value(format!("{it}\r\n").as_bytes()).unwrap())
            .collect()
    }

    #[test]
    fn only_errors_about_the_record_are_not_failures_of_the_server() {
        for record in [
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
            "-ERR hash value is not an integer",
            "-ERR increment or decrement would overflow",
        ] {
            assert!(server_failure(&replies(&[record]), false).is_none(), "{record}");
        }
        for server in ["-ERR unknown command", "-OOM no memory", "-LOADING wait"] {
            for given in [replies(&[server]), replies(&[&format!("*2\r\n:1\r\n{server}")])] {
                assert!(server_failure(&given, false).is_some(), "{given:?}");
            }
        }
    }

    #[test]
    fn error_says_that_nothing_was_changed_only_if_no_command_was_applied() {
        use crate::store::error::StoreErrorKind;
        let oom = "-OOM no memory";
        for (given, kind) in [
            (replies(&[oom, oom]), StoreErrorKind::Refused),
            (replies(&["+OK", "+QUEUED", oom]), StoreErrorKind::Refused),
            // The read after a write that was refused.
            (replies(&[oom, "$-1"]), StoreErrorKind::Refused),
            (replies(&[":1", oom]), StoreErrorKind::OutcomeUnknown),
            (
                replies(&["+OK", "+QUEUED", &format!("*2\r\n:1\r\n{oom}")]),
                StoreErrorKind::OutcomeUnknown,
            ),
        ] {
            assert_eq!(server_failure(&given, false).unwrap().error.kind, kind, "{given:?}");
        }
    }

    #[test]
    fn error_within_a_script_is_reported_by_its_cause() {
        use crate::store::error::StoreErrorKind;
        for (text, cause, kind) in [
            (
                "-ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed",
                "Redis refused: OOM",
                StoreErrorKind::Refused,
            ),
            (
                "-OOM command not allowed script: 1, on @user_script:1.",
                "Redis refused: OOM",
                StoreErrorKind::Refused,
            ),
            (
                "-ERR The user executing the script can't run this command or subcommand script: 1",
                "Redis refused: NOPERM",
                StoreErrorKind::OutcomeUnknown,
            ),
        ] {
            let failure = server_failure(&replies(&[text]), false).unwrap();
            assert!(failure.error.message.starts_with(cause), "{}", failure.error.message);
            assert_eq!(failure.error.kind, kind, "{text}");
        }
    }

    #[test]
    fn script_that_raises_an_error_fails_only_its_own_request() {
        use crate::store::error::StoreErrorKind;
        for text in [
            "-ERR user_script:2: too many results to unpack script: 1, on @user_script:2.",
            "-ERR Error running script (call to f_1): @user_script:2: user_script:2: too many \
             results to unpack",
        ] {
            let failure = server_failure(&replies(&[text]), false).unwrap();
            assert_eq!(failure.severity, None, "{text}");
            let StoreError { kind, retry_after, .. } = failure.error;
            assert_eq!((kind, retry_after), (StoreErrorKind::OutcomeUnknown, Duration::ZERO));
        }
    }

    #[test]
    fn script_that_unpacks_too_much_is_distinguished_from_one_that_the_server_refuses() {
        let server = test_support::RedisServer::start();
        for (script, severity) in [
            ("return {unpack({}, 1, 9000)}", None),
            ("return redis.call('HGET')", Some(Severity::Connection)),
            ("return redis.call('NONE')", Some(Severity::Connection)),
        ] {
            let reply = redis::cmd("EVAL").arg(script).arg(0).exec(&mut server.connect());
            let error: ServerError = reply.unwrap_err().try_into().unwrap();
            let failure = server_failure(&[Value::ServerError(error)], false).unwrap();
            assert_eq!(failure.severity, severity, "{script}");
        }
    }

    #[test]
    fn used_up_quota_is_recognized_and_the_text_of_other_errors_is_not_shown() {
        let quota = replies(&["-ERR max requests limit exceeded. Limit: 500000"]);
        let refused = server_failure(&quota, false).unwrap();
        assert_eq!(refused.severity, Some(Severity::Quota));
        assert!(refused.error.message.contains("Limit: 500000"), "{}", refused.error.message);
        let refused = server_failure(&replies(&["-NOPERM because of: alice"]), false).unwrap();
        assert_eq!(refused.severity, Some(Severity::Connection));
        assert!(!refused.error.message.contains("alice"), "{}", refused.error.message);
    }

    #[test]
    fn error_of_a_failed_request_says_what_to_do() {
        for (text, remedy) in [
            ("-OOM command not allowed when used memory > 'maxmemory'.", "raise `maxmemory`"),
            ("-READONLY You can't write against a read only replica.", "name the master"),
            ("-NOPERM User alice has no permissions to run the 'hset' command", "give it `+hset`"),
            ("-NOPERM No permissions to access a key", "give it `~session:*`"),
            ("-MOVED 7 127.0.0.1:1", "write `redis-cluster://`"),
            ("-ERR max requests limit exceeded. Limit: 500000", "the quota is used up"),
        ] {
            let message = server_failure(&replies(&[text]), false).unwrap().error.message;
            assert!(message.contains(remedy), "{message}");
        }
        let unknown = server_failure(&replies(&["-ERR whatever"]), false).unwrap();
        assert_eq!(unknown.error.message, "Redis refused: ERR");
    }

    #[test]
    fn transaction_that_is_aborted_at_its_end_was_refused_and_the_cause_is_named() {
        // Redis checks once more at EXEC, when every command has been queued.
        let oom = "-EXECABORT Transaction discarded because of: OOM command not allowed";
        for is_cluster in [false, true] {
            let given = replies(&["+OK", "+QUEUED", "+QUEUED", oom]);
            let refusal = server_failure(&given, is_cluster).unwrap();
            assert!(refusal.error.message.contains("raise `maxmemory`"));
            assert_eq!(refusal.error.kind, crate::store::StoreErrorKind::Refused);
        }
    }

    #[test]
    fn redirection_is_a_failure_of_the_server_only_outside_a_cluster() {
        let aborted = "-EXECABORT Transaction discarded because of previous errors.";
        for given in [
            replies(&["-MOVED 7 127.0.0.1:1", "-MOVED 7 127.0.0.1:1"]),
            replies(&["+OK", "-ASK 7 127.0.0.1:1", "+QUEUED", aborted]),
            replies(&["+OK", "-TRYAGAIN later", aborted, ":1"]),
            replies(&["+OK", "+QUEUED", "-MOVED 7 127.0.0.1:1"]),
        ] {
            assert!(server_failure(&given, true).is_none(), "{given:?}");
            let message = server_failure(&given, false).unwrap().error.message;
            assert!(message.contains("redis-cluster://"), "{message}");
        }
        let another = replies(&["-MOVED 7 127.0.0.1:1", "+OK", "-OOM no", "+QUEUED", aborted]);
        let message = server_failure(&another, true).unwrap().error.message;
        assert!(message.starts_with("Redis refused: OOM"), "{message}");
        let alone = replies(&["-MOVED 7 127.0.0.1:1", "+OK", "+QUEUED", aborted]);
        assert!(server_failure(&alone, true).is_some(), "the redirected unit is another one");
    }
}

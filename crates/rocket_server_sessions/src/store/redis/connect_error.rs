//! Why a connection cannot be made.

use redis::RedisError;

use super::address::Address;
use super::remedy::remedy;

/// A connection error, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ConnectError(pub(super) String);

/// Describes a connection error for the log, with advice if the cause is known.
pub(super) fn describe_connect(error: &RedisError, address: &Address) -> ConnectError {
    let (host, port) = (&address.host, address.port);
    let remedy = remedy(error, address.tls.is_some());
    let hint = remedy.map(|it| format!("; {it}")).unwrap_or_default();
    ConnectError(match error.code() {
        Some(code) => format!("{host}:{port} says {code}{hint}"),
        None if error.is_timeout() => format!("{host}:{port} does not answer in time{hint}"),
        None => format!("{host}:{port}: {error}{hint}"),
    })
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::super::address::tests::address;
    use super::*;

    #[test]
    fn remedy_is_given_if_the_cause_is_known() {
        use std::io::ErrorKind;
        let plain = address("redis://127.0.0.1:1");
        let tls = address("rediss://127.0.0.1:1");
        let said = |line: &str| match redis::parse_redis_value(format!("{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => RedisError::from(error),
            other => panic!("{other:?}"),
        };
        let broke = |kind: ErrorKind| RedisError::from(std::io::Error::from(kind));
        for (error, address, remedy) in [
            (said("-WRONGPASS no"), &plain, Some("the password in `url`")),
            (said("-NOAUTH no"), &tls, Some("the password in `url`")),
            (said("-NOPERM no"), &plain, Some("the user lacks a right")),
            (
                said("-ERR This instance has cluster support disabled"),
                &tls,
                Some("not part of a cluster"),
            ),
            (said("-ERR unknown command 'SENTINEL'"), &plain, Some("not a sentinel")),
            (said("-ERR unknown command `HELLO`, with args beginning with: "), &plain, Some("6.2")),
            (said("-ERR something else"), &plain, None),
            (said("-ERR something else"), &tls, None),
            (broke(ErrorKind::ConnectionReset), &plain, Some("write `rediss://`")),
            (broke(ErrorKind::ConnectionRefused), &plain, Some("nothing listens there")),
            (broke(ErrorKind::TimedOut), &plain, None),
            (broke(ErrorKind::TimedOut), &tls, Some("write `redis://`")),
            (broke(ErrorKind::ConnectionRefused), &tls, Some("nothing listens there")),
        ] {
            let text = describe_connect(&error, address).to_string();
            assert!(text.starts_with("127.0.0.1:1"), "{text}");
            match remedy {
                Some(remedy) => assert!(text.contains(remedy), "{text}"),
                None => assert!(!text.contains(';'), "{text}"),
            }
        }
    }
}

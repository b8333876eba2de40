//! Why a connection cannot be made.

use redis::RedisError;

use super::address::Address;
use super::remedy::{advised, remedy};

/// A connection error, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ConnectError(pub(super) String);

/// Describes a connection error for the log, with advice if the cause is known.
pub(super) fn describe_connect(error: &RedisError, address: &Address) -> ConnectError {
    let (host, port) = (&address.host, address.port);
    if let Some(code) = error.code() {
        let remedy = remedy(code, error.detail().unwrap_or_default());
        return ConnectError(advised(format!("{host}:{port} says {code}"), remedy));
    }
    let what = if error.is_timeout() {
        format!("{host}:{port} does not answer in time")
    } else {
        format!("{host}:{port}: {error}")
    };
    ConnectError(advised(what, without_reply(error, address.tls.is_some())))
}

/// The advice if the server has not replied.
fn without_reply(error: &RedisError, is_encrypted: bool) -> Option<&'static str> {
    if error.is_connection_refusal() {
        return Some("nothing listens there: check the host and the port in `url`");
    }
    if is_encrypted {
        // A server without TLS parses the handshake as a command, and may wait for more input.
        let text = error.to_string();
        let known = TLS.iter().find(|(part, _)| text.contains(part)).map(|(_, remedy)| *remedy);
        let known = known.or(error.is_timeout().then_some(NOT_TLS));
        return known.or(error.is_connection_dropped().then_some(CLOSED));
    }
    error.is_connection_dropped().then_some(PERHAPS_TLS)
}

/// Errors of TLS, by a part of their text.
const TLS: [(&str, &str); 15] = [
    ("UnknownIssuer", "name its certificate authority in `ca_file`"),
    (
        "CaUsedAsEndEntity",
        "its certificate is a CA certificate (CA:TRUE): issue one for the server itself, with \
         `basicConstraints=CA:FALSE`",
    ),
    (
        "UnsupportedCertVersion",
        "its certificate is X.509 version 1: issue one of version 3, with `subjectAltName`",
    ),
    (
        "not valid for name",
        "its certificate is for another name: use that name in `url`, set it as \
         `tls_server_name`, or issue a certificate for the host in `url`, as `subjectAltName`",
    ),
    ("alert: CertificateExpired", "it finds `client_cert_file` expired: renew it"),
    ("expired", "its certificate has expired: renew it"),
    ("Expired", "its certificate has expired: renew it"),
    ("not valid yet", "its certificate is not valid yet: check the clocks"),
    ("NotValidYet", "its certificate is not valid yet: check the clocks"),
    ("CertificateRequired", NO_CLIENT_CERTIFICATE),
    ("HandshakeFailure", NO_CLIENT_CERTIFICATE),
    ("UnknownCA", WRONG_CLIENT_CERTIFICATE),
    ("BadCertificate", WRONG_CLIENT_CERTIFICATE),
    ("CertificateUnknown", WRONG_CLIENT_CERTIFICATE),
    ("corrupt message", NOT_TLS),
];

const NO_CLIENT_CERTIFICATE: &str = "it requires a client certificate: set `client_cert_file` and \
                                     `client_key_file`, or `tls-auth-clients no` on the server";

const WRONG_CLIENT_CERTIFICATE: &str = "it does not accept the certificate in `client_cert_file`: \
                                        is its authority in the server's `tls-ca-cert-file`?";

/// A server that requires a client certificate sends an alert and closes the connection. The close
/// may be seen first.
const CLOSED: &str = "it has closed the connection: if it requires a client certificate, set \
                      `client_cert_file` and `client_key_file`; if it does not speak TLS, write \
                      `redis://` instead of `rediss://`";

const NOT_TLS: &str = "if it does not speak TLS, write `redis://` instead of `rediss://`";

const PERHAPS_TLS: &str = "if it speaks TLS, write `rediss://` instead of `redis://`";

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

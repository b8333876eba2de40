//! Advice for errors of Redis, if their cause is known.

use redis::RedisError;

/// Server errors, by their code and a part of their text in lower case.
const SERVER: [(&str, &str, &str); 15] = [
    ("WRONGPASS", "", "check the user and the password in `url`"),
    (
        "NOAUTH",
        "",
        "it requires a password: check the user and the password in `url`, which are written \
         `user:password@host`",
    ),
    ("NOPERM", "", "the user lacks a right that sessions need: run the check to see which"),
    (
        "DENIED",
        "",
        "it is in protected mode and allows connections from its own machine only: give it a \
         password, or set `protected-mode no`",
    ),
    ("READONLY", "", "it is a read-only replica: name the master in `url`"),
    ("LOADING", "", "it is loading its data: wait"),
    ("OOM", "", "its memory is full: raise `maxmemory`; evicting keys instead would lose sessions"),
    (
        "ERR",
        "without any password",
        "the server has no password: remove yours from `url`, or set `requirepass` on the server",
    ),
    (
        "ERR",
        "no password is set",
        "the server has no password: remove yours from `url`, or set `requirepass` on the server",
    ),
    (
        "ERR",
        "db index is out of range",
        "the server has fewer databases: use a smaller number after the `/` in `url`",
    ),
    ("ERR", "select is not allowed", "it is part of a cluster: write `redis-cluster://`"),
    ("ERR", "max number of clients", "it has too many clients: raise its `maxclients`"),
    (
        "ERR",
        "cluster support disabled",
        "it is not part of a cluster: write `redis://` or `rediss://`",
    ),
    (
        "ERR",
        "unknown command 'sentinel'",
        "it is not a sentinel: write `redis://` or `rediss://` for a server",
    ),
    ("ERR", "unknown command 'hello'", "it is too old: sessions need Redis 6.2 or later"),
];

/// The oldest version that has all commands that sessions need.
pub(super) const MIN_VERSION: (u32, u32) = (6, 2);

pub(super) const TOO_OLD: &str = "is too old: sessions need Redis 6.2 or later";

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

/// Returns the advice for an error, or `None` if the cause is unknown.
pub(super) fn remedy(error: &RedisError, is_encrypted: bool) -> Option<&'static str> {
    let text = error.to_string();
    if let Some(code) = error.code() {
        // Redis 5 quotes commands with backticks.
        let text = text.to_lowercase().replace('`', "'");
        let is_meant = |it: &&(&str, &str, &str)| it.0 == code && text.contains(it.1);
        return SERVER.iter().find(is_meant).map(|(_, _, remedy)| *remedy);
    }
    if error.is_connection_refusal() {
        return Some("nothing listens there: check the host and the port in `url`");
    }
    if is_encrypted {
        // A server without TLS parses the handshake as a command, and may wait for more input.
        let known = TLS.iter().find(|(part, _)| text.contains(part)).map(|(_, remedy)| *remedy);
        let known = known.or(error.is_timeout().then_some(NOT_TLS));
        return known.or(error.is_connection_dropped().then_some(CLOSED));
    }
    error.is_connection_dropped().then_some(PERHAPS_TLS)
}

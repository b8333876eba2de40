//! Hosts, ports and credentials, as parts of a URL.

use percent_encoding::percent_decode_str;

/// A host and an optional port.
pub(crate) type Node = (String, Option<u16>);

pub(super) const NO_URL: &str = "is not the URL of a store; write `rediss://user:password@host:6379`, \
     or `redis://` for a server without TLS, and percent-encode special characters of the password; \
     for a file, write `sqlite:sessions.db`";

pub(super) fn written(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

/// Parses the part before the `@`.
pub(super) fn credentials(login: &str) -> Result<(Option<String>, Option<String>), &'static str> {
    if login.is_empty() {
        return Ok((None, None));
    }
    let Some((username, password)) = login.split_once(':') else {
        return Err("names a user and no password; write `user:password@`, or `:password@` if \
                    there is no user");
    };
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(|it| Some(it.into_owned()).filter(|it| !it.is_empty()))
            .map_err(|_| "has a user or a password that is not UTF-8")
    };
    match (decode(username)?, decode(password)?) {
        (Some(_), None) => Err("names a user and an empty password; write `user:password@`"),
        login => Ok(login),
    }
}

/// Reads `host`, `host:port` or `[address]:port`.
pub(super) fn place(text: &str) -> Result<Node, &'static str> {
    if text.contains(',') {
        return Err("names several hosts before the `?`; write the others as `node=host:port`");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(NO_URL)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| NO_URL)?;
            match port.strip_prefix(':') {
                None if !port.is_empty() => return Err(NO_URL),
                port => (host, port),
            }
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("names no host");
    }
    let is_plain = |it: char| it.is_ascii_alphanumeric() || ".-_:".contains(it);
    if !host.chars().all(is_plain) || host.starts_with('.') || host.contains("..") {
        return Err("names a host with special characters; if they belong to the password, \
                    percent-encode them");
    }
    let port = match port {
        None => None,
        Some(port) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            Some(port.ok_or(
                "has a port that is not a number from 1 to 65535; if what comes after the `:` \
                 belongs to the password, percent-encode its special characters",
            )?)
        }
    };
    Ok((host.to_owned(), port))
}

//! A URL, taken apart.

use std::fmt;

use super::place::{NO_URL, Node, credentials, place, written};
use super::query::{Query, SCHEMES, Servers};

/// A parsed URL. No part of the URL is ignored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) servers: Servers,
    pub(crate) is_encrypted: bool,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
    /// More nodes of a cluster, or more sentinels.
    pub(crate) nodes: Vec<Node>,
}

impl Location {
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        if url.starts_with(['"', '\'']) {
            return Err("is in quotes; remove them");
        }
        if url.starts_with('$') {
            return Err("begins with `$`: a variable was not expanded");
        }
        if url.starts_with("redis-cli ") {
            return Err("is a command; use only the URL in it, which begins with `redis`");
        }
        if url.contains(|it: char| it.is_whitespace() || it.is_control()) {
            return Err("contains white space; percent-encode special characters of the password");
        }
        let (scheme, rest) = url.split_once("://").ok_or(NO_URL)?;
        // RFC 3986, section 3.1: capitals make no difference.
        let scheme = scheme.to_ascii_lowercase();
        if ["http", "https"].contains(&&*scheme) && rest.contains(".upstash.io") {
            return Err("is for Upstash's REST API; use the URL that begins with `rediss://`, \
                        which Upstash shows as well");
        }
        let (is_encrypted, kind) = match scheme.split_once('-').unwrap_or((&scheme, "")) {
            ("redis", kind) => (false, kind),
            ("rediss", kind) => (true, kind),
            _ => return Err(SCHEMES),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(it, f)| (it, Some(f)));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if path.contains('@') || fragment.is_some_and(|it| it.contains('@')) {
            return Err("has an `@` after a `/`, `?` or `#`; percent-encode these characters in \
                        the password, as `%2F`, `%3F` or `%23`");
        }
        if fragment.is_some() {
            return Err("has a part after `#`, such as `#insecure`, which is not supported; \
                        certificates are always checked: name a private authority in `ca_file`");
        }
        let (login, host) = authority.rsplit_once('@').map_or(("", authority), |it| it);
        let (username, password) = credentials(login)?;
        let (host, port) = place(host)?;
        let database = match path.strip_prefix('/').unwrap_or(path) {
            "" => 0,
            text => text.parse().ok().filter(|it| (0..=65_535).contains(it)).ok_or(
                "names a database that is not a number; it is what comes after the `/`: \
                 `redis://host:6379/2`",
            )?,
        };
        let (servers, nodes) = Query::parse(query, kind)?.servers(kind)?;
        if servers == Servers::Cluster && database != 0 {
            return Err("names a database; a cluster has only database 0");
        }
        if !is_encrypted && host.ends_with(".upstash.io") {
            return Err("is a host of Upstash, which accepts only TLS; write `rediss://` instead \
                        of `redis://`");
        }
        Ok(Self { servers, is_encrypted, host, port, username, password, database, nodes })
    }
}

/// Prints the URL without credentials.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "rediss" } else { "redis" };
        let kind = match self.servers {
            Servers::One => "",
            Servers::Cluster => "-cluster",
            Servers::Sentinels { .. } => "-sentinel",
        };
        write!(f, "{scheme}{kind}://{}", written(&self.host, self.port))?;
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        let mut before = '?';
        if let Servers::Sentinels { service, .. } = &self.servers {
            write!(f, "{before}sentinelServiceName={service}")?;
            before = '&';
        }
        for (host, port) in &self.nodes {
            write!(f, "{before}node={}", written(host, *port))?;
            before = '&';
        }
        Ok(())
    }
}

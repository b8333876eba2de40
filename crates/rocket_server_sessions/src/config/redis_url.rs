//! Where Redis is, read from a URL.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::de::{Deserialize, Deserializer};

/// The address of a Redis server, cluster or sentinels, including its password. `Debug` prints it without user and password.
///
/// | scheme | server |
/// |---|---|
/// | `redis://`, `rediss://` | one server |
/// | `redis-sentinel://`, `rediss-sentinel://` | the master that the sentinels report |
/// | `redis-cluster://`, `rediss-cluster://` | a cluster |
///
/// `rediss` is encrypted. The scheme is followed by `[user:password@]host[:port][/database]`.
/// Special characters of the password are percent-encoded: `#` is `%23`, `/` is `%2F`, `?` is
/// `%3F`, `@` is `%40`. Clusters and sentinels take further parameters, which
/// [`Config::url`](crate::Config::url) lists.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The whole address, including the password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns `true` for an empty URL, which means unset.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses the URL. Error messages never contain parts of it.
    pub(crate) fn locate(&self) -> Result<Location, &'static str> {
        Location::parse(&self.0)
    }
}

impl From<&str> for RedisUrl {
    fn from(url: &str) -> Self {
        Self(url.trim().to_owned())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.locate() {
            Ok(location) => location.fmt(f),
            Err(_) => f.write_str("[not a Redis URL]"),
        }
    }
}

impl<'de> Deserialize<'de> for RedisUrl {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(de)?.as_str()))
    }
}

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
    /// Further nodes of a cluster, or further sentinels.
    pub(crate) nodes: Vec<Node>,
}

/// A host and an optional port.
pub(crate) type Node = (String, Option<u16>);

/// The kind of servers at the address.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    One,
    Cluster,
    /// Sentinels, with the name of the master and their own credentials.
    Sentinels {
        service: String,
        username: Option<String>,
        password: Option<String>,
    },
}

const NO_URL: &str = "is not a Redis URL; write `rediss://user:password@host:6379`, or `redis://` \
                      for a server without TLS, and percent-encode special characters of the \
                      password";

const SCHEMES: &str = "must begin with `redis://` or, encrypted, `rediss://`; for a cluster or \
                       sentinels with `redis-cluster://`, `rediss-cluster://`, \
                       `redis-sentinel://` or `rediss-sentinel://`";

impl Location {
    fn parse(url: &str) -> Result<Self, &'static str> {
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
            return Err("has a part after `#`, which is not supported; certificates are always \
                        checked: name a private authority in `ca_file`");
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

fn written(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

/// Parses the part before the `@`.
fn credentials(login: &str) -> Result<(Option<String>, Option<String>), &'static str> {
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
fn place(text: &str) -> Result<Node, &'static str> {
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

/// The part after the `?`.
#[derive(Default)]
struct Query {
    nodes: Vec<Node>,
    service: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Query {
    fn parse(text: &str, kind: &str) -> Result<Self, &'static str> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8().map_err(|_| NO_URL)?.into_owned();
            let before = match name {
                _ if kind.is_empty() => return Err(unknown_parameter(name, kind)),
                "node" => {
                    let node = place(&value).map_err(|_| "has a `node` that is not `host:port`")?;
                    query.nodes.push(node);
                    None
                }
                "sentinelServiceName" => query.service.replace(value),
                "sentinelUsername" => query.username.replace(value),
                "sentinelPassword" => query.password.replace(value),
                _ => return Err(unknown_parameter(name, kind)),
            };
            if before.is_some() {
                return Err("has the same parameter twice");
            }
        }
        Ok(query)
    }

    fn servers(self, kind: &str) -> Result<(Servers, Vec<Node>), &'static str> {
        let Self { nodes, service, username, password } = self;
        let servers = match kind {
            "" => Servers::One,
            "cluster" if service.is_some() || username.is_some() || password.is_some() => {
                return Err("names sentinels, which a cluster does not have");
            }
            "cluster" => Servers::Cluster,
            "sentinel" => {
                if username.is_some() && password.is_none() {
                    return Err("has a `sentinelUsername` without a `sentinelPassword`");
                }
                let service = service.filter(|it| !it.is_empty()).ok_or(
                    "names no master; write `redis-sentinel://host:26379?sentinelServiceName=NAME`",
                )?;
                Servers::Sentinels { service, username, password }
            }
            _ => return Err(SCHEMES),
        };
        Ok((servers, nodes))
    }
}

/// The message does not repeat the parameter: it may be part of a password that contains `?`.
fn unknown_parameter(name: &str, kind: &str) -> &'static str {
    match (name.to_ascii_lowercase().as_str(), kind) {
        ("db" | "database", _) => {
            "has the database as a parameter; write it after a `/`: `redis://host:6379/2`"
        }
        ("tls" | "ssl" | "sslmode", _) => {
            "asks for TLS in a parameter; write `rediss://` instead of `redis://`"
        }
        ("ssl_cert_reqs" | "insecure" | "verify" | "skip_verify", _) => {
            "has a parameter about certificates; they are always checked: name a private authority \
             in `ca_file`"
        }
        ("node", "") => {
            "names further nodes; write `redis-cluster://` or `redis-sentinel://`, or the same \
             with `rediss`"
        }
        (_, "") => {
            "has a part after `?`, and takes no parameters; if it belongs to the password, write \
             the `?` as `%3F`"
        }
        _ => {
            "has an unknown parameter; the parameters are `node`, and for sentinels \
             `sentinelServiceName`, `sentinelUsername` and `sentinelPassword`"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate(url: &str) -> Result<Location, &'static str> {
        RedisUrl::from(url).locate()
    }

    #[test]
    fn every_part_of_a_url_is_read() {
        let read = locate("rediss://al%69ce:w%23or:d@Redis.example:7000/2").unwrap();
        assert!(read.is_encrypted && read.servers == Servers::One);
        assert_eq!(
            (read.host.as_str(), read.port, read.database),
            ("Redis.example", Some(7000), 2)
        );
        assert_eq!(read.username.as_deref(), Some("alice"));
        assert_eq!(read.password.as_deref(), Some("w#or:d"));
        let read = locate("redis://:w@rd@[::1]").unwrap();
        assert!(!read.is_encrypted);
        assert_eq!((read.host.as_str(), read.port, read.database), ("::1", None, 0));
        assert_eq!((read.username, read.password.as_deref()), (None, Some("w@rd")));
        let read = locate("redis-sentinel://h?sentinelServiceName=m&node=[::1]:2&node=b").unwrap();
        assert_eq!(read.nodes, [("::1".to_owned(), Some(2)), ("b".to_owned(), None)]);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_with_its_remedy_and_without_the_password() {
        for (url, remedy) in [
            ("redis://:hunter2@h?db=2", "after a `/`"),
            ("redis://:hunter2@h/0?tls=true", "write `rediss://`"),
            ("redis://:hunter2@h?ssl_cert_reqs=none", "`ca_file`"),
            ("redis://:hunter2@h?protocol=resp3", "takes no parameters"),
            ("redis://:hunter2@h?node=b", "redis-cluster://"),
            ("rediss://:hunter2@h#insecure", "always checked"),
            ("redis://u:hun#hunter2@h:6379", "`%23`"),
            ("redis://u:hun/hunter2@h:6379", "`%2F`"),
            ("redis://u:hun?hunter2@h:6379", "percent-encode"),
            ("redis://hunter2?x@h:6379", "`%3F`"),
            ("redis://u:hunter2@h:port", "a number from 1 to 65535"),
            ("redis://u:hunter2@h:0", "a number from 1 to 65535"),
            ("redis://u:hunter2@h/two", "is not a number"),
            ("redis://u:hunter2@h//2", "is not a number"),
            ("redis://u:hunter2@", "no host"),
            ("redis://u:@h", "empty password"),
            ("redis://hunter2@h", "`:password@`"),
            ("redis://u:hunter2@h,i", "node=host:port"),
            ("redis://u:hunter2@[::1", "percent-encode"),
            ("redis://u:hunter2@münchen.example", "special characters"),
            ("redis-cluster://u:hunter2@h?node=a..b", "host:port"),
            ("redis://u:hun ter2@h", "white space"),
            ("\"redis://u:hunter2@h\"", "quotes"),
            ("redis:hunter2@h", "rediss://user:password@host"),
            ("https://u:hunter2@h", "must begin with"),
            ("unix:///hunter2", "must begin with"),
            ("redis-herd://u:hunter2@h", "must begin with"),
            ("redis://u:hunter2@x.upstash.io", "only TLS"),
            ("redis-cluster://u:hunter2@h/1", "only database 0"),
            ("redis-cluster://u:hunter2@h?sentinelServiceName=m", "which a cluster"),
            ("redis-sentinel://u:hunter2@h", "names no master"),
        ] {
            let error = locate(url).expect_err(url);
            assert!(error.contains(remedy) && !error.contains("hunter2"), "{url}: {error}");
            assert!(!format!("{:?}", RedisUrl::from(url)).contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn place_is_shown_and_no_login() {
        for (url, shown) in [
            ("rediss://default:hunter2@redis.example:6379/0", "rediss://redis.example:6379"),
            ("redis://[::1]:7/3", "redis://[::1]:7/3"),
            (
                "redis-sentinel://:hunter2@a?sentinelServiceName=m&node=b:7&sentinelPassword=hunter2",
                "redis-sentinel://a?sentinelServiceName=m&node=b:7",
            ),
        ] {
            assert_eq!(format!("{:?}", RedisUrl::from(url)), shown);
        }
    }

    proptest::proptest! {
        /// A password can hold anything once it is percent-encoded, and whatever else it is, its
        /// characters are never shown.
        #[test]
        fn encoded_password_is_read_whole_and_raw_one_is_never_shown(word in "[!-~]{6,20}") {
            let set = percent_encoding::NON_ALPHANUMERIC;
            let encoded = percent_encoding::utf8_percent_encode(&word, set);
            let read = locate(&format!("redis://u:{encoded}@h:1")).unwrap();
            proptest::prop_assert_eq!(read.password.as_deref(), Some(word.as_str()));
            let raw = RedisUrl::from(format!("redis://user:{word}@example.com:6379").as_str());
            let shown = format!("{raw:?}");
            proptest::prop_assert!(
                ["redis://example.com:6379", "[not a Redis URL]"].contains(&shown.as_str()),
                "{}", shown
            );
        }
    }
}

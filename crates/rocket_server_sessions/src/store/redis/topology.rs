//! Where Redis is, and how to speak to it: read from a URL, once, at launch.
//!
//! | scheme | what answers |
//! |---|---|
//! | `redis://`, `rediss://` | one server |
//! | `redis-sentinel://`, `rediss-sentinel://` | the master that sentinels name |
//! | `redis-cluster://`, `rediss-cluster://` | the masters of a cluster, each for its slots |
//!
//! The last two name further nodes as `?node=host:port`, as the clients of the field write them.

use std::sync::Arc;

use super::address::{Address, NO_NAME, OpenError, Settings, wrong};
use super::sentinel::Sentinels;

/// What the URL leads to.
pub(super) enum Topology {
    /// One server.
    Server(Address),
    /// The server that sentinels call the master.
    Master(Arc<Sentinels>),
    /// The servers of a cluster, some of which are named.
    Cluster(Vec<Address>),
}

/// The parameters of a URL that names more than one node.
#[derive(Default)]
struct Query {
    nodes: Vec<(String, Option<u16>)>,
    service: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// The port that sentinels listen on, unless told otherwise.
const SENTINEL_PORT: u16 = 26379;

impl Topology {
    pub(super) fn parse(settings: &Settings) -> Result<Self, OpenError> {
        let url = settings.url.expose();
        let ca_file = settings.ca_file.as_deref();
        if let Some((base, query)) = split(url, "-cluster")? {
            if query.service.is_some() || query.username.is_some() || query.password.is_some() {
                return Err(wrong("names sentinels, which a cluster has not"));
            }
            let first = Address::parse(&base, ca_file)?;
            if first.database != 0 {
                return Err(wrong("names a database; a cluster has none but 0"));
            }
            let port = first.port;
            return Ok(Self::Cluster(with_others(first, query.nodes, port)?));
        }
        let Some((base, query)) = split(url, "-sentinel")? else {
            return Address::parse(url, ca_file).map(Self::Server);
        };
        let service = query.service.filter(|it| !it.is_empty()).ok_or_else(|| {
            wrong("names no master; write `redis-sentinel://host:26379?sentinelServiceName=NAME`")
        })?;
        let server = Address::parse(&base, ca_file)?;
        let mut first = server.clone();
        if !has_port(&base) {
            first.port = SENTINEL_PORT;
        }
        (first.username, first.password) = (query.username, query.password);
        first.database = 0;
        let nodes = with_others(first, query.nodes, SENTINEL_PORT)?;
        Ok(Self::Master(Arc::new(Sentinels::new(nodes, service, server))))
    }
}

/// Reads `redis-KIND://…?node=…` as `redis://…` and its query; `None` for another kind.
fn split(url: &str, kind: &str) -> Result<Option<(String, Query)>, OpenError> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(None) };
    let Some(scheme) = scheme.strip_suffix(kind) else { return Ok(None) };
    let (rest, text) = rest.split_once('?').unwrap_or((rest, ""));
    if rest.rsplit('@').next().is_some_and(|hosts| hosts.contains(',')) {
        return Err(wrong(
            "names several hosts before the `?`; write the others as `node=host:port`",
        ));
    }
    let mut query = Query::default();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        let value = value.into_owned();
        let before = match &*name {
            "node" => {
                query.nodes.push(node(&value)?);
                None
            }
            "sentinelServiceName" => query.service.replace(value),
            "sentinelUsername" => query.username.replace(value),
            "sentinelPassword" => query.password.replace(value),
            _ => {
                return Err(wrong(
                    "has an unknown parameter; known are `node`, `sentinelServiceName`, \
                     `sentinelUsername` and `sentinelPassword`",
                ));
            }
        };
        if before.is_some() {
            return Err(wrong("has a parameter twice of which only one counts"));
        }
    }
    if query.username.is_some() && query.password.is_none() {
        return Err(wrong("has a `sentinelUsername` without a `sentinelPassword`"));
    }
    Ok(Some((format!("{scheme}://{rest}"), query)))
}

/// Reads `host:port`, or a host alone.
fn node(text: &str) -> Result<(String, Option<u16>), OpenError> {
    let is_bare = |url: &url::Url| {
        let extras = [url.path(), url.username(), url.query().unwrap_or_default()];
        extras.iter().all(|part| part.is_empty())
            && url.password().or(url.fragment()).is_none()
            && url.host_str().is_some_and(|host| !host.contains(','))
    };
    let url = url::Url::parse(&format!("redis://{text}")).ok().filter(is_bare);
    let parsed = url.and_then(|url| Some((url.host_str()?.to_owned(), url.port())));
    let (host, port) = parsed.ok_or_else(|| wrong("has a `node` that is not `host:port`"))?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

fn has_port(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.port().is_some())
}

fn with_others(
    first: Address,
    others: Vec<(String, Option<u16>)>,
    port: u16,
) -> Result<Vec<Address>, OpenError> {
    let others = others.into_iter().map(|(host, given)| first.at(&host, given.unwrap_or(port)));
    let others = others.collect::<Option<Vec<_>>>().ok_or_else(|| wrong(NO_NAME))?;
    Ok([vec![first], others].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn nodes_of_a_cluster_listen_where_the_first_does_unless_told_otherwise() {
        let url = "redis-cluster://alice:word@a.example:7000?node=b.example:7001&node=c.example";
        let settings = Settings::from_config(&Config::default(), &url.into());
        let Topology::Cluster(nodes) = Topology::parse(&settings).unwrap() else {
            panic!("it is a cluster")
        };
        let places: Vec<_> = nodes.iter().map(|it| (it.host.as_str(), it.port)).collect();
        assert_eq!(places, [("a.example", 7000), ("b.example", 7001), ("c.example", 7000)]);
        assert!(nodes.iter().all(|it| it.password.as_deref() == Some("word")));
    }
}

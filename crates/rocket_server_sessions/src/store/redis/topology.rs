//! The servers that a URL describes.

use std::sync::Arc;

use super::address::Address;
use super::sentinel::Sentinels;
use super::settings::{OpenError, RedisSettings, wrong};
use super::tls::NO_NAME;
use crate::config::{Place, Servers};

/// The kind of setup that a URL describes.
pub(super) enum Topology {
    /// One server.
    Server(Address),
    /// The master that sentinels report.
    Master(Arc<Sentinels>),
    /// Some of the servers of a cluster.
    Cluster(Vec<Address>),
}

/// The default port of sentinels.
const SENTINEL_PORT: u16 = 26379;

impl Topology {
    pub(super) fn parse(settings: &RedisSettings) -> Result<Self, OpenError> {
        let Place::Redis(location) = settings.url.locate().map_err(wrong)? else {
            return Err(wrong("names a SQLite file, not a Redis server"));
        };
        let server = Address::of(&location, settings)?;
        let nodes = location.nodes;
        match location.servers {
            Servers::One => Ok(Self::Server(server)),
            Servers::Cluster => {
                let port = server.port;
                Ok(Self::Cluster(with_others(server, nodes, port)?))
            }
            Servers::Sentinels { service, username, password } => {
                let port = location.port.unwrap_or(SENTINEL_PORT);
                let first = Address { port, username, password, database: 0, ..server.clone() };
                let nodes = with_others(first, nodes, SENTINEL_PORT)?;
                Ok(Self::Master(Arc::new(Sentinels::new(nodes, service, server))))
            }
        }
    }
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
    fn nodes_of_a_cluster_listen_on_the_port_of_the_first_unless_told_otherwise() {
        let url = "redis-cluster://alice:word@a.example:7000?node=b.example:7001&node=c.example";
        let settings = RedisSettings::from_config(&Config::default(), &url.into());
        let Topology::Cluster(nodes) = Topology::parse(&settings).unwrap() else {
            panic!("the URL does not name a cluster")
        };
        let places: Vec<_> = nodes.iter().map(|it| (it.host.as_str(), it.port)).collect();
        assert_eq!(places, [("a.example", 7000), ("b.example", 7001), ("c.example", 7000)]);
        assert!(nodes.iter().all(|it| it.password.as_deref() == Some("word")));
    }
}

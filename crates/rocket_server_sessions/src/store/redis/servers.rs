//! The servers of one store.

use redis::Value;

use super::cluster::Cluster;
use super::pipeline::Pipeline;
use super::pool::Target;
use super::server::Server;
#[cfg(test)]
use super::server_failure::server_failure;
use super::settings::{OpenError, RedisSettings};
use super::topology::Topology;
use crate::store::error::StoreError;

/// The servers that keep the sessions.
pub(super) enum Servers {
    /// One server for all sessions.
    One(Server),
    /// One server for each slot.
    Cluster(Cluster),
    #[cfg(test)]
    Simulated(Box<dyn Simulated>),
}

/// Servers that a test simulates.
#[cfg(test)]
#[rocket::async_trait]
pub(crate) trait Simulated: Send + Sync {
    /// Answers packed commands. They are in units, each of which gets so many replies.
    async fn ask(&self, packed: Vec<u8>, units: Vec<usize>) -> Result<Vec<Value>, StoreError>;
}

impl Servers {
    pub(super) fn open(settings: &RedisSettings) -> Result<Self, OpenError> {
        let one = |target| Self::One(Server::new(target, settings));
        Ok(match Topology::parse(settings)? {
            Topology::Server(address) => one(Target::Server(address)),
            Topology::Master(sentinels) => one(Target::Master(sentinels)),
            Topology::Cluster(seeds) => Self::Cluster(Cluster::new(seeds, settings)),
        })
    }

    /// Sends a pipeline and returns the replies. Errors about the record are returned as replies.
    pub(super) async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        match self {
            Self::One(server) => server.ask(pipeline).await,
            Self::Cluster(cluster) => cluster.ask(pipeline).await,
            #[cfg(test)]
            Self::Simulated(servers) => {
                let units = pipeline.units.iter().map(|unit| unit.replies).collect();
                let replies = servers.ask(pipeline.packed, units).await?;
                server_failure(&replies, false).map_or(Ok(replies), |it| Err(it.error))
            }
        }
    }

    /// Whether all requests are currently refused.
    pub(super) fn is_refusing(&self) -> bool {
        match self {
            Self::One(server) => server.is_refusing(),
            Self::Cluster(_) => false,
            #[cfg(test)]
            Self::Simulated(_) => false,
        }
    }
}

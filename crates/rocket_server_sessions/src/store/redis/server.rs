//! One Redis server, as callers see it.

use std::sync::Arc;
use std::time::Instant;

use redis::Value;
use rocket::tokio;

use super::address::Address;
use super::driver::Driver;
use super::pipeline::Pipeline;
use super::pool::Target;
use super::request::Request;
use super::settings::RedisSettings;
use super::upstream::Upstream;
use crate::store::error::StoreError;

#[cfg(test)]
mod tests;

/// The handle that callers use.
pub(super) struct Server(Arc<Upstream>);

impl Server {
    /// Creates the server. It connects at the first request.
    pub(super) fn new(target: Target, settings: &RedisSettings) -> Self {
        Self(Arc::new(Upstream::new(target, settings, String::new())))
    }

    /// Creates a server of a cluster.
    pub(super) fn in_cluster(address: Address, settings: &RedisSettings) -> Self {
        let name = format!("{}:{}: ", address.host, address.port);
        Self(Arc::new(Upstream::new(Target::Server(address), settings, name)))
    }

    /// Whether all requests are currently refused.
    pub(super) fn is_refusing(&self) -> bool {
        self.0.breaker.admit().is_err()
    }

    /// Sends a pipeline and returns the replies. Errors about the record are returned as replies.
    pub(super) async fn ask(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        self.0.breaker.admit()?;
        let now = Instant::now();
        let (request, reply) = Request::new(pipeline, now, now + self.0.deadline);
        for seat in self.0.queue.push(request)? {
            tokio::spawn(Driver::new(self.0.clone(), seat).run());
        }
        reply.wait().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

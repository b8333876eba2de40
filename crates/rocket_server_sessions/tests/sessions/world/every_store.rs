//! A test for every store, declared once.

use std::sync::Arc;

use rocket_server_sessions::store::{Memory, Store};
#[cfg(feature = "sqlite")]
use rocket_server_sessions::testing::ManualClock;

use super::{World, cluster_store, new_prefix, redis_store};

/// The argument of a test that runs on every store.
pub trait OnEachStore: Sized {
    async fn in_memory() -> Self;
    async fn in_redis() -> Self;
    async fn in_a_cluster() -> Self;
    #[cfg(feature = "sqlite")]
    async fn in_sqlite() -> Self;

    /// Runs a test, and then checks what must hold after every test.
    async fn run(self, test: impl AsyncFnOnce(Self)) {
        test(self).await;
    }
}

impl OnEachStore for World {
    async fn in_memory() -> Self {
        Self::memory().await
    }

    async fn in_redis() -> Self {
        Self::redis().await
    }

    async fn in_a_cluster() -> Self {
        Self::cluster().await
    }

    #[cfg(feature = "sqlite")]
    async fn in_sqlite() -> Self {
        Self::sqlite().await
    }

    async fn run(self, test: impl AsyncFnOnce(Self)) {
        let keys = self.keys.clone();
        test(self).await;
        keys.assert_all_have_a_ttl();
    }
}

impl OnEachStore for Arc<dyn Store> {
    async fn in_memory() -> Self {
        Arc::new(Memory::new(10_000))
    }

    async fn in_redis() -> Self {
        Arc::new(redis_store(&new_prefix()))
    }

    async fn in_a_cluster() -> Self {
        Arc::new(cluster_store(&new_prefix()))
    }

    #[cfg(feature = "sqlite")]
    async fn in_sqlite() -> Self {
        Arc::new(super::database::new_store(ManualClock::now()))
    }
}

/// Declares each function as a test for each store: in memory, in Redis, in a Redis Cluster, and in
/// SQLite.
///
/// Square brackets, because rustfmt formats functions in them.
macro_rules! on_every_store {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: $type:ty $(,)?) $body:block)*) => {$(
        mod $name {
            use super::*;
            use crate::world::OnEachStore;

            $(#[$attribute])*
            async fn test($world: $type) $body

            #[rocket::async_test]
            async fn in_memory() {
                <$type>::in_memory().await.run(test).await;
            }

            #[rocket::async_test]
            async fn in_redis() {
                <$type>::in_redis().await.run(test).await;
            }

            #[rocket::async_test]
            async fn in_a_cluster() {
                <$type>::in_a_cluster().await.run(test).await;
            }

            #[cfg(feature = "sqlite")]
            #[rocket::async_test]
            async fn in_sqlite() {
                <$type>::in_sqlite().await.run(test).await;
            }
        }
    )*};
}
pub(crate) use on_every_store;

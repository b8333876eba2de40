//! The keys that a world has in Redis.

use std::sync::Arc;
use std::time::Duration;

use redis::{Commands, cmd};

use test_support::RedisView;

/// `None` if the world's store is not Redis.
#[derive(Clone)]
pub struct RedisKeys(Option<Arc<Prefix>>);

struct Prefix {
    prefix: String,
    redis: Box<dyn RedisView + Send + Sync>,
}

impl RedisKeys {
    pub fn none() -> Self {
        Self(None)
    }

    pub fn new(prefix: String, redis: impl RedisView + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(Prefix { prefix, redis: Box::new(redis) })))
    }

    pub fn all(&self) -> Vec<String> {
        self.0.as_ref().map_or_else(Vec::new, |it| it.redis.keys(&it.prefix))
    }

    pub fn advance(&self, by: Duration) {
        if let Some(Prefix { prefix, redis }) = self.0.as_deref() {
            redis.advance(prefix, by);
        }
    }

    /// The keys of one type: `hash` or `string`.
    pub fn of_type(&self, kind: &str) -> Vec<String> {
        let is_it = |key: &String| {
            let mut redis = self.connect_to(key);
            cmd("TYPE").arg(key).query::<String>(&mut redis).unwrap() == kind
        };
        self.all().into_iter().filter(is_it).collect()
    }

    /// A connection to the server that has a key.
    pub fn connect_to(&self, key: &str) -> redis::Connection {
        self.0.as_ref().expect("the store is Redis").redis.connect_to(key)
    }

    /// The only key.
    pub fn only(&self) -> String {
        let keys = self.all();
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys[0].clone()
    }

    pub fn assert_all_have_a_ttl(&self) {
        for key in self.all() {
            let ttl: i64 = self.connect_to(&key).ttl(&key).unwrap();
            assert!(ttl >= 0 || ttl == -2, "{key} has no time to live");
        }
    }
}

//! The keys of a Redis server or a cluster, as an operator sees them.

use std::time::Duration;

use redis::{Commands, cmd};

use crate::{Cluster, RedisServer};

/// The Redis that holds the sessions, accessed without the application.
pub trait RedisView {
    /// All keys that begin with `prefix`.
    fn keys(&self, prefix: &str) -> Vec<String>;

    /// A connection to the server that has a key.
    fn connect_to(&self, key: &str) -> redis::Connection;

    /// Lets time pass for all keys that begin with `prefix`: shortens their remaining time to live,
    /// and deletes those that have less left.
    fn advance(&self, prefix: &str, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap();
        for key in self.keys(prefix) {
            let mut redis = self.connect_to(&key);
            // -1 means no time to live, and -2 a key that has just expired.
            match redis.pttl::<_, i64>(&key).unwrap() {
                ttl @ 0.. if ttl <= by => redis.del::<_, ()>(&key).unwrap(),
                ttl @ 0.. => redis.pexpire::<_, ()>(&key, ttl - by).unwrap(),
                _ => {}
            }
        }
    }
}

impl RedisView for RedisServer {
    fn keys(&self, prefix: &str) -> Vec<String> {
        self.keys(prefix)
    }

    fn connect_to(&self, _: &str) -> redis::Connection {
        self.connect()
    }
}

/// A server that is owned elsewhere.
impl RedisView for redis::Client {
    fn keys(&self, prefix: &str) -> Vec<String> {
        cmd("KEYS").arg(format!("{prefix}*")).query(&mut self.connect_to(prefix)).unwrap()
    }

    fn connect_to(&self, _: &str) -> redis::Connection {
        self.get_connection().unwrap()
    }
}

impl RedisView for Cluster {
    fn keys(&self, prefix: &str) -> Vec<String> {
        self.keys(prefix)
    }

    fn connect_to(&self, key: &str) -> redis::Connection {
        self.connect(key)
    }

    fn advance(&self, prefix: &str, by: Duration) {
        for master in self.masters() {
            master.advance(prefix, by);
        }
    }
}

impl<T: RedisView> RedisView for &T {
    fn keys(&self, prefix: &str) -> Vec<String> {
        (**self).keys(prefix)
    }

    fn connect_to(&self, key: &str) -> redis::Connection {
        (**self).connect_to(key)
    }

    fn advance(&self, prefix: &str, by: Duration) {
        (**self).advance(prefix, by);
    }
}

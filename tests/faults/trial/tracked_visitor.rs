//! A visitor whose views the test counts too. It checks each response.

use std::collections::BTreeSet;

use redis::Commands;

use test_support::RedisView;
use test_support::app::{App, Reply, Visitor};

pub struct TrackedVisitor {
    visitor: Visitor,
    /// The count to start from. It is far from that of any other visitor, to detect mix-ups.
    base: u64,
    acknowledged: u64,
    /// Views that got 503: each may have been counted or not.
    unsure: u64,
}

impl TrackedVisitor {
    pub fn new(app: &App, redis: &impl RedisView, number: u64) -> Self {
        let before: BTreeSet<_> = redis.keys("").into_iter().collect();
        let mut visitor = app.visitor();
        visitor.get("/foo");
        // The browser has sent its cookie back, so no later response has a reason to set one.
        visitor.get("/foo");
        let key = redis.keys("").into_iter().find(|key| !before.contains(key)).unwrap();
        let base = number * 1_000_000;
        let _: () = redis.connect_to(&key).hset(&key, "views:/foo", base).unwrap();
        Self { visitor, base, acknowledged: 0, unsure: 0 }
    }

    pub fn cookie(&self) -> Option<&str> {
        self.visitor.cookie.as_deref()
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub fn unsure(&self) -> u64 {
        self.unsure
    }

    /// Views a page, and checks the response against every view so far.
    pub fn view(&mut self) -> Reply {
        let cookie = self.visitor.cookie.clone();
        let reply = self.visitor.get("/foo");
        assert_eq!(reply.header("set-cookie"), None, "a valid cookie was replaced");
        assert_eq!(self.visitor.cookie, cookie);
        for name in ["content-security-policy", "x-content-type-options", "referrer-policy"] {
            assert!(reply.header(name).is_some(), "{name} is missing: {}", reply.head);
        }
        match reply.status {
            200 => self.note_count(reply.views()),
            503 => {
                assert!(reply.header("retry-after").is_some(), "{}", reply.head);
                self.unsure += 1;
            }
            other => panic!("status {other}: {}\n{}", reply.head, reply.body),
        }
        reply
    }

    fn note_count(&mut self, views: u64) {
        let least = self.base + self.acknowledged + 1;
        assert!(
            (least..=least + self.unsure).contains(&views),
            "{views} is neither {least} nor one of {} more",
            self.unsure
        );
        self.acknowledged += 1;
        // Some of the views that were not acknowledged have been counted.
        self.base += views - least;
        self.unsure -= views - least;
    }
}

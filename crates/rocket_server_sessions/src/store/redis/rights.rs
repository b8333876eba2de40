//! The commands that are needed, with the rights that they take.

use redis::{Cmd, cmd};

/// A command, and the right to it.
pub(super) struct Needed {
    /// As a right names it.
    pub(super) name: &'static str,
    /// With what its keys begin.
    pub(super) prefix: String,
    pub(super) command: Cmd,
}

impl Needed {
    pub(super) fn new(name: &'static str, prefix: &str, args: &[&str]) -> Self {
        Self { name, prefix: prefix.to_owned(), command: cmd(name).arg(args).take() }
    }
}

/// The commands that begin a transaction in which others are queued, after one that shows whether it
/// may be executed. It stays open until the connection is closed.
pub(super) fn transaction() -> [Needed; 3] {
    ["MULTI", "EXEC", "MULTI"].map(|name| Needed::new(name, "", &[]))
}

/// The commands of sessions.
pub(super) fn of_sessions(prefix: &str, key: &str) -> Vec<Needed> {
    let other = format!("{key}:other");
    let commands: [(&'static str, &[&str]); 13] = [
        ("HSET", &[key, "a", "1"]),
        ("HGET", &[key, "a"]),
        ("HMGET", &[key, "a", "b"]),
        ("HGETALL", &[key]),
        ("HINCRBY", &[key, "a", "1"]),
        ("HDEL", &[key, "a"]),
        ("EXPIRE", &[key, "1"]),
        ("EXISTS", &[key]),
        ("EVAL", &["return 0", "1", key]),
        ("SET", &[key, "", "NX", "EX", "1"]),
        ("RENAME", &[key, &other]),
        ("DEL", &[key]),
        ("GET", &[key]),
    ];
    commands.into_iter().map(|(name, args)| Needed::new(name, prefix, args)).collect()
}

pub(super) fn of_clusters() -> [Needed; 2] {
    let slots = Needed {
        command: cmd("CLUSTER").arg("SLOTS").take(),
        ..Needed::new("CLUSTER|SLOTS", "", &[])
    };
    [slots, Needed::new("ASKING", "", &[])]
}

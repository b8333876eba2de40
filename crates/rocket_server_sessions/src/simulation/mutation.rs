//! Seeded bugs: each breaks one rule, and the simulation must find it.

use super::reply::Command;

/// A seeded bug, in the text of a script or in the commands that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    None,
    /// A rotation leaves no tombstone.
    NoTombstoneOfRotation,
    /// Destroying a session leaves no tombstone.
    NoTombstoneOfDestruction,
    /// A rotated token's tombstone says that the session was destroyed.
    WrongTombstone,
    /// Tombstones expire after a second.
    ShortTombstone,
    /// Scripts write to a hash without checking its marker.
    NoMarker,
    /// A log-in takes over the session of another user.
    NoOwner,
    /// A user's new place is not added to the index.
    NoIndexEntry,
    /// The user's other places are removed from the index when a new one is added.
    OldEntryFirst,
    /// The last change of a batch is not made.
    HalfBatch,
    /// A place that is found empty when a token is settled or a user's sessions are destroyed gets
    /// no tombstone.
    NoSettlement,
    /// A destroyed record is not deleted, but the reply says that it was.
    NoDeletion,
    /// An inserted value is not written.
    NoInsert,
    /// An orphan key that an increment created is not deleted.
    NoOrphanDeletion,
    /// A new record has no time to live.
    NoExpiry,
}

impl Mutation {
    pub(super) const ALL: [Self; 14] = [
        Self::NoTombstoneOfRotation,
        Self::NoTombstoneOfDestruction,
        Self::WrongTombstone,
        Self::ShortTombstone,
        Self::NoMarker,
        Self::NoOwner,
        Self::NoIndexEntry,
        Self::OldEntryFirst,
        Self::HalfBatch,
        Self::NoSettlement,
        Self::NoDeletion,
        Self::NoInsert,
        Self::NoOrphanDeletion,
        Self::NoExpiry,
    ];

    /// The part of a script's text that is replaced, and its replacement.
    fn replacement(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::NoTombstoneOfRotation => {
                ("redis.call('SET', KEYS[1], 'rotated', 'EX', ARGV[2])", "")
            }
            Self::NoTombstoneOfDestruction => {
                ("redis.pcall('SET', KEYS[1], 'destroyed', 'EX', ARGV[2])", "")
            }
            Self::WrongTombstone => ("'rotated'", "'destroyed'"),
            Self::ShortTombstone => ("'EX', ARGV[2]", "'EX', 1"),
            Self::NoMarker => ("if record['@id'] ~= ARGV[1] then return {'gone'} end", ""),
            Self::NoOwner => {
                ("if ARGV[4] ~= '' and owner and owner ~= ARGV[4] then", "if false then")
            }
            Self::HalfBatch => {
                ("local results = {}", "local results = {} if ops > 1 then ops = ops - 1 end")
            }
            Self::NoDeletion => (
                "redis.call('DEL', KEYS[1])\nredis.pcall",
                "redis.pcall('TYPE', KEYS[1]) redis.pcall",
            ),
            Self::NoInsert => ("redis.call('HSET', KEYS[1], name, value)", ""),
            Self::NoOrphanDeletion => {
                ("if type(id) ~= 'table' and id ~= ARGV[1] then redis.call('DEL', KEYS[1]) end", "")
            }
            Self::NoSettlement => (
                "redis.call('SET', KEYS[1], 'destroyed', 'EX', ARGV[2])\nreturn {'gone'}",
                "return {'gone'}",
            ),
            Self::NoExpiry => ("redis.call('EXPIRE', KEYS[1], ARGV[1])", ""),
            _ => return None,
        })
    }

    /// Changes a unit of commands before it is executed.
    pub(super) fn apply(self, unit: Vec<Command>) -> Vec<Command> {
        if self == Self::None {
            return unit;
        }
        let is_index =
            |it: &Command| it.get(1).is_some_and(|key| key.windows(6).any(|it| it == b"user:{"));
        let is_named = |it: &Command, name: &[u8]| it[0] == name;
        let mut changed = Vec::new();
        for mut command in unit {
            if let Some((from, to)) = self.replacement()
                && is_named(&command, b"EVAL")
            {
                let text = String::from_utf8_lossy(&command[1]).replace(from, to);
                command[1] = text.into_bytes();
            }
            let ping = || vec![b"PING".to_vec()];
            let delete = |key: &Vec<u8>| vec![b"DEL".to_vec(), key.clone()];
            match self {
                Self::NoIndexEntry if is_named(&command, b"HSET") && is_index(&command) => {
                    command = ping();
                }
                Self::OldEntryFirst if is_named(&command, b"HSET") && is_index(&command) => {
                    changed.push(delete(&command[1]));
                }
                _ => {}
            }
            changed.push(command);
        }
        changed
    }
}

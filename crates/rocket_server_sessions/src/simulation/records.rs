//! The live records in the simulated Redis, and the changes that a step has made to them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keyspace::{Data, Keyspace};
use super::machine::Place;
use crate::id::short_hash;

/// The field that makes a hash a record.
const MARKER: &str = "@id";

/// The numbers that the application counts.
pub(super) const COUNTS: [&str; 4] = ["views", "left", "right", "small"];

/// A session's live record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) place: Place,
    pub(super) id: String,
    pub(super) user: Option<String>,
    pub(super) counts: [Option<i64>; 4],
    pub(super) note: Option<String>,
    /// Its own idle timeout.
    pub(super) idle: Option<String>,
}

impl Record {
    fn read(key: &str, data: &Data) -> Option<Self> {
        let (_, rest) = key.split_once(":{")?;
        let (id, _) = rest.split_once("}:")?;
        if data.field(MARKER)? != id {
            return None;
        }
        let user = data.field("@user").map(str::to_owned);
        let note = data.field("note").and_then(|text| serde_json::from_str(text).ok());
        let idle = data.field("@idle").map(str::to_owned);
        let counts = COUNTS.map(|name| data.field(name).and_then(|text| text.parse().ok()));
        Some(Self { place: key.to_owned(), id: id.to_owned(), user, counts, note, idle })
    }

    /// Whether it has no field of the application.
    pub(super) fn is_empty(&self) -> bool {
        self.counts == [None; 4] && self.note.is_none()
    }

    /// Whether the application would see the same in both.
    pub(super) fn holds_same(&self, other: &Self) -> bool {
        self.counts == other.counts && self.note == other.note && self.idle == other.idle
    }

    /// Whether a user's index has an entry that leads here.
    pub(super) fn is_indexed(&self, user: &str, keyspace: &Keyspace) -> bool {
        let Some((prefix, rest)) = self.place.split_once('{') else { return false };
        let hash = rest.split_once("}:").map_or("", |(_, hash)| hash);
        let user = URL_SAFE_NO_PAD.encode(short_hash(user.as_bytes()));
        let index = format!("{prefix}user:{{{user}}}");
        let Some(entry) = keyspace.get(index.as_bytes()) else { return false };
        entry.data.field(&format!("{}:{hash}", self.id)).is_some()
    }
}

/// All live records.
pub(super) fn records(keyspace: &Keyspace) -> Vec<Record> {
    let keys = keyspace.entries();
    keys.filter_map(|(key, it)| Record::read(std::str::from_utf8(key).ok()?, &it.data)).collect()
}

/// The places of all tombstones.
pub(super) fn tombstones(keyspace: &Keyspace) -> impl Iterator<Item = Place> {
    let texts = keyspace.entries().filter(|(_, entry)| matches!(&*entry.data, Data::Text(_)));
    texts.map(|(key, _)| String::from_utf8_lossy(key).into_owned())
}

/// The effect of a unit of commands on one session.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Created(Record),
    Deleted(Record),
    /// It moved, changed, or both.
    Changed {
        before: Record,
        after: Record,
    },
}

impl Effect {
    /// The place whose token is dead afterwards.
    pub(super) fn dead_place(&self) -> Option<&Place> {
        match self {
            Self::Created(_) => None,
            Self::Deleted(record) => Some(&record.place),
            Self::Changed { before, after } => {
                (before.place != after.place).then_some(&before.place)
            }
        }
    }

    /// The record afterwards.
    pub(super) fn after(&self) -> Option<&Record> {
        match self {
            Self::Created(record) | Self::Changed { after: record, .. } => Some(record),
            Self::Deleted(_) => None,
        }
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::Created(record) | Self::Deleted(record) => &record.id,
            Self::Changed { after, .. } => &after.id,
        }
    }
}

pub(super) fn effects(before: &[Record], after: &[Record]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for old in before {
        match after.iter().find(|new| new.id == old.id) {
            None => effects.push(Effect::Deleted(old.clone())),
            Some(new) if new == old => {}
            Some(new) => effects.push(Effect::Changed { before: old.clone(), after: new.clone() }),
        }
    }
    let is_new = |new: &&Record| before.iter().all(|old| old.id != new.id);
    effects.extend(after.iter().filter(is_new).cloned().map(Effect::Created));
    effects
}

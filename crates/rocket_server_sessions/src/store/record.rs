//! A record: its id, its fields, and why its token is dead.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::id::{PublicId, TokenHash};

/// The fields of a record: names, and values as JSON text. Names that begin with `@` are reserved;
/// their values may be any string.
pub type Values = BTreeMap<String, String>;

/// Whether a field is not the application's, but the record's own.
pub(crate) const fn is_reserved(field: &str) -> bool {
    matches!(field.as_bytes(), [b'@', ..])
}

/// The id that a record is stored under: the session's public id, and the hash of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The session's public id. It also determines the cluster slot.
    pub id: PublicId,
    /// The hash of the session's token.
    pub token_hash: TokenHash,
}

impl RecordId {
    /// The id as text: `<public id>:<token hash>`.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    pub(super) fn encode(&self) -> String {
        format!("{}:{}", self.id, self.token_hash.encode())
    }

    /// Parses the output of [`encode`](Self::encode).
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, token_hash) = text.split_once(':')?;
        Some(Self { id: PublicId::parse(id)?, token_hash: TokenHash::parse(token_hash)? })
    }
}

/// The size of a record, as [`max_size`](super::Update::max_size) counts it.
pub(crate) fn size(fields: &Values) -> usize {
    let sizes = fields.iter().filter(|(name, _)| !is_reserved(name));
    sizes.map(|(name, value)| name.len() + value.len()).sum()
}

/// Why a token is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Death {
    /// Its session was destroyed.
    Destroyed,
    /// Its session has another token now.
    Rotated,
}

/// The id of a record that is, was, or is about to be a session of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The record's id.
    pub record: RecordId,
    /// When the entry was written, to the second.
    pub written: SystemTime,
}

//! Revocations: a log-out everywhere reaches sessions of Express that were not imported yet.
//!
//! Nothing tells whose they are, so an index cannot lead to them. Instead, whoever destroys all sessions
//! of a user, or all but one, adds an entry without a place. It says when that was, and which session
//! was kept. An import does not use a log-in that is older.
//!
//! The revocation is added before the places are read, and an import adds its place before it looks for
//! revocations. So at least one of the two finds the other.

#[cfg(feature = "express")]
use super::{PENDING, Scope, TTL, UserIndex};
#[cfg(feature = "express")]
use crate::id::PublicId;
use crate::id::TokenHash;
use crate::store::IndexEntry;
#[cfg(feature = "express")]
use crate::store::{LoggedIn, RecordId, Store, StoreError};
#[cfg(feature = "express")]
use crate::time::whole_seconds;

/// Whether an entry is no place.
pub(super) fn is_revocation(entry: &IndexEntry) -> bool {
    entry.record.token_hash == TokenHash::NIL
}

#[cfg(feature = "express")]
impl UserIndex {
    /// Adds a revocation before these sessions are destroyed, and returns the index. Returns `None` if
    /// no sessions of Express are imported.
    ///
    /// The caller has read the index: adding an entry would replace one that is damaged.
    pub(super) async fn revoke(&self, scope: Scope) -> Result<Option<Vec<IndexEntry>>, StoreError> {
        let kept = match scope {
            Scope::Others(own) => own,
            Scope::All => PublicId::NIL,
            Scope::One(_) => return Ok(None),
        };
        if self.shared.importer.is_none() {
            return Ok(None);
        }
        let written = whole_seconds(self.shared.clock.now());
        let record = RecordId { id: kept, token_hash: TokenHash::NIL };
        let entry = IndexEntry { record, written };
        let entries = self.shared.store.index_add(&self.user, entry, TTL).await?;
        // Earlier revocations say nothing more: sessions that they did not keep are destroyed. The one
        // that keeps none is not deleted, and the others not soon, because a concurrent call may have
        // just replaced their time.
        let oldest = written - PENDING;
        let is_earlier = |it: &&IndexEntry| {
            is_revocation(it) && it.record.id != PublicId::NIL && it.written < oldest
        };
        self.forget(entries.iter().filter(is_earlier).map(|it| it.record).collect());
        Ok(Some(entries))
    }
}

/// Whether the log-in of a session is revoked.
#[cfg(feature = "express")]
pub(crate) fn is_revoked(entries: &[IndexEntry], record: RecordId, login: &LoggedIn) -> bool {
    let mut revocations = entries.iter().filter(|it| is_revocation(it));
    revocations.any(|it| it.record.id != record.id && login.logged_in_at <= it.written)
}

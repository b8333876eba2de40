//! The lock that an operation holds while it changes which session the request is in.

use super::session::{RequestSession, Turn};
use super::state::State;
use crate::error::Result;
use crate::store::Store;

impl RequestSession {
    /// Locks the identity. Settles a token of an operation whose future was dropped, and imports
    /// the session that an old cookie leads to.
    pub(super) async fn lock_identity(&self) -> Result<Turn<'_>> {
        let turn = self.identity_lock.lock().await;
        let pending = match &*self.state.lock() {
            State::Unsettled { pending, .. } => Some(pending.record),
            _ => None,
        };
        if let Some(record) = pending {
            let is_there = self.shared.store.settle(record).await?;
            self.settled(is_there);
        }
        #[cfg(feature = "express")]
        if self.state.lock().is_importable() {
            // It is rare and large, so it must not be part of each operation's future.
            Box::pin(self.import(&turn)).await?;
        }
        Ok(turn)
    }
}

//! The lock that an operation holds while it changes which session the request is in.

use super::session::{RequestSession, Turn};
use super::state::State;
use crate::error::Result;
use crate::store::Store;

impl RequestSession {
    /// Locks the identity, and settles a token of an operation whose future was dropped.
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
        Ok(turn)
    }
}

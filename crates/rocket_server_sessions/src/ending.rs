//! How sessions end: the record is replaced by a tombstone, wherever rotations have moved it.

use rocket::tokio;

use super::error::{Error, Result};
use super::event::{Event, Rejection};
use super::id::PublicId;
use super::lifecycle::Lifecycle;
use super::sign_in::SignIn;
use super::store::{Answer, Read, RecordId, Request, Successor, Trace, USER};

/// SessionFairing that have ended, if any, and whose they were.
pub(super) struct Ended {
    pub(super) user: String,
    pub(super) handles: Vec<PublicId>,
}

impl Lifecycle<'_> {
    /// Ends the session. What is to be struck off its user's list then, comes back.
    pub(super) async fn end(&self) -> Result<Option<Ended>> {
        let _turn = self.visit.turnstile.lock().await;
        let Some(holding) = self.visit.holding() else { return Ok(None) };
        // A secret that is worth nothing any more does not end the session of the new one.
        let is_in_time = |it: &Successor| self.now() < it.until;
        let user = self.end_record(holding.record, is_in_time).await?;
        self.visit.ended();
        Ok(user.map(|user| Ended { user, handles: vec![holding.record.id] }))
    }

    /// Takes sessions that have ended off their user's list. An entry that stays is passed over,
    /// and lapses: so no failure matters, and nobody waits longer than the deadline.
    pub(super) async fn strike(&self, ended: &Ended) {
        if ended.handles.is_empty() {
            return;
        }
        let wait = self.visit.wait();
        let rest = self.layer.config.deadline.saturating_sub(wait.so_far());
        let _ =
            tokio::time::timeout(rest, self.layer.store.strike(&ended.user, &ended.handles)).await;
    }

    /// Ends a record and every successor that rotations have made of it and `may_follow` allows,
    /// and says whose it was.
    ///
    /// The last comes first: where this is interrupted, the tombstones before it still lead there.
    pub(super) async fn end_record(
        &self,
        record: RecordId,
        may_follow: impl Fn(&Successor) -> bool,
    ) -> Result<Option<String>> {
        let store = &self.layer.store;
        let look = Request::look(Read::Some(vec![USER.to_owned()]));
        let (mut last, mut before, mut user) = (record, Vec::new(), None);
        loop {
            match store.apply(last, &look).await? {
                Answer::Live(live) => user = SignIn::of(&live.fields).map(|it| it.user),
                Answer::Gone => {}
                Answer::Tombstone(_) => {
                    if let Trace::Rotated(successor) = store.trace(last).await? {
                        if !may_follow(&successor) {
                            self.reject(last, Rejection::StaleToken(last.id));
                            return Ok(None);
                        }
                        before.push(last);
                        last.token_hash = successor.token_hash;
                        continue;
                    }
                }
            }
            break;
        }
        self.entomb(last).await?;
        for record in before.into_iter().rev() {
            self.entomb(record).await.map_err(Error::midway)?;
        }
        Ok(user)
    }

    /// Puts a tombstone where a record is, and where a rotation beside this call has moved it.
    async fn entomb(&self, mut record: RecordId) -> Result<()> {
        let ttl = self.layer.config.tombstone_ttl(record.id, self.now());
        loop {
            // Every turn leaves a tombstone without a successor, so the chain only gets shorter.
            match self.layer.store.end(record, ttl).await? {
                Trace::Rotated(Successor { token_hash, .. }) => record.token_hash = token_hash,
                Trace::Live => {
                    self.layer.tell(Event::Destroyed(record.id));
                    return Ok(());
                }
                Trace::Gone | Trace::Ended => return Ok(()),
            }
        }
    }
}

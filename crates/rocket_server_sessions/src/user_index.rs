//! The index of a user's sessions: which there are, and how they are destroyed from elsewhere.
//!
//! The index has an entry for each place (public id and token hash) in which a session of the user
//! is, was, or is about to be. It is only a way to find records. Whether one lives, and who is
//! logged in, the record itself says, so nothing has to change in two keys at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rocket::futures::future::try_join_all;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::PublicId;
use crate::setup::sessions::{Sessions, detach};
use crate::store::{
    Death, DestroyResult, IndexEntry, LoggedIn, RecordId, RecordStatus, RotateResult, StoreError,
};

/// An entry whose place has been empty for so long is removed when the index is read. No log-in takes
/// as long, and clocks may differ by minutes. If they differ by more, a log-in fails, and no session
/// is lost sight of.
const PRUNE_AFTER: Duration = Duration::from_secs(600);

/// How often a session that moves while it is being destroyed is followed.
const MAX_PASSES: usize = 16;

#[derive(Clone)]
pub(crate) struct UserIndex {
    sessions: Arc<Sessions>,
    user: String,
}

/// A session in which the user is logged in.
pub(crate) struct Active {
    pub(crate) record: RecordId,
    pub(crate) login: LoggedIn,
    pub(crate) seen: Option<SystemTime>,
}

impl UserIndex {
    pub(crate) fn new(sessions: &Arc<Sessions>, user: &str) -> Self {
        Self { sessions: sessions.clone(), user: user.to_owned() }
    }

    /// Enters a place, and returns the whole index.
    pub(crate) async fn add(&self, record: RecordId) -> Result<Vec<IndexEntry>> {
        let entry = IndexEntry { record, written: self.sessions.clock.now() };
        let ttl = self.sessions.config.absolute_lifetime;
        Ok(self.sessions.store.index_add(&self.user, entry, ttl).await?)
    }

    /// Removes places. The caller does not wait for it: an entry that stays leads to nothing.
    pub(crate) fn forget(&self, records: Vec<RecordId>) {
        if records.is_empty() {
            return;
        }
        let (sessions, user) = (self.sessions.clone(), self.user.clone());
        detach(async move { drop(sessions.store.index_remove(&user, &records).await) });
    }

    /// Removes the place that a rotation has left, or the one that it has not reached. If that is not
    /// known, both stay.
    pub(crate) fn forget_after(&self, result: &Result<RotateResult>, old: RecordId, new: RecordId) {
        match result {
            Ok(RotateResult::Rotated) => self.forget(vec![old]),
            Ok(_) | Err(Error::Unavailable { .. }) => self.forget(vec![new]),
            Err(_) => {}
        }
    }

    /// The sessions in which the user is logged in. Entries that lead to nothing any more are removed.
    pub(crate) async fn active(&self) -> Result<Vec<Active>> {
        let entries = self.sessions.store.index(&self.user).await?;
        self.resolve(entries).await
    }

    async fn resolve(&self, entries: Vec<IndexEntry>) -> Result<Vec<Active>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let records: Vec<_> = entries.iter().map(|it| it.record).collect();
        let status = self.sessions.store.status(&records).await?;
        let oldest = self.sessions.clock.now() - PRUNE_AFTER;
        let (mut active, mut stale, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, status) in entries.into_iter().zip(status) {
            match status {
                RecordStatus::Live { seen, user: Some(login) } if login.user == self.user => {
                    active.push(Active { record: entry.record, login, seen });
                }
                RecordStatus::Live { .. } | RecordStatus::Dead => stale.push(entry.record),
                RecordStatus::Gone if entry.written < oldest => empty.push(entry.record),
                // A log-in may be about to move there.
                RecordStatus::Gone => {}
            }
        }
        self.forget(stale);
        if !empty.is_empty() {
            let index = self.clone();
            detach(async move { drop(index.prune(empty).await) });
        }
        Ok(active)
    }

    /// Removes places that are empty, and makes sure that they stay so.
    async fn prune(&self, empty: Vec<RecordId>) -> Result<(), StoreError> {
        let store = &self.sessions.store;
        let settled = try_join_all(empty.iter().map(|record| store.settle(*record))).await?;
        let is_empty = |(record, is_live): (&RecordId, bool)| (!is_live).then_some(*record);
        let empty: Vec<_> = empty.iter().zip(settled).filter_map(is_empty).collect();
        store.index_remove(&self.user, &empty).await
    }

    /// Destroys the sessions with the public ids that are meant, wherever they are or move meanwhile.
    /// A log-in that has entered its place and not reached it yet will fail.
    pub(crate) async fn destroy(
        &self,
        is_meant: impl Fn(PublicId) -> bool,
    ) -> Result<Vec<RecordId>> {
        let store = &self.sessions.store;
        let mut handled = BTreeSet::new();
        let mut destroyed = Vec::new();
        // Sessions that had moved on from a place when they were to be destroyed there.
        let mut moved: Option<BTreeSet<PublicId>> = None;
        for _ in 0..MAX_PASSES {
            let entries = store.index(&self.user).await;
            let entries = entries.map_err(|error| partly(error.into(), &handled))?;
            let is_left = |record: &RecordId| {
                is_meant(record.id)
                    && !handled.contains(record)
                    && moved.as_ref().is_none_or(|moved| moved.contains(&record.id))
            };
            let records: Vec<_> = entries.into_iter().map(|it| it.record).filter(is_left).collect();
            if records.is_empty() {
                break;
            }
            let results: BTreeMap<_, _> = self.destroy_at(&records, &handled).await?;
            handled.extend(records.iter().copied());
            let mut gone_on = BTreeSet::new();
            for (record, result) in results {
                match result {
                    DestroyResult::Destroyed(_) => destroyed.push(record),
                    DestroyResult::Dead(Death::Rotated) => drop(gone_on.insert(record.id)),
                    _ => {}
                }
            }
            for record in &destroyed {
                gone_on.remove(&record.id);
            }
            if gone_on.is_empty() {
                break;
            }
            moved = Some(gone_on);
        }
        self.forget(handled.into_iter().collect());
        Ok(destroyed)
    }

    async fn destroy_at(
        &self,
        records: &[RecordId],
        handled: &BTreeSet<RecordId>,
    ) -> Result<BTreeMap<RecordId, DestroyResult>> {
        let calls = records.iter().map(|record| async move {
            let result = self.sessions.store.destroy(*record, Some(&self.user)).await?;
            if let DestroyResult::Destroyed(_) = result {
                self.sessions.emit(Event::Destroyed(record.id));
            }
            Ok::<_, StoreError>((*record, result))
        });
        let results = try_join_all(calls).await;
        let may_be_partial = records.len() > 1 || !handled.is_empty();
        Ok(results
            .map_err(|error| {
                let error = Error::from(error);
                if may_be_partial { error.partially_applied() } else { error }
            })?
            .into_iter()
            .collect())
    }

    /// Destroys the oldest log-ins if there are too many. `own` stays. The log-in is done by then, so
    /// a failure is only logged.
    pub(crate) async fn enforce_limit(&self, entries: Vec<IndexEntry>, own: RecordId) {
        let limit = self.sessions.config.max_user_sessions;
        if entries.len() <= limit {
            return;
        }
        if let Err(error) = self.destroy_oldest(entries, own, limit).await {
            log::warn!("a user's oldest sessions beyond {limit} were not destroyed: {error}");
        }
    }

    async fn destroy_oldest(
        &self,
        entries: Vec<IndexEntry>,
        own: RecordId,
        limit: usize,
    ) -> Result<()> {
        let mut active = self.resolve(entries).await?;
        active.sort_by_key(|it| (it.record.id == own.id, it.login.since, it.record));
        active.truncate(active.len().saturating_sub(limit));
        let records: Vec<_> = active.iter().map(|it| it.record).collect();
        self.destroy_at(&records, &BTreeSet::new()).await?;
        self.forget(records);
        Ok(())
    }
}

/// An error after some of the sessions may have been destroyed.
fn partly(error: Error, handled: &BTreeSet<RecordId>) -> Error {
    if handled.is_empty() { error } else { error.partially_applied() }
}

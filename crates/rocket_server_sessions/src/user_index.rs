//! The index of a user's sessions: which there are, and how they are destroyed from elsewhere.
//!
//! The index has an entry for each place (public id and token hash) in which a session of the user
//! is, was, or is about to be. It is only a way to find records. Whether one lives, and who is
//! logged in, the record itself says, so nothing has to change in two keys at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rocket::futures::future::try_join_all;
use rocket::futures::stream::{self, StreamExt};

use crate::config::MAX_LIFETIME;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::PublicId;
use crate::setup::sessions::{Sessions, detach};
use crate::store::{
    Death, DestroyResult, IndexEntry, LoggedIn, RecordId, RecordStatus, RotateResult, StoreError,
};

/// A place that has been empty for so long is no log-in under way: clocks may differ by minutes, and
/// no log-in takes as long. If clocks differ by more, a log-in fails, and no session is lost sight of.
const PENDING: Duration = Duration::from_mins(10);

/// How long an index lives after the last log-in: longer than any session may, also if the setting is
/// raised meanwhile.
const TTL: Duration = MAX_LIFETIME.saturating_add(Duration::from_hours(1));

/// How many sessions are destroyed at a time.
const MAX_AT_ONCE: usize = 16;

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
        Ok(self.sessions.store.index_add(&self.user, entry, TTL).await?)
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
        let (active, has_moved) = self.resolve(entries).await?;
        if !has_moved {
            return Ok(active);
        }
        // A session may have moved between the two looks.
        let entries = self.sessions.store.index(&self.user).await?;
        Ok(self.resolve(entries).await?.0)
    }

    /// What the entries lead to, and whether a session that is not among that may have moved.
    async fn resolve(&self, entries: Vec<IndexEntry>) -> Result<(Vec<Active>, bool)> {
        if entries.is_empty() {
            return Ok((Vec::new(), false));
        }
        let records: Vec<_> = entries.iter().map(|it| it.record).collect();
        let status = self.sessions.store.status(&records).await?;
        let oldest = self.sessions.clock.now() - PENDING;
        let (mut active, mut stale, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        let mut dead = Vec::new();
        for (entry, status) in entries.into_iter().zip(status) {
            match status {
                RecordStatus::Live { seen, user: Some(login) } if login.user == self.user => {
                    active.push(Active { record: entry.record, login, seen });
                }
                RecordStatus::Live { .. } => stale.push(entry.record),
                RecordStatus::Dead => dead.push(entry.record),
                RecordStatus::Gone if entry.written < oldest => empty.push(entry.record),
                // A log-in may be about to move there.
                RecordStatus::Gone => {}
            }
        }
        let is_listed = |it: &RecordId| active.iter().any(|active| active.record.id == it.id);
        let has_moved = !dead.iter().all(is_listed);
        stale.extend(dead);
        self.forget(stale);
        if !empty.is_empty() {
            let index = self.clone();
            detach(async move { drop(index.prune(empty).await) });
        }
        Ok((active, has_moved))
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
    ///
    /// All that can be destroyed is, also if some of it fails.
    pub(crate) async fn destroy(
        &self,
        is_meant: impl Fn(PublicId) -> bool,
    ) -> Result<Vec<RecordId>> {
        let mut handled = BTreeSet::new();
        let mut destroyed = Vec::new();
        // Sessions that had moved on from a place when they were to be destroyed there.
        let mut moved: Option<BTreeSet<PublicId>> = None;
        for _ in 0..MAX_PASSES {
            let entries = self.sessions.store.index(&self.user).await;
            let entries = entries.map_err(|error| partly(error, &destroyed))?;
            let is_left = |it: &IndexEntry| {
                is_meant(it.record.id)
                    && !handled.contains(&it.record)
                    && moved.as_ref().is_none_or(|moved| moved.contains(&it.record.id))
            };
            let entries: Vec<_> = entries.into_iter().filter(is_left).collect();
            handled.extend(entries.iter().map(|it| it.record));
            let ends = self.destroy_at(entries).await;
            let mut gone_on = BTreeSet::new();
            let mut failure = None;
            for (record, end) in ends {
                match end {
                    Ok(DestroyResult::Destroyed(_)) => destroyed.push(record),
                    Ok(DestroyResult::Dead(Death::Rotated)) => drop(gone_on.insert(record.id)),
                    Ok(_) => {}
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = failure {
                return Err(partly(error, &destroyed));
            }
            for record in &destroyed {
                gone_on.remove(&record.id);
            }
            if gone_on.is_empty() {
                return Ok(destroyed);
            }
            moved = Some(gone_on);
        }
        let error = StoreError::unanswered("a session moves faster than it can be destroyed");
        Err(error.into())
    }

    /// Destroys what is in these places. A place that a log-in may be about to reach is barred, and
    /// keeps its entry for as long.
    async fn destroy_at(
        &self,
        entries: Vec<IndexEntry>,
    ) -> Vec<(RecordId, Result<DestroyResult, StoreError>)> {
        let oldest = self.sessions.clock.now() - PENDING;
        let calls = entries.into_iter().map(|IndexEntry { record, written }| async move {
            let is_pending = written >= oldest;
            (record, self.destroy_one(record, is_pending).await, is_pending)
        });
        let ends: Vec<_> = stream::iter(calls).buffer_unordered(MAX_AT_ONCE).collect().await;
        let is_over = |(record, end, is_pending): &(RecordId, Result<_, _>, bool)| match end {
            Ok(DestroyResult::Gone) if *is_pending => None,
            Ok(_) => Some(*record),
            Err(_) => None,
        };
        self.forget(ends.iter().filter_map(is_over).collect());
        ends.into_iter().map(|(record, end, _)| (record, end)).collect()
    }

    async fn destroy_one(
        &self,
        record: RecordId,
        is_pending: bool,
    ) -> Result<DestroyResult, StoreError> {
        let store = &self.sessions.store;
        let mut end = store.destroy(record, Some(&self.user)).await?;
        if end == DestroyResult::Gone && is_pending && store.settle(record).await? {
            end = store.destroy(record, Some(&self.user)).await?;
        }
        if let DestroyResult::Destroyed(_) = end {
            self.sessions.emit(Event::Destroyed(record.id));
        }
        Ok(end)
    }

    /// Destroys the oldest log-ins if there are too many. `own` stays. The log-in is done by then, so
    /// the caller does not wait for it, and a failure is only logged.
    pub(crate) fn enforce_limit(&self, entries: Vec<IndexEntry>, own: RecordId) {
        let limit = self.sessions.config.max_user_sessions;
        if entries.len() <= limit {
            return;
        }
        let index = self.clone();
        detach(async move {
            if let Err(error) = index.destroy_oldest(entries, own, limit).await {
                log::warn!("a user's oldest sessions beyond {limit} were not destroyed: {error}");
            }
        });
    }

    async fn destroy_oldest(
        &self,
        entries: Vec<IndexEntry>,
        own: RecordId,
        limit: usize,
    ) -> Result<()> {
        let (mut active, _) = self.resolve(entries).await?;
        active.sort_by_key(|it| (it.record.id == own.id, it.login.since, it.record));
        active.truncate(active.len().saturating_sub(limit));
        let entry = |it: &Active| IndexEntry { record: it.record, written: it.login.since };
        for (_, end) in self.destroy_at(active.iter().map(entry).collect()).await {
            end?;
        }
        Ok(())
    }
}

/// An error after some of the sessions may have been destroyed.
fn partly(error: StoreError, destroyed: &[RecordId]) -> Error {
    let error = Error::from(error);
    if destroyed.is_empty() { error } else { error.partially_applied() }
}

//! The index of a user's sessions.
//!
//! The index has an entry for each place (public id and token hash) that contains, contained, or is
//! about to contain a session of the user. It only locates records. Whether a session is live, and
//! who is logged in, is read from the record, so no change needs two keys.

mod revocation;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rocket::futures::future::try_join_all;
use rocket::futures::stream::{self, StreamExt};

use crate::background::detach;
use crate::config::MAX_LIFETIME;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::PublicId;
use crate::shared::Shared;
use crate::store::{
    Death, DestroyResult, IndexEntry, LoggedIn, RecordId, RecordStatus, RotateResult, Store,
    StoreError, StoreErrorKind,
};

use revocation::is_revocation;
#[cfg(feature = "express")]
pub(crate) use revocation::is_revoked;

/// An entry whose place has been empty for this long is not a log-in in progress. The margin allows
/// for clock differences. With larger ones, a log-in may fail, but no session is missed.
const PENDING: Duration = Duration::from_mins(10);

/// The time to live of an index after the last log-in: longer than that of any session, even if
/// `absolute_lifetime` is raised later.
const TTL: Duration = MAX_LIFETIME.saturating_add(Duration::from_hours(1));

/// How many sessions are destroyed concurrently.
const MAX_AT_ONCE: usize = 16;

/// How often the index is read again if sessions are rotated while being destroyed.
const MAX_PASSES: usize = 16;

/// Which sessions of a user are destroyed.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    One(PublicId),
    /// All but this one.
    Others(PublicId),
    All,
}

impl Scope {
    fn includes(self, id: PublicId) -> bool {
        match self {
            Self::One(one) => id == one,
            Self::Others(own) => id != own,
            Self::All => true,
        }
    }
}

#[derive(Clone)]
pub(crate) struct UserIndex {
    shared: Arc<Shared>,
    user: String,
}

/// A session in which the user is logged in.
pub(crate) struct Active {
    pub(crate) record: RecordId,
    pub(crate) login: LoggedIn,
    pub(crate) seen: Option<SystemTime>,
}

impl UserIndex {
    pub(crate) fn new(shared: &Arc<Shared>, user: &str) -> Self {
        Self { shared: shared.clone(), user: user.to_owned() }
    }

    /// Adds an entry, and returns the whole index.
    pub(crate) async fn add(&self, record: RecordId) -> Result<Vec<IndexEntry>> {
        let entry = IndexEntry { record, written: self.shared.clock.now() };
        Ok(self.shared.store.index_add(&self.user, entry, TTL).await?)
    }

    /// Removes entries in the background. A stale entry does no harm.
    pub(crate) fn forget(&self, records: Vec<RecordId>) {
        if records.is_empty() {
            return;
        }
        let (shared, user) = (self.shared.clone(), self.user.clone());
        detach(async move { drop(shared.store.index_remove(&user, &records).await) });
    }

    /// After a rotation, removes the old entry if it succeeded, or the new one if it failed. If the
    /// outcome is unknown, keeps both.
    pub(crate) fn forget_after(
        &self,
        result: &Result<RotateResult, StoreError>,
        old: RecordId,
        new: RecordId,
    ) {
        match result {
            Ok(RotateResult::Rotated) => self.forget(vec![old]),
            Ok(_) | Err(StoreError { kind: StoreErrorKind::Refused, .. }) => {
                self.forget(vec![new]);
            }
            Err(_) => {}
        }
    }

    /// The sessions in which the user is logged in. Stale entries are removed.
    pub(crate) async fn active(&self) -> Result<Vec<Active>> {
        let entries = self.shared.store.index(&self.user).await?;
        let (active, has_moved) = self.resolve(entries).await?;
        if !has_moved {
            return Ok(active);
        }
        // A session may have been rotated between the two reads.
        let entries = self.shared.store.index(&self.user).await?;
        Ok(self.resolve(entries).await?.0)
    }

    /// Returns the active sessions, and whether another session may have been rotated meanwhile.
    async fn resolve(&self, mut entries: Vec<IndexEntry>) -> Result<(Vec<Active>, bool)> {
        entries.retain(|it| !is_revocation(it));
        if entries.is_empty() {
            return Ok((Vec::new(), false));
        }
        let records: Vec<_> = entries.iter().map(|it| it.record).collect();
        let status = self.shared.store.status(&records).await?;
        let oldest = self.shared.clock.now() - PENDING;
        let (mut active, mut stale, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        let mut dead = Vec::new();
        for (entry, status) in entries.into_iter().zip(status) {
            match status {
                RecordStatus::Live { seen, user: Some(login) } if login.name == self.user => {
                    active.push(Active { record: entry.record, login, seen });
                }
                RecordStatus::Live { .. } => stale.push(entry.record),
                RecordStatus::Dead => dead.push(entry.record),
                RecordStatus::Gone if entry.written < oldest => empty.push(entry.record),
                // A log-in may be about to create a record there.
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

    /// Writes tombstones to empty places, then removes their entries.
    async fn prune(&self, empty: Vec<RecordId>) -> Result<(), StoreError> {
        let store = &self.shared.store;
        let settled = try_join_all(empty.iter().map(|record| store.settle(*record))).await?;
        let is_empty = |(record, is_live): (&RecordId, bool)| (!is_live).then_some(*record);
        let empty: Vec<_> = empty.iter().zip(settled).filter_map(is_empty).collect();
        store.index_remove(&self.user, &empty).await
    }

    /// Destroys sessions, even if they are rotated meanwhile. A log-in that has added its entry but
    /// not yet its record fails.
    ///
    /// If some fail, the others are still destroyed.
    pub(crate) async fn destroy(&self, scope: Scope) -> Result<Vec<RecordId>> {
        let entries = self.shared.store.index(&self.user).await?;
        #[cfg(feature = "express")]
        match self.revoke(scope).await {
            Ok(None) => {}
            Ok(Some(entries)) => {
                let destroyed = self.destroy_listed(scope, entries).await;
                return destroyed.map_err(Error::partially_applied);
            }
            // A store that is full refuses new entries, but can still destroy sessions.
            Err(error) => {
                let destroyed = self.destroy_listed(scope, entries).await?;
                return Err(partly(error, &destroyed));
            }
        }
        self.destroy_listed(scope, entries).await
    }

    async fn destroy_listed(
        &self,
        scope: Scope,
        mut entries: Vec<IndexEntry>,
    ) -> Result<Vec<RecordId>> {
        let mut handled = BTreeSet::new();
        let mut destroyed = Vec::new();
        // Sessions that were rotated before they could be destroyed.
        let mut moved: Option<BTreeSet<PublicId>> = None;
        for _ in 0..MAX_PASSES {
            let is_left = |it: &IndexEntry| {
                !is_revocation(it)
                    && scope.includes(it.record.id)
                    && !handled.contains(&it.record)
                    && moved.as_ref().is_none_or(|moved| moved.contains(&it.record.id))
            };
            let left: Vec<_> = entries.into_iter().filter(is_left).collect();
            handled.extend(left.iter().map(|it| it.record));
            let ends = self.destroy_at(left).await;
            let mut gone_on = BTreeSet::new();
            let mut failures = Vec::new();
            for (record, end) in ends {
                match end {
                    Ok(DestroyResult::Destroyed(_)) => destroyed.push(record),
                    Ok(DestroyResult::Dead(Death::Rotated)) => drop(gone_on.insert(record.id)),
                    Ok(_) => {}
                    Err(error) => failures.push(error),
                }
            }
            if let Some(error) = least_certain(failures) {
                return Err(partly(error, &destroyed));
            }
            for record in &destroyed {
                gone_on.remove(&record.id);
            }
            if gone_on.is_empty() {
                return Ok(destroyed);
            }
            moved = Some(gone_on);
            let again = self.shared.store.index(&self.user).await;
            entries = again.map_err(|error| partly(error, &destroyed))?;
        }
        let error = StoreError::outcome_unknown(
            "a session was rotated repeatedly while it was being destroyed",
        );
        Err(error.into())
    }

    /// Destroys the sessions in these places. Writes tombstones to places of log-ins in progress,
    /// and keeps their entries.
    async fn destroy_at(
        &self,
        entries: Vec<IndexEntry>,
    ) -> Vec<(RecordId, Result<DestroyResult, StoreError>)> {
        let oldest = self.shared.clock.now() - PENDING;
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
        let store = &self.shared.store;
        let mut end = store.destroy(record, Some(&self.user)).await?;
        if end == DestroyResult::Gone && is_pending && store.settle(record).await? {
            end = store.destroy(record, Some(&self.user)).await?;
        }
        if let DestroyResult::Destroyed(_) = end {
            self.shared.emit(Event::Destroyed(record.id));
        }
        Ok(end)
    }

    /// Destroys the oldest log-ins if there are too many. `own` stays. Runs in the background;
    /// failures are logged.
    pub(crate) fn enforce_limit(&self, entries: Vec<IndexEntry>, own: RecordId) {
        let limit = self.shared.config.max_user_sessions;
        if entries.iter().filter(|it| !is_revocation(it)).count() <= limit {
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
        active.sort_by_key(|it| (it.record.id == own.id, it.login.logged_in_at, it.record));
        active.truncate(active.len().saturating_sub(limit));
        let entry = |it: &Active| IndexEntry { record: it.record, written: it.login.logged_in_at };
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

/// The error of several calls: if any of them may have been applied, it says so.
fn least_certain(errors: Vec<StoreError>) -> Option<StoreError> {
    errors.into_iter().max_by_key(|it| it.kind == StoreErrorKind::OutcomeUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_of_several_calls_is_unknown_if_that_of_any_is() {
        let (refused, unanswered) = (StoreError::refused("a"), StoreError::outcome_unknown("b"));
        for errors in [[refused.clone(), unanswered.clone()], [unanswered, refused.clone()]] {
            let error = least_certain(errors.to_vec()).unwrap();
            assert_eq!(error.kind, StoreErrorKind::OutcomeUnknown);
        }
        assert_eq!(least_certain(vec![refused]).unwrap().kind, StoreErrorKind::Refused);
    }
}

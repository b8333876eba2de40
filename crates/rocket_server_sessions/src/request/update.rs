//! Reads and changes of the session's fields.

use rocket::tokio::time::Instant;

use super::session::RequestSession;
use super::state::{Identity, Next};
use crate::config::OnOutage;
use crate::error::{Error, Result};
use crate::store::{
    Applied, Op, OpResult, Selection, Store, Update, UpdateResult, Values, is_reserved, size,
};

/// How often an operation is retried if a concurrent operation of the same request changed the
/// session.
const MAX_STEPS: usize = 8;

impl RequestSession {
    /// Applies changes and reads fields afterwards. The results are in the order of the changes.
    pub(crate) async fn run(&self, update: Update) -> Result<Applied> {
        self.check(&update.ops)?;
        if !update.ops.is_empty() {
            return self.with_deadline(self.attempt(&update)).await;
        }
        let is_anonymous = self.shared.config.on_outage == OnOutage::Anonymous;
        match self.with_deadline(self.attempt(&update)).await {
            // Reads return nothing only if the store has not answered in this request before. It is
            // not asked again, so the request stays consistent.
            Err(error)
                if is_anonymous
                    && error.retry_after().is_some_and(|wait| !wait.is_zero())
                    && !self.state.lock().is_pinned() =>
            {
                Ok(Applied::default())
            }
            result => result,
        }
    }

    /// Reads some fields.
    pub(crate) async fn read(&self, names: &[&str]) -> Result<Values> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(self.run(Update::look(Selection::Some(names))).await?.fields)
    }

    pub(super) async fn attempt(&self, update: &Update) -> Result<Applied> {
        let is_read = update.ops.is_empty();
        for _ in 0..MAX_STEPS {
            let next = self.state.lock().next(is_read);
            match next {
                Next::Ask(identity) => {
                    if let Some(applied) = self.ask(&identity, update).await? {
                        return Ok(applied);
                    }
                }
                Next::FindNothing => return Ok(Applied::default()),
                Next::Create => {
                    if let Some(applied) = self.begin(update).await? {
                        return Ok(applied);
                    }
                }
                Next::Settle => drop(self.lock_identity().await?),
                Next::Conflict => return Err(Error::Conflict),
            }
        }
        Err(Error::Conflict)
    }

    /// Sends the update to the store. `None` if the state changed and the caller must retry.
    async fn ask(&self, identity: &Identity, update: &Update) -> Result<Option<Applied>> {
        let record = identity.record;
        let is_read = update.ops.is_empty();
        self.check_lifetime(record.id)?;
        match self.shared.store.update(record, update).await? {
            UpdateResult::Applied(applied) => {
                self.found_live(record, applied.seen);
                Ok(Some(applied))
            }
            UpdateResult::Late(applied) => {
                // The browser has a newer cookie, or none.
                self.state.lock().gone(record, false, true);
                Ok(Some(applied))
            }
            UpdateResult::TooLarge(size) => {
                self.state.lock().applied(record, Instant::now());
                Err(self.too_large(&update.ops, size))
            }
            UpdateResult::Dead(death) => {
                self.found_dead(record, death).await?;
                Ok(None)
            }
            UpdateResult::Gone => {
                let is_lost = self.found_gone(record, is_read).await?;
                Ok((is_read && !is_lost).then(Applied::default))
            }
        }
    }

    /// Creates a session with the changes, unless they result in no fields of the application.
    /// `None` if a concurrent operation created one.
    async fn begin(&self, update: &Update) -> Result<Option<Applied>> {
        let mut fields = Values::new();
        let results: Vec<OpResult> = update.ops.iter().map(|op| op.apply(&mut fields)).collect();
        let applied = Applied { results, fields, seen: None };
        if applied.fields.keys().all(|name| is_reserved(name)) {
            return Ok(Some(applied));
        }
        let size = size(&applied.fields);
        if update.max_size.is_some_and(|limit| size > limit) {
            return Err(self.too_large(&update.ops, size));
        }
        let turn = self.lock_identity().await?;
        if self.next() != Next::Create {
            return Ok(None);
        }
        let identity = self.new_identity(false);
        self.create(&turn, identity, applied.fields.clone()).await?;
        Ok(Some(applied))
    }

    /// Removes the fields that are there now and whose names begin with `prefix`.
    pub(crate) async fn remove_all(&self, prefix: &str) -> Result<()> {
        self.with_deadline(async {
            let fields = self.attempt(&Update::look(Selection::All)).await?.fields;
            let names = fields.into_keys().filter(|name| name.starts_with(prefix));
            let ops: Vec<_> = names.map(Op::Remove).collect();
            if ops.is_empty() {
                return Ok(());
            }
            self.check(&ops)?;
            let update = Update { ops, read: Selection::Some(vec![]), max_size: None };
            self.attempt(&update).await.map(drop)
        })
        .await
    }

    /// Reads a field, and replaces it if no other request has changed it meanwhile. Otherwise tries
    /// again with the field's new text, until the deadline.
    ///
    /// `change` gets the field's text, and returns the new one, or `None` to leave the field alone.
    pub(crate) async fn exchange<R>(
        &self,
        field: &str,
        mut change: impl FnMut(Option<&str>) -> Result<(Option<String>, R)>,
    ) -> Result<R> {
        let max_size = Some(self.shared.config.max_record_size);
        self.with_deadline(async {
            let look = Update::look(Selection::Some(vec![field.to_owned()]));
            let mut current = self.attempt(&look).await?.fields.remove(field);
            loop {
                let (new, result) = change(current.as_deref())?;
                let Some(new) = new else { return Ok(result) };
                let expected = current.clone();
                let ops = vec![Op::CompareExchange { field: field.to_owned(), current, new }];
                self.check(&ops)?;
                let update = Update { ops, read: Selection::Some(vec![]), max_size };
                match self.attempt(&update).await?.results.pop() {
                    Some(OpResult::Changed(text)) if text == expected => {
                        // The store decoded the text lossily, so it cannot be compared.
                        let source = serde::de::Error::custom("it is not UTF-8");
                        return Err(Error::Deserialize { field: field.to_owned(), source });
                    }
                    Some(OpResult::Changed(text)) => current = text,
                    _ => return Ok(result),
                }
            }
        })
        .await
    }
}

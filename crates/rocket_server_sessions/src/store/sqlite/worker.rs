//! The thread that owns the connection.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use rocket::tokio::sync::oneshot;
use rusqlite::Error;

use super::database::Database;
use super::failure::{not_committed, refused};
use super::rows::Rows;
use crate::limited_log::LogLimit;
use crate::store::error::StoreError;

/// The maximum number of calls in one transaction, so that none waits long for the others.
const MAX_GROUP: usize = 64;

/// The maximum number of entries that a call creates. Each call deletes as many expired ones, so
/// the file does not keep growing.
const ENTRIES_PER_CALL: usize = 2;

/// Sends calls to the thread. When this is dropped, the thread runs the waiting calls and ends.
pub(super) struct Worker {
    jobs: SyncSender<Box<dyn Job>>,
}

impl Worker {
    /// Starts the thread. At most `queue` calls can wait.
    pub(super) fn start(database: Database, queue: usize) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(queue);
        let mut server = Server { database, is_failing: false, has_expired: false };
        // The application's clock or logger may panic. That ends a group of calls, not the thread.
        let serve = move || {
            while catch_unwind(AssertUnwindSafe(|| server.serve(&waiting))).is_err() {
                server.database.mark_failed();
                log::error!(
                    "SQLite's thread panicked, perhaps in the application's `Clock` or logger: the \
                     requests in progress get 503, and later ones are served"
                );
            }
        };
        thread::Builder::new().name("session-sqlite".to_owned()).spawn(serve)?;
        Ok(Self { jobs })
    }

    /// Runs a call in a transaction, and returns its result after the commit. If another call in
    /// the transaction fails, this one runs again in a transaction of its own. If the future is
    /// dropped before the call has begun, it does not run.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Rows<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let job = Box::new(Call { work, result: None, answer });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::refused("too many requests wait for SQLite"),
            TrySendError::Disconnected(_) => StoreError::refused("SQLite's thread has ended"),
        })?;
        result
            .await
            .unwrap_or_else(|_| Err(StoreError::outcome_unknown("SQLite's thread panicked")))
    }
}

/// A call with a result of any type.
trait Job: Send {
    fn run(&mut self, rows: &mut Rows<'_>) -> Result<(), Error>;

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);

    fn is_abandoned(&self) -> bool;
}

struct Call<T, F> {
    work: F,
    result: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnMut(&mut Rows<'_>) -> Result<T, Error> + Send,
{
    fn run(&mut self, rows: &mut Rows<'_>) -> Result<(), Error> {
        self.result = Some((self.work)(rows)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { result, answer, .. } = *self;
        let result = outcome
            .and_then(|()| result.ok_or_else(|| StoreError::refused("the call has not run")));
        // If the caller has given up, the outcome is of no interest.
        let _ = answer.send(result);
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

fn answer_all(group: Vec<Box<dyn Job>>, outcome: &Result<(), StoreError>) {
    for job in group {
        job.answer(outcome.clone());
    }
}

/// The thread.
struct Server {
    database: Database,
    is_failing: bool,
    /// Whether there are entries to delete.
    has_expired: bool,
}

/// Why calls were not answered with their results.
enum Failure {
    /// The file cannot be used.
    File(StoreError),
    /// One of the calls failed, and nothing was changed.
    Call(StoreError),
}

impl Server {
    fn serve(&mut self, waiting: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = waiting.recv() {
            let more = waiting.try_iter().take(MAX_GROUP - 1);
            let group: Vec<_> =
                [first].into_iter().chain(more).filter(|job| !job.is_abandoned()).collect();
            if group.is_empty() {
                continue;
            }
            let expired = group.len() * ENTRIES_PER_CALL;
            self.run(group);
            // No request waits for this, and the next calls try it again.
            if self.has_expired
                && let Ok(rows) = self.database.begin()
                && rows.delete_expired(expired).is_ok()
            {
                let _ = rows.commit();
            }
        }
    }

    /// Runs calls in one transaction, and answers them.
    fn run(&mut self, mut group: Vec<Box<dyn Job>>) {
        let outcome = match self.attempt(&mut group) {
            Ok(()) => Ok(()),
            // One of them may be about a damaged part of the file.
            Err(Failure::Call(_)) if group.len() > 1 => {
                return group.into_iter().for_each(|job| self.run(vec![job]));
            }
            Err(Failure::Call(error)) => {
                static FAILED: LogLimit = LogLimit::new();
                if let Some(left_out) = FAILED.due() {
                    log::error!("a call of the session store failed: {error}{left_out}");
                }
                self.database.mark_failed();
                return answer_all(group, &Err(error));
            }
            Err(Failure::File(error)) => Err(error),
        };
        self.note(&outcome);
        answer_all(group, &outcome);
    }

    fn attempt(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        self.has_expired = false;
        let path = self.database.path.clone();
        let call = |error| Failure::Call(refused(&path, &error));
        let mut rows = self.database.begin().map_err(Failure::File)?;
        group.iter_mut().try_for_each(|job| job.run(&mut rows)).map_err(call)?;
        self.has_expired = rows.has_expired().map_err(call)?;
        rows.commit().map_err(|error| {
            self.database.mark_failed();
            Failure::File(not_committed(&path, &error))
        })
    }

    /// Logs the beginning and the end of an outage.
    fn note(&mut self, outcome: &Result<(), StoreError>) {
        match outcome {
            Err(error) if !self.is_failing => {
                log::error!("SQLite is unavailable, requests get 503 until it works: {error}");
            }
            Ok(()) if self.is_failing => log::warn!("SQLite works again"),
            _ => {}
        }
        self.is_failing = outcome.is_err();
    }
}

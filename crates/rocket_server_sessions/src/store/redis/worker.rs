//! A few threads that talk to Redis for everybody.
//!
//! A thread takes all requests that wait, up to a limit, checks one connection out of the pool,
//! sends them in one write and hands each its replies. So the number of threads and connections is
//! fixed, and the busier the application, the fewer system calls a request costs.

use std::io;
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use r2d2::{NopErrorHandler, Pool, PooledConnection};
use redis::Value;
use rocket::tokio::sync::oneshot;
use rocket::tokio::time::timeout;

use super::address::{Address, Settings};
use super::breaker::{Breaker, Failures, Severity};
use super::manager::{Manager, Target};
use super::metrics::Metrics;
use super::reply_error;
use crate::store::StoreError;

/// Requests that share one write. More would make the first wait for the last.
const MAX_BATCH: usize = 64;

/// How long a probe of a server that was away may take.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// How often a request that waits for a connection looks whether connecting has failed.
const GLANCE: Duration = Duration::from_millis(50);

/// Commands, packed, and how to reach whoever asked.
struct Job {
    packed: Vec<u8>,
    replies: usize,
    deadline: Instant,
    answer: oneshot::Sender<Result<Vec<Value>, StoreError>>,
}

/// The threads of one server, seen from the side of those who ask.
pub(super) struct Workers {
    queue: Sender<Job>,
    breaker: Arc<Breaker>,
    is_closing: Arc<AtomicBool>,
    deadline: Duration,
    metrics: Metrics,
}

struct Worker {
    jobs: Receiver<Job>,
    pool: Pool<Manager>,
    failures: Arc<Failures>,
    breaker: Arc<Breaker>,
    is_closing: Arc<AtomicBool>,
    is_cluster: bool,
    server: String,
    metrics: Metrics,
}

/// What became of a batch.
struct Exchange {
    /// The answers to the first of its jobs …
    answers: Vec<Result<Vec<Value>, StoreError>>,
    /// … and what all others are told.
    rest: StoreError,
    result: Result<(), (Severity, String)>,
}

impl Workers {
    /// Starts the threads. Nothing is connected before the first request.
    pub(super) fn start(target: Target, settings: &Settings) -> io::Result<Self> {
        Self::begin(target, settings, None)
    }

    /// The same for a server of a cluster, which may say that another one has the record.
    pub(super) fn start_in_cluster(address: Address, settings: &Settings) -> io::Result<Self> {
        let place = format!("{}:{}", address.host, address.port);
        Self::begin(Target::Server(address), settings, Some(place))
    }

    fn begin(target: Target, settings: &Settings, member: Option<String>) -> io::Result<Self> {
        let is_cluster = member.is_some();
        // What tells the server from others in the log.
        let server = member.map_or_else(String::new, |place| format!("{place}: "));
        let failures = Arc::new(Failures::default());
        // Sooner than those who wait for the connection give up, so that they learn why.
        let timeout = settings.deadline.mul_f32(0.9);
        let manager = Manager { target, timeout, failures: Arc::clone(&failures) };
        let pool = Pool::builder()
            .max_size(settings.connections)
            .min_idle(Some(0))
            .connection_timeout(Duration::from_secs(1))
            .idle_timeout(None)
            .max_lifetime(None)
            .error_handler(Box::new(NopErrorHandler))
            .build_unchecked(manager);
        let (queue, jobs) = bounded(settings.queue);
        let breaker = Arc::new(Breaker::new(server.clone()));
        let is_closing = Arc::new(AtomicBool::new(false));
        let metrics = Metrics::register();
        for number in 0..settings.connections {
            let worker = Worker {
                jobs: jobs.clone(),
                pool: pool.clone(),
                failures: Arc::clone(&failures),
                breaker: Arc::clone(&breaker),
                is_closing: Arc::clone(&is_closing),
                is_cluster,
                server: server.clone(),
                metrics: metrics.clone(),
            };
            thread::Builder::new()
                .name(format!("session-redis-{number}"))
                .spawn(move || worker.run())?;
        }
        Ok(Self { queue, breaker, is_closing, deadline: settings.deadline, metrics })
    }

    /// Whether what is asked now would be refused at once.
    pub(super) fn is_refusing(&self) -> bool {
        self.breaker.admit().is_err()
    }

    /// Sends packed commands and gives their replies; errors about the record are among them.
    pub(super) async fn ask(
        &self,
        packed: Vec<u8>,
        replies: usize,
    ) -> Result<Vec<Value>, StoreError> {
        self.breaker.admit()?;
        let (answer, reply) = oneshot::channel();
        // The threads give up a little earlier than those who ask: so the breaker is open by the
        // time that somebody is told to come again.
        let deadline = Instant::now() + self.deadline.mul_f32(0.95);
        self.metrics.queue_depth.increment(1);
        if let Err(error) = self.queue.try_send(Job { packed, replies, deadline, answer }) {
            self.metrics.queue_depth.decrement(1);
            return Err(match error {
                TrySendError::Full(_) => StoreError::refused("too many requests wait for Redis"),
                TrySendError::Disconnected(_) => {
                    StoreError::refused("no thread talks to Redis any more")
                }
            });
        }
        match timeout(self.deadline, reply).await {
            // Whoever had the request is gone, and it may have been sent.
            Ok(answer) => {
                answer.unwrap_or_else(|_| Err(StoreError::unanswered("a thread has failed")))
            }
            Err(_) => Err(StoreError::unanswered("Redis did not answer in time")),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    /// Serves until nobody can ask any more. A fault in the code costs those whose requests were under
    /// way an answer, and not everybody a thread.
    fn run(&self) {
        while catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {}
    }

    fn serve(&self) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut packed = Vec::new();
        while let Ok(first) = self.jobs.recv() {
            batch.push(first);
            batch.extend(self.jobs.try_iter().take(MAX_BATCH - 1));
            self.metrics.taken(batch.len());
            // Whoever has stopped waiting has got an answer: what was not sent must stay unsent.
            let now = Instant::now();
            batch.retain(|job: &Job| now < job.deadline && !job.answer.is_closed());
            if let Err(fault) = self.breaker.admit() {
                answer_all(&mut batch, &fault);
            }
            if batch.is_empty() {
                continue;
            }
            let Exchange { answers, rest, result } = self.exchange(&batch, &mut packed);
            // Whoever hears of a failure may ask again at once: the breaker must know by then.
            let pause = match result {
                Ok(()) => {
                    self.breaker.succeeded();
                    None
                }
                Err((severity, why)) => self.breaker.failed(severity, &why),
            };
            let answers = answers.into_iter().chain(iter::repeat_with(|| Err(rest.clone())));
            for (job, answer) in batch.drain(..).zip(answers) {
                // Nobody there any more: they have stopped waiting, and know it.
                let _ = job.answer.send(answer);
            }
            if let Some(pause) = pause {
                self.recover(pause);
            }
        }
    }

    fn exchange(&self, batch: &[Job], packed: &mut Vec<u8>) -> Exchange {
        let failed = |rest, result| Exchange { answers: Vec::new(), rest, result: Err(result) };
        let broke = || StoreError::unanswered("the connection to Redis broke");
        let deadline = batch.iter().map(|job| job.deadline).max().unwrap_or_else(Instant::now);
        let mut connection = match self.check_out(deadline) {
            Ok(connection) => connection,
            Err(why) => {
                return failed(
                    StoreError::refused("no connection to Redis"),
                    (Severity::Down, why),
                );
            }
        };
        packed.clear();
        for job in batch {
            packed.extend_from_slice(&job.packed);
        }
        if let Err(error) = connection.send(packed, deadline) {
            return failed(broke(), self.broken(&error));
        }
        self.metrics.sent(batch.len(), batch.iter().map(|job| job.replies).sum());
        let mut result = Ok(());
        let mut answers = Vec::with_capacity(batch.len());
        for job in batch {
            let replies: Result<Vec<_>, _> =
                (0..job.replies).map(|_| connection.receive(deadline)).collect();
            let refusal = match replies {
                Ok(replies) => match reply_error::server_failure(&replies, self.is_cluster) {
                    None => {
                        answers.push(Ok(replies));
                        continue;
                    }
                    Some(refusal) => refusal,
                },
                Err(error) => {
                    result = Err(self.broken(&error));
                    break;
                }
            };
            // Another server may stand behind the next connection.
            connection.mark_broken();
            result = Err((refusal.severity, format!("{}{}", self.server, refusal.fault.message)));
            answers.push(Err(refusal.fault));
        }
        if result.is_ok() && connection.has_unsolicited_data() {
            // Somewhere in between was a reply to nothing, and nobody knows whose the others are.
            connection.mark_broken();
            let why = format!("{}it gives replies to nothing", self.server);
            return failed(broke(), (Severity::Connection, why));
        }
        // Here the connection goes back: whoever asks again would make the pool open another.
        Exchange { answers, rest: broke(), result }
    }

    /// What to make of a connection that broke. A time-out is worse than an end: whoever comes next
    /// would wait as long.
    fn broken(&self, error: &redis::RedisError) -> (Severity, String) {
        let server = &self.server;
        if error.is_timeout() {
            (Severity::Down, format!("{server}it takes commands and does not reply in time"))
        } else {
            (Severity::Connection, format!("{server}{error}"))
        }
    }

    /// A connection that works as far as can be told, or the reason why there is none.
    fn check_out(&self, deadline: Instant) -> Result<PooledConnection<Manager>, String> {
        let start = Instant::now();
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            if let Ok(connection) = self.pool.get_timeout(rest.min(GLANCE)) {
                return Ok(connection);
            }
            if let Some(why) = self.failures.since(start) {
                return Err(why);
            }
            if rest.is_zero() {
                return Err("no connection came about in time".to_owned());
            }
        }
    }

    /// Probes the server until it answers. The other threads have nothing to do meanwhile: the
    /// breaker refuses what would be theirs.
    fn recover(&self, mut pause: Duration) {
        while !self.is_closing.load(Ordering::Relaxed) {
            let start = Instant::now();
            thread::sleep(pause);
            let deadline = Instant::now() + PROBE_TIMEOUT;
            let has_answered = self
                .check_out(deadline)
                .is_ok_and(|mut connection| connection.ping(deadline).is_ok());
            if !has_answered && start.elapsed() > pause + 2 * PROBE_TIMEOUT {
                // The process was frozen amid the probe, which says nothing of the server now.
                pause = Duration::ZERO;
                continue;
            }
            match self.breaker.probed(has_answered) {
                Some(next) => pause = next,
                None => return,
            }
        }
    }
}

fn answer_all(batch: &mut Vec<Job>, fault: &StoreError) {
    batch.drain(..).for_each(|job| drop(job.answer.send(Err(fault.clone()))));
}

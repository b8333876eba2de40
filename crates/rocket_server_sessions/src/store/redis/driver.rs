//! The task that connects to a server, serves requests, and probes the server during an outage.
//!
//! It runs on the runtime of the first request, so requests are not handed to another runtime. If
//! that runtime ends, the driver ends with it, and the next request starts another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rocket::tokio::task::spawn_blocking;
use rocket::tokio::time::sleep;

use super::breaker::Severity;
use super::duplex::{Duplex, End};
use super::jitter::jittered;
use super::pool::Pooled;
use super::queue::Stage;
use super::upstream::Upstream;

/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a driver waits if it cannot connect but others can.
const REST: Duration = Duration::from_secs(2);

type Connected = Result<Pooled, String>;

pub(super) struct Driver {
    upstream: Arc<Upstream>,
    seat: usize,
    is_probing: bool,
}

impl Driver {
    pub(super) fn new(upstream: Arc<Upstream>, seat: usize) -> Self {
        Self { upstream, seat, is_probing: false }
    }

    /// Runs until the queue is closed.
    pub(super) async fn run(mut self) {
        let mut found = None;
        while found.is_some() || self.upstream.queue.wait(self.seat).await {
            let connected = match found.take() {
                Some(connection) => Ok(connection),
                None => self.connect().await,
            };
            found = match connected {
                Ok(connection) => self.serve(connection).await,
                Err(why) => self.do_without(&why).await,
            };
        }
    }

    async fn connect(&self) -> Connected {
        self.upstream.queue.set(self.seat, Stage::Connecting);
        self.check_out(self.upstream.deadline.mul_f32(0.95), false).await
    }

    /// Handles a failure to connect: waits if other drivers are connected, and probes otherwise.
    async fn do_without(&mut self, why: &str) -> Option<Pooled> {
        self.upstream.queue.set(self.seat, Stage::Resting);
        if self.upstream.queue.is_served() {
            // The server may limit the number of connections. The other drivers serve the requests.
            sleep(jittered(REST)).await;
            return None;
        }
        let pause = self.upstream.failed(Severity::Down, why)?;
        self.recover(pause).await
    }

    /// Serves requests on a connection. If it fails and opens the breaker, returns a new one once
    /// the server answers.
    async fn serve(&mut self, connection: Pooled) -> Option<Pooled> {
        let upstream = self.upstream.clone();
        let pause = match Duplex::new(&upstream, self.seat, connection) {
            Err(error) => upstream.failed(Severity::Connection, &error.to_string()),
            Ok(mut duplex) => {
                let end = duplex.run().await;
                upstream.queue.set(self.seat, Stage::Resting);
                let (mut answers, mut pause) = duplex.finish();
                // A caller may try again as soon as it gets the failure, so open the breaker first.
                if let End::Failed(severity, why) = end {
                    pause = upstream.failed(severity, &why).or(pause);
                }
                answers.hand_out();
                pause
            }
        };
        self.recover(pause?).await
    }

    /// Probes the server until it answers. Until then, the breaker refuses requests.
    async fn recover(&mut self, mut pause: Duration) -> Option<Pooled> {
        self.is_probing = true;
        while !self.upstream.queue.is_closed() {
            let start = Instant::now();
            sleep(pause).await;
            let connected = self.check_out(PROBE_TIMEOUT, true).await;
            if connected.is_err() && start.elapsed() > pause + 2 * PROBE_TIMEOUT {
                // The process was frozen during the probe, so its failure does not count.
                pause = Duration::ZERO;
                continue;
            }
            if let Some(next) = self.upstream.breaker.probed(connected.is_ok()) {
                pause = next;
                continue;
            }
            self.is_probing = false;
            return connected.ok();
        }
        None
    }

    /// Takes a connection from the pool, on a thread that may block.
    async fn check_out(&self, patience: Duration, is_probe: bool) -> Connected {
        let upstream = self.upstream.clone();
        let task = spawn_blocking(move || {
            let deadline = Instant::now() + patience;
            let mut connection =
                upstream.pool.check_out(deadline, || upstream.queue.is_closed())?;
            if is_probe {
                connection.ping(deadline).map_err(|error| error.to_string())?;
            }
            Ok(connection)
        });
        task.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.is_probing {
            // Probing stops, so let the next request through.
            self.upstream.breaker.probed(true);
        }
        self.upstream.queue.leave(self.seat);
    }
}

//! The connections to one server, from an r2d2 pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use r2d2::{NopErrorHandler, PooledConnection};

use super::address::Address;
use super::connect_error::ConnectError;
use super::connection::Connection;
use super::sentinel::Sentinels;

/// A connection that was idle for longer is checked or replaced before it is used. Cloud Run
/// freezes the CPU between requests, and middleboxes silently drop idle connections.
pub(super) const PING_AFTER_IDLE: Duration = Duration::from_secs(30);

/// If an operation is overdue by this much, the process was frozen.
const FREEZE: Duration = Duration::from_secs(1);

/// How often a driver that waits for a connection checks whether connecting failed.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A connection of the pool.
pub(super) type Pooled = PooledConnection<Manager>;

/// The pool, which opens connections when they are needed.
pub(super) struct Pool {
    connections: r2d2::Pool<Manager>,
    failures: Arc<Failures>,
}

impl Pool {
    /// Creates the pool. Connecting may take `timeout`.
    pub(super) fn new(target: Target, size: u32, timeout: Duration) -> Self {
        let failures = Arc::<Failures>::default();
        let connections = r2d2::Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(Duration::from_secs(1))
            .idle_timeout(None)
            .max_lifetime(None)
            .error_handler(Box::new(NopErrorHandler))
            .build_unchecked(Manager { target, timeout, failures: failures.clone() });
        Self { connections, failures }
    }

    /// Blocks until there is a connection, or returns the reason why there is none. Gives up if
    /// `is_closed` returns true.
    pub(super) fn check_out(
        &self,
        deadline: Instant,
        is_closed: impl Fn() -> bool,
    ) -> Result<Pooled, String> {
        let start = Instant::now();
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            if let Ok(connection) = self.connections.get_timeout(rest.min(POLL_INTERVAL)) {
                return Ok(connection);
            }
            if let Some(why) = self.failures.since(start) {
                return Err(why);
            }
            if rest.is_zero() || is_closed() {
                return Err("no connection could be made in time".to_owned());
            }
        }
    }
}

/// Opens and checks connections for r2d2.
pub(super) struct Manager {
    target: Target,
    timeout: Duration,
    failures: Arc<Failures>,
}

/// What to connect to.
pub(super) enum Target {
    Server(Address),
    /// The current master.
    Master(Arc<Sentinels>),
}

impl Target {
    fn open(&self, deadline: Instant) -> Result<Connection, ConnectError> {
        match self {
            Self::Server(address) => Connection::open(address, deadline),
            Self::Master(sentinels) => sentinels.open_master(deadline),
        }
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Connection;
    type Error = ConnectError;

    fn connect(&self) -> Result<Connection, ConnectError> {
        let begun = Instant::now();
        self.target.open(begun + self.timeout).inspect_err(|error| {
            // If it failed long after its timeout, the process was frozen, and the failure does not
            // count.
            if begun.elapsed() < self.timeout + FREEZE {
                self.failures.record(error.to_string());
            }
        })
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), ConnectError> {
        // A connection that has served requests is never returned to the pool, so an idle one was
        // never needed.
        let is_current = match &self.target {
            Target::Server(_) => true,
            Target::Master(sentinels) => sentinels.is_current(connection.generation),
        };
        if connection.is_disturbed() || !is_current || connection.idle() > PING_AFTER_IDLE {
            return Err(ConnectError("it was idle for too long".to_owned()));
        }
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken()
    }
}

/// The last failure to connect, so that a driver need not wait for a connection that cannot be
/// made. r2d2 only reports a timeout, not the cause.
#[derive(Default)]
struct Failures {
    last: Mutex<Option<(Instant, String)>>,
}

impl Failures {
    fn record(&self, why: String) {
        *self.last.lock() = Some((Instant::now(), why));
    }

    fn since(&self, start: Instant) -> Option<String> {
        self.last.lock().as_ref().filter(|(at, _)| *at >= start).map(|(_, why)| why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_to_connect_ends_the_waits_that_began_before_it() {
        let (failures, start) = (Failures::default(), Instant::now());
        assert_eq!(failures.since(start), None);
        failures.record("refused".to_owned());
        assert_eq!(failures.since(start).as_deref(), Some("refused"));
        assert_eq!(
            failures.since(Instant::now() + Duration::from_millis(1)),
            None,
            "nor those after it"
        );
    }
}

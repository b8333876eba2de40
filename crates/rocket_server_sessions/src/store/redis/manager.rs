//! The r2d2 connection manager.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::Address;
use super::breaker::Failures;
use super::connection::Connection;
use super::reply_error::ConnectError;
use super::sentinel::Sentinels;

/// A connection that was idle for longer is checked or replaced before it is used. Cloud Run
/// freezes the CPU between requests, and middleboxes silently drop idle connections.
pub(super) const PING_AFTER_IDLE: Duration = Duration::from_secs(30);

/// If an operation is overdue by this much, the process was frozen.
const FREEZE: Duration = Duration::from_secs(1);

/// Opens and checks connections for r2d2.
pub(super) struct Manager {
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) failures: Arc<Failures>,
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
            return Err(ConnectError("it was idle, and may be dead".to_owned()));
        }
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken()
    }
}

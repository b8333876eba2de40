//! Which connections r2d2 makes, and which it may hand out again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::Address;
use super::breaker::Failures;
use super::connection::Connection;
use super::reply_error::ConnectError;
use super::sentinel::Sentinels;

/// A connection that was idle for longer must show that it still works. Cloud Run stops the CPU
/// between requests, and what lies between forgets connections without a word.
pub(super) const PING_AFTER_IDLE: Duration = Duration::from_secs(30);

/// Whatever takes so much longer than it may was frozen with the process.
const FREEZE: Duration = Duration::from_secs(1);

/// Makes and judges connections for r2d2.
pub(super) struct Manager {
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) failures: Arc<Failures>,
}

/// What to connect to.
pub(super) enum Target {
    Server(Address),
    /// The server that is the master at the time.
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
            // What failed long after its time-out was frozen, and says nothing about the server now.
            if begun.elapsed() < self.timeout + FREEZE {
                self.failures.record(error.to_string());
            }
        })
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), ConnectError> {
        // A connection serves for as long as it lives, so what is idle here was made and not needed.
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

//! Which connections r2d2 makes, and which it may hand out again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::Address;
use super::breaker::Failures;
use super::connection::Connection;
use super::reply_error::ConnectError;
use super::sentinel::Sentinels;

/// A connection that was idle for longer is asked whether it still works. Cloud Run stops the CPU
/// between requests, and what lies between forgets connections without a word.
const TRUST: Duration = Duration::from_secs(30);

/// How long that question may take.
const PING_TIMEOUT: Duration = Duration::from_millis(250);

/// What takes so much longer than it may has been frozen with the process.
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
    /// Whatever server is the master at the time.
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
            // What failed long after its time-out was frozen, and tells nothing of the server now.
            if begun.elapsed() < self.timeout + FREEZE {
                self.failures.record(error.to_string());
            }
        })
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), ConnectError> {
        if connection.is_disturbed() {
            return Err(ConnectError("it was closed, or said something unasked".to_owned()));
        }
        if let Target::Master(sentinels) = &self.target
            && !sentinels.is_current(connection.epoch)
        {
            return Err(ConnectError("another server is the master now".to_owned()));
        }
        if connection.idle() <= TRUST {
            return Ok(());
        }
        // One that is dead speaks for all of its age: to ask each would take too long.
        let is_dead = self.failures.has_lost_touch(PING_TIMEOUT * 4)
            || connection
                .ping(Instant::now() + PING_TIMEOUT)
                .inspect_err(|_| self.failures.lose_touch())
                .is_err();
        if is_dead { Err(ConnectError("it was idle, and is dead".to_owned())) } else { Ok(()) }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken()
    }
}

//! The SQLite store: sessions in a file, on one machine.
//!
//! | file | holds |
//! |---|---|
//! | `store` | [`Sqlite`]: the calls of the contract |
//! | `worker` | the thread that runs calls in groups |
//! | `database` | opens the file, and begins transactions |
//! | `rows` | the entries of the file, in a transaction |
//! | `failure` | error messages: the cause, and what to do |
//! | `probe` | checks the file |
//!
//! One thread owns the connection. It takes all calls that wait, runs them in one transaction, and
//! answers them after the commit. So calls of many requests share the cost of a commit, no thread
//! of the runtime ever waits for a disk or a lock, and a view costs less than with a connection for
//! each blocking thread: SQLite has one writer at a time anyway.
//!
//! The file is in WAL mode with `synchronous = NORMAL`. An answered call survives a crash of the
//! process (`kill -9`), because the system has the data. If the machine crashes or loses power, the
//! file is intact, but writes since the last checkpoint (every 1,000 pages) may be missing, unless
//! the system has already flushed them to disk. On Linux, that takes about half a minute.
//! `FULL` would prevent that, and would wait for the disk at each commit.

mod database;
mod failure;
mod probe;
mod rows;
mod store;
mod worker;

pub(crate) use probe::probe;
pub use store::Sqlite;

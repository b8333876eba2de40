//! The SQLite store: sessions in a file, on one machine.
//!
//! | file | holds |
//! |---|---|
//! | `store` | [`Sqlite`]: the calls of the contract |
//! | `worker` | the thread that runs calls in groups |
//! | `database` | opens the file, and begins transactions |
//! | `rows` | the entries of the file, in a transaction |
//! | `failure` | what can go wrong, in people's words |
//! | `probe` | checks the file |
//!
//! One thread owns the connection. It takes all calls that wait, runs them in one transaction, and
//! answers them after the commit. So calls of many requests share the cost of a commit, no thread of
//! the runtime ever waits for a disk or a lock, and a view costs less than with a connection for
//! each blocking thread: SQLite has one writer at a time anyway.
//!
//! The file is in WAL mode with `synchronous = NORMAL`. An answered call survives a crash of the
//! process (`kill -9`), because the system has the data. If the machine crashes or loses power, the
//! file is intact, but what was written since the last checkpoint (each 1,000 pages) may be missing,
//! as far as the system has not written it to the disk by itself: on Linux, about half a minute.
//! `FULL` would prevent that, and would wait for the disk at each commit.

mod database;
mod failure;
mod probe;
mod rows;
mod store;
mod worker;

pub(crate) use probe::probe;
pub use store::Sqlite;

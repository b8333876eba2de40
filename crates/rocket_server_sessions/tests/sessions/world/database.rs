//! SQLite files of tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use rocket_server_sessions::Clock;
use rocket_server_sessions::store::Sqlite;
use rocket_server_sessions::testing::ManualClock;

/// A file in a separate folder, which is removed when this is dropped.
pub struct Database(PathBuf);

impl Database {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sqlite-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> PathBuf {
        self.0.join("sessions.db")
    }

    pub fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A clock that keeps the folder until the store drops its clock.
struct ClockWithFolder {
    clock: ManualClock,
    _folder: Database,
}

impl Clock for ClockWithFolder {
    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

/// A store in a file of its own.
pub fn new_store(clock: ManualClock) -> Sqlite {
    let database = Database::new();
    let path = database.path();
    Sqlite::with_clock(path, ClockWithFolder { clock, _folder: database }).unwrap()
}

//! What can go wrong with the file: the cause, and what to do.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use crate::store::error::StoreError;

/// An error of a call that was not applied.
pub(super) fn refused(path: &Path, error: &Error) -> StoreError {
    StoreError::refused(explain(path, error))
}

/// The error of a commit. If the disk is full or the lock is busy, it is certain that nothing was
/// written.
pub(super) fn not_committed(path: &Path, error: &Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => refused(path, error),
        _ => StoreError::outcome_unknown(explain(path, error)),
    }
}

fn explain(path: &Path, error: &Error) -> String {
    let path = path.display();
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process has held its lock for too long; find and end it, such as an open \
             transaction in a `sqlite3` shell"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "its folder must exist, and the user who runs the application must be allowed to read \
             and write both"
        }
        Some(ErrorCode::ReadOnly) => {
            "let the user who runs the application write to the file and to its folder: SQLite \
             keeps two more files beside it, which end in `-wal` and `-shm`"
        }
        Some(ErrorCode::DiskFull) => "the disk is full; make room",
        Some(ErrorCode::SystemIoFailure) => {
            "check whether the disk is full or failing, and whether a file-size limit applies"
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            "the file is damaged; stop the application, and move the file away together with `-wal` \
             and `-shm`, which ends all sessions, or restore a backup"
        }
        Some(ErrorCode::NotADatabase) => "it is not a SQLite database; choose another file",
        _ => "see the message",
    };
    format!("`{path}` cannot be used ({error}): {advice}")
}

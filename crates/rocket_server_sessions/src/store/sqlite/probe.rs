//! Checks the file.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::database::Database;
use crate::clock::SystemClock;
use crate::finding::{Finding, Verdict};

/// How long to wait for another process' lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens the file and begins a transaction. It does not create the file, because it may run as
/// another user than the application.
pub(crate) fn probe(path: &Path) -> Vec<Finding> {
    match check(path) {
        Ok(findings) => findings,
        Err(why) => vec![Finding::new(Verdict::Failed, "file", why)],
    }
}

fn check(path: &Path) -> Result<Vec<Finding>, String> {
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let ok = |what, text: String| Finding::new(Verdict::Ok, what, text);
    if !path.exists() {
        let folder = path.parent().filter(|it| it.is_dir()).ok_or_else(|| {
            format!("the folder of `{}` does not exist; create it", path.display())
        })?;
        if folder.metadata().is_ok_and(|it| it.permissions().readonly()) {
            return Err(format!("the folder `{}` cannot be written to", folder.display()));
        }
        let text = format!("`{}` does not exist yet; the launch creates it", path.display());
        return Ok(vec![ok("file", text)]);
    }
    let mut database = Database::open(&path, Arc::new(SystemClock), LOCK_TIMEOUT)
        .map_err(|error| error.to_string())?;
    let version = format!("SQLite {}, `{}`", rusqlite::version(), path.display());
    let start = Instant::now();
    database.begin().map_err(|error| error.to_string())?;
    let micros = start.elapsed().as_micros();
    let mut findings = vec![ok("version", version), ok("round trip", format!("{micros} µs"))];
    findings.extend(others_who_can_read(&path));
    Ok(findings)
}

/// A warning if others than the file's owner can read it. This may be intended, for example for a
/// group.
#[cfg(unix)]
fn others_who_can_read(path: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    let text = format!(
        "`{0}` has mode {mode:o}, so other users of this machine can read the contents of \
         sessions; if that is not intended, run `chmod 600 {0}*`",
        path.display()
    );
    (mode & 0o077 != 0).then(|| Finding::new(Verdict::Warning, "permissions", text))
}

#[cfg(not(unix))]
fn others_who_can_read(_: &Path) -> Option<Finding> {
    None
}

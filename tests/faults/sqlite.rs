//! A SQLite file as the store: the process is killed, shares the file with another, or cannot write to
//! it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use test_support::app::{App, KEY, Release, run_to_end};
use test_support::{target_dir, wait_for};

use crate::platform::try_view;

/// A folder for one file of sessions.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sqlite-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("sessions.db")
    }

    fn settings(&self) -> String {
        format!("{{url=\"sqlite:{}\"}}", self.file().display())
    }

    fn start(&self) -> App {
        self.start_of(&Release::this())
    }

    fn start_of(&self, release: &Release) -> App {
        let settings = self.settings();
        App::start_of(release, &[("ROCKET_SESSION", &settings), ("ROCKET_SECRET_KEY", KEY)])
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What visitors have seen: the last count that was acknowledged, and the views since then that
/// were sent without an answer.
#[derive(Clone, Copy, Default)]
struct Seen {
    count: u64,
    unsure: u64,
}

#[test]
fn killed_process_loses_no_acknowledged_count() {
    const VISITORS: usize = 8;
    let folder = Folder::new();
    let mut app = folder.start();
    let cookies: Vec<_> = (0..VISITORS)
        .map(|_| {
            let mut visitor = app.visitor();
            visitor.get("/foo");
            visitor.cookie.expect("the first view sets a cookie")
        })
        .collect();
    let mut all = [Seen { count: 1, unsure: 0 }; VISITORS];
    let (mut acknowledged, mut counted_unanswered) = (VISITORS as u64, 0);
    for round in 1..=5 {
        let port = app.port;
        scope(|threads| {
            for (seen, cookie) in all.iter_mut().zip(&cookies) {
                threads.spawn(move || {
                    while let Some(count) = try_view(port, cookie) {
                        assert_eq!(count, seen.count + 1);
                        seen.count = count;
                    }
                    seen.unsure = 1;
                });
            }
            sleep(Duration::from_millis(200 + 37 * round));
            app.signal("KILL");
        });
        drop(app);
        app = folder.start();
        for (seen, cookie) in all.iter_mut().zip(&cookies) {
            let count = try_view(app.port, cookie).expect("the view is served");
            let expected = seen.count + 1..=seen.count + 1 + seen.unsure;
            assert!(expected.contains(&count), "{count}, not in {expected:?}");
            counted_unanswered += count - seen.count - 1;
            *seen = Seen { count, unsure: 0 };
        }
    }
    acknowledged += all.iter().map(|it| it.count - 1).sum::<u64>();
    println!(
        "killed 5 times under load: 0 of {acknowledged} counts lost, {counted_unanswered} counted \
         without an answer"
    );
}

#[test]
fn two_processes_on_one_file_count_exactly() {
    const VIEWS: u64 = 1000;
    let folder = Folder::new();
    let apps = [folder.start(), folder.start()];
    let mut visitor = apps[0].visitor();
    visitor.get("/foo");
    let (cookie, counts) = (visitor.cookie.unwrap(), Mutex::new(vec![1]));
    let start = Instant::now();
    scope(|threads| {
        for thread in 0..8 {
            let (port, cookie, counts) = (apps[thread % 2].port, &cookie, &counts);
            threads.spawn(move || {
                for _ in 0..VIEWS / 8 {
                    let count = try_view(port, cookie).expect("the view is served");
                    counts.lock().unwrap().push(count);
                }
            });
        }
    });
    let mut counts = counts.into_inner().unwrap();
    counts.sort_unstable();
    assert_eq!(counts, (1..=VIEWS + 1).collect::<Vec<_>>());
    println!(
        "two processes, one session: {VIEWS} views in {:?}, each counted once",
        start.elapsed()
    );
}

#[test]
fn file_that_vanishes_is_begun_anew_with_a_line_that_says_so() {
    let folder = Folder::new();
    let app = folder.start();
    let mut visitor = app.visitor();
    assert_eq!(visitor.get("/foo").views(), 1);
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{end}", folder.file().display())).unwrap();
    }
    for views in 1..=3 {
        assert_eq!(visitor.get("/foo").views(), views);
    }
    let told = format!("WARN `{}` is no longer the file", folder.file().display());
    wait_for("the log", || app.log().contains(&told));
    assert_eq!(app.log().matches(&told).count(), 1, "{}", app.log());
}

/// A release that ignores SIGXFSZ, so that writes beyond the limit of file sizes fail instead of ending
/// the process.
fn without_signal_of_file_size(folder: &Folder) -> Release {
    let program = folder.0.join("cloud-run-sessions");
    let real = target_dir().join("cloud-run-sessions");
    fs::write(&program, format!("#!/bin/sh\ntrap '' XFSZ\nexec {}\n", real.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Release::of(&folder.0.display().to_string())
}

#[test]
fn file_that_can_no_longer_grow_is_a_503_that_is_logged_once_and_heals() {
    let folder = Folder::new();
    let app = folder.start_of(&without_signal_of_file_size(&folder));
    let limit = |size: &str| {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &app.pid().to_string(), &format!("--fsize={size}:")]);
        assert!(prlimit.status().expect("prlimit, of util-linux").success());
    };
    let mut visitor = app.visitor();
    assert_eq!(visitor.get("/foo").views(), 1);
    limit("4096");
    for _ in 0..20 {
        let reply = visitor.get("/foo");
        assert_eq!(reply.status, 503, "{}", reply.body);
        assert!(reply.header("retry-after").is_some() && reply.header("set-cookie").is_none());
        assert!(reply.took < Duration::from_secs(1), "{:?}", reply.took);
    }
    assert_eq!(visitor.get("/health/ready").status, 200);
    limit("unlimited");
    let reply = visitor.get("/foo");
    assert_eq!(reply.status, 200, "{}\n{}", reply.body, app.log());
    assert!((2..=22).contains(&reply.views()), "{}", reply.views());
    wait_for("the log", || app.log().contains("WARN SQLite works again"));
    let log = app.log();
    assert_eq!(log.matches("ERROR SQLite is unavailable").count(), 1, "{log}");
    assert!(log.contains("a file-size limit"), "{log}");
}

#[test]
fn file_that_cannot_be_used_ends_the_launch_with_a_line_that_names_it() {
    let folder = Folder::new();
    fs::write(folder.file(), "Dear diary, ".repeat(100)).unwrap();
    let nowhere = format!("{{url=\"sqlite:{}/no/sessions.db\"}}", folder.0.display());
    for (settings, told) in [
        (folder.settings(), "it is not a SQLite database; choose another file"),
        (nowhere, "its folder must exist"),
        // A file system on which not even root can create files.
        ("{url=\"sqlite:/sys/sessions.db\"}".to_owned(), "must be allowed to write"),
    ] {
        let (succeeded, log) =
            run_to_end(&[("ROCKET_SESSION", &settings), ("ROCKET_SECRET_KEY", KEY)]);
        assert!(!succeeded, "{log}");
        let line = log.lines().find(|line| line.contains("`session.url` names a file")).unwrap();
        assert!(line.contains("ERROR") && line.contains(told), "{line}");
    }
}

#[test]
fn file_on_cloud_run_ends_the_launch() {
    let folder = Folder::new();
    let settings = folder.settings();
    let env = [("ROCKET_SESSION", &*settings), ("ROCKET_SECRET_KEY", KEY), ("K_SERVICE", "views")];
    let (succeeded, log) = run_to_end(&env);
    assert!(!succeeded && log.contains("loses them when it stops; use Redis"), "{log}");
    assert!(!folder.file().exists());
}

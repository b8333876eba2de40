//! The process: starts the log and the traces, and launches the application.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloud_run_sessions::observability::{LAUNCH, Observability};
use rocket::config::Shutdown;
use rocket::error::ErrorKind;
use rocket::tokio::time::sleep;
use rocket::{Build, Orbit, Rocket};
use tikv_jemallocator::Jemalloc;

/// A view makes about two hundred allocations, and often frees them on another thread. Jemalloc
/// caches freed memory on that thread; mimalloc returns it to the thread that allocated it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The commands of the binary.
const USAGE: &str = "usage: cloud-run-sessions          serve
       cloud-run-sessions check    check the settings and the store, and exit with 1 if they fail";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match arguments.iter().map(|it| it.to_str()).collect::<Vec<_>>()[..] {
        [] => launch(),
        [Some("check")] => check(),
        [Some("help" | "--help" | "-h")] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn check() -> ExitCode {
    let report = cloud_run_sessions::config::check();
    // It is not a failure if the reader has closed the pipe.
    let _ = write!(io::stdout(), "{report}");
    if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Checks the settings before Rocket's runtime starts, because it panics on some invalid ones.
fn launch() -> ExitCode {
    cloud_run_sessions::site::parse_templates_early();
    let errors = cloud_run_sessions::config::errors();
    if errors.is_empty() {
        return serve();
    }
    let _observability = Observability::start();
    for error in errors {
        log::error!(target: LAUNCH, "{error}");
    }
    ExitCode::FAILURE
}

#[rocket::main]
async fn serve() -> ExitCode {
    let observability = match Observability::start() {
        Ok(observability) => observability,
        Err(error) => {
            log::error!(target: LAUNCH, "{error}");
            return ExitCode::FAILURE;
        }
    };
    raise_descriptor_limit();
    let code = run(observability.attach_to(cloud_run_sessions::rocket())).await;
    observability.shut_down();
    code
}

/// The soft limit of descriptors, unless it is higher already or the hard limit is lower. That many
/// connections need about 77 MB.
const DESCRIPTORS: u64 = 4096;

/// Allows more connections than the usual soft limit of 1,024 descriptors, which exists for programs
/// that use `select`. The hard limit is often so high that memory would run out first.
fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(DESCRIPTORS) {
        Ok(limit) => log::info!("at most {limit} descriptors can be open, one for each connection"),
        Err(error) => log::warn!("the limit of open descriptors cannot be raised: {error}"),
    }
}

/// Serves until the process gets a signal to stop and every running request has been answered.
async fn run(rocket: Rocket<Build>) -> ExitCode {
    let Err(error) = rocket.launch().await else { return ExitCode::SUCCESS };
    if let ErrorKind::Shutdown(rocket, None) = error.kind()
        && finish(rocket).await
    {
        return ExitCode::SUCCESS;
    }
    // This logs the details, unless RUST_LOG suppresses them.
    let outcome = error.pretty_print();
    log::error!(target: LAUNCH, "{outcome}: {error}");
    ExitCode::FAILURE
}

/// Waits until the last request is answered, but not longer than Rocket itself would.
///
/// Rocket 0.5.2 sometimes notices that its port is closed before it notices the shutdown. It then
/// returns an error immediately, while requests are running. Each running request holds a reference
/// to the `Rocket`.
async fn finish(rocket: &Arc<Rocket<Orbit>>) -> bool {
    let Shutdown { grace, mercy, .. } = rocket.config().shutdown;
    let start = Instant::now();
    while Arc::strong_count(rocket) > 1 {
        if start.elapsed() > Duration::from_secs((grace + mercy).into()) {
            return false;
        }
        sleep(Duration::from_millis(10)).await;
    }
    true
}

//! The process: its log, its traces, and the launch.

mod log;
mod requests;
#[cfg(feature = "otel")]
mod telemetry;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rocket::config::Shutdown;
use rocket::error::ErrorKind;
use rocket::tokio::time::sleep;
use rocket::{Build, Orbit, Rocket};

/// What the binary can be asked to do.
const USAGE: &str = "usage: cloud-run-sessions          serve
       cloud-run-sessions check    check the settings and the store, and exit with 1 if they fail";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match arguments.iter().map(|it| it.to_str()).collect::<Vec<_>>()[..] {
        [] => serve(),
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
    // A reader that has seen enough is no failure.
    let _ = write!(io::stdout(), "{report}");
    if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[rocket::main]
async fn serve() -> ExitCode {
    log::start();
    let errors = cloud_run_sessions::config::errors();
    if !errors.is_empty() {
        for error in errors {
            ::log::error!("{error}");
        }
        return ExitCode::FAILURE;
    }
    #[cfg(feature = "otel")]
    let telemetry = match telemetry::Telemetry::start() {
        Ok(telemetry) => telemetry,
        Err(error) => {
            ::log::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut rocket = cloud_run_sessions::rocket();
    if log::is_on_cloud_run() {
        rocket = rocket.attach(log::Traces);
    }
    #[cfg(feature = "otel")]
    if let Some(telemetry) = &telemetry {
        rocket = rocket.attach(telemetry.fairing());
    }
    let code = run(rocket).await;
    #[cfg(feature = "otel")]
    if let Some(telemetry) = telemetry {
        telemetry.end();
    }
    code
}

/// Serves until the process is told to end, and every request that is under way is answered.
async fn run(rocket: Rocket<Build>) -> ExitCode {
    let Err(error) = rocket.launch().await else { return ExitCode::SUCCESS };
    if let ErrorKind::Shutdown(rocket, None) = error.kind()
        && finish(rocket).await
    {
        return ExitCode::SUCCESS;
    }
    ::log::error!("{}", error.pretty_print());
    ExitCode::FAILURE
}

/// Waits until the last request is answered, as long as Rocket itself would.
///
/// Rocket 0.5.2 sometimes sees that its port is closed before it sees why, and then returns at once,
/// with requests under way and an error. Each of them holds a reference.
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

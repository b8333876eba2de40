//! The process: its log, its traces, and the launch.

mod log;
mod requests;
#[cfg(feature = "otel")]
mod telemetry;

use std::process::ExitCode;

#[rocket::main]
async fn main() -> ExitCode {
    log::start();
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
    let result = rocket.launch().await;
    #[cfg(feature = "otel")]
    if let Some(telemetry) = telemetry {
        telemetry.end();
    }
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            ::log::error!("{}", error.pretty_print());
            ExitCode::FAILURE
        }
    }
}

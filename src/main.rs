//! The process: its log, and the launch.

mod log;

use std::process::ExitCode;

#[rocket::main]
async fn main() -> ExitCode {
    log::start();
    let mut rocket = cloud_run_sessions::rocket();
    if log::is_on_cloud_run() {
        rocket = rocket.attach(log::Traces);
    }
    match rocket.launch().await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            ::log::error!("{}", error.pretty_print());
            ExitCode::FAILURE
        }
    }
}

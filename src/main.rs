//! The process: its log, and the launch.

use std::io::Write;
use std::process::ExitCode;

use env_logger::{Env, Target};

/// Rocket logs every request at length, and an unknown path as an error; the platform writes a
/// request log already. What it says of the launch stays.
const FILTER: &str = "info,rocket::server=off";

#[rocket::main]
async fn main() -> ExitCode {
    env_logger::Builder::from_env(Env::default().default_filter_or(FILTER))
        .target(Target::Stdout)
        .format(|out, record| writeln!(out, "{} {}", record.level(), record.args()))
        .init();
    match cloud_run_sessions::rocket().launch().await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{}", error.pretty_print());
            ExitCode::FAILURE
        }
    }
}

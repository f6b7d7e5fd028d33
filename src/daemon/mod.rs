//! The running program: shards, signals, logging.

/// Serves until it is told to stop.
pub fn run(_settings: crate::config::Settings) -> std::process::ExitCode {
    eprintln!("error: this build has no daemon");
    std::process::ExitCode::FAILURE
}

//! The running program: shards, signals, logging.

/// Why the server cannot go on.
#[derive(Debug)]
pub struct Error;

impl Error {
    /// The exit code that stands for it.
    pub fn exit(&self) -> std::process::ExitCode {
        std::process::ExitCode::FAILURE
    }
}

/// Serves until it is told to stop.
pub fn run(_settings: crate::config::Settings) -> Result<(), Error> {
    eprintln!("error: this build has no daemon");
    Err(Error)
}

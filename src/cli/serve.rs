//! `maeslant serve`.

use std::path::PathBuf;
use std::process::ExitCode;

use maeslant::config::{self, LogFormat, Settings};
use maeslant::daemon::{init_logging, warn_of};

/// Answer clients, until stopped.
///
/// Stays in the foreground, logs to the standard error, and says "ready" in one line when it answers on every address.
/// Without --config it listens on 127.0.0.1:5300 and [::1]:5300 and answers this machine only.
///
/// SIGHUP has it read its configuration again: what can change while serving does, the log says what needs a restart, and
/// a file with mistakes changes nothing. SIGTERM and SIGINT let it finish the questions at hand and end within 5 seconds.
#[derive(clap::Args)]
#[command(after_long_help = "\
Example:
  maeslant serve --config /etc/maeslant.toml

Exit codes:
  0  stopped by SIGTERM or SIGINT
  1  it could not go on
  2  the command line or the configuration cannot be used
  3  an address cannot be listened on: a port in use, a missing right")]
pub struct Args {
    /// The configuration file; `maeslant check --print default` prints one to start from.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Serves until it is told to stop.
pub fn run(args: &Args) -> ExitCode {
    let settings = match &args.config {
        None => Settings::default(),
        Some(path) => {
            let (settings, report) = config::load(path);
            let json = settings.as_ref().filter(|settings| settings.log.format == LogFormat::Json);
            match json {
                // Who reads the log as JSON reads nothing else.
                Some(settings) => {
                    if init_logging(&settings.log).is_ok() {
                        warn_of(&report);
                    }
                }
                None if report.problems.is_empty() => {}
                None => super::show(&report),
            }
            match settings {
                Some(settings) => settings,
                None => return ExitCode::from(super::UNUSABLE),
            }
        }
    };
    match maeslant::daemon::run(settings, args.config.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        // It has been logged.
        Err(error) => error.exit().into(),
    }
}

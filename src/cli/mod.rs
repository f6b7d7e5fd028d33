//! The subcommands: their arguments, their help, and what they print.

pub mod check;
pub mod ctl;
pub mod generate;
pub mod lab;
pub mod load;
pub mod resolve;
pub mod serve;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use maeslant::config::report::Report;

/// The command line or the configuration cannot be used.
pub const UNUSABLE: u8 = 2;

/// Shows a report on the standard error, in colours on a terminal unless `NO_COLOR` is set (no-color.org).
pub fn show(report: &Report) {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    eprint!("{}", report.human(colours));
}

/// Writes to the standard output. A reader that has gone away, as with `| head`, is no failure.
pub fn print(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

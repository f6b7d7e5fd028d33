//! Why the server cannot go on, and what its caller is told in a number.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::listener::BindError;

/// Exit codes of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// It ended as it should.
    Success = 0,
    /// Something failed that no other code names.
    Other = 1,
    /// The configuration or the command line is wrong.
    Config = 2,
    /// An address cannot be listened on.
    Bind = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        std::process::ExitCode::from(exit as u8)
    }
}

/// Why the server cannot go on. Each says it in one line.
#[derive(Debug)]
pub enum Error {
    /// The configuration asks for something impossible.
    Config(String),
    /// An address cannot be listened on.
    Bind(BindError),
    /// The control socket cannot be opened.
    Control { path: PathBuf, source: io::Error },
    /// The operating system refused something.
    System { doing: &'static str, source: io::Error },
    /// A shard failed. The server does not go on with the others: it would answer half of its clients.
    Shard { number: usize, cause: String },
    /// Shards did not begin, or did not end, in time.
    Slow(&'static str),
}

impl Error {
    /// The exit code that stands for it.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Config(_) => Exit::Config,
            Error::Bind(_) | Error::Control { .. } => Exit::Bind,
            Error::System { .. } | Error::Shard { .. } | Error::Slow(_) => Exit::Other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(what) => write!(f, "{what}"),
            Error::Bind(error) => write!(f, "{error}"),
            Error::Control { path, source } => {
                write!(f, "cannot open the control socket {} ([server] control_socket): {source}", path.display())
            }
            Error::System { doing, source } => write!(f, "{doing}: {source}"),
            Error::Shard { number, cause } => write!(f, "shard {number} failed, so the server ends: {cause}"),
            Error::Slow(what) => write!(f, "shards did not {what} in time"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Bind(error) => Some(error),
            Error::Control { source, .. } | Error::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

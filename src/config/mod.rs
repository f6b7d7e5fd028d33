//! TOML text, what was written, checked policies.
//!
//! [`table`] has every key of the configuration file once, with its type, range, default, meaning and reason; reading,
//! checking, `--print` and `--explain` all follow it. [`read()`] finds all that is wrong with a text at once.

mod anchors;
pub mod changes;
mod check;
pub mod dates;
pub mod print;
mod read;
mod shape;
pub mod special;
pub mod table;
#[cfg(test)]
mod tests;
mod zonefile;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dnssec::{Anchors, NegativeAnchor};
pub use crate::text::report;
use crate::text::report::{Code, Problem, Report};
use crate::text::units;

/// Everything the running program needs, lowered from one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Shards; at least 1.
    pub workers: usize,
    pub pin: Pin,
    pub listener: crate::listener::Policy,
    pub upstream: crate::upstream::Policy,
    pub engine: crate::engine::Policy,
    pub cache: crate::cache::Policy,
    pub cache_clock: CacheClock,
    pub log: LogPolicy,
    /// Where the root hints came from; compiled in where none.
    pub root_hints_file: Option<PathBuf>,
    /// Where the cookie secrets came from; a random one where none.
    pub cookie_secrets_file: Option<PathBuf>,
    /// Octets for the books at the door.
    pub limits_memory: u64,
    /// Octets for names that are known to exist.
    pub learned_memory: u64,
    /// Where `maeslant ctl` asks; nowhere where none.
    pub control_socket: Option<PathBuf>,
    /// Where rules for public suffixes came from; the list that is compiled in alone where none.
    pub public_suffixes_file: Option<PathBuf>,
    /// Where the trust anchors came from; compiled in where none, if the root is the Internet's.
    pub trust_anchors_file: Option<PathBuf>,
    /// Where the trust anchors are kept that were learned by RFC 5011; where none, they stay as they are.
    pub trust_anchor_state: Option<PathBuf>,
    pub snapshot: SnapshotPolicy,
    /// Zones that are not validated for a while; the engine's policy has them too.
    pub negative_trust_anchors: Vec<NegativeAnchor>,
}

/// Whether shards stay on cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pin {
    /// The scheduler decides.
    #[default]
    Off,
    /// Each on one.
    Cores,
    /// Each on one, with the packets that the kernel takes in there.
    Queues,
}

/// The clock by which cached data ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CacheClock {
    #[default]
    Monotonic,
    Wall,
}

/// What is kept for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Keep one.
    pub keep: bool,
    /// Where; in the state directory of the service where none.
    pub file: Option<PathBuf>,
    pub every: Duration,
    /// Octets of the file at most.
    pub size: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> SnapshotPolicy {
        SnapshotPolicy { keep: true, file: None, every: Duration::from_secs(300), size: 256 << 20 }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    /// `error | warn | info | debug | trace`.
    pub level: String,
    pub format: LogFormat,
}

impl Default for LogPolicy {
    fn default() -> LogPolicy {
        LogPolicy { level: "info".into(), format: LogFormat::Text }
    }
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What holds without a configuration file: loopback only, resolving from the Internet's root.
impl Default for Settings {
    fn default() -> Settings {
        let cache = crate::cache::Policy::default();
        let mut engine = crate::engine::Policy { cache_prefetch: cache.prefetch, ..Default::default() };
        engine.resolve.do_not_query = special::do_not_query();
        engine.resolve.root_hints = zonefile::hints(crate::resolve::COMPILED_ROOT_HINTS).servers;
        engine.resolve.dnssec.anchors = Anchors::built_in();
        Settings {
            workers: cores(),
            pin: Pin::default(),
            listener: crate::listener::Policy::default(),
            upstream: crate::upstream::Policy::default(),
            engine,
            cache,
            cache_clock: CacheClock::default(),
            log: LogPolicy::default(),
            root_hints_file: None,
            cookie_secrets_file: None,
            limits_memory: 64 << 20,
            learned_memory: 16 << 20,
            control_socket: None,
            public_suffixes_file: None,
            trust_anchors_file: None,
            trust_anchor_state: None,
            snapshot: SnapshotPolicy::default(),
            negative_trust_anchors: Vec::new(),
        }
    }
}

/// One shard for each core this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads a configuration. `origin` is the file it came from: it is named in the report, and relative paths start at its
/// directory. No files are opened but those of `root_hints`, `trust_anchors` and
/// `cookie_secrets` and `public_suffixes`.
///
/// # Errors
/// The report of all that is wrong, where anything is.
pub fn read(text: &str, origin: &Path) -> Result<Settings, Report> {
    let (settings, report) = examine(text, origin);
    settings.ok_or(report)
}

/// As [`read()`], with the report in any case: it may have warnings. Settings only where there is no error.
pub fn examine(text: &str, origin: &Path) -> (Option<Settings>, Report) {
    let reading = read::read(text, &origin.display().to_string());
    let (settings, report) = check::finish(reading, origin.parent().unwrap_or(Path::new("")));
    ((report.errors() == 0).then_some(settings), report)
}

/// Reads a configuration file; `-` is the standard input. Settings only where there is no error.
pub fn load(path: &Path) -> (Option<Settings>, Report) {
    let (origin, octets) = if path == Path::new("-") {
        let mut octets = Vec::new();
        (Path::new("<stdin>"), std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut octets).map(|_| octets))
    } else {
        (path, std::fs::read(path))
    };
    let name = origin.display().to_string();
    match octets.map(String::from_utf8) {
        Ok(Ok(text)) => examine(&text, origin),
        Ok(Err(error)) => {
            let at = error.utf8_error().valid_up_to();
            let mut report = Report::on(name, String::from_utf8_lossy(error.as_bytes()));
            report.problems.push(Problem::error(Code::Syntax, "this is not UTF-8 text").at(at..at + 1, "this octet"));
            (None, report)
        }
        Err(error) => {
            let problem = Problem::error(Code::Unreadable, format!("cannot read {name}: {}", reason(&error)));
            let mut report = Report::on(name, "");
            report.problems.push(problem);
            (None, report)
        }
    }
}

/// What the system says, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

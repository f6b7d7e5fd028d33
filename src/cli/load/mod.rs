//! `maeslant load`: traffic for a resolver, and what its customers felt.

mod against;
mod child;
mod enclosure;
mod files;
mod folder;
mod others;
mod record;
mod replay;
mod run;
mod stage;
mod tools;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use maeslant::load::scenario::not_spoken;
use maeslant::load::{Outcome, Permit};

/// Send a resolver traffic, and measure what its legitimate clients feel.
///
/// Everything is bounded in time and number, and goes to this machine alone unless you say that another one is yours.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  maeslant load run zones/lab/scenarios/ziggo-2015.toml --html report.html
  maeslant load run my.toml --target 127.0.0.1:5300 --junit result.xml
  maeslant load replay yesterday.pcapng --target 127.0.0.1:5300 --speed 2 --map-net 127.20.0.0/16
  maeslant load stats yesterday.dnstap
  maeslant load convert yesterday.pcapng queries.txt --anonymise --hash-names
  maeslant load run my.toml --check --record queries.pcap

Exit codes:
  0  what the scenario expects came out
  1  it did not, or the run could not go on
  2  the command line or the scenario cannot be used
  3  an address cannot be listened on")]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Run(run::Args),
    Replay(replay::Args),
    Convert(tools::Convert),
    Stats(tools::Show),
    Slice(tools::Slice),
}

/// Whom to ask, and with what right.
#[derive(clap::Args, Clone)]
pub struct Aim {
    /// Ask this resolver instead of starting one, by UDP and TCP.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = target)]
    pub target: Option<SocketAddr>,
    /// The process whose CPU time and memory are measured.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// This address outside this machine is mine, and I answer for what I send it.
    #[arg(long, value_name = "ADDRESS")]
    pub i_own_this_target: Option<IpAddr>,
    /// Packets a second at most, repetitions and questions by TCP included. What there is no room for is left out.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_cap: Option<u32>,
    /// Do it in a network of its own with a loopback interface alone, to which 198.18.0.0/15, 2001:2::/48 and fd00::/64
    /// belong too: IPv6 clients have addresses of their own there, and nothing can leave it. Needs root.
    #[arg(long, conflicts_with = "i_own_this_target")]
    pub own_network: bool,
    /// In the network that was made for it.
    #[arg(long, hide = true)]
    pub inside: bool,
}

/// Reads `--target`.
fn target(text: &str) -> Result<SocketAddr, String> {
    match text.split_once("://") {
        Some((scheme, _)) => Err(not_spoken(scheme)),
        None => {
            text.parse().map_err(|_| "expected an address and port, such as 127.0.0.1:5300 or [::1]:5300".to_owned())
        }
    }
}

impl Aim {
    /// The right to ask a target.
    fn permit(&self, target: SocketAddr) -> Result<Permit, stage::Failure> {
        let permit = match self.own_network && self.inside {
            true => Permit::enclosed(target, self.rate_cap),
            false => Permit::new(target, self.i_own_this_target, self.rate_cap),
        };
        permit.map_err(|refusal| (refusal.to_string(), super::UNUSABLE))
    }
}

/// Where the results go.
#[derive(clap::Args, Clone)]
pub struct Reports {
    /// Write a report as one HTML file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write everything as JSON; - is the standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the verdicts as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Compare with the JSON of an earlier run.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
}

impl Reports {
    /// Whether all of them can be written, beside the files that are read and a record; and the run to compare with. Found
    /// out before the run, whose results would be lost after it.
    fn ready(&self, read: &[&Path], record: Option<&Path>) -> Result<Option<Outcome>, String> {
        let before = self.baseline.as_deref().map(run::baseline).transpose()?;
        let read: Vec<&Path> = read.iter().copied().chain(self.baseline.as_deref()).collect();
        let reports = [self.html.as_deref(), self.json.as_deref(), self.junit.as_deref(), record];
        files::check(&read, &reports.into_iter().flatten().collect::<Vec<_>>())?;
        Ok(before)
    }
}

/// Does what was asked.
pub fn run(args: &Args) -> ExitCode {
    match &args.task {
        Task::Run(args) => run::run(args),
        Task::Replay(args) => replay::run(args),
        Task::Convert(args) => tools::convert(args),
        Task::Stats(args) => tools::stats(args),
        Task::Slice(args) => tools::slice(args),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(code)
}

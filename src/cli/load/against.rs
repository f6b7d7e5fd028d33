//! `maeslant load run --against`: the same scenario for this program's resolver and for others, one after the other, in
//! a network of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use maeslant::load::report;
use maeslant::load::{Outcome, Scenario};

use super::child::{self, Resolver, Validation, Which};
use super::run::{Args, play};
use super::stage::{self, Failure, Stage};
use super::{Reports, enclosure, fail};

/// The port of the servers of the small Internet: resolvers ask no other.
const SERVERS: u16 = 53;
/// Where the resolver under test listens.
const RESOLVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5397);

/// Starts this command again in a network of its own.
pub fn outside(args: &Args) -> ExitCode {
    for other in others(args) {
        if let Err((message, code)) = other.version() {
            return fail(&message, code);
        }
    }
    enclosure::enter()
}

/// Runs the scenario for each resolver in turn, in the network that [`outside`] made.
pub fn inside(args: &Args, scenario: &Scenario) -> ExitCode {
    let mut outcomes = Vec::new();
    for which in std::iter::once(Which::Own).chain(others(args)) {
        let name = which.name();
        match measure(args, scenario, which) {
            Ok((outcome, interrupted)) => {
                eprintln!("\n{}", report::summary(&outcome));
                outcomes.push((name, outcome));
                if interrupted {
                    break;
                }
            }
            Err((message, code)) => return fail(&format!("{name}: {message}"), code),
        }
    }
    let code = write(&args.reports, &outcomes);
    let all: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    super::super::print(&format!("\n{}: side by side\n{}", scenario.name, report::side_by_side(&all)));
    code
}

/// Who is to be measured beside this program.
fn others(args: &Args) -> impl Iterator<Item = Which> {
    args.against.iter().cloned().map(Which::Other)
}

fn write(reports: &Reports, outcomes: &[(String, Outcome)]) -> ExitCode {
    let mut written: Vec<(PathBuf, String)> = Vec::new();
    if let Some(path) = &reports.html {
        for (name, outcome) in outcomes {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            written.push((path.with_file_name(format!("{stem}-{name}.html")), report::html(outcome, None)));
        }
    }
    if let Some(path) = &reports.json {
        let all: Vec<&Outcome> = outcomes.iter().map(|(_, outcome)| outcome).collect();
        written.push((path.clone(), serde_json::to_string_pretty(&all).unwrap_or_default()));
    }
    if let (Some(path), Some((_, own))) = (&reports.junit, outcomes.first()) {
        written.push((path.clone(), report::junit(own)));
    }
    let mut code = if outcomes.first().is_some_and(|(_, own)| own.passed()) { 0 } else { 1 };
    for (path, content) in written {
        if let Err(error) = fs::write(&path, content) {
            eprintln!("error: cannot write {}: {error}", path.display());
            code = 1;
        }
    }
    ExitCode::from(code)
}

fn measure(args: &Args, scenario: &Scenario, which: Which) -> Result<(Outcome, bool), Failure> {
    let version = which.version()?;
    let notes = match &which {
        Which::Own => vec!["nobody validates: the lab's root has a key of its own".to_owned()],
        Which::Other(other) => other.notes(child::cache(scenario)),
    };
    let world = stage::start_world(scenario, SERVERS, true)?;
    let resolver = Resolver::start(which, scenario, &world, RESOLVER, Validation::Off)?;
    let stage = Stage::beside(scenario, world, RESOLVER, resolver, version);
    play(scenario, stage, &args.aim).map(|(mut outcome, interrupted)| {
        outcome.notes.extend(notes);
        (outcome, interrupted)
    })
}

//! Floods side by side: the scenarios against maeslant and against other resolvers, as they come and tuned.
//! `benches/peers/run floods` runs it as it must be run.
//!
//! Each scenario is run once for each server, with its times cut. What was measured is kept beside the build, so that some
//! scenarios or servers can be measured again; the table is made of the last run of each, once there is one of all.

#[path = "../../../tests/peers/programs.rs"]
mod peers;
mod scenarios;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use peers::internet::package_file;
use peers::process::{output_of, require_own_network};
use scenarios::{ALL, Case};
use serde_json::Value;

/// The servers beside maeslant: in the table, and as `--against` wants them, with files in this folder.
pub const SERVERS: [(&str, &str); 10] = [
    ("unbound", "unbound"),
    ("unbound-tuned", "unbound=unbound-tuned.conf"),
    ("knot", "knot"),
    ("knot-tuned", "knot=knot-tuned.conf"),
    ("pdns", "pdns"),
    ("pdns-tuned", "pdns=pdns-tuned.conf"),
    ("pdns+dnsdist", "pdns+dnsdist"),
    ("pdns-tuned+dnsdist-tuned", "pdns=pdns-tuned.conf+dnsdist=dnsdist-tuned.lua"),
    ("bind", "bind"),
    ("bind-tuned", "bind=bind-tuned.conf"),
];
/// One scenario against all servers takes less.
const PATIENCE: Duration = Duration::from_secs(1200);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let (mut cases, mut servers): (Vec<&Case>, Vec<(&str, &str)>) = (Vec::new(), Vec::new());
    for argument in arguments.iter().filter(|argument| *argument != "--smoke") {
        let named: Vec<&Case> = ALL.iter().filter(|case| case.file.starts_with(argument)).collect();
        let server = SERVERS.iter().find(|(name, _)| name == argument);
        assert!(
            !named.is_empty() || server.is_some(),
            "\"{argument}\" is no scenario and no server: {}",
            SERVERS.map(|(name, _)| name).join(", ")
        );
        cases.extend(named);
        servers.extend(server);
    }
    if cases.is_empty() {
        cases = if smoke { ALL.iter().take(1).collect() } else { ALL.iter().collect() };
    }
    if servers.is_empty() {
        servers = if smoke { SERVERS.into_iter().take(1).collect() } else { SERVERS.to_vec() };
    }
    require_own_network();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers/floods");
    fs::create_dir_all(&dir).expect("a directory under the target directory can be made");
    let begun = Instant::now();
    for case in &cases {
        let outcomes = measure(case, &servers, &dir, smoke);
        for outcome in &outcomes {
            println!("{}", table::line(case, outcome, smoke));
        }
        if !smoke {
            keep(&dir, case, outcomes);
        }
    }
    println!("{:.0} s", begun.elapsed().as_secs_f64());
    if smoke {
        return;
    }
    let kept: Vec<(&Case, Vec<Value>)> = ALL.iter().map(|case| (case, kept(&dir, case))).collect();
    let report = table::report(&kept);
    println!("\n{report}");
    let whole = kept.iter().all(|(_, outcomes)| outcomes.len() == SERVERS.len() + 1);
    if whole {
        peers::results::replace_section(&package_file("benches/peers/RESULTS.md"), "Floods", &report);
        println!("written to benches/peers/RESULTS.md");
    }
}

/// Runs a scenario for maeslant and the servers.
fn measure(case: &Case, servers: &[(&str, &str)], dir: &Path, smoke: bool) -> Vec<Value> {
    let (scenario, report) = (dir.join("scenario.toml"), dir.join("report.json"));
    fs::write(&scenario, case.text(smoke)).expect("a scenario can be written");
    let _ = fs::remove_file(&report);
    let against: Vec<&str> = servers.iter().map(|(_, how)| *how).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_maeslant"));
    command.current_dir(package_file("benches/peers/floods"));
    command.args(["load", "run"]).arg(&scenario).args(["--against", &against.join(","), "--json"]).arg(&report);
    // A run that this machine could not keep up with ends in 1: the table says so.
    let said = output_of(&mut command, PATIENCE).unwrap_or_else(|error| error);
    let text = fs::read_to_string(&report).unwrap_or_else(|_| panic!("{}: {said}", case.file));
    serde_json::from_str(&text).expect("JSON")
}

fn file(dir: &Path, case: &Case) -> PathBuf {
    dir.join(format!("{}.json", case.file))
}

/// What was measured last of a scenario, by server.
fn kept(dir: &Path, case: &Case) -> Vec<Value> {
    fs::read_to_string(file(dir, case)).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Keeps outcomes, in place of earlier ones of the same servers.
fn keep(dir: &Path, case: &Case, outcomes: Vec<Value>) {
    let mut all = kept(dir, case);
    for outcome in outcomes {
        match all.iter_mut().find(|old| old["server"] == outcome["server"]) {
            Some(old) => *old = outcome,
            None => all.push(outcome),
        }
    }
    let order = |outcome: &Value| SERVERS.iter().position(|(name, _)| *name == table::server(outcome));
    all.sort_by_key(order);
    fs::write(file(dir, case), serde_json::to_string(&all).expect("JSON")).expect("it can be kept");
}

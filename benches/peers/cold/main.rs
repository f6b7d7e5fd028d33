//! Cold resolution side by side: maeslant, Unbound and Knot Resolver, each alone on one core, the same generated
//! Internet, the same questions, the same generator. `benches/peers/run cold` runs it as it must be run.

#[path = "../../../tests/peers/programs.rs"]
mod peers;
mod zones;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use peers::authority::{Authority, Serving};
use peers::internet::package_file;
use peers::process::{fresh_dir, output_of, require_own_network};
use peers::resolver::{Resolver, Resolving};
use peers::wire::{Over, Type, Wishes, ask_with};
use zones::Generated;

/// The resolver has this core to itself.
const RESOLVER_CORE: [&str; 3] = ["taskset", "-c", "0"];
/// Questions in flight: enough to keep one core busy, few enough that nothing is lost in a socket's buffer.
const IN_FLIGHT: &str = "100";

/// What the report says of signed zones.
const SIGNED: &str = "Every zone is signed with ECDSA P-256: the root and half of the leaf zones with NSEC, the others \
                      with NSEC3, the top-level domains with opt-out; each resolver validates from the root's key. ";

/// How much is done.
struct Plan {
    zones: usize,
    names: usize,
    rounds: usize,
    write: bool,
    /// Every zone is signed, and every resolver validates.
    signed: bool,
    /// All of them, unless some are named on the command line.
    chosen: Vec<Resolver>,
}

/// What one resolver did with all questions once, from an empty cache.
#[derive(Clone)]
struct Measured {
    resolver: Resolver,
    /// Questions that arrived at authoritative servers, by their own count, over UDP and TCP.
    upstream: f64,
    /// Packets between the resolver and authoritative servers in both directions, by the kernel's count.
    packets: f64,
    seconds: f64,
    cpu_micros: f64,
    answered: usize,
    failed: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let signed = arguments.iter().any(|argument| argument == "--signed");
    let named = |resolver: &Resolver| arguments.iter().any(|argument| argument == resolver.name());
    let mut chosen: Vec<Resolver> = Resolver::ALL.into_iter().filter(named).collect();
    if chosen.is_empty() {
        chosen = Resolver::ALL.to_vec();
    }
    let plan = if smoke {
        Plan { zones: 120, names: 300, rounds: 1, write: false, signed, chosen }
    } else {
        Plan { zones: 3000, names: 10_000, rounds: 5, write: chosen.len() == Resolver::ALL.len(), signed, chosen }
    };
    require_own_network();
    let generated = zones::generate(&fresh_dir("cold"), plan.zones, plan.names, plan.signed);
    let serving = Authority::Nsd.serve(&generated.internet);
    let mut all = Vec::new();
    for round in 0..plan.rounds {
        for turn in 0..plan.chosen.len() {
            // Each goes first, second and last in turn.
            let resolver = plan.chosen[(turn + round) % plan.chosen.len()];
            let measured = measure(resolver, &generated, &serving);
            println!("round {}: {}", round + 1, line(&measured, plan.names));
            all.push(measured);
        }
    }
    let report = report(&plan, &generated, &all);
    println!("\n{report}");
    if plan.write {
        let file = package_file("benches/peers/RESULTS.md");
        peers::results::replace_section(
            &file,
            if plan.signed { "Cold names, every zone signed" } else { "Cold names" },
            &report,
        );
        println!("written to benches/peers/RESULTS.md");
    }
    let wrong: Vec<String> = all
        .iter()
        .filter(|measured| measured.resolver == Resolver::Maeslant && measured.answered != plan.names)
        .map(|measured| format!("{} of {} answered as expected", measured.answered, plan.names))
        .collect();
    assert!(wrong.is_empty(), "maeslant did not resolve every name: {wrong:?}");
}

/// Questions that the servers have had so far, UDP and TCP.
fn asked(serving: &Serving) -> u64 {
    let count = |directory: &Path| {
        let config = directory.join("nsd.conf").display().to_string();
        let mut command = Command::new("nsd-control");
        let text = output_of(command.args(["-c", &config, "stats_noreset"]), Duration::from_secs(10))
            .unwrap_or_else(|error| panic!("no statistics: {error}"));
        let value = text.lines().find_map(|line| line.strip_prefix("num.queries="));
        value.and_then(|value| value.trim().parse::<u64>().ok()).expect("NSD counts its queries")
    };
    serving.servers.iter().map(|server| count(server.dir())).sum()
}

/// IPv4 packets received in this namespace: UDP datagrams and TCP segments. Clients ask over IPv6 here, so these are all
/// between the resolver and authoritative servers.
fn packets() -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").expect("the kernel counts its packets");
    let row = |protocol: &str, field: &str| {
        let mut rows = text.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
        let (names, values) = (rows.next()?, rows.next()?);
        let place = names.split(' ').position(|name| name == field)?;
        values.split(' ').nth(place)?.parse::<u64>().ok()
    };
    row("Udp", "InDatagrams").unwrap_or(0) + row("Tcp", "InSegs").unwrap_or(0)
}

fn measure(resolver: Resolver, generated: &Generated, serving: &Serving) -> Measured {
    let Resolving { mut running, v6, .. } =
        resolver.start_with(&generated.internet, generated.anchors.as_deref(), &RESOLVER_CORE);
    let before = (asked(serving), packets(), running.cpu_nanos());
    let mut generator = Command::new("taskset");
    generator.args(["-c", "1", "dnsperf", "-s", &v6.ip().to_string(), "-p", &v6.port().to_string(), "-n", "1"]);
    generator.args(["-q", IN_FLIGHT, "-t", "15", "-d", &generated.questions.display().to_string()]);
    let text = output_of(&mut generator, Duration::from_secs(300)).unwrap_or_else(|error| panic!("dnsperf: {error}"));
    let after = (asked(serving), packets(), running.cpu_nanos());
    if generated.anchors.is_some() {
        let wishes = Wishes { dnssec_ok: true, checking_disabled: false };
        let answer = ask_with(v6, ("t00.", Type::SOA), wishes, Over::Udp, Duration::from_secs(5)).expect("an answer");
        assert!(answer.authentic, "{} does not validate: {answer}", resolver.name());
    }
    running.stop();
    let load = peers::clients::read_dnsperf(&text);
    let total = generated.noerror + generated.nxdomain;
    let answered = load.count("NOERROR").min(generated.noerror) + load.count("NXDOMAIN").min(generated.nxdomain);
    let each = |difference: u64| difference as f64 / total as f64;
    Measured {
        resolver,
        upstream: each(after.0 - before.0),
        packets: each(after.1 - before.1),
        seconds: load.seconds,
        cpu_micros: each(after.2 - before.2) / 1000.0,
        answered,
        failed: total - answered,
    }
}

fn line(measured: &Measured, names: usize) -> String {
    format!(
        "{:<14} {:>6.3} questions upstream, {:>6.3} packets, {:>7.1} µs CPU a resolution; {:>6.2} s; {} of {names}",
        measured.resolver.name(),
        measured.upstream,
        measured.packets,
        measured.cpu_micros,
        measured.seconds,
        measured.answered,
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(plan: &Plan, generated: &Generated, all: &[Measured]) -> String {
    let mut text = format!(
        "{}\n\n{} names ({} of them do not exist) over {} zones under 20 top-level domains, three zones of ten glueless; \
         each resolver from an empty cache, one worker, one core to itself; authoritative servers (NSD) and the generator \
         (dnsperf, {IN_FLIGHT} in flight) on the other. {}Medians of {} runs, in turns.\n\n",
        peers::results::circumstances(),
        plan.names,
        generated.nxdomain,
        plan.zones,
        if plan.signed { SIGNED } else { "" },
        plan.rounds,
    );
    text.push_str(
        "| resolver | questions upstream a name | packets a name | CPU µs a name | wall time | resolved | failed |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    for &resolver in &plan.chosen {
        let of = |value: fn(&Measured) -> f64| {
            median(all.iter().filter(|measured| measured.resolver == resolver).map(value))
        };
        let _ = writeln!(
            text,
            "| {} {} | {:.3} | {:.3} | {:.1} | {:.2} s | {} | {} |",
            resolver.name(),
            resolver.version(),
            of(|measured| measured.upstream),
            of(|measured| measured.packets),
            of(|measured| measured.cpu_micros),
            of(|measured| measured.seconds),
            of(|measured| measured.answered as f64),
            of(|measured| measured.failed as f64),
        );
    }
    text
}

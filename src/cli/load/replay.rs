//! `maeslant load replay`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use maeslant::load::capture::{self, Message};
use maeslant::load::feed::{Feed, Pace, Recorded};
use maeslant::load::moved::Moves;
use maeslant::load::outcome::Sample;
use maeslant::load::own::Own;
use maeslant::load::report::Glance;
use maeslant::load::run::manners;
use maeslant::load::scenario::Role;
use maeslant::load::sender::Manners;
use maeslant::load::{Outcome, Permit, Run, Scenario, process};

use maeslant::text::units;

use super::run::{View, finish, wait};
use super::stage::{self, Stage};
use super::tools::Selection;
use super::{Aim, Reports, enclosure, fail};

/// Queries of a record that are kept in memory.
const MOST_QUERIES: usize = 20_000_000;
/// The longest that `--longest` may allow: a month of a record in its own time.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);
/// Where clients of other machines ask from: a quarter of a million addresses that nothing else here uses.
const ELSEWHERE: &str = "127.20.0.0/14";
/// Questions a replay may ask in all.
const MOST_SENT: u64 = 100_000_000;

/// Send what was recorded, at the times it was recorded: pcap, pcapng, dnstap, or dnsperf's text.
///
/// Clients keep their addresses where these are on this machine, or are moved with --map-net, each to one of its own as long
/// as there is room;
/// queries keep their octets, but for the ID where two open ones would have the same. With --with, the streams of a
/// scenario are sent at the same time.
#[derive(clap::Args)]
pub struct Args {
    /// The record.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub aim: Aim,
    #[command(flatten)]
    pub reports: Reports,
    /// How much faster than recorded: 2 is twice as fast.
    #[arg(long, default_value_t = 1.0, value_parser = factor)]
    pub speed: f64,
    /// How often it is sent, one after the other.
    #[arg(long = "loop", value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: u32,
    /// How many of each client, every copy at an address of its own.
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub scale_clients: u32,
    /// Move clients into this prefix. Without it, clients of other machines ask from 127.20.0.0/14, or from this machine's
    /// address where the target is another.
    #[arg(long, value_name = "PREFIX")]
    pub map_net: Option<IpNet>,
    /// What would take longer than this is not begun.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = longest)]
    pub longest: Duration,
    /// A query sent later than this after its moment is late; more than 1 % of them make the run invalid. With --with,
    /// the scenario says it.
    #[arg(long, value_name = "DURATION", default_value = "10ms", value_parser = duration)]
    pub late_after: Duration,
    /// The streams of this scenario beside it.
    #[arg(long, value_name = "SCENARIO.toml")]
    pub with: Option<PathBuf>,
    /// Where the resolver that is started without a target listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5397")]
    pub listen: SocketAddr,
    /// The port of the small Internet's servers; 0 draws a free one.
    #[arg(long, value_name = "PORT")]
    pub lab_port: Option<u16>,
}

fn factor(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|n| (0.001..=10_000.0).contains(n)).ok_or_else(|| "expected 0.001 to 10000".to_owned())
}

fn longest(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|longest| match longest <= LONGEST {
        true => Ok(longest),
        false => Err(format!("expected {} d at most", LONGEST.as_secs() / 86_400)),
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|wrong| wrong.help.unwrap_or(wrong.what))
}

/// The queries of a record, by time, and how they were read.
fn queries(args: &Args) -> Result<(Vec<Recorded>, capture::Summary), String> {
    let mut found: Vec<Recorded> = Vec::new();
    let mut too_many = false;
    let mut take = |message: Message| {
        if message.is_response() || !args.selection.wants(&message) {
            return;
        }
        too_many |= found.len() >= MOST_QUERIES;
        if !too_many {
            let (at, client) = (message.at, message.client.map(|client| client.ip()));
            found.push(Recorded { at, client, tcp: message.tcp, packet: message.packet.into() });
        }
    };
    let summary = capture::read(&args.file, &args.selection.choice(), &mut take)
        .map_err(|error| format!("cannot read {}: {error}", args.file.display()))?;
    if too_many {
        return Err(format!("more than {MOST_QUERIES} queries; cut the record with `maeslant load slice`"));
    }
    found.sort_by_key(|query| query.at);
    if let Some(first) = found.first().map(|query| query.at) {
        found.iter_mut().for_each(|query| query.at -= first);
    }
    Ok((found, summary))
}

/// Replays a record.
pub fn run(args: &Args) -> ExitCode {
    if args.aim.own_network && !args.aim.inside {
        return enclosure::enter();
    }
    let read: Vec<&Path> = [Some(args.file.as_path()), args.with.as_deref()].into_iter().flatten().collect();
    let before = match args.reports.ready(&read, None) {
        Ok(before) => before,
        Err(error) => return fail(&error, super::super::UNUSABLE),
    };
    let (queries, summary) = match queries(args) {
        Ok(found) => found,
        Err(error) => return fail(&error, super::super::UNUSABLE),
    };
    eprintln!("{}: {}", args.file.display(), summary.line());
    if queries.is_empty() {
        return fail("there is no query in it", super::super::UNUSABLE);
    }
    let scenario = match args.with.as_deref().map(super::run::read) {
        None => None,
        Some(Ok(scenario)) => Some(scenario),
        Some(Err(code)) => return code,
    };
    match play(args, queries, scenario, &summary) {
        Ok(outcome) => finish(&outcome, &args.reports, before.as_ref()),
        Err((message, code)) => fail(&message, code),
    }
}

/// A scenario of nothing, for a record alone.
fn empty(name: String, duration: Duration, late_after: Duration) -> Scenario {
    let (about, text) = Default::default();
    let (streams, zones, faults, events, expects) = Default::default();
    Scenario {
        name,
        about,
        duration,
        seed: 1,
        most: MOST_SENT,
        late_after,
        target: None,
        sites: 1000,
        resolver: None,
        streams,
        zones,
        faults,
        events,
        expects,
        strength: 1.0,
        text,
    }
}

fn play(
    args: &Args,
    queries: Vec<Recorded>,
    beside: Option<Scenario>,
    summary: &capture::Summary,
) -> Result<Outcome, stage::Failure> {
    let length = length(args, &queries)?;
    let name = args.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let scenario = beside.unwrap_or_else(|| empty(name.clone(), length, args.late_after));
    let mut stage = match args.aim.target.or(scenario.target) {
        Some(target) => Stage::foreign(&scenario, target, args.aim.server_pid, args.lab_port)?,
        None if !scenario.needs_own_process() => Stage::own(&scenario, args.listen, args.lab_port.unwrap_or(0))?,
        None => Stage::apart(&scenario, args.listen, args.lab_port.unwrap_or(0))?,
    };
    let permit = args.aim.permit(stage.target)?;
    let target = permit.target().ip();
    let moves = Arc::new(moves(args, &queries, &permit)?);
    let pace = Pace { speed: args.speed, rounds: args.rounds, copies: args.scale_clients, moves: Arc::clone(&moves) };
    let timeout = Duration::from_secs(5);
    let manner = Manners { timeout, ..Manners::default() };
    let popular = stage::popular(&scenario)?;
    let (mut feeds, mut streams) = (Vec::new(), Vec::new());
    for stream in &scenario.streams {
        feeds.push((Feed::generated(stream, scenario.duration, scenario.seed, &popular, target), manners(stream)));
        streams.push((stream.name.clone(), stream.role));
    }
    feeds.push((Feed::recorded(Arc::new(queries), pace), manner));
    streams.push((name.clone(), Role::Legit));
    let duration = length.max(if scenario.streams.is_empty() { length } else { scenario.duration });
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs());
    stage.sample(&scenario, Duration::from_secs(1));
    let run = Run::feeds(feeds, permit, MOST_SENT, scenario.late_after)
        .map_err(|error| (format!("cannot send: {error}"), 1))?;
    let samples = follow(&run, &mut stage, &scenario, &streams, duration)?;
    let record = [(name.clone(), Role::Legit.name())];
    let mut outcome = Outcome::beside(&scenario, &record, &run.finish(), samples);
    outcome.scenario = format!("replay of {name}");
    outcome.about = summary.line();
    outcome.duration = duration.as_secs_f64();
    outcome.started = started;
    outcome.target = stage.target.to_string();
    outcome.server = stage.server.clone();
    outcome.environment = process::machine();
    outcome.notes.extend(stage.notes());
    outcome.notes.extend(remark(&moves));
    stage.close();
    Ok(outcome)
}

/// How long it will take, where that is not too long.
fn length(args: &Args, queries: &[Recorded]) -> Result<Duration, stage::Failure> {
    let pace = Pace { speed: args.speed, rounds: args.rounds, copies: 1, moves: Arc::default() };
    let length = pace.span(queries.last().map_or(Duration::ZERO, |query| query.at));
    if length <= args.longest {
        return Ok(length);
    }
    let message = format!(
        "by the times of the record this would take {} s, longer than --longest {} s; play it with --speed, or a part that \
         `maeslant load slice --before SECONDS` cuts out",
        length.as_secs(),
        args.longest.as_secs()
    );
    Err((message, super::super::UNUSABLE))
}

/// Where clients ask from. What leaves this machine comes from an address of its own.
fn moves(args: &Args, queries: &[Recorded], permit: &Permit) -> Result<Moves, stage::Failure> {
    let unusable = |message: String| Err((message, super::super::UNUSABLE));
    let target = permit.target().ip();
    let inside = args.aim.own_network && args.aim.inside;
    if let Some(net) = args.map_net {
        if net.addr().is_ipv4() != target.is_ipv4() {
            return unusable(format!("--map-net {net} is of another family than the target {target}"));
        }
        if target.is_loopback() && !net.addr().is_loopback() && !inside {
            return unusable(
                "--map-net must lie in 127.0.0.0/8: no other address may come from here to this target".to_owned(),
            );
        }
    }
    let own = Own::read();
    let local = |client: IpAddr| {
        client.is_ipv4() == target.is_ipv4()
            && client.is_loopback() == target.is_loopback()
            && (client.is_loopback() || own.has(client))
    };
    let stays = |client: IpAddr| args.map_net.is_none() && local(client);
    let clients = || queries.iter().filter_map(|query| query.client);
    let elsewhere = target.is_loopback()
        && target.is_ipv4()
        && (args.scale_clients > 1 || queries.iter().any(|query| query.client.is_some_and(|client| !local(client))));
    let into = args.map_net.or_else(|| if elsewhere { ELSEWHERE.parse().ok() } else { None });
    let moves = Moves::new(clients(), stays, into, args.scale_clients);
    if permit.leaves()
        && let Some(forged) = moves.all().find(|address| !own.has(*address))
    {
        return unusable(format!(
            "{forged} is no address of this machine, and no forged addresses leave it: give it that address, or another \
             --map-net"
        ));
    }
    if let Some(remark) = remark(&moves) {
        eprintln!("note: {remark}");
    }
    Ok(moves)
}

/// What a reader should know of the clients' addresses.
fn remark(moves: &Moves) -> Option<String> {
    match (moves.shared(), moves.nameless()) {
        (Some((wanted, room)), _) => {
            Some(format!("{wanted} clients share {room} addresses: for one each, --map-net needs a larger prefix"))
        }
        (None, 0) => None,
        (None, clients) => Some(format!("{clients} clients are not of this machine: they ask from its own address")),
    }
}

/// Watches a run until it is over.
fn follow(
    run: &Run,
    stage: &mut Stage,
    scenario: &Scenario,
    streams: &[(String, Role)],
    duration: Duration,
) -> Result<Vec<Sample>, stage::Failure> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut view = View { terminal: std::io::IsTerminal::is_terminal(&std::io::stderr()), drawn: 0 };
    let title = format!("replay, {} at {}", stage.server, stage.target);
    wait(|| {
        let elapsed = run.elapsed();
        stage.faults(scenario, elapsed);
        stage.events(scenario, elapsed);
        if elapsed.as_secs() as usize > samples.len() && elapsed < duration + Duration::from_secs(1) {
            let sample = stage.sample(scenario, Duration::from_secs(1));
            let mut glance = run.look(|ledger| Glance::new(streams, ledger, elapsed, duration));
            glance.attacked = scenario.is_attacked(samples.len());
            (glance.upstream, glance.cpu, glance.memory) = (sample.upstream, sample.cpu, sample.memory);
            samples.push(sample);
            view.draw(&glance, &title);
        }
        !run.is_over() && elapsed < duration + Duration::from_secs(60)
    })
    .map_err(|error| (error.to_string(), 1))?;
    let rest = run.elapsed().saturating_sub(Duration::from_secs(samples.len() as u64));
    if Duration::from_secs(samples.len() as u64) < duration && !rest.is_zero() {
        samples.push(stage.sample(scenario, rest));
    }
    Ok(samples)
}

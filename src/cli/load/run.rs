//! `maeslant load run`.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use maeslant::lab::{self, Behaviour, Beyond};
use maeslant::load::outcome::Sample;
use maeslant::load::report::{self, Glance};
use maeslant::load::scenario::{self, Role, Vocabulary};
use maeslant::load::{Outcome, Run, Scenario, process};

use super::against;
use super::others::Other;
use super::stage::{self, Failure, Stage};
use super::{Aim, Reports, enclosure, fail, record};

/// How often faults and the end are looked for.
const TICK: Duration = Duration::from_millis(50);
/// How long a run may go on after its last question: stubs ask again, and wait.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// Run a scenario: several streams at once, what goes wrong meanwhile, and what must come out.
///
/// Without a target, in the scenario or here, the small Internet of `maeslant lab` and this program's resolver are
/// started for the run. Queries leave on schedule whatever the answers do, and latency counts from the moment a query
/// was due. Ctrl-C ends the run with a report of what was seen.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario.
    #[arg(value_name = "SCENARIO.toml")]
    pub scenario: PathBuf,
    #[command(flatten)]
    pub aim: Aim,
    #[command(flatten)]
    pub reports: Reports,
    /// What chance starts from, instead of the scenario's.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Make its attacks so many times as strong: 0.25 for a smaller machine. Nothing else changes, and what must come out
    /// stays the same.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
    pub attack: f64,
    /// Where the resolver that is started listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5397")]
    pub listen: SocketAddr,
    /// The port of the small Internet's servers; 0 draws a free one. With a target, they are started only if this is
    /// given.
    #[arg(long, value_name = "PORT")]
    pub lab_port: Option<u16>,
    /// Run it for these resolvers too, one after the other, in a network of its own, and show all side by side: unbound,
    /// knot, pdns, bind. With =FILE, the settings in that file are added to its own, with +dnsdist it stands behind
    /// dnsdist: pdns=tuned.conf+dnsdist=rules.lua. Needs root, and the servers installed.
    #[arg(long, value_name = "NAME[=FILE]", value_delimiter = ',', conflicts_with_all = ["target", "check", "baseline"])]
    pub against: Vec<Other>,
    /// Only say what is wrong with the scenario and what it would send.
    #[arg(long)]
    pub check: bool,
    /// Write the questions too, each when it was due, repetitions left out: .pcap, .pcapng, .dnstap or .txt. With
    /// --check, nothing is sent.
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    pub record: Option<PathBuf>,
}

/// How much stronger attacks may be made: weaker than nothing is none, and what is stronger than this is another scenario.
const STRONGEST: f64 = 1000.0;

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| (0.001..=STRONGEST).contains(factor));
    factor.ok_or_else(|| format!("expected a number from 0.001 to {STRONGEST}, such as 0.25"))
}

/// Reads a scenario, or says what is wrong with it.
pub fn read(path: &Path) -> Result<Scenario, ExitCode> {
    let behaviours: Vec<&'static str> = Behaviour::ALL.iter().map(|(word, _)| *word).collect();
    let signed = |text: &str| stage::plan(text).map(|_| ());
    let beyond: Vec<&'static str> = Beyond::ALL.iter().map(|(word, _)| *word).collect();
    let (behaviours, beyond) = (behaviours.leak(), beyond.leak());
    let vocabulary = Vocabulary { zones: &lab::KINDS, behaviours, beyond, signed };
    let text = std::fs::read_to_string(path)
        .map_err(|error| fail(&format!("cannot read {}: {error}", path.display()), super::super::UNUSABLE))?;
    scenario::read(&text, path, &vocabulary).map_err(|report| {
        super::super::show(&report);
        ExitCode::from(super::super::UNUSABLE)
    })
}

/// Runs a scenario.
pub fn run(args: &Args) -> ExitCode {
    let mut scenario = match read(&args.scenario) {
        Ok(scenario) => scenario,
        Err(code) => return code,
    };
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    scenario.scale_attacks(args.attack);
    let before = match ready(args) {
        Ok(before) => before,
        Err(error) => return fail(&error, super::super::UNUSABLE),
    };
    if args.check {
        return check(&scenario, args);
    }
    match (args.against.is_empty(), args.aim.inside) {
        (false, false) => return against::outside(args),
        (false, true) => return against::inside(args, &scenario),
        (true, false) if args.aim.own_network => return enclosure::enter(),
        (true, _) => {}
    }
    let stage = match args.aim.target.or(scenario.target) {
        Some(target) => Stage::foreign(&scenario, target, args.aim.server_pid, args.lab_port),
        None if !scenario.needs_own_process() => Stage::own(&scenario, args.listen, args.lab_port.unwrap_or(0)),
        None => Stage::apart(&scenario, args.listen, args.lab_port.unwrap_or(0)),
    };
    let played = stage.and_then(|stage| {
        let target = stage.target;
        Ok((target, play(&scenario, stage, &args.aim)?.0))
    });
    match played {
        Ok((target, outcome)) => {
            let end = outcome.streams.iter().map(|stream| stream.seconds.len()).max().unwrap_or(0);
            let end = Duration::from_secs(end as u64);
            let recorded = record(&scenario, args, target, Duration::from_secs(outcome.started), end);
            let code = finish(&outcome, &args.reports, before.as_ref());
            recorded.map_or_else(|(message, code)| fail(&message, code), |()| code)
        }
        Err((message, code)) => fail(&message, code),
    }
}

/// Whether what the run will write can be written, and the run to compare with.
fn ready(args: &Args) -> Result<Option<Outcome>, String> {
    if let Some(record) = &args.record {
        record::format(record).map_err(|error| format!("--record {}: {error}", record.display()))?;
    }
    args.reports.ready(&[&args.scenario], args.record.as_deref())
}

fn record(
    scenario: &Scenario,
    args: &Args,
    target: SocketAddr,
    started: Duration,
    end: Duration,
) -> Result<(), Failure> {
    let Some(path) = &args.record else { return Ok(()) };
    let popular = stage::popular(scenario)?;
    match record::write(path, scenario, &popular, target, started, end) {
        Ok(0) => Ok(()),
        Ok(left_out) => {
            eprintln!("{}: {left_out} packets have no place in it", path.display());
            Ok(())
        }
        Err(error) => Err((format!("cannot write {}: {error}", path.display()), 1)),
    }
}

fn check(scenario: &Scenario, args: &Args) -> ExitCode {
    let stays = |settings| match args.aim.own_network || !args.against.is_empty() || args.aim.target.is_some() {
        true => Ok(()),
        false => stage::stays_here(&settings),
    };
    if let Err(error) = stage::atlas(scenario).and_then(|_| stage::resolver(scenario)).and_then(stays) {
        return fail(&error, super::super::UNUSABLE);
    }
    let mut text = format!("{}: {:.0} questions in {:?}\n", scenario.name, scenario.planned(), scenario.duration);
    for stream in &scenario.streams {
        let total = stream.rate.total(scenario.duration);
        let peak = stream.rate.peak();
        text.push_str(&format!("  {} ({}): {total:.0}, at most {peak:.0}/s\n", stream.name, stream.role.name()));
    }
    let target = args.aim.target.or(scenario.target).unwrap_or(args.listen);
    if let Err((message, code)) = record(scenario, args, target, Duration::ZERO, scenario.duration) {
        return fail(&message, code);
    }
    super::super::print(&report::plain(&text))
}

/// Runs a scenario on a stage; with the outcome, whether somebody interrupted it.
pub fn play(scenario: &Scenario, mut stage: Stage, aim: &Aim) -> Result<(Outcome, bool), Failure> {
    let permit = aim.permit(stage.target)?;
    for stream in scenario.streams.iter().filter(|stream| !stream.sources.is_empty()) {
        if stream.sources.iter().all(|net| net.addr().is_ipv4() != stage.target.is_ipv4()) {
            let message = format!(
                "the sources of {} are not of the family of {}: --target or --listen has the other",
                stream.name, stage.target
            );
            return Err((message, super::super::UNUSABLE));
        }
    }
    let popular = stage::popular(scenario)?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs());
    let mut environment = process::machine();
    if !stage.is_own() && !scenario.events.is_empty() {
        environment.push(("events".into(), "left out: the target was not started here".into()));
    }
    if stage.world.is_none() && !(scenario.zones.is_empty() && scenario.faults.is_empty()) {
        environment.push(("zones and faults".into(), "not served: the target has servers of its own".into()));
    }
    stage.sample(scenario, Duration::from_secs(1)); // where the meters begin
    let run = Run::start(scenario, permit, &popular).map_err(|e| (format!("cannot send: {e}"), 1))?;
    let streams: Vec<(String, Role)> = scenario.streams.iter().map(|s| (s.name.clone(), s.role)).collect();
    let title = format!("{}, {} at {}", scenario.name, stage.server, stage.target);
    let mut view = View { terminal: std::io::stderr().is_terminal(), drawn: 0 };
    let mut samples: Vec<Sample> = Vec::new();
    let seconds = scenario.duration.as_secs_f64().ceil() as usize;
    let interrupted = wait(|| {
        let elapsed = run.elapsed();
        stage.faults(scenario, elapsed);
        stage.events(scenario, elapsed);
        if elapsed.as_secs() as usize > samples.len() && samples.len() < seconds {
            let sample = stage.sample(scenario, Duration::from_secs(1));
            let mut glance = run.look(|ledger| Glance::new(&streams, ledger, elapsed, scenario.duration));
            glance.attacked = scenario.is_attacked(samples.len());
            (glance.upstream, glance.cpu, glance.memory) = (sample.upstream, sample.cpu, sample.memory);
            samples.push(sample);
            view.draw(&glance, &title);
        }
        !run.is_over() && elapsed < scenario.duration + AFTERWARDS
    })
    .map_err(|error| (error.to_string(), 1))?;
    // All may be answered before the last second is over.
    let rest = run.elapsed().saturating_sub(Duration::from_secs(samples.len() as u64));
    if samples.len() < seconds && !rest.is_zero() {
        samples.push(stage.sample(scenario, rest));
    }
    let ledger = run.finish();
    let mut outcome = Outcome::new(scenario, &ledger, samples);
    outcome.started = started;
    outcome.environment = environment;
    outcome.target = stage.target.to_string();
    outcome.server = stage.server.clone();
    outcome.notes.extend(stage.notes());
    stage.close();
    Ok((outcome, interrupted))
}

/// What is shown while it goes on.
pub struct View {
    pub terminal: bool,
    /// Lines on the screen.
    pub drawn: usize,
}

impl View {
    /// Shows a glance.
    pub fn draw(&mut self, glance: &Glance, title: &str) {
        let text = if self.terminal {
            let lines = report::screen(glance, title);
            let text = lab::view::redraw(&lines, self.drawn, maeslant::net::terminal::columns(std::io::stderr()));
            self.drawn = lines.len();
            text
        } else {
            report::line(glance) + "\n"
        };
        // Nobody left to see it is no reason to stop measuring.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Calls `each` every tick until it says no, or Ctrl-C; whether it was the latter.
pub fn wait(mut each: impl FnMut() -> bool) -> std::io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(TICK);
        // Listened for from here on: a signal between two ticks counts as well.
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        // The terminal is gone; the report may go to a file.
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(true),
                _ = terminate.recv() => return Ok(true),
                _ = hangup.recv() => return Ok(true),
                _ = ticks.tick() => if !each() {
                    return Ok(false);
                },
            }
        }
    })
}

/// Writes the reports, and gives the exit code. `before` is the run to compare with.
pub fn finish(outcome: &Outcome, reports: &Reports, before: Option<&Outcome>) -> ExitCode {
    let mut problems = Vec::new();
    let baseline = before.map(|before| report::compare(before, outcome));
    let mut text = format!("\n{}", report::summary(outcome));
    if let Some(changes) = &baseline {
        text.push('\n');
        text.push_str(&report::changes(changes));
    }
    let on_stdout = reports.json.as_deref() == Some(Path::new("-"));
    if on_stdout {
        eprint!("{text}");
    } else {
        super::super::print(&text);
    }
    let mut write = |path: &Option<PathBuf>, content: &dyn Fn() -> String| {
        let Some(path) = path else { return };
        if path == Path::new("-") {
            super::super::print(&content());
        } else if let Err(error) = std::fs::write(path, content()) {
            problems.push(format!("cannot write {}: {error}", path.display()));
        }
    };
    write(&reports.html, &|| report::html(outcome, baseline.as_deref()));
    write(&reports.json, &|| serde_json::to_string_pretty(outcome).unwrap_or_default() + "\n");
    write(&reports.junit, &|| report::junit(outcome));
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    if problems.is_empty() && outcome.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads an earlier run.
pub fn baseline(path: &Path) -> Result<Outcome, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let outcome: Outcome =
        serde_json::from_str(&text).map_err(|e| format!("{} is no report of a run: {e}", path.display()))?;
    if outcome.format != maeslant::load::outcome::FORMAT {
        return Err(format!(
            "{} has format {}, not {}",
            path.display(),
            outcome.format,
            maeslant::load::outcome::FORMAT
        ));
    }
    Ok(outcome)
}

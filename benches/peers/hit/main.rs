//! Cache hits side by side: every resolver alone on one core with a warm cache, the same generator on the other, and a
//! bare echo as the limit. `benches/peers/run hit` runs it as it must be run.

mod drain;
mod echo;
mod generator;
#[path = "../../../tests/peers/programs.rs"]
mod peers;
mod servers;

use std::fmt::Write as _;
use std::time::Duration;

use generator::{CLIENTS, Drive, Latency, Volume};
use maeslant::load::stalls::Stalls;
use peers::authority::Authority;
use peers::internet::{Internet, package_file};
use peers::process::{Running, fresh_dir, require_own_network};
use servers::{Server, Serving};

/// How much is done.
struct Plan {
    /// Names in the warm cache.
    names: usize,
    rounds: usize,
    /// One measurement of latencies or of refusals, and in four parts of what goes at full speed.
    span: Duration,
    chosen: Vec<Server>,
    write: bool,
}

/// One server as fast as it goes.
struct Measured {
    server: Server,
    volume: Volume,
    /// CPU of the server, user and system.
    cpu: u64,
    /// How often the kernel's clock found it in user space, and in the kernel.
    ticks: [u64; 2],
}

impl Measured {
    /// CPU of the server an answer.
    fn cpu_nanos(&self) -> f64 {
        self.cpu as f64 / self.volume.answered.max(1) as f64
    }

    /// CPU of the server, of the time it was driven.
    fn busy(&self) -> f64 {
        self.cpu as f64 / self.volume.span.as_nanos() as f64
    }

    /// The same server in another moment as well.
    fn and(self, other: Measured) -> Measured {
        let ticks = std::array::from_fn(|at| self.ticks[at] + other.ticks[at]);
        Measured { cpu: self.cpu + other.cpu, ticks, volume: self.volume.and(&other.volume), ..self }
    }

    fn line(&self) -> String {
        format!(
            "{:<14} {:>8.0} answers/s, {:>6.0} ns CPU an answer, lost {:.3} %; busy: server {:.0} %, generator {:.0} %",
            self.server.name(),
            self.volume.rate(),
            self.cpu_nanos(),
            self.volume.loss() * 100.0,
            self.busy() * 100.0,
            self.volume.busy() * 100.0,
        )
    }
}

/// A server in one round, and the echo before it, between and after it, so that what drifts drifts for both.
struct Turn {
    one: Measured,
    echo: Option<Measured>,
    /// How long the two cores stood still meanwhile, which counts as CPU time of whoever ran.
    still: Duration,
}

/// One that turns everybody away, in one round.
struct Refused {
    server: Server,
    /// Addresses that asked.
    clients: u32,
    /// CPU a question that it took, user and system.
    cpu_nanos: f64,
    /// The part of the questions that it did not take in time.
    dropped: f64,
    /// The round, and how long the two cores stood still in all of it that was about refusals.
    round: usize,
    still: Duration,
}

/// Latencies are measured at one rate for all: this part of what the slowest of them can do.
const EASY: f64 = 0.6;
/// Questions a second to those who answer none: what any of them can take.
const REFUSED_RATE: f64 = 150_000.0;
/// How long a server is driven before anything is measured in a round.
const LEAD: Duration = Duration::from_millis(200);
/// The same where two are measured by turns.
const SHORT_LEAD: Duration = Duration::from_millis(40);
/// Runs of a server in a round for its latencies.
const PACED: usize = 3;
/// Of all runs, one in so many counts: those in which the cores stood still least.
const QUIETEST: usize = 3;
/// More than any of them can take, so that it is pressed.
const RUSH: f64 = 2_000_000.0;
/// A server that is busy for less of the time waits for the generator.
const BUSY: f64 = 0.95;

/// Who turns everybody away, and from how many addresses they ask; the first is what the others are compared with.
const TURNING_AWAY: [(Server, u32); 4] =
    [(Server::Drain, CLIENTS), (Server::Refusing, CLIENTS), (Server::Limiting, FEW), (Server::Limiting, CLIENTS)];
/// Addresses that each ask a great deal, as in most direct floods.
const FEW: u32 = 250;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, port] = &arguments[..] {
        let port = || port.parse().expect("a port");
        match flag.as_str() {
            "--echo" => echo::run(port()),
            "--drain" => drain::run(port()),
            _ => {}
        }
    }
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let named = |server: &Server| arguments.iter().any(|argument| argument == server.name());
    let mut chosen: Vec<Server> = Server::ALL.into_iter().filter(named).collect();
    let refusals = arguments.iter().any(|argument| argument == "refusals");
    let all = chosen.is_empty() && !refusals;
    if all {
        chosen = if smoke { vec![Server::Echo, Server::Maeslant] } else { Server::ALL.to_vec() };
    }
    let plan = if smoke {
        Plan { names: 200, rounds: 1, span: Duration::from_millis(300), chosen, write: false }
    } else {
        Plan { names: 1_000, rounds: 21, span: Duration::from_millis(400), chosen, write: all }
    };
    require_own_network();
    let internet = servers::internet(&fresh_dir("hit"));
    let _serving = Authority::Nsd.serve(&internet);
    generator::pin();
    let meet = |servers: &[Server]| -> Vec<Contender> {
        servers.iter().map(|server| Contender::new(*server, &internet, &plan)).collect()
    };
    let (echo, others): (Vec<Server>, Vec<Server>) = plan.chosen.iter().partition(|server| **server == Server::Echo);
    let mut echo = meet(&echo).pop();
    let mut contenders = meet(&others);
    let mut turning_away =
        meet(if all || refusals { &[Server::Drain, Server::Refusing, Server::Limiting] } else { &[] });
    let speeds = contenders.iter_mut().chain(&mut echo).map(|one| one.measure(plan.span, LEAD).volume.rate());
    let pace = EASY * speeds.fold(f64::INFINITY, f64::min);
    println!("latencies at {pace:.0} questions a second");
    let (mut turns, mut paced, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        // Each goes first, second and last in turn.
        if !contenders.is_empty() {
            contenders.rotate_left(1);
        }
        for contender in &mut contenders {
            let turn = Turn::of(contender, echo.as_mut(), &plan);
            for one in [Some(&turn.one), turn.echo.as_ref()].into_iter().flatten() {
                println!("round {}: {}", round + 1, one.line());
            }
            turns.push(turn);
        }
        for contender in contenders.iter_mut().chain(&mut echo) {
            for _ in 0..PACED {
                let latency = contender.drive.paced(pace, plan.span);
                println!("round {}: {:<14} {}", round + 1, contender.server.name(), latency.line());
                paced.push((contender.server, latency));
            }
        }
        let (watch, before) = (Stalls::of(&generator::CORES), refused.len());
        for (server, clients) in TURNING_AWAY {
            let Some(contender) = turning_away.iter_mut().find(|one| one.server == server) else { continue };
            let mut one = contender.refuse(&plan, clients);
            one.round = round;
            println!(
                "round {}: {:<14} {:>6.0} ns CPU a question from one of {clients}, dropped {:.3} %",
                round + 1,
                one.server.name(),
                one.cpu_nanos,
                one.dropped * 100.0
            );
            refused.push(one);
        }
        let still = still(&watch);
        refused[before..].iter_mut().for_each(|one| one.still = still);
    }
    for contender in contenders.iter_mut().chain(&mut echo).chain(&mut turning_away) {
        contender.serving.running.stop();
    }
    let report = report(&plan, pace, &turns, &paced, &refused);
    println!("\n{report}");
    if plan.write {
        let file = package_file("benches/peers/RESULTS.md");
        peers::results::replace_section(&file, "Cache hits", &report);
        println!("written to benches/peers/RESULTS.md");
    }
    let wrong: u64 = turns.iter().map(|turn| turn.one.volume.wrong).sum();
    assert_eq!(wrong, 0, "answers that are none were counted");
    assert!(turns.iter().all(|turn| turn.one.volume.answered > 0), "a server answered nothing");
}

impl Turn {
    fn of(contender: &mut Contender, echo: Option<&mut Contender>, plan: &Plan) -> Turn {
        let (part, watch) = (plan.span / 4, Stalls::of(&generator::CORES));
        let Some(echo) = echo else {
            let one = contender.measure(plan.span, LEAD);
            return Turn { one, echo: None, still: still(&watch) };
        };
        // E C C E E C C E
        let next = |one: &mut Contender| one.measure(part, SHORT_LEAD);
        let mut half = || {
            let first = next(echo);
            let one = next(contender).and(next(contender));
            (one, first.and(next(echo)))
        };
        let ((one, beside), (again, beside_again)) = (half(), half());
        Turn { one: one.and(again), echo: Some(beside.and(beside_again)), still: still(&watch) }
    }

    fn of_the_echo(&self) -> f64 {
        self.echo.as_ref().map_or(f64::NAN, |echo| self.one.cpu_nanos() / echo.cpu_nanos())
    }
}

/// A server that is up for as long as anything is measured, and who asks it. They are driven one at a time, each for a
/// moment: what else happens to the machine, which is more than they differ by, happens to all of them.
struct Contender {
    server: Server,
    serving: Serving,
    drive: Drive,
}

impl Contender {
    /// With a warm cache.
    fn new(server: Server, internet: &Internet, plan: &Plan) -> Contender {
        let serving = server.start(internet);
        let silent = matches!(server, Server::Echo | Server::Drain | Server::Refusing);
        let mut drive = Drive::new(serving.address, plan.names, silent);
        drive.warm(matches!(server, Server::Maeslant | Server::Limiting));
        Contender { server, serving, drive }
    }

    /// As fast as it goes.
    fn measure(&mut self, span: Duration, lead: Duration) -> Measured {
        // The first moments are not those of a server that has been busy for long.
        self.drive.full(lead);
        let running = &self.serving.running;
        let (cpu, before) = (running.cpu_nanos(), ticks(running));
        let volume = self.drive.full(span);
        let (cpu, now) = (running.cpu_nanos() - cpu, ticks(running));
        Measured { server: self.server, cpu, ticks: std::array::from_fn(|at| now[at] - before[at]), volume }
    }

    fn refuse(&mut self, plan: &Plan, clients: u32) -> Refused {
        self.drive.clients = clients;
        if self.server == Server::Limiting {
            // Limits hold under pressure only, and everybody has had his share.
            self.drive.blast(RUSH, plan.span);
        }
        self.drive.blast(REFUSED_RATE, LEAD);
        let (dropped, cpu) = (kernel_drops(), self.serving.running.cpu_nanos());
        let (asked, came) = self.drive.blast(REFUSED_RATE, plan.span);
        let (dropped, cpu) = (kernel_drops() - dropped, self.serving.running.cpu_nanos() - cpu);
        if came >= asked / 4 {
            println!("{}: {came} of {asked} were not turned away", self.server.name());
            assert!(!plan.write, "that is not what is to be measured");
        }
        let taken = asked.saturating_sub(dropped).max(1);
        let dropped = dropped as f64 / asked.max(1) as f64;
        let (round, still) = (0, Duration::ZERO);
        Refused { server: self.server, clients, cpu_nanos: cpu as f64 / taken as f64, dropped, round, still }
    }
}

/// Datagrams that the kernel had no room for in any socket of this network so far.
fn kernel_drops() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").expect("as in proc(5)");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let of = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "RcvbufErrors");
    of.and_then(|(_, value)| value.parse().ok()).expect("RcvbufErrors is counted")
}

/// How often the kernel's clock, which ticks some hundred times a second, found a process in user space so far, and in the
/// kernel.
fn ticks(running: &Running) -> [u64; 2] {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", running.pid())).expect("as in proc(5)");
    // Behind the name in parentheses, of which the field is the second: utime and stime are the 14th and 15th.
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    [(); 2].map(|()| fields.next().and_then(|field| field.parse().ok()).expect("ticks"))
}

/// How long the cores stood still since this was asked last.
fn still(watch: &Stalls) -> Duration {
    watch.take().iter().map(|stall| stall.length()).sum()
}

/// The runs in which the cores stood still least.
fn quietest<T>(mut runs: Vec<&T>, still: impl Fn(&T) -> Duration) -> Vec<&T> {
    runs.sort_by_key(|run| still(run));
    runs.truncate(runs.len().div_ceil(QUIETEST));
    runs
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report<'t>(plan: &Plan, pace: f64, turns: &'t [Turn], paced: &[(Server, Latency)], refused: &[Refused]) -> String {
    let mut text = format!(
        "{}\n\n{} names with one address each in a warm cache, asked over UDP from 10,000 addresses; every server alone on \
         one core with one worker, while the others are idle, the generator ({} questions in flight, {} at once from a client) on the other. The echo sends back what it gets with \
         recvmmsg and sendmmsg, and does nothing else (not even set the don't-fragment bit, which saves maeslant's kernel some); maeslant has been connected to by every client once, since it puts \
         addresses never seen before to the test. CPU is the server's, user and system, of which the kernel's clock tells what is in user space (by all runs); \"of the echo\" compares it \
         with that of the echo, by turns with it (echo, server, server, echo, and again, a tenth of a second each). Latency at {pace:.0} questions a second, six tenths of what the slowest can do, from the \
         moment a question should have left, of those that were due while neither core stood still (the host of a virtual machine has others to care for); one that was lost took forever. \
         {} runs of {} s, for latencies three times as many, in turns that change from round to round; medians of the third of them in which the cores stood still least; what was lost is the sum of all.\n\n",
        peers::results::circumstances(),
        plan.names,
        generator::WINDOW,
        generator::AT_ONCE,
        plan.rounds,
        plan.span.as_secs_f64(),
    );
    text.push_str(
        "| server | answers/s | CPU ns an answer | in user space | of the echo | p50 µs | p99 µs | p99.9 µs | lost at full speed | lost at that pace |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for &server in &plan.chosen {
        let of_all: Vec<&Turn> =
            turns.iter().filter(|turn| [turn.one.server, Server::Echo].contains(&server)).collect();
        let of_turns = quietest(of_all.clone(), |turn| turn.still);
        let measured = |turn: &&'t Turn| if server == Server::Echo { turn.echo.as_ref() } else { Some(&turn.one) };
        let rows: Vec<&Measured> = of_turns.iter().filter_map(measured).collect();
        let of = |value: &dyn Fn(&Measured) -> f64| median(rows.iter().map(|one| value(one)));
        let latencies: Vec<&Latency> =
            paced.iter().filter(|(who, _)| *who == server).map(|(_, latency)| latency).collect();
        let lost_at_pace: u64 = latencies.iter().map(|latency| latency.lost).sum();
        let latencies = quietest(latencies, |latency| latency.still);
        let micros = |part| median(latencies.iter().map(|latency| latency.micros(part)));
        let volumes = of_all.iter().filter_map(measured).map(|one| &one.volume);
        let (lost, asked) = volumes.fold((0, 0), |(lost, asked), one| (lost + one.lost, asked + one.asked));
        let lost = 100.0 * lost as f64 / asked.max(1) as f64;
        // Only the ticks of all runs are enough to tell.
        let ticks = |at: usize| of_all.iter().filter_map(measured).map(|one| one.ticks[at]).sum::<u64>() as f64;
        let user = of(&|one| one.cpu_nanos()) * ticks(0) / (ticks(0) + ticks(1)).max(1.0);
        let ratio = if server == Server::Echo { 1.0 } else { median(of_turns.iter().map(|turn| turn.of_the_echo())) };
        let _ = writeln!(
            text,
            "| {} | {:.0}{} | {:.0} | {:.0} | {:.2} × | {:.0} | {:.0} | {:.0} | {:.3} % | {} |",
            server.title(),
            of(&|one| one.volume.rate()),
            if of(&|one| one.busy()) < BUSY { " (generator)" } else { "" },
            of(&|one| one.cpu_nanos()),
            user,
            ratio,
            micros(0.5),
            micros(0.99),
            micros(0.999),
            lost,
            lost_at_pace,
        );
    }
    text.push_str("\n\"(generator)\": the server had time to spare: the generator was the limit.\n");
    if !refused.is_empty() {
        let _ = write!(
            text,
            "\nTurning away {REFUSED_RATE:.0} questions a second, with no answer to most; CPU a question, user and system. What \
             thins out loud sources below the sockets is off:\n\n\
             | server | addresses | ns | of receive-and-drop |\n|---|---:|---:|---:|\n"
        );
        let rows = |server, clients| {
            let of_all = refused.iter().filter(|one| one.server == server && one.clients == clients).collect();
            quietest(of_all, |one: &Refused| one.still)
        };
        for (server, clients) in TURNING_AWAY {
            let (rows, drained) = (rows(server, clients), rows(Server::Drain, CLIENTS));
            let drain = |round| drained.iter().find(|one| one.round == round).map_or(f64::NAN, |one| one.cpu_nanos);
            let ratio = median(rows.iter().map(|one| one.cpu_nanos / drain(one.round)));
            let nanos = median(rows.iter().map(|one| one.cpu_nanos));
            let _ = writeln!(text, "| {} | {clients} | {nanos:.0} | {ratio:.2} × |", server.title());
        }
    }
    text
}

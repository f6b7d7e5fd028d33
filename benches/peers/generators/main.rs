//! How many queries a second one core sends and receives: `maeslant load` beside dnsperf, both against a bare echo on the
//! other core. `benches/peers/run generators` runs it as it must be run.

#[path = "../hit/echo.rs"]
mod echo;
#[path = "../../../tests/peers/programs.rs"]
mod peers;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use peers::internet::package_file;
use peers::process::{fresh_dir, output_of, require_own_network};

/// Where the echo answers.
const ECHO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5395);
/// Queries that dnsperf keeps in flight, tried in turn: the best counts.
const IN_FLIGHT: [&str; 3] = ["100", "400", "2000"];
/// Rounds in which each generator has its turn; medians count.
const ROUNDS: usize = 5;
/// maeslant is asked to send so many times what dnsperf did in the same round, in turn: the best counts that is valid.
const ABOVE: [f64; 3] = [1.0, 1.4, 1.8];
/// The share that must come back, and the share that may leave late: beyond, the echo or this machine is the limit.
const ENOUGH: f64 = 0.99;
const MOST_LATE: f64 = 0.01;
/// Clock ticks a second in /proc (USER_HZ on every architecture of today).
const TICKS: f64 = 100.0;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that has core 0 to itself.
fn on_its_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program]);
    command
}

fn said(command: &mut Command) -> String {
    output_of(command, Duration::from_secs(60)).unwrap_or_else(|error| panic!("{error}"))
}

/// What a generator did.
#[derive(Clone, Copy, Default)]
struct Done {
    /// Queries that were sent and answered.
    answered: f64,
    /// Seconds of CPU that it took, in this program and in the kernel for it.
    cpu: f64,
    /// Seconds by the clock in which it sent.
    span: f64,
    /// The share that left late; dnsperf has no schedule.
    late: f64,
    /// All but few came back.
    whole: bool,
}

impl Done {
    /// Queries that it sends and receives in a second of one core's time, whoever else had the core meanwhile.
    fn a_core(self) -> f64 {
        if self.whole { self.answered / self.cpu } else { 0.0 }
    }

    /// Queries that it sends and receives in a second by the clock, on schedule.
    fn a_second(self) -> f64 {
        if self.whole && self.late <= MOST_LATE { self.answered / self.span } else { 0.0 }
    }
}

/// Seconds of CPU that children of this process took which have ended.
fn spent() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
    // Behind the name in parentheses, of which the field is the second: cutime and cstime are the 16th and 17th.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    fields[13..15].iter().map(|field| field.parse::<f64>().expect("ticks")).sum::<f64>() / TICKS
}

/// What a generator can: by the clock and by the core, each the best of its tries.
#[derive(Clone, Copy, Default)]
struct Best {
    a_second: f64,
    a_core: f64,
    /// The least share that left late at dnsperf's rate or above.
    late: f64,
}

fn best(tries: &[Done]) -> Best {
    let most = |of: fn(Done) -> f64| tries.iter().map(|done| of(*done)).fold(0.0, f64::max);
    let late = tries.iter().map(|done| done.late).fold(f64::MAX, f64::min);
    Best { a_second: most(Done::a_second), a_core: most(Done::a_core), late }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn dnsperf(names: &Path, seconds: &str) -> Best {
    let once = |in_flight: &str| {
        let (port, names) = (ECHO.port().to_string(), names.display().to_string());
        let fixed = ["-s", "127.0.0.1", "-c", "1", "-T", "1", "-e", "-p", &port, "-d", &names];
        let before = spent();
        let text = said(on_its_core("dnsperf").args(fixed).args(["-q", in_flight, "-l", seconds]));
        let cpu = spent() - before;
        let number = |key: &str| {
            let rest = text.lines().find_map(|line| line.trim().strip_prefix(key)).expect("dnsperf says it");
            rest.split_whitespace().next().and_then(|word| word.parse::<f64>().ok()).expect("a number")
        };
        Done { answered: number("Queries completed:"), cpu, span: number("Run time (s):"), late: 0.0, whole: true }
    };
    best(&IN_FLIGHT.map(once))
}

/// One run of ours, and its median latency in microseconds.
fn ours(dir: &Path, names: &Path, clients: &str, seconds: &str, rate: f64) -> (Done, f64) {
    let (scenario, report) = (dir.join("scenario.toml"), dir.join("report.json"));
    let text = format!(
        "[scenario]\nname = \"generators\"\nduration = \"{seconds}s\"\nmax_queries = 10000000\n\
         [[stream]]\nname = \"all\"\nnames = {{ file = \"{}\" }}\nrate = [{{ at = \"0s\", qps = {:.0} }}]\n{clients}\n\
         timeout = \"1s\"\n",
        names.display(),
        rate - 1.0
    );
    fs::write(&scenario, text).expect("a scenario can be written");
    let target = ECHO.to_string();
    let mut command = on_its_core(env!("CARGO_BIN_EXE_maeslant"));
    command.args(["load", "run"]).arg(&scenario).args(["--target", &target, "--json"]).arg(&report);
    let before = spent();
    // Invalid runs end in 1: that is meant here.
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let cpu = spent() - before;
    let text = fs::read_to_string(&report).expect("a report");
    let outcome: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let total = &outcome["streams"][0]["total"];
    let count = |key: &str| total[key].as_f64().unwrap_or(0.0);
    let (answered, late) = (count("answered"), count("late") / count("asked"));
    // What is due in a span is sent in it, or is late.
    let span = seconds.parse().expect("a number");
    (Done { answered, cpu, span, late, whole: answered >= count("asked") * ENOUGH }, count("p50") * 1e6)
}

fn main() {
    if std::env::args().any(|argument| argument == "--echo") {
        echo::run(ECHO.port());
    }
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let seconds = if smoke { "1" } else { "2" };
    require_own_network();
    let dir = fresh_dir("generators");
    let names = dir.join("names");
    let text: String = (0..10_000).map(|n| format!("www.host{n:05}.example A\n")).collect();
    fs::write(&names, text).expect("names can be written");
    let own = std::env::current_exe().expect("this program");
    let echo = Command::new("taskset").args(["-c", "1"]).arg(own).arg("--echo").stdin(Stdio::null()).spawn();
    let _echo = Running(echo.expect("taskset is installed"));
    let one = "clients = 1\nsources = [\"127.0.0.1/32\"]";
    let many = "clients = 20000\nsources = [\"127.10.0.0/16\"]";
    let mut rounds = Vec::new();
    for _ in 0..if smoke { 1 } else { ROUNDS } {
        let theirs = dnsperf(&names, seconds);
        let run =
            |clients: &str| best(&ABOVE.map(|above| ours(&dir, &names, clients, seconds, theirs.a_second * above).0));
        rounds.push([theirs, run(one), run(many)]);
    }
    let tries = if smoke { 1 } else { 3 };
    let floor = (0..tries).map(|_| ours(&dir, &names, one, "2", 1000.0).1).fold(f64::MAX, f64::min);
    let report = report(&rounds, floor);
    println!("\n{report}");
    if !smoke {
        peers::results::replace_section(&package_file("benches/peers/RESULTS.md"), "Load generators", &report);
        println!("written to benches/peers/RESULTS.md");
    }
}

fn report(rounds: &[[Best; 3]], floor: f64) -> String {
    let mut table = String::from(
        "| generator | queries a second of one core's time | of dnsperf's | queries a second by the clock, on schedule | \
         of dnsperf's | sent late, at best |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let names = ["dnsperf", "maeslant load, one client", "maeslant load, 20,000 clients at addresses of their own"];
    for (index, name) in names.into_iter().enumerate() {
        let of = |value: &dyn Fn(&[Best; 3]) -> f64| median(rounds.iter().map(value).collect());
        let by_clock = of(&|round| round[index].a_second);
        let clock_ratio = of(&|round| round[index].a_second / round[0].a_second);
        let by_core = of(&|round| round[index].a_core);
        let core_ratio = of(&|round| round[index].a_core / round[0].a_core);
        let late = if index == 0 { "–".to_owned() } else { format!("{:.2} %", of(&|r| r[index].late * 100.0)) };
        let clock =
            if by_clock > 0.0 { format!("{by_clock:.0} | {clock_ratio:.2}") } else { "not on schedule | –".into() };
        let _ = writeln!(table, "| {name} | {by_core:.0} | {core_ratio:.2} | {clock} | {late} |");
    }
    format!(
        "{}\n\nEach generator on one core, a bare echo on the other; dnsperf sends as fast as it can with {} queries in \
         flight; maeslant on schedule at {} times dnsperf's rate, of which the best counts where {:.0} % came back, and by \
         the clock only where at most {:.0} % left late, which needs a machine that does nothing else. Medians of {ROUNDS} rounds, ratios within a round. At 1,000 queries a second maeslant \
         measures a median of {floor:.0} µs to the echo and back.\n\n{table}",
        peers::results::circumstances(),
        IN_FLIGHT.join(", "),
        ABOVE.map(|above| above.to_string()).join(", "),
        ENOUGH * 100.0,
        MOST_LATE * 100.0,
    )
}

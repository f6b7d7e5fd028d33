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
use std::time::{Duration, Instant};

use peers::internet::package_file;
use peers::process::{fresh_dir, output_of, require_own_network};

/// Where the echo answers.
const ECHO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5395);
/// Queries that dnsperf keeps in flight, tried in turn: the best counts.
const IN_FLIGHT: [&str; 3] = ["100", "400", "2000"];
/// How often each is tried: whatever else the machine does, the best counts.
const TRIES: usize = 3;
/// maeslant is asked to send so many times what dnsperf did, in turn: the best counts at which all but a hundredth came
/// back. Beyond, the echo loses what it cannot take, and there is nothing to receive.
const ABOVE: [f64; 4] = [1.0, 1.5, 2.5, 4.0];
const ENOUGH: f64 = 0.99;
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
#[derive(Clone, Copy)]
struct Done {
    /// Queries that were sent and answered.
    answered: f64,
    /// Seconds of CPU that it took, in this program and in the kernel for it.
    cpu: f64,
    /// Seconds by the clock.
    span: f64,
}

impl Done {
    /// Queries that one core sends and receives in a second of its time.
    fn a_core(self) -> f64 {
        self.answered / self.cpu
    }
}

/// Seconds of CPU that children of this process took which have ended.
fn spent() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
    // Behind the name in parentheses, of which the field is the second: cutime and cstime are the 16th and 17th.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    fields[13..15].iter().map(|field| field.parse::<f64>().expect("ticks")).sum::<f64>() / TICKS
}

/// The best of several tries.
fn best(tries: impl Iterator<Item = Done>) -> Done {
    tries.max_by(|a, b| a.a_core().total_cmp(&b.a_core())).expect("at least one")
}

fn dnsperf(names: &Path, seconds: &str) -> Done {
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
        Done { answered: number("Queries completed:"), cpu, span: number("Run time (s):") }
    };
    best((0..TRIES).flat_map(|_| IN_FLIGHT).map(once))
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
    let (before, begun) = (spent(), Instant::now());
    // Late runs end in 1: that is meant here.
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let (cpu, span) = (spent() - before, begun.elapsed().as_secs_f64());
    let text = fs::read_to_string(&report).expect("a report");
    let outcome: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let total = &outcome["streams"][0]["total"];
    let count = |key: &str| total[key].as_f64().unwrap_or(0.0);
    let whole = count("answered") >= count("asked") * ENOUGH;
    let answered = if whole { count("answered") } else { 0.0 };
    (Done { answered, cpu, span }, count("p50") * 1e6)
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
    let theirs = dnsperf(&names, seconds);
    let rate = theirs.answered / theirs.span;
    let run = |clients: &str| {
        let tries = (0..TRIES).flat_map(|_| ABOVE);
        best(tries.map(|above| ours(&dir, &names, clients, seconds, rate * above).0))
    };
    let (from_one, from_many) = (run(one), run(many));
    let floor = (0..TRIES).map(|_| ours(&dir, &names, one, "2", 1000.0).1).fold(f64::MAX, f64::min);
    let mut table = String::from(
        "| generator | queries a second of one core's time, sent and answered | of dnsperf's | a second by the clock |\n\
         |---|---:|---:|---:|\n",
    );
    for (name, done) in [
        ("dnsperf", theirs),
        ("maeslant load, one client", from_one),
        ("maeslant load, 20,000 clients at addresses of their own", from_many),
    ] {
        let ratio = done.a_core() / theirs.a_core();
        let _ = writeln!(table, "| {name} | {:.0} | {ratio:.2} | {:.0} |", done.a_core(), done.answered / done.span);
    }
    let report = format!(
        "{}\n\nEach generator on one core, a bare echo on the other; dnsperf sends as fast as it can with {} queries in \
         flight, maeslant on schedule at one to four times that rate, with nothing lost; of each the best of {TRIES} counts. At 1,000 queries a \
         second maeslant measures a median of {floor:.0} µs to the echo and back.\n\n{table}",
        peers::results::circumstances(),
        IN_FLIGHT.join(", "),
    );
    println!("\n{report}");
    if !smoke {
        peers::results::replace_section(&package_file("benches/peers/RESULTS.md"), "Load generators", &report);
        println!("written to benches/peers/RESULTS.md");
    }
}

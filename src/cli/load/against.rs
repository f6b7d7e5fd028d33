//! `maeslant load run --against`: the same scenario for this program's resolver and for others, one after the other, in
//! a network of its own.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use maeslant::load::report;
use maeslant::load::{Outcome, Scenario};
use maeslant::resolve::Hint;

use super::run::{Args, play};
use super::stage::{self, Failure, Stage};
use super::{Reports, fail};

/// The port of the servers of the small Internet: resolvers ask no other.
const SERVERS: u16 = 53;
/// Where the resolver under test listens.
const RESOLVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5397);
/// How long a resolver may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// A network with a loopback interface alone. The ranges for benchmarks (RFC 2544, RFC 5180) belong to its one host:
/// authoritative servers get addresses there, because some resolvers reject loopback addresses as glue.
const NETWORK: &str = "ip link set lo up && ip route add local 198.18.0.0/15 dev lo && \
                       { ip -6 route add local 2001:2::/48 dev lo || true; } && exec \"$@\"";

/// Someone else's resolver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Other {
    Unbound,
    Knot,
    Pdns,
    Bind,
}

/// A resolver to be measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Own,
    Other(Other),
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Which::Own => "maeslant",
            Which::Other(Other::Unbound) => "unbound",
            Which::Other(Other::Knot) => "knot",
            Which::Other(Other::Pdns) => "pdns",
            Which::Other(Other::Bind) => "bind",
        }
    }

    /// The program, the argument that makes it say its version, and Debian's package.
    fn program(self) -> (PathBuf, &'static str, &'static str) {
        let (program, version, package) = match self {
            Which::Own => return (std::env::current_exe().unwrap_or_default(), "--version", "maeslant"),
            Which::Other(Other::Unbound) => ("unbound", "-V", "unbound"),
            Which::Other(Other::Knot) => ("kresd", "--version", "knot-resolver"),
            Which::Other(Other::Pdns) => ("pdns_recursor", "--version", "pdns-recursor"),
            Which::Other(Other::Bind) => ("named", "-v", "bind9"),
        };
        (program.into(), version, package)
    }

    /// What it says of itself, in a few words; an error where it is not installed.
    fn version(self) -> Result<String, Failure> {
        let (program, argument, package) = self.program();
        let output = Command::new(&program).arg(argument).output().map_err(|_| {
            (format!("{} is not installed (Debian's package {package})", program.display()), super::super::UNUSABLE)
        })?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let words = text.split_whitespace().map(|word| word.trim_end_matches(','));
        let version =
            words.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'));
        Ok(format!("{} {}", self.name(), version.unwrap_or("of unknown version")))
    }
}

/// A child that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts this command again in a network of its own.
pub fn outside(args: &Args) -> ExitCode {
    let Ok(own) = std::env::current_exe() else { return fail("this program's file is not to be found", 1) };
    for other in args.against.iter().map(|other| Which::Other(*other)) {
        if let Err((message, code)) = other.version() {
            return fail(&message, code);
        }
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child", "--", "sh", "-c", NETWORK, "sh"]);
    command.arg(own).args(std::env::args_os().skip(1)).arg("--inside");
    match command.status() {
        Ok(status) => match status.code() {
            Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
            None => ExitCode::FAILURE,
        },
        Err(error) => fail(&format!("cannot make a network of its own (needs root, unshare and ip): {error}"), 1),
    }
}

/// Runs the scenario for each resolver in turn, in the network that [`outside`] made.
pub fn inside(args: &Args, scenario: &Scenario) -> ExitCode {
    let mut outcomes = Vec::new();
    for which in std::iter::once(Which::Own).chain(args.against.iter().map(|other| Which::Other(*other))) {
        match measure(args, scenario, which) {
            Ok(outcome) => {
                eprintln!("\n{}", report::summary(&outcome));
                outcomes.push((which.name(), outcome));
            }
            Err((message, code)) => return fail(&format!("{}: {message}", which.name()), code),
        }
    }
    let code = write(&args.reports, &outcomes);
    let all: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    super::super::print(&format!("\n{}: side by side\n{}", scenario.name, report::side_by_side(&all)));
    code
}

fn write(reports: &Reports, outcomes: &[(&str, Outcome)]) -> ExitCode {
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

fn measure(args: &Args, scenario: &Scenario, which: Which) -> Result<Outcome, Failure> {
    let version = which.version()?;
    let world = stage::start_world(scenario, SERVERS, true)?;
    let folder = std::env::temp_dir().join(format!("maeslant-against-{}-{}", which.name(), std::process::id()));
    let failed = |error: io::Error| (format!("cannot start it: {error}"), 1);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut command = command(which, &folder, &world.root_hints(), scenario).map_err(failed)?;
    let log = File::create(folder.join("log")).map_err(failed)?;
    let errors = log.try_clone().map_err(failed)?;
    command.current_dir(&folder).stdin(Stdio::null()).stdout(log).stderr(errors);
    let mut running = Running(command.spawn().map_err(failed)?);
    await_answer(&mut running).map_err(|error| {
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        (format!("{error}: {}", last.join(" | ")), 1)
    })?;
    let pid = running.0.id();
    let stage = Stage::beside(scenario, world, RESOLVER, pid, version);
    let outcome = play(scenario, stage, &args.aim).map(|mut outcome| {
        if which == Which::Other(Other::Unbound) {
            outcome.notes.push("Unbound exempts 127.0.0.0/8 from its wait-limit".to_owned());
        }
        outcome
    });
    drop(running);
    let _ = fs::remove_dir_all(&folder);
    outcome
}

/// Asks for the root until there is an answer.
fn await_answer(running: &mut Running) -> Result<(), String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    socket.set_read_timeout(Some(Duration::from_millis(500))).map_err(|e| e.to_string())?;
    let query = [0x4d, 0x53, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 512];
    while Instant::now() < deadline {
        if let Ok(Some(status)) = running.0.try_wait() {
            return Err(format!("it ended ({status})"));
        }
        let _ = socket.send_to(&query, RESOLVER);
        match socket.recv_from(&mut buffer) {
            Ok((length, _)) if length > 3 && buffer[..2] == query[..2] && buffer[3] & 0x0f == 0 => return Ok(()),
            // Refused at once where nobody listens yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            _ => {}
        }
    }
    Err(format!("it did not answer within {PATIENCE:?}"))
}

fn command(which: Which, folder: &Path, hints: &[Hint], scenario: &Scenario) -> io::Result<Command> {
    let mut text = String::new();
    for hint in hints {
        text.push_str(&format!(". 3600000 IN NS {}\n", hint.name));
        for address in &hint.addresses {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            text.push_str(&format!("{} 3600000 IN {kind} {address}\n", hint.name));
        }
    }
    let hints = folder.join("root.hints");
    fs::write(&hints, text)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (program, ..) = which.program();
    let mut command = Command::new(program);
    let (here, hints, port) = (folder.display(), hints.display(), RESOLVER.port());
    let config = folder.join("config");
    match which {
        Which::Own => {
            let own = scenario.resolver.as_deref().unwrap_or_default();
            command.args(["serve", "--config"]).arg(&config);
            fs::write(&config, own_config(own, &hints.to_string(), port))?;
        }
        Which::Other(Other::Unbound) => {
            let text = format!(
                "server:\n  interface: 127.0.0.1@{port}\n  access-control: 127.0.0.0/8 allow\n  do-daemonize: no\n  \
                 username: \"\"\n  chroot: \"\"\n  directory: \"{here}\"\n  pidfile: \"{here}/pid\"\n  use-syslog: no\n  \
                 num-threads: {threads}\n  module-config: \"iterator\"\n  root-hints: \"{hints}\"\n  \
                 do-not-query-localhost: no\n  edns-buffer-size: 1232\nremote-control:\n  control-enable: no\n"
            );
            fs::write(&config, text)?;
            command.arg("-d").arg("-c").arg(&config);
        }
        Which::Other(Other::Knot) => {
            let text = format!(
                "net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})\nlog_level('err')\ncache.size = 256 * MB\n\
                 trust_anchors.remove('.')\nmodules.unload('ta_update')\nmodules.unload('ta_sentinel')\n\
                 modules.unload('ta_signal_query')\nmodules.load('hints')\nhints.root_file('{hints}')\n"
            );
            fs::write(&config, text)?;
            command.arg("-n").arg("-c").arg(&config).arg(folder);
        }
        Which::Other(Other::Pdns) => {
            let options = [
                "--daemon=no".to_owned(),
                format!("--config-dir={here}"),
                format!("--socket-dir={here}"),
                "--local-address=127.0.0.1".to_owned(),
                format!("--local-port={port}"),
                "--allow-from=127.0.0.0/8".to_owned(),
                "--dont-query=".to_owned(),
                format!("--hint-file={hints}"),
                "--dnssec=off".to_owned(),
                "--security-poll-suffix=".to_owned(),
                format!("--threads={threads}"),
            ];
            command.args(options);
        }
        Which::Other(Other::Bind) => {
            let text = format!(
                "options {{\n  directory \"{here}\";\n  listen-on port {port} {{ 127.0.0.1; }};\n  listen-on-v6 {{ none; }};\n  \
                 recursion yes;\n  allow-query {{ 127.0.0.0/8; }};\n  allow-recursion {{ 127.0.0.0/8; }};\n  \
                 allow-query-cache {{ 127.0.0.0/8; }};\n  dnssec-validation no;\n  empty-zones-enable no;\n  pid-file none;\n  \
                 session-keyfile none;\n}};\ncontrols {{ }};\nzone \".\" {{ type hint; file \"{hints}\"; }};\n"
            );
            fs::write(&config, text)?;
            command.arg("-g").arg("-c").arg(&config).arg("-n").arg(threads.to_string());
        }
    }
    Ok(command)
}

/// The scenario's configuration with the lab's root and port; what it says of these itself goes.
fn own_config(own: &str, hints: &str, port: u16) -> String {
    let mut tables: toml::Table = own.parse().unwrap_or_default();
    let mut set = |table: &str, key: &str, value: toml::Value| {
        let table = tables.entry(table).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(table) = table {
            table.insert(key.to_owned(), value);
        }
    };
    set("server", "listen", toml::Value::Array(vec![format!("127.0.0.1:{port}").into()]));
    set("resolver", "root_hints", hints.into());
    set("resolver", "server_port", i64::from(SERVERS).into());
    set("resolver", "do_not_query", toml::Value::Array(Vec::new()));
    // Strings, numbers and lists are written in TOML as in JSON.
    write_toml(&tables)
}

fn write_toml(tables: &toml::Table) -> String {
    let mut out = String::new();
    let value = |value: &toml::Value| serde_json::to_string(value).unwrap_or_default();
    for (name, table) in tables {
        match table {
            toml::Value::Table(table) => {
                out.push_str(&format!("[{name}]\n"));
                table.iter().for_each(|(key, v)| out.push_str(&format!("{key} = {}\n", value(v))));
            }
            other => out.insert_str(0, &format!("{name} = {}\n", value(other))),
        }
    }
    out
}

//! A resolver in a process of its own: this program's or someone else's, on a small Internet.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use ipnet::IpNet;
use maeslant::admission::Policy;
use maeslant::lab::World;
use maeslant::load::Scenario;
use maeslant::net::child::end_with_this_thread;
use maeslant::resolve::Hint;

use super::stage::{self, Failure};

/// How long a resolver may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

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
pub enum Which {
    Own,
    Other(Other),
}

impl Which {
    /// As reports name it.
    pub fn name(self) -> &'static str {
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
    pub fn version(self) -> Result<String, Failure> {
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

/// Whether it is given the trust anchor of the small Internet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    On,
    Off,
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

/// A resolver under way. It ends with this value, and its folder too.
pub struct Resolver {
    which: Which,
    command: Command,
    running: Running,
    folder: PathBuf,
    /// This program's configuration.
    config: toml::Table,
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Resolver {
    /// Starts it, with the world's root, and waits until it answers.
    pub fn start(
        which: Which,
        scenario: &Scenario,
        world: &World,
        listen: SocketAddr,
        validation: Validation,
    ) -> Result<Resolver, Failure> {
        let failed = |error: io::Error| (format!("cannot start it: {error}"), 1);
        // Runs in networks of their own all have process 1: the time tells them apart.
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_nanos());
        let name = format!("maeslant-load-{}-{}-{moment}", which.name(), std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).map_err(failed)?;
        let hints = folder.join("root.hints");
        fs::write(&hints, hints_text(&world.root_hints())).map_err(failed)?;
        let own = scenario.resolver.as_deref().unwrap_or_default();
        let mut config = own_config(own, &hints.display().to_string(), listen, world.port());
        let strangers: Vec<IpNet> = stage::strangers(scenario).collect();
        let told = config.get("access").and_then(|access| access.get("allow")).is_some();
        if !told && !strangers.is_empty() {
            let allow = Policy::default().allow.into_iter().chain(strangers);
            let allow = allow.map(|net| net.to_string().into()).collect();
            set(&mut config, "access", "allow", toml::Value::Array(allow));
        }
        if validation == Validation::On {
            let anchors = folder.join("root.anchors");
            fs::write(&anchors, world.anchors()).map_err(failed)?;
            set(&mut config, "dnssec", "trust_anchors", anchors.display().to_string().into());
        }
        let mut command = command(which, &folder, &hints, listen, &config).map_err(failed)?;
        let log = File::create(folder.join("log")).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        command.current_dir(&folder).stdin(Stdio::null()).stdout(log).stderr(errors);
        end_with_this_thread(&mut command);
        let running = Running(command.spawn().map_err(failed)?);
        let mut resolver = Resolver { which, command, running, folder, config };
        await_answer(&mut resolver.running, listen).map_err(|error| {
            let log = fs::read_to_string(resolver.folder.join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            (format!("{error}: {}", last.join(" | ")), 1)
        })?;
        Ok(resolver)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.running.0.id()
    }

    /// How it ended, if it did so by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.running.0.try_wait().ok().flatten()
    }

    /// Kills it (SIGKILL) and starts it again; it takes its time to answer.
    pub fn restart(&mut self) -> io::Result<()> {
        self.running.0.kill()?;
        self.running.0.wait()?;
        self.running = Running(self.command.spawn()?);
        Ok(())
    }

    /// Has it read its configuration again (SIGHUP); this program's with so many local records more.
    pub fn reload(&mut self, records: u32) -> io::Result<()> {
        if self.which == Which::Own {
            let mut config = self.config.clone();
            let local = config.entry("local").or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(local) = local {
                let own = local.get("records").and_then(toml::Value::as_array).cloned().unwrap_or_default();
                let more = (1..=records).map(|n| toml::Value::from(format!("rule{n}.blocked.example. A 127.0.0.2")));
                local.insert("records".to_owned(), own.into_iter().chain(more).collect::<Vec<_>>().into());
            }
            fs::write(self.folder.join("config"), write_toml(&config))?;
        }
        let status = Command::new("kill").args(["-HUP", &self.pid().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("it is gone")) }
    }
}

fn hints_text(hints: &[Hint]) -> String {
    let mut text = String::new();
    for hint in hints {
        text.push_str(&format!(". 3600000 IN NS {}\n", hint.name));
        for address in &hint.addresses {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            text.push_str(&format!("{} 3600000 IN {kind} {address}\n", hint.name));
        }
    }
    text
}

/// Asks for the root until there is an answer.
fn await_answer(running: &mut Running, listen: SocketAddr) -> Result<(), String> {
    let any: IpAddr = if listen.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).map_err(|e| e.to_string())?;
    socket.set_read_timeout(Some(Duration::from_millis(500))).map_err(|e| e.to_string())?;
    let query = [0x4d, 0x53, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 512];
    while Instant::now() < deadline {
        if let Ok(Some(status)) = running.0.try_wait() {
            return Err(format!("it ended ({status})"));
        }
        let _ = socket.send_to(&query, listen);
        match socket.recv_from(&mut buffer) {
            Ok((length, _)) if length > 3 && buffer[..2] == query[..2] && buffer[3] & 0x0f == 0 => return Ok(()),
            // Refused at once where nobody listens yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            _ => {}
        }
    }
    Err(format!("it did not answer within {PATIENCE:?}"))
}

fn command(which: Which, folder: &Path, hints: &Path, listen: SocketAddr, own: &toml::Table) -> io::Result<Command> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (program, ..) = which.program();
    let mut command = Command::new(program);
    let (here, hints, port) = (folder.display(), hints.display(), listen.port());
    let config = folder.join("config");
    match which {
        Which::Own => {
            // Its snapshots are kept there, and are gone with it.
            command.args(["serve", "--config"]).arg(&config).env("STATE_DIRECTORY", folder);
            fs::write(&config, write_toml(own))?;
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
fn own_config(own: &str, hints: &str, listen: SocketAddr, servers: u16) -> toml::Table {
    let mut tables: toml::Table = own.parse().unwrap_or_default();
    set(&mut tables, "server", "listen", toml::Value::Array(vec![listen.to_string().into()]));
    set(&mut tables, "resolver", "root_hints", hints.into());
    set(&mut tables, "resolver", "server_port", i64::from(servers).into());
    set(&mut tables, "resolver", "do_not_query", toml::Value::Array(Vec::new()));
    tables
}

fn set(tables: &mut toml::Table, table: &str, key: &str, value: toml::Value) {
    let table = tables.entry(table).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let toml::Value::Table(table) = table {
        table.insert(key.to_owned(), value);
    }
}

/// As text. Strings, numbers and lists are written in TOML as in JSON.
fn write_toml(tables: &toml::Table) -> String {
    let (mut out, mut below) = (String::new(), String::new());
    let lines = |table: &toml::Table| -> String {
        let line = |(key, value): (&String, &toml::Value)| {
            format!("{key} = {}\n", serde_json::to_string(value).unwrap_or_default())
        };
        table.iter().map(line).collect()
    };
    for (name, value) in tables {
        match value {
            toml::Value::Table(table) => below.push_str(&format!("[{name}]\n{}", lines(table))),
            toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
                for table in list.iter().filter_map(toml::Value::as_table) {
                    below.push_str(&format!("[[{name}]]\n{}", lines(table)));
                }
            }
            other => out.push_str(&format!("{name} = {}\n", serde_json::to_string(other).unwrap_or_default())),
        }
    }
    out + &below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenarios_configuration_is_written_as_it_was_meant() {
        let own = "[cache]\nmemory = \"64MiB\"\n[server]\nlisten = [\"192.0.2.1:53\"]\n[local]\nspecial_use = false\n\
                   [[client_class]]\nname = \"a\"\nrate = 5\n[[client_class]]\nname = \"b\"\nshare = 0.5\n";
        let config = own_config(own, "/tmp/hints", "127.0.0.1:5397".parse().unwrap(), 5301);
        let again: toml::Table = write_toml(&config).parse().unwrap();
        assert_eq!(again, config);
        assert_eq!(again["server"]["listen"][0].as_str(), Some("127.0.0.1:5397"));
        assert_eq!(
            (again["client_class"][1]["share"].as_float(), again["cache"]["memory"].as_str()),
            (Some(0.5), Some("64MiB"))
        );
    }
}

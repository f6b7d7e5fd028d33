//! A resolver in a process of its own: this program's or someone else's, on a small Internet.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use maeslant::admission::Policy;
use maeslant::lab::World;
use maeslant::load::Scenario;
use maeslant::load::scenario::Action;
use maeslant::net::child::end_with_this_thread;
use maeslant::resolve::Hint;

use super::folder::Folder;
use super::others::{Other, Place, Starting};
use super::stage::{self, Failure};

/// How long a resolver may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A resolver to be measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    Own,
    Other(Other),
}

impl Which {
    /// As reports and files are named.
    pub fn name(&self) -> String {
        match self {
            Which::Own => "maeslant".to_owned(),
            Which::Other(other) => other.to_string(),
        }
    }

    /// What it says of itself, in a few words; an error where it is not installed.
    pub fn version(&self) -> Result<String, Failure> {
        match self {
            Which::Own => Ok(format!("maeslant {}", env!("CARGO_PKG_VERSION"))),
            Which::Other(other) => other.version().map_err(|error| (error, super::super::UNUSABLE)),
        }
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
    /// How the first process is started.
    command: Command,
    /// Its processes; the first is the one that can be started again.
    running: Vec<Running>,
    folder: Folder,
    /// This program's configuration.
    config: toml::Table,
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
        let folder = Folder::new(&which.name()).map_err(failed)?;
        let hints = folder.path().join("root.hints");
        fs::write(&hints, hints_text(&world.root_hints())).map_err(failed)?;
        let settings = scenario.resolver.as_deref().unwrap_or_default();
        let mut config = own_config(settings, &hints.display().to_string(), listen, world.port());
        let strangers: Vec<IpNet> = stage::strangers(scenario).collect();
        let told = config.get("access").and_then(|access| access.get("allow")).is_some();
        if !told && !strangers.is_empty() {
            let allow = Policy::default().allow.into_iter().chain(strangers);
            let allow = allow.map(|net| net.to_string().into()).collect();
            set(&mut config, "access", "allow", toml::Value::Array(allow));
        }
        if validation == Validation::On {
            let anchors = folder.path().join("root.anchors");
            fs::write(&anchors, world.anchors()).map_err(failed)?;
            set(&mut config, "dnssec", "trust_anchors", anchors.display().to_string().into());
        }
        let place = Place { folder: folder.path(), hints: &hints, listen, cache: cache(scenario) };
        let starting = match &which {
            Which::Own => vec![own(&place, &config).map_err(failed)?],
            Which::Other(other) => other.processes(&place).map_err(failed)?,
        };
        let (mut first, mut running) = (None, Vec::new());
        for (number, Starting { mut command, address }) in starting.into_iter().enumerate() {
            let name = folder.path().join(format!("log{number}"));
            let log = File::create(&name).map_err(failed)?;
            let errors = log.try_clone().map_err(failed)?;
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log).stderr(errors);
            end_with_this_thread(&mut command);
            running.push(Running(command.spawn().map_err(failed)?));
            await_answer(&mut running, address).map_err(|error| {
                let log = fs::read_to_string(&name).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                (format!("{error}: {}", last.join(" | ")), 1)
            })?;
            first.get_or_insert(command);
        }
        let command = first.ok_or_else(|| failed(io::Error::other("it has no process")))?;
        let resolver = Resolver { which, command, running, folder, config };
        if resolver.which == Which::Own {
            resolver.prepare(scenario).map_err(failed)?;
        }
        Ok(resolver)
    }

    /// Its processes.
    pub fn pids(&self) -> Vec<u32> {
        self.running.iter().map(|running| running.0.id()).collect()
    }

    /// How it ended, if it did so by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.running.iter_mut().find_map(|running| running.0.try_wait().ok().flatten())
    }

    /// Kills it (SIGKILL) and starts it again; it takes its time to answer.
    pub fn restart(&mut self) -> io::Result<()> {
        let Some(first) = self.running.first_mut() else { return Ok(()) };
        first.0.kill()?;
        first.0.wait()?;
        *first = Running(self.command.spawn()?);
        Ok(())
    }

    /// Writes the configurations that it will be given by reloads, so that this takes no time from the run.
    fn prepare(&self, scenario: &Scenario) -> io::Result<()> {
        for event in &scenario.events {
            if let Action::Reload { records } = event.action {
                fs::write(self.prepared(records), with_records(&self.config, records))?;
            }
        }
        Ok(())
    }

    /// The configuration with so many local records more.
    fn prepared(&self, records: u32) -> PathBuf {
        self.folder.path().join(format!("config-{records}"))
    }

    /// Has it read its configuration again (SIGHUP); this program's with so many local records more.
    pub fn reload(&mut self, records: u32) -> io::Result<()> {
        if self.which == Which::Own {
            fs::copy(self.prepared(records), self.folder.path().join("config"))?;
        }
        let pids = self.pids().into_iter().map(|pid| pid.to_string());
        let status = Command::new("kill").arg("-HUP").args(pids).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("it is gone")) }
    }
}

/// A configuration with so many local records more, as text.
fn with_records(config: &toml::Table, records: u32) -> String {
    let mut config = config.clone();
    let local = config.entry("local").or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let toml::Value::Table(local) = local {
        let own = local.get("records").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let more = (1..=records).map(|n| toml::Value::from(format!("rule{n}.blocked.example. A 127.0.0.2")));
        local.insert("records".to_owned(), own.into_iter().chain(more).collect::<Vec<_>>().into());
    }
    write_toml(&config)
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
fn await_answer(running: &mut [Running], listen: SocketAddr) -> Result<(), String> {
    let any: IpAddr = if listen.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).map_err(|e| e.to_string())?;
    socket.set_read_timeout(Some(Duration::from_millis(500))).map_err(|e| e.to_string())?;
    let query = [0x4d, 0x53, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 512];
    while Instant::now() < deadline {
        if let Some(status) = running.iter_mut().find_map(|running| running.0.try_wait().ok().flatten()) {
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

/// This program's resolver. Its snapshots are kept in its folder, and are gone with it.
fn own(place: &Place<'_>, settings: &toml::Table) -> io::Result<Starting> {
    let config = place.folder.join("config");
    fs::write(&config, write_toml(settings))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--config"]).arg(&config).env("STATE_DIRECTORY", place.folder);
    Ok(Starting { command, address: place.listen })
}

/// The cache that a scenario gives a resolver, in octets.
pub fn cache(scenario: &Scenario) -> Option<u64> {
    let tables: toml::Table = scenario.resolver.as_deref()?.parse().ok()?;
    tables.get("cache")?.get("memory")?;
    stage::resolver(scenario).ok().map(|settings| settings.cache.memory)
}

/// The scenario's configuration with the lab's root and port; what it says of these itself goes.
fn own_config(own: &str, hints: &str, listen: SocketAddr, servers: u16) -> toml::Table {
    let mut tables: toml::Table = own.parse().unwrap_or_default();
    set(&mut tables, "server", "listen", toml::Value::Array(vec![listen.to_string().into()]));
    set(&mut tables, "resolver", "root_hints", hints.into());
    set(&mut tables, "resolver", "server_port", i64::from(servers).into());
    let barred = stage::barred().iter().map(|net| net.to_string().into()).collect();
    set(&mut tables, "resolver", "do_not_query", toml::Value::Array(barred));
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

//! maeslant, and Unbound and Knot Resolver from Debian, as resolvers of a small Internet.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::internet::Internet;
use super::process::{Running, fresh_dir};
use super::wire::{Over, Type, ask};

/// A program that resolves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Resolver {
    Maeslant,
    Unbound,
    Knot,
}

/// A running resolver and where it answers.
pub struct Resolving {
    pub which: Resolver,
    pub running: Running,
    pub v4: SocketAddr,
    pub v6: SocketAddr,
}

impl Resolver {
    /// All of them.
    pub const ALL: [Resolver; 3] = [Resolver::Maeslant, Resolver::Unbound, Resolver::Knot];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Resolver::Maeslant => "maeslant",
            Resolver::Unbound => "unbound",
            Resolver::Knot => "knot-resolver",
        }
    }

    fn port(self) -> u16 {
        match self {
            Resolver::Maeslant => 5300,
            Resolver::Unbound => 5301,
            Resolver::Knot => 5302,
        }
    }

    /// The version the program gives of itself, in a word or two.
    pub fn version(self) -> String {
        let (program, argument) = match self {
            Resolver::Maeslant => (env!("CARGO_BIN_EXE_maeslant"), "--version"),
            Resolver::Unbound => ("unbound", "-V"),
            Resolver::Knot => ("kresd", "--version"),
        };
        let output = Command::new(program).arg(argument).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let first = text.lines().next().unwrap_or("unknown");
        first.rsplit([' ', ',']).next().unwrap_or("unknown").to_owned()
    }

    /// Starts it with an empty cache of 512 MiB, one thread, and no validation, and waits until it answers.
    ///
    /// `prefix` are words put before the command, such as `taskset -c 0`.
    pub fn start(self, internet: &Internet, prefix: &[&str]) -> Resolving {
        self.start_with(internet, None, prefix)
    }

    /// The same; validating by the trust anchors in a file where there is one, SHA-1 included.
    pub fn start_with(self, internet: &Internet, anchors: Option<&Path>, prefix: &[&str]) -> Resolving {
        let dir = fresh_dir(self.name());
        let words = match self {
            Resolver::Maeslant => maeslant(&dir, internet, anchors, self.port()),
            Resolver::Unbound => unbound(&dir, internet, anchors, self.port()),
            Resolver::Knot => kresd(&dir, internet, anchors, self.port()),
        };
        let all: Vec<&str> = prefix.iter().copied().chain(words.iter().map(String::as_str)).collect();
        let (program, arguments) = all.split_first().expect("a command has a first word");
        let mut running = Running::start(self.name(), &dir, Command::new(program).args(arguments));
        let v4 = SocketAddr::from(([127, 0, 0, 1], self.port()));
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], self.port()));
        match self {
            Resolver::Maeslant => running.wait_until("ready", |running| running.log().contains("ready")),
            _ => running.wait_until("answering", |_| {
                let answers = |to| ask(to, ".", Type::SOA, Over::Udp, Duration::from_secs(2)).is_ok();
                answers(v4) && answers(v6)
            }),
        }
        Resolving { which: self, running, v4, v6 }
    }
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).expect("a configuration can be written");
    path.display().to_string()
}

fn maeslant(dir: &Path, internet: &Internet, anchors: Option<&Path>, port: u16) -> Vec<String> {
    let validation = match anchors {
        Some(file) => format!("[dnssec]\ntrust_anchors = \"{}\"\nsha1 = \"validate\"\n", file.display()),
        None => String::new(),
    };
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\", \"[::1]:{port}\"]\nworkers = 1\n\
         [resolver]\nroot_hints = \"{}\"\nserver_port = {}\ndo_not_query = []\n\
         [local]\nspecial_use = false\n[cache]\nmemory = \"512MiB\"\n{validation}",
        internet.root_hints.display(),
        internet.port
    );
    let file = write(dir, "maeslant.toml", &text);
    vec![env!("CARGO_BIN_EXE_maeslant").into(), "serve".into(), "--config".into(), file]
}

/// Unbound asks port 53 and no other.
fn unbound(dir: &Path, internet: &Internet, anchors: Option<&Path>, port: u16) -> Vec<String> {
    // Debian's build has SHA-1; clients that set CD are answered as RFC 4035 has it either way.
    let (modules, anchor) = match anchors {
        Some(file) => ("validator iterator", format!("  trust-anchor-file: \"{}\"\n  ede: yes\n", file.display())),
        None => ("iterator", String::new()),
    };
    let here = dir.display();
    let hints = internet.root_hints.display();
    // Its built-in answers for special names would hide the small Internet's own.
    let special = ["localhost.", "test.", "invalid.", "onion.", "home.arpa.", "127.in-addr.arpa.", "10.in-addr.arpa."];
    let special =
        special.iter().fold(String::new(), |text, name| text + &format!("  local-zone: \"{name}\" nodefault\n"));
    let text = format!(
        "server:\n  interface: 127.0.0.1@{port}\n  interface: ::1@{port}\n  access-control: 0.0.0.0/0 allow\n  \
         access-control: ::/0 allow\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{here}\"\n  \
         pidfile: \"{here}/pid\"\n  use-syslog: no\n  verbosity: 0\n  num-threads: 1\n  module-config: \"{modules}\"\n{anchor}  \
         root-hints: \"{hints}\"\n  do-not-query-localhost: no\n  unblock-lan-zones: yes\n  insecure-lan-zones: yes\n  \
         edns-buffer-size: 1232\n  incoming-num-tcp: 100\n  \
         msg-cache-size: 256m\n  rrset-cache-size: 256m\n{special}remote-control:\n  control-enable: no\n"
    );
    let file = write(dir, "unbound.conf", &text);
    vec!["unbound".into(), "-d".into(), "-c".into(), file]
}

/// Knot Resolver asks port 53 and no other.
fn kresd(dir: &Path, internet: &Internet, anchors: Option<&Path>, port: u16) -> Vec<String> {
    let anchors = match anchors {
        Some(file) => format!("trust_anchors.add_file('{}', true)\n", file.display()),
        None => String::new(),
    };
    let hints = internet.root_hints.display();
    let text = format!(
        "net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})\nnet.listen('::1', {port}, {{ kind = 'dns' }})\n\
         log_level('err')\ncache.size = 512 * MB\ntrust_anchors.remove('.')\n\
         modules.unload('ta_update')\nmodules.unload('ta_sentinel')\nmodules.unload('ta_signal_query')\n\
         {anchors}modules.load('hints')\nhints.root_file('{hints}')\nmodules.unload('policy')\n"
    );
    let file = write(dir, "kresd.conf", &text);
    vec!["kresd".into(), "-n".into(), "-c".into(), file, dir.display().to_string()]
}

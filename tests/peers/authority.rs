//! NSD, Knot DNS and BIND from Debian as the authoritative servers of a small Internet.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::internet::{Host, Internet};
use super::process::{Running, fresh_dir, output_of};
use super::wire::{Over, Type, ask};

/// A program that serves zones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Authority {
    Nsd,
    /// NSD as Debian ships it: beyond 200 a second, the same answers to one client are dropped or truncated.
    LimitingNsd,
    Knot,
    Bind,
}

/// The running servers of one small Internet.
pub struct Serving {
    pub servers: Vec<Running>,
}

impl Authority {
    /// Serves `internet` and waits until every zone is answered for on every address.
    ///
    /// A host never answers for another host's zones: NSD and Knot DNS run once a host, BIND has a view for each. A host
    /// without zones answers REFUSED: it is lame.
    pub fn serve(self, internet: &Internet) -> Serving {
        let hosts = internet.hosts.iter().enumerate();
        let mut servers = match self {
            Authority::Nsd => hosts.map(|(index, host)| start_nsd(index, host, internet.port, 0)).collect(),
            Authority::LimitingNsd => hosts.map(|(index, host)| start_nsd(index, host, internet.port, 200)).collect(),
            Authority::Knot => hosts.map(|(index, host)| start_knot(index, host, internet.port)).collect(),
            Authority::Bind => vec![start_bind(internet)],
        };
        for (index, host) in internet.hosts.iter().enumerate() {
            let running = if self == Authority::Bind { 0 } else { index };
            wait_for(&mut servers[running], host, internet.port);
        }
        Serving { servers }
    }
}

/// Waits until `host` has an authoritative SOA for all of its zones on its first address, and for one on each address.
fn wait_for(running: &mut Running, host: &Host, port: u16) {
    for (index, address) in host.addresses.iter().enumerate() {
        for zone in host.zones.iter().take(if index == 0 { usize::MAX } else { 1 }) {
            running.wait_until(&format!("serving {} on {address}", zone.origin), |_| {
                let answer = ask((*address, port).into(), &zone.origin, Type::SOA, Over::Udp, Duration::from_secs(1));
                answer.is_ok_and(|answer| answer.authoritative && !answer.records.is_empty())
            });
        }
    }
}

fn write_config(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).expect("a configuration can be written");
    path.display().to_string()
}

fn start_nsd(index: usize, host: &Host, port: u16, rate: u32) -> Running {
    let dir = fresh_dir(&format!("nsd-{index}"));
    let here = dir.display();
    let mut text = String::from("server:\n");
    for address in &host.addresses {
        let _ = writeln!(text, "  ip-address: {address}@{port}");
    }
    let _ = write!(
        text,
        "  username: root\n  chroot: \"\"\n  zonesdir: \"{here}\"\n  pidfile: \"{here}/pid\"\n  database: \"\"\n  \
         zonelistfile: \"{here}/zone.list\"\n  xfrdfile: \"{here}/xfrd.state\"\n  xfrdir: \"{here}\"\n  \
         server-count: 1\n  statistics: 0\n  zonefiles-write: 0\n  round-robin: no\n  tcp-count: 200\n  \
         rrl-ratelimit: {rate}\n  rrl-whitelist-ratelimit: 0\n\
         remote-control:\n  control-enable: yes\n  control-interface: \"{here}/control\"\n"
    );
    for zone in &host.zones {
        let _ = write!(text, "zone:\n  name: \"{}\"\n  zonefile: \"{}\"\n", zone.origin, zone.file.display());
    }
    let file = write_config(&dir, "nsd.conf", &text);
    Running::start(&format!("nsd {index}"), &dir, Command::new("nsd").args(["-d", "-c", &file]))
}

fn start_knot(index: usize, host: &Host, port: u16) -> Running {
    let dir = fresh_dir(&format!("knot-{index}"));
    let here = dir.display();
    let listen: Vec<String> = host.addresses.iter().map(|address| format!("{address}@{port}")).collect();
    let mut text = format!(
        "server:\n  rundir: {here}\n  listen: [ {} ]\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         log:\n  - target: stderr\n    any: warning\n\
         database:\n  storage: {here}\n\
         template:\n  - id: default\n    semantic-checks: off\n    zonefile-sync: -1\n    journal-content: none\n\
         zone:\n",
        listen.join(", ")
    );
    for zone in &host.zones {
        let _ = write!(text, "  - domain: \"{}\"\n    file: \"{}\"\n", zone.origin, zone.file.display());
    }
    let file = write_config(&dir, "knot.conf", &text);
    Running::start(&format!("knotd {index}"), &dir, Command::new("knotd").args(["-c", &file]))
}

/// BIND listens only on addresses that an interface has, and all of 127.0.0.0/8 is not.
fn give_interface(addresses: impl Iterator<Item = IpAddr>) {
    for address in addresses.filter(|address| *address != IpAddr::from(Ipv6Addr::LOCALHOST)) {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let mut command = Command::new("ip");
        command.args(["address", "replace", &format!("{address}/{length}"), "dev", "lo"]);
        output_of(&mut command, Duration::from_secs(10)).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn start_bind(internet: &Internet) -> Running {
    give_interface(internet.hosts.iter().flat_map(|host| host.addresses.iter().copied()));
    let dir = fresh_dir("bind");
    let here = dir.display();
    let port = internet.port;
    let listed = |wanted: fn(&IpAddr) -> bool| {
        let addresses = internet.hosts.iter().flat_map(|host| host.addresses.iter()).filter(|address| wanted(address));
        addresses.fold(String::new(), |list, address| list + &format!("{address}; "))
    };
    let (v4, v6) = (listed(IpAddr::is_ipv4), listed(IpAddr::is_ipv6));
    let mut text = format!(
        "options {{\n  directory \"{here}\";\n  pid-file \"{here}/pid\";\n  session-keyfile \"{here}/session.key\";\n  \
         lock-file none;\n  listen-on port {port} {{ {} }};\n  listen-on-v6 port {port} {{ {} }};\n  recursion no;\n  \
         dnssec-validation no;\n  allow-query {{ any; }};\n  notify no;\n  empty-zones-enable no;\n  \
         rate-limit {{ responses-per-second 0; }};\n}};\ncontrols {{ }};\n",
        if v4.is_empty() { "none; " } else { &v4 },
        if v6.is_empty() { "none; " } else { &v6 },
    );
    for (index, host) in internet.hosts.iter().enumerate() {
        let addresses = host.addresses.iter().fold(String::new(), |list, address| list + &format!("{address}; "));
        let _ = writeln!(text, "view \"host{index}\" {{\n  match-destinations {{ {addresses}}};");
        for zone in &host.zones {
            let _ = writeln!(
                text,
                "  zone \"{}\" {{ type primary; file \"{}\"; check-names ignore; check-integrity no; \
                 check-mx ignore; check-sibling no; check-srv-cname ignore; check-mx-cname ignore; }};",
                zone.origin,
                zone.file.display()
            );
        }
        text.push_str("};\n");
    }
    let file = write_config(&dir, "named.conf", &text);
    Running::start("named", &dir, Command::new("named").args(["-g", "-n", "1", "-c", &file]))
}

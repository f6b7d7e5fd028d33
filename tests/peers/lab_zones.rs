//! The lab's zones for other people's servers: written out plainly, and renumbered where resolvers insist.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use maeslant::lab::Atlas;
use serde::Deserialize;

use super::internet::{Host, Internet, Zone, package_file};
use super::process::{fresh_dir, output_of};

/// Where the lab's servers get their addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbering {
    /// As the zones say: 127.53.0.0/16 and `::1`.
    Loopback,
    /// In 198.18.0.0/16 and 2001:2::/48 of a network of its own: Knot Resolver rejects loopback addresses as glue.
    Benchmark,
}

#[derive(Deserialize)]
struct Map {
    server: Vec<Server>,
}

/// A line of `servers.toml`. Faults are left out: real servers serve honestly.
#[derive(Deserialize)]
struct Server {
    addresses: Vec<IpAddr>,
    zones: Vec<String>,
}

/// A record of a zone in plain text.
pub struct Line {
    /// Absolute, in lower case.
    pub owner: String,
    pub kind: String,
}

impl Numbering {
    fn address(self, address: IpAddr) -> IpAddr {
        match (self, address) {
            (Numbering::Benchmark, IpAddr::V4(v4)) => match v4.octets() {
                [127, 53, c, d] => Ipv4Addr::new(198, 18, c, d).into(),
                _ => address,
            },
            (Numbering::Benchmark, IpAddr::V6(Ipv6Addr::LOCALHOST)) => {
                Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1).into()
            }
            _ => address,
        }
    }
}

/// The lab's zones, those that only exist signed included, without a signature: in a directory of this name, one record
/// a line and all names absolute.
pub fn unsigned_internet(name: &str, numbering: Numbering, port: u16) -> Internet {
    let dir = fresh_dir(name);
    let mut internet = exported(Atlas::new(0).unsigned(), &dir, numbering, port);
    let plain = fresh_dir(&format!("{name}-plain"));
    for zone in internet.hosts.iter_mut().flat_map(|host| &mut host.zones) {
        *zone = write_plainly(&dir, &plain, &zone.origin, Numbering::Loopback);
    }
    internet
}

/// The lab's zones signed as its lists say, with the file of its trust anchor: of all zones those that `wanted` picks.
pub fn signed_internet(numbering: Numbering, port: u16, wanted: impl Fn(&str) -> bool) -> (Internet, PathBuf) {
    let dir = fresh_dir("signed-lab");
    let mut internet = exported(Atlas::new(0), &dir, numbering, port);
    internet.hosts.iter_mut().for_each(|host| host.zones.retain(|zone| wanted(&zone.origin)));
    internet.hosts.retain(|host| !host.zones.is_empty());
    (internet, dir.join("root.anchors"))
}

fn exported(mut atlas: Atlas, dir: &Path, numbering: Numbering, port: u16) -> Internet {
    for zone in &mut atlas.zones {
        zone.text = zone.text.lines().map(|line| renumber(line, numbering) + "\n").collect();
    }
    atlas.write_to(dir).expect("the zones can be written");
    let file = |origin: &String| {
        let zone = atlas.zones.iter().find(|zone| zone.origin == *origin).expect("a server's zone is there");
        Zone { origin: origin.clone(), file: dir.join(zone.file_name()) }
    };
    let host = |server: &maeslant::lab::Server| Host {
        addresses: server.addresses.iter().map(|address| numbering.address(*address)).collect(),
        zones: server.zones.iter().map(file).collect(),
    };
    let hosts = atlas.servers.iter().map(host).collect();
    let mut hints = String::new();
    for (index, root) in atlas.root_servers().enumerate() {
        let _ = writeln!(hints, ". 3600000 IN NS root{index}.hints.");
        for address in root.addresses.iter().map(|address| numbering.address(*address)) {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            let _ = writeln!(hints, "root{index}.hints. 3600000 IN {kind} {address}");
        }
    }
    let root_hints = dir.join("root.hints");
    fs::write(&root_hints, hints).expect("root hints can be written");
    Internet { hosts, port, root_hints }
}

/// The lab as `zones/lab` describes it, every server on `port`.
pub fn internet(numbering: Numbering, port: u16) -> Internet {
    let source = package_file("zones/lab");
    let text = fs::read_to_string(source.join("servers.toml")).expect("zones/lab/servers.toml can be read");
    let map: Map = toml::from_str(&text).expect("zones/lab/servers.toml is a list of servers");
    let dir = fresh_dir(&format!("lab-{numbering:?}").to_lowercase());
    let mut written: BTreeMap<String, Zone> = BTreeMap::new();
    let mut hints = String::new();
    let mut hosts = Vec::new();
    for (index, server) in map.server.iter().enumerate() {
        let addresses: Vec<IpAddr> = server.addresses.iter().map(|address| numbering.address(*address)).collect();
        if server.zones.iter().any(|zone| zone == ".") {
            let _ = writeln!(hints, ". 3600000 IN NS root{index}.hints.");
            for address in &addresses {
                let kind = if address.is_ipv4() { "A" } else { "AAAA" };
                let _ = writeln!(hints, "root{index}.hints. 3600000 IN {kind} {address}");
            }
        }
        for origin in &server.zones {
            if !written.contains_key(origin) {
                written.insert(origin.clone(), write_plainly(&source, &dir, origin, numbering));
            }
        }
        let zones = server.zones.iter().filter_map(|origin| written.get(origin).cloned()).collect();
        hosts.push(Host { addresses, zones });
    }
    let root_hints = dir.join("root.hints");
    fs::write(&root_hints, hints).expect("root hints can be written");
    Internet { hosts, port, root_hints }
}

/// One record a line, all names absolute (`named-compilezone -s full`), addresses renumbered.
fn write_plainly(source: &Path, dir: &Path, origin: &str, numbering: Numbering) -> Zone {
    let name = if origin == "." { "root.zone".to_owned() } else { format!("{origin}zone") };
    let file = dir.join(&name);
    let mut command = Command::new("named-compilezone");
    command.args(["-F", "text", "-s", "full"]);
    // What the zone says is not judged here.
    for check in ["-k", "-m", "-M", "-n", "-r", "-S", "-T", "-W"] {
        command.args([check, "ignore"]);
    }
    command.args(["-i", "none", "-o"]).arg(&file).arg(origin).arg(source.join(&name));
    output_of(&mut command, Duration::from_secs(30)).unwrap_or_else(|error| panic!("zone {origin}: {error}"));
    let text = fs::read_to_string(&file).expect("the plain zone can be read");
    fs::write(&file, text.lines().map(|line| renumber(line, numbering) + "\n").collect::<String>()).expect("written");
    Zone { origin: origin.to_owned(), file }
}

fn renumber(line: &str, numbering: Numbering) -> String {
    let Some((before, last)) = line.rsplit_once([' ', '\t']) else { return line.to_owned() };
    let is_address = before.split_whitespace().any(|word| word == "A" || word == "AAAA");
    match (is_address, last.parse::<IpAddr>()) {
        (true, Ok(address)) => format!("{before} {}", numbering.address(address)),
        _ => line.to_owned(),
    }
}

/// The records of a zone that `internet` wrote.
pub fn lines(zone: &Zone) -> Vec<Line> {
    let text = fs::read_to_string(&zone.file).expect("the plain zone can be read");
    let records = text.lines().filter(|line| !line.starts_with(';')).map(str::split_whitespace);
    records
        .filter_map(|mut words| {
            let owner = words.next()?.to_lowercase();
            Some(Line { owner, kind: words.nth(2)?.to_owned() })
        })
        .collect()
}

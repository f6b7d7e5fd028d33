//! A small Internet as data: which addresses serve which zones.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// One zone: its origin and its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Zone {
    /// Absolute, lower case, with the final dot.
    pub origin: String,
    pub file: PathBuf,
}

/// One authoritative server: it answers on all of its addresses, for its zones only.
#[derive(Clone, Debug)]
pub struct Host {
    pub addresses: Vec<IpAddr>,
    pub zones: Vec<Zone>,
}

/// Servers, and where resolvers begin.
#[derive(Clone, Debug)]
pub struct Internet {
    pub hosts: Vec<Host>,
    /// The port of every server.
    pub port: u16,
    pub root_hints: PathBuf,
}

impl Internet {
    /// All zones, each once.
    pub fn zones(&self) -> Vec<Zone> {
        let mut zones: Vec<Zone> = self.hosts.iter().flat_map(|host| host.zones.iter().cloned()).collect();
        zones.sort();
        zones.dedup();
        zones
    }

    /// Every address at which something is served, with a zone to ask for.
    pub fn serving(&self) -> impl Iterator<Item = (SocketAddr, &Zone)> {
        self.hosts.iter().flat_map(move |host| {
            let zone = host.zones.first();
            host.addresses
                .iter()
                .filter_map(move |address| zone.map(|zone| (SocketAddr::new(*address, self.port), zone)))
        })
    }
}

/// The absolute path of a file of the package.
pub fn package_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

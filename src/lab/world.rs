//! A running small Internet.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use hickory_proto::rr::Name;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

use super::atlas::Atlas;
use super::fault::Fault;
use super::server::{Counts, Faults, Front, serve_tcp, serve_udp};
use super::signing::signed_zones;
use super::zone::{Zone, ZoneSet, key};
use crate::resolve::Hint;

/// How often an ephemeral port is drawn before giving up: it must be free on every address.
const PORT_TRIES: usize = 16;

/// What a world is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The port of every server, UDP and TCP; 0 draws one that is free on all addresses.
    pub port: u16,
    /// Size of the generated population, at most 9999.
    pub sites: usize,
    /// Seed of jitter and loss.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { port: 5399, sites: 1000, seed: 1 }
    }
}

/// Why a world did not come into being, in one line.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind { address: SocketAddr, transport: &'static str, source: io::Error },
    /// A master file has an error.
    Zone { origin: String, reason: String },
    /// The thread or its runtime could not be made.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind { address, transport, source } => {
                write!(f, "the lab cannot listen on {address} ({transport}): {source}")?;
                if source.kind() == io::ErrorKind::AddrInUse {
                    write!(f, "; is another lab running? choose another port")?;
                }
                Ok(())
            }
            StartError::Zone { origin, reason } => write!(f, "the lab's zone {origin} cannot be read: {reason}"),
            StartError::Thread(source) => write!(f, "the lab's servers cannot be started: {source}"),
        }
    }
}

impl std::error::Error for StartError {}

/// An address with what it has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerCounts {
    /// The server's name in the map.
    pub name: String,
    pub address: IpAddr,
    pub counts: Counts,
}

/// A running small Internet. It ends with its last owner, or by [`World::shutdown`].
#[derive(Debug)]
pub struct World {
    atlas: Atlas,
    zones: ZoneSet,
    anchors: String,
    fronts: Vec<(String, Arc<Front>)>,
    faults: Arc<Faults>,
    port: u16,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The sockets of one address.
struct Sockets {
    address: IpAddr,
    udp: std::net::UdpSocket,
    tcp: std::net::TcpListener,
}

impl World {
    /// Binds every server's addresses and serves on a thread of its own. Servers answer when this returns.
    /// On a machine without ::1 the IPv6-only servers are left out.
    pub fn start(options: &Options) -> Result<World, StartError> {
        World::of(Atlas::new(options.sites), options)
    }

    /// As [`World::start`], of a map that may have more than the usual zones.
    pub fn of(atlas: Atlas, options: &Options) -> Result<World, StartError> {
        let (zones, anchors) = signed_zones(&atlas)?;
        let (port, sockets) = bind_all(&atlas, options.port)?;
        let faults = Arc::new(Faults::default());
        let mut fronts = Vec::new();
        for (index, bound) in sockets.iter().enumerate() {
            let Some(server) = atlas.server_at(bound.address) else { continue };
            let mut served = ZoneSet::default();
            for origin in &server.zones {
                let zone = Name::from_ascii(origin).ok().and_then(|name| zones.get(&name).cloned());
                served.insert(zone.ok_or_else(|| StartError::Zone {
                    origin: origin.clone(),
                    reason: format!("{} serves it, but there is no such zone", server.name),
                })?);
            }
            if server.fault != Fault::default() {
                let mut table = faults.addresses.write().unwrap_or_else(PoisonError::into_inner);
                table.insert(bound.address, server.fault.clone());
            }
            let seed = options.seed.wrapping_add(index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let front = Front::new(bound.address, served, Arc::clone(&faults), seed);
            fronts.push((server.name.clone(), Arc::new(front)));
        }
        let (stop, stopped) = watch::channel(false);
        let serving = fronts.iter().map(|(_, front)| Arc::clone(front)).zip(sockets).collect();
        let thread = spawn(serving, stopped).map_err(StartError::Thread)?;
        Ok(World { atlas, zones, anchors, fronts, faults, port, stop, thread: Some(thread) })
    }

    /// The port of every server: the resolver's `server_port`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The zones and servers.
    pub fn atlas(&self) -> &Atlas {
        &self.atlas
    }

    /// Every zone, whoever serves it.
    pub fn zones(&self) -> &ZoneSet {
        &self.zones
    }

    /// The root servers: the resolver's `root_hints`.
    pub fn root_hints(&self) -> Vec<Hint> {
        let hint = |s: &super::Server| Hint { name: s.name.clone(), addresses: s.addresses.clone() };
        self.atlas.root_servers().map(hint).collect()
    }

    /// The trust anchor of the root, as a file of trust anchors has it. Its key was made at the start of this world.
    pub fn anchors(&self) -> &str {
        &self.anchors
    }

    /// Puts a fault on one address, or takes it away with `Fault::default()`. Holds for queries from now on.
    /// Returns whether a server has that address.
    pub fn fault(&self, address: IpAddr, fault: Fault) -> bool {
        self.faults.addresses.write().unwrap_or_else(PoisonError::into_inner).insert(address, fault);
        self.fronts.iter().any(|(_, front)| front.address == address)
    }

    /// Puts a fault on every address of a server, by its name in the map. Returns whether there is one.
    pub fn fault_server(&self, name: &str, fault: &Fault) -> bool {
        let mut found = false;
        for (_, front) in self.fronts.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)) {
            found |= self.fault(front.address, fault.clone());
        }
        found
    }

    /// Puts a fault on a zone on all its servers, before their own; `None` takes it away. Returns whether there is
    /// such a zone. `Behaviour::NoTcp` has no effect here: a connection does not say for which zone it is.
    pub fn fault_zone(&self, origin: &str, fault: Option<Fault>) -> bool {
        let Some(zone) = Name::from_ascii(origin).ok().and_then(|name| self.zones.get(&name)) else { return false };
        let mut table = self.faults.zones.write().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => table.insert(key(zone.origin()), fault),
            None => table.remove(&key(zone.origin())),
        };
        true
    }

    /// Puts a fault on every server, before its own, or takes it away.
    pub fn fault_everywhere(&self, fault: Option<Fault>) {
        *self.faults.everywhere.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Queries to the servers of a zone so far, for names in it and in no zone below it that they serve.
    pub fn zone_queries(&self, origin: &str) -> u64 {
        let Ok(name) = Name::from_ascii(origin) else { return 0 };
        let wanted = key(&name);
        self.fronts.iter().map(|(_, front)| front.zone_queries(&wanted)).sum()
    }

    /// What each address has seen so far.
    pub fn counts(&self) -> Vec<ServerCounts> {
        let of = |(name, front): &(String, Arc<Front>)| ServerCounts {
            name: name.clone(),
            address: front.address,
            counts: front.counts(),
        };
        self.fronts.iter().map(of).collect()
    }

    /// Queries to all servers so far.
    pub fn queries(&self) -> u64 {
        self.fronts.iter().map(|(_, front)| front.counts()).map(|c| c.udp + c.tcp).sum()
    }

    /// Closes all sockets and waits for the thread.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads every master file of an atlas.
pub(super) fn read_zones(atlas: &Atlas) -> Result<ZoneSet, StartError> {
    let mut zones = ZoneSet::default();
    for file in &atlas.zones {
        let failed = |reason: String| StartError::Zone { origin: file.origin.clone(), reason };
        let origin = Name::from_ascii(&file.origin).map_err(|e| failed(e.to_string()))?;
        let mut zone = Zone::read(&file.text, &origin).map_err(|e| failed(e.to_string()))?;
        zone.script = atlas.scripts.iter().find(|(of, _)| *of == file.origin).map(|(_, script)| script.clone());
        zones.insert(Arc::new(zone));
    }
    Ok(zones)
}

fn bind_all(atlas: &Atlas, port: u16) -> Result<(u16, Vec<Sockets>), StartError> {
    let addresses: Vec<IpAddr> = atlas.servers.iter().flat_map(|s| s.addresses.iter().copied()).collect();
    let mut tries = if port == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let mut chosen = port;
        let mut bound = Vec::with_capacity(addresses.len());
        let mut failure = None;
        for &address in &addresses {
            match bind(SocketAddr::new(address, chosen)) {
                Ok(sockets) => {
                    chosen = sockets.udp.local_addr().map_or(chosen, |a| a.port());
                    bound.push(sockets);
                }
                Err(StartError::Bind { address, source, .. }) if address.is_ipv6() && is_absent(&source) => {}
                Err(error) => failure = Some(error),
            }
            if failure.is_some() {
                break;
            }
        }
        match failure {
            None => return Ok((chosen, bound)),
            Some(StartError::Bind { source, .. }) if tries > 0 && source.kind() == io::ErrorKind::AddrInUse => {}
            Some(error) => return Err(error),
        }
    }
}

/// The machine has no such address, or no such address family.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

fn bind(address: SocketAddr) -> Result<Sockets, StartError> {
    let failed = |transport, address| move |source| StartError::Bind { address, transport, source };
    let udp = std::net::UdpSocket::bind(address).map_err(failed("UDP", address))?;
    let address = udp.local_addr().map_err(failed("UDP", address))?;
    let tcp = std::net::TcpListener::bind(address).map_err(failed("TCP", address))?;
    udp.set_nonblocking(true).map_err(failed("UDP", address))?;
    tcp.set_nonblocking(true).map_err(failed("TCP", address))?;
    // A burst of a busy resolver must fit; where the system allows less, it gives what it allows.
    let _ = socket2::SockRef::from(&udp).set_recv_buffer_size(1 << 20);
    Ok(Sockets { address: address.ip(), udp, tcp })
}

/// Serves every address on one thread until `stopped`.
fn spawn(serving: Vec<(Arc<Front>, Sockets)>, stopped: watch::Receiver<bool>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let mut tasks = tokio::task::JoinSet::new();
    for (front, sockets) in serving {
        let udp = UdpSocket::from_std(sockets.udp)?;
        let tcp = TcpListener::from_std(sockets.tcp)?;
        tasks.spawn_on(serve_udp(Arc::clone(&front), udp, stopped.clone()), runtime.handle());
        tasks.spawn_on(serve_tcp(front, tcp, stopped.clone()), runtime.handle());
    }
    drop(guard);
    std::thread::Builder::new().name("lab-servers".to_owned()).spawn(move || {
        runtime.block_on(async { while tasks.join_next().await.is_some() {} });
    })
}

#[cfg(test)]
mod tests;

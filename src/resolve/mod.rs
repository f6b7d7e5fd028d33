//! One question on its way down the tree.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// How much of a name a server is shown (RFC 9156).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Minimisation {
    /// One label more than the server's zone; the full name where a server stumbles over it.
    #[default]
    Relaxed,
    /// As `Relaxed`, but what a server says of a shortened name is believed.
    Strict,
    /// The full name to every server.
    Off,
}

/// A root server of the hints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Presentation format, fully qualified: `a.root-servers.net.`
    pub name: String,
    pub addresses: Vec<std::net::IpAddr>,
}

/// Servers that answer for a zone instead of those found by iteration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Presentation format, fully qualified: `corp.example.`
    pub zone: String,
    pub servers: Vec<SocketAddr>,
    /// Recursive servers (RD set, answers believed as a whole), or authoritative ones.
    pub kind: UpstreamKind,
    /// Go on with iteration where all of them fail.
    pub fallback: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpstreamKind {
    Forward,
    Stub,
}

/// How questions are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub root_hints: Vec<Hint>,
    /// Ask the root servers for their own names and addresses at start (RFC 9609).
    pub prime: bool,
    /// The port authoritative servers are asked on; other than 53 only in labs.
    pub server_port: u16,
    /// Addresses never asked, however they were learned; hints, forwarders and stub servers excepted.
    pub do_not_query: Vec<IpNet>,
    /// The UDP payload size told to servers (RFC 9715: 1232 avoids fragments).
    pub udp_payload_size: u16,
    /// Send DNS cookies to servers (RFC 7873).
    pub cookies: bool,
    /// A client has its answer, if need be SERVFAIL, before this.
    pub deadline: Duration,
    pub minimisation: Minimisation,
    /// Randomise the case of the names asked (0x20).
    pub case_randomisation: bool,
    pub ipv4: bool,
    pub ipv6: bool,
    pub upstreams: Vec<Upstream>,
}

/// `zones/root.hints`, in zone-file format.
pub const COMPILED_ROOT_HINTS: &str = include_str!("../../zones/root.hints");

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            root_hints: Vec::new(),
            prime: true,
            server_port: 53,
            do_not_query: Vec::new(),
            udp_payload_size: 1232,
            cookies: true,
            deadline: Duration::from_secs(8),
            minimisation: Minimisation::Relaxed,
            case_randomisation: true,
            ipv4: true,
            ipv6: true,
            upstreams: Vec::new(),
        }
    }
}

//! What crosses the line between the engine and its shell.

use std::net::{IpAddr, SocketAddr};

/// How a client's question came in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    Udp,
    Tcp,
}

/// Where the shell sends a reply; opaque to the engine, which only hands it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Route {
    /// A listening socket (UDP) or a connection (TCP), numbered by the shell.
    pub socket: u64,
    /// The address that was asked, where the socket listens on a wildcard address.
    pub local: Option<IpAddr>,
}

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Client {
    pub addr: SocketAddr,
    pub transport: Transport,
    pub route: Route,
}

/// What became of a query at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// The response is in `out`: send it to the client.
    Answered,
    /// No response will be sent.
    Dropped(DropReason),
    /// The response comes later from `poll_transmit`.
    Pending,
}

/// Why a packet gets silence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropReason {
    /// Shorter than a header, or not a query's shape.
    Malformed,
    /// The QR bit is set: answering responses makes loops (CVE-2024-2169).
    Response,
    /// Source port 0 cannot be answered.
    PortZero,
    /// Refusals to clients outside `[access] allow` beyond their rate.
    RefusedRate,
}

/// Names one packet to a server, from `Transmit::Ask` until its end. Never reused within 2^32 asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct AskKey(pub u64);

/// How a server is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AskTransport {
    Udp,
    Tcp,
}

/// What the shell is asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transmit {
    /// Send a response to a client.
    Reply { client: Client, packet: Vec<u8> },
    /// Send a query to a server: by UDP from a connected socket of its own on a fresh random port,
    /// by TCP on any connection to that server where the packet's ID is not in use.
    /// Whatever comes back there goes into `handle_response` with `key`, until `Close`.
    Ask { key: AskKey, server: SocketAddr, transport: AskTransport, packet: Vec<u8> },
    /// Nothing more is awaited for `key`: its socket can be closed.
    Close { key: AskKey },
}

/// Why a packet to a server has no response, as the transport knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkError {
    /// ICMP port unreachable, or TCP refused.
    Refused,
    /// No route, network or host unreachable, or no address of that family here.
    Unreachable,
    /// The connection ended before the response.
    Closed,
    /// No socket could be had: descriptors or ports are exhausted here.
    Exhausted,
}

/// What the operator is told; the shell logs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Root priming has succeeded (RFC 9609).
    Primed { servers: usize },
    /// No root server answered; `tries` so far. It goes on trying.
    RootUnreachable { tries: u32 },
}

/// What the engine is told at birth, and again at reload.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    pub access: crate::admission::Policy,
    pub local: crate::local::Policy,
    pub resolve: crate::resolve::Policy,
    pub respond: RespondPolicy,
    pub cache_prefetch: bool,
}

/// How responses are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespondPolicy {
    /// The largest UDP response, in octets; the client's own limit counts too.
    pub udp_payload_size: u16,
    /// Say in an option what went wrong (RFC 8914).
    pub extended_errors: bool,
    /// The name server identifier (RFC 5001), sent where asked for.
    pub nsid: Option<Vec<u8>>,
    /// CHAOS TXT `version.bind`, `version.server`; hidden (REFUSED) when none.
    pub version: Option<String>,
    /// CHAOS TXT `id.server`, `hostname.bind`; hidden (REFUSED) when none.
    pub identity: Option<String>,
}

impl Default for RespondPolicy {
    fn default() -> RespondPolicy {
        RespondPolicy { udp_payload_size: 1232, extended_errors: true, nsid: None, version: None, identity: None }
    }
}

//! What crosses the line between the engine and its shell.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::admission::Reason;
use crate::local::Zones;
use crate::wire::Name;

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
    /// More questions are in flight than a shard can carry, and this client waits with too many others.
    Overload,
    /// The door: the address asks more than its share.
    ClientLimit,
    /// The door: a prefix around the address asks more than its share.
    PrefixLimit,
    /// The door: the address has used up its share of work upstream.
    RecursionLimit,
    /// The door: never seen before, in a flood of such addresses.
    Stranger,
    /// The door: its class has to show a cookie.
    CookieRequired,
    /// The door: the unproven network around the address has been sent enough octets.
    Ration,
    /// The door: the address waits for this very question too many times.
    Waiting,
    /// The door: the answer came later than the client waits for it.
    Late,
}

impl DropReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [DropReason; 13] = [
        DropReason::Malformed,
        DropReason::Response,
        DropReason::PortZero,
        DropReason::RefusedRate,
        DropReason::Overload,
        DropReason::ClientLimit,
        DropReason::PrefixLimit,
        DropReason::RecursionLimit,
        DropReason::Stranger,
        DropReason::CookieRequired,
        DropReason::Ration,
        DropReason::Waiting,
        DropReason::Late,
    ];
    /// How many reasons there are.
    pub const COUNT: usize = DropReason::ALL.len();

    /// As counters name it.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::Malformed => "malformed",
            DropReason::Response => "response",
            DropReason::PortZero => "port_zero",
            DropReason::RefusedRate => "acl",
            DropReason::Overload => "overload",
            DropReason::ClientLimit => "client_limit",
            DropReason::PrefixLimit => "prefix_limit",
            DropReason::RecursionLimit => "recursion_limit",
            DropReason::Stranger => "stranger",
            DropReason::CookieRequired => "cookie_required",
            DropReason::Ration => "ration",
            DropReason::Waiting => "waiting",
            DropReason::Late => "late",
        }
    }
}

impl DropReason {
    /// Why a connection is closed on which that came; none where its reason is told already.
    pub fn closing(self) -> Option<Reason> {
        match self {
            DropReason::Malformed | DropReason::Response | DropReason::PortZero => Some(Reason::NoQuery),
            DropReason::ClientLimit | DropReason::PrefixLimit | DropReason::RecursionLimit => Some(Reason::StreamShare),
            _ => None,
        }
    }
}

impl From<Reason> for DropReason {
    fn from(reason: Reason) -> DropReason {
        match reason {
            Reason::NotAllowed | Reason::RefusedRate => DropReason::RefusedRate,
            // Of connections, never of a packet.
            Reason::ConnectionsTotal
            | Reason::ConnectionsPrefix
            | Reason::ConnectionsClient
            | Reason::IdleEarly
            | Reason::SlowReader
            | Reason::Unfinished
            | Reason::ConnectionShare
            | Reason::ConnectionPrefixShare
            | Reason::StreamShare
            | Reason::Misframed
            | Reason::NoQuery
            | Reason::ConnectionsWide
            | Reason::UnreadTotal => DropReason::Overload,
            Reason::ClientShare | Reason::HalfShare => DropReason::ClientLimit,
            Reason::PrefixShare => DropReason::PrefixLimit,
            Reason::Recursion
            | Reason::ZoneFlood
            | Reason::ZoneClient
            | Reason::ZoneInFlight
            | Reason::Places
            | Reason::ServerQuota => DropReason::RecursionLimit,
            Reason::Stranger => DropReason::Stranger,
            Reason::CookieRequired => DropReason::CookieRequired,
            Reason::Ration | Reason::AddressRation | Reason::StrangerRation | Reason::SameAnswer => DropReason::Ration,
            Reason::Waiting => DropReason::Waiting,
            Reason::Late => DropReason::Late,
        }
    }
}

pub use crate::resolve::{AskKey, AskTransport, Followed, LinkError, Notice};

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

/// What the engine is told at birth, and again at reload.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    pub access: crate::admission::Policy,
    pub local: crate::local::Policy,
    pub resolve: crate::resolve::Policy,
    pub respond: RespondPolicy,
    pub cache_prefetch: bool,
}

/// A policy made ready for use, once for all shards: laying out a million local records takes a while, and no question
/// may wait for it.
#[derive(Clone, Debug)]
pub struct Rules {
    pub policy: Arc<Policy>,
    /// What is answered here; forward and stub zones are let through.
    pub zones: Arc<Zones>,
}

impl From<Arc<Policy>> for Rules {
    fn from(policy: Arc<Policy>) -> Rules {
        // Bad records were refused with their reason when the policy was made.
        let mut zones = Zones::new(&policy.local).unwrap_or_default();
        for upstream in &policy.resolve.upstreams {
            if let Ok(zone) = Name::parse(&upstream.zone) {
                zones.open(&zone);
            }
        }
        Rules { policy, zones: Arc::new(zones) }
    }
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
    /// How long idle TCP connections are kept, told to clients that ask (RFC 7828).
    pub tcp_keepalive: std::time::Duration,
}

impl Default for RespondPolicy {
    fn default() -> RespondPolicy {
        RespondPolicy {
            udp_payload_size: 1232,
            extended_errors: true,
            nsid: None,
            version: None,
            identity: None,
            tcp_keepalive: std::time::Duration::from_secs(10),
        }
    }
}

/// What has happened on one shard; every query ends in exactly one of `answered`, `dropped`, `gone`, or is `waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub queries: u64,
    pub answered: u64,
    /// By [`DropReason`].
    pub dropped: [u64; DropReason::COUNT],
    /// Clients that closed their connection before their answer came.
    pub gone: u64,
    /// Clients waiting for an answer now.
    pub waiting: u64,
    pub cache_hits: u64,
    /// Questions that were answered in whole or in part from proofs and wildcards in the cache (RFC 8198).
    pub deduced: u64,
    pub failure_hits: u64,
    /// Queries that joined a question in flight.
    pub joined: u64,
    /// Queries that cannot be read, or ask for what nobody asks for, answered with FORMERR.
    pub formerr: u64,
    /// The same, answered with NOTIMP.
    pub notimp: u64,
    /// SERVFAIL because too many questions were in flight.
    pub shed: u64,
    /// Answers given although their time was over, by [`StaleWhy`](crate::resolve::StaleWhy).
    pub stale: [u64; crate::resolve::StaleWhy::COUNT],
    /// Answers that would have been given so.
    pub stale_observed: u64,
    /// Answers that had been held back and left one by one.
    pub paced: u64,
    /// Answers refreshed ahead of their expiry.
    pub refreshed: u64,
    /// Such that were asked for and not refreshed: asking failed a moment ago, whoever asked or the zone has nothing left,
    /// or too many questions are in flight.
    pub left_to_end: u64,
    /// Resolutions that ended in SERVFAIL.
    pub failed: u64,
    pub upstream: crate::resolve::Counters,
    /// What the door did, refusals by reason.
    pub door: crate::admission::Tally,
}

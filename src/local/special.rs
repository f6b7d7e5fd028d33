//! The special-use names and locally served zones, as data: the IANA registries "Special-Use Domain
//! Names" and "Locally-Served DNS Zones".
//!
//! In the first registry but resolved normally:
//! - `example.` and `example.{com,net,org}.`: RFC 6761 §6.5 asks caching servers to treat them as any name.
//! - `ipv4only.arpa.` and its reverse names `170.0.0.192` and `171.0.0.192.in-addr.arpa.` (RFC 7050,
//!   RFC 8880): to be answered specially by a DNS64 only, and this is none.
//! - `6tisch.arpa.` (RFC 9031), `eap-noob.arpa.` (RFC 9140), `eap.arpa.`: identifiers that no
//!   software asks the DNS for; there is nothing to keep from leaking.

use super::tree::{Rr, Tree, Zone};
use crate::wire::{Name, Rtype};

/// How a special-use zone answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nature {
    /// A zone with nothing but its SOA and NS records (RFC 6303 §3): NXDOMAIN below.
    Empty,
    /// As `Empty` at its apex, and every name below exists without records: NODATA.
    Barren,
    /// No name in it exists, the apex included: NXDOMAIN.
    Absent,
    /// Every name in it, the apex included, has the loopback addresses and nothing else.
    Loopback,
}

impl Nature {
    /// Does the public parent zone have a delegation to this zone, or else a proof of what is there, that
    /// a validator needs? Those at the top level are never asked about, by the words of their documents.
    pub fn is_delegated(self) -> bool {
        matches!(self, Nature::Empty | Nature::Barren)
    }
}

/// The TTL and the negative caching TTL of RFC 6303 §3, in seconds.
const TTL: u32 = 10_800;

/// By name.
const NAMES: &[(&str, Nature)] = &[
    // RFC 6761 §6.3 point 4: the loopback address for address queries, negative otherwise.
    ("localhost.", Nature::Loopback),
    // RFC 6761 §6.4 point 4, §6.2 point 4.
    ("invalid.", Nature::Absent),
    ("test.", Nature::Absent),
    // RFC 6762 §22.1 point 4: multicast DNS.
    ("local.", Nature::Absent),
    // RFC 7686 §2 point 4: Tor.
    ("onion.", Nature::Absent),
    // RFC 9476: names outside the DNS.
    ("alt.", Nature::Absent),
    // RFC 8375 §4 point 4: residential networks.
    ("home.arpa.", Nature::Empty),
    // RFC 9665: the service registration protocol's `default.service.arpa.`.
    ("service.arpa.", Nature::Empty),
    // RFC 9462: discovery of designated resolvers; NODATA for any name while there is none to designate.
    ("resolver.arpa.", Nature::Barren),
];

/// By address, without `in-addr.arpa.`: empty zones.
const IPV4: &[&str] = &[
    // RFC 6303 §4.1: RFC 1918. The twelve-bit prefix 172.16.0.0/12 is added by number.
    "10",
    "168.192",
    // RFC 6303 §4.2: this network, loopback, link-local, the three for documentation, broadcast.
    "0",
    "127",
    "254.169",
    "2.0.192",
    "100.51.198",
    "113.0.203",
    "255.255.255.255",
];

/// By address, without `ip6.arpa.`: empty zones. `::` and `::1` (RFC 6303 §4.3) are spelt out in code.
const IPV6: &[&str] = &[
    // RFC 6303 §4.4, RFC 4193: locally assigned local addresses, fd00::/8.
    "d.f",
    // RFC 6303 §4.5: link-local addresses, fe80::/10.
    "8.e.f",
    "9.e.f",
    "a.e.f",
    "b.e.f",
    // RFC 6303 §4.6: documentation, 2001:db8::/32.
    "8.b.d.0.1.0.0.2",
];

/// Puts all of them into `tree`.
pub(super) fn plant(tree: &mut Tree) -> Result<(), String> {
    for (apex, nature) in NAMES {
        plant_zone(tree, &parse(apex)?, *nature);
    }
    let low: Vec<String> = (16..=31).map(|octet| format!("{octet}.172")).collect();
    // RFC 7793: shared address space, 100.64.0.0/10.
    let shared: Vec<String> = (64..=127).map(|octet| format!("{octet}.100")).collect();
    for octets in IPV4.iter().copied().chain(low.iter().chain(&shared).map(String::as_str)) {
        plant_zone(tree, &parse(&format!("{octets}.in-addr.arpa."))?, Nature::Empty);
    }
    let unspecified = ["0"; 32].join(".");
    let loopback = format!("1.{}", ["0"; 31].join("."));
    for nibbles in IPV6.iter().copied().chain([unspecified.as_str(), loopback.as_str()]) {
        plant_zone(tree, &parse(&format!("{nibbles}.ip6.arpa."))?, Nature::Empty);
    }
    // The names of the loopback addresses (RFC 1912 §4.1).
    let localhost = parse("localhost.")?;
    for owner in ["1.0.0.127.in-addr.arpa.".to_owned(), format!("{loopback}.ip6.arpa.")] {
        tree.node_mut(&parse(&owner)?).rrs.push(built_in(Rtype::PTR, localhost.wire()));
    }
    Ok(())
}

fn plant_zone(tree: &mut Tree, apex: &Name, nature: Nature) {
    let soa = Zone::made_up_soa(apex, TTL);
    let node = tree.node_mut(apex);
    let mut everywhere = Vec::new();
    match nature {
        Nature::Empty | Nature::Barren => node.rrs = vec![soa.clone(), built_in(Rtype::NS, apex.wire())],
        Nature::Loopback => {
            everywhere.push(built_in(Rtype::A, &std::net::Ipv4Addr::LOCALHOST.octets()));
            everywhere.push(built_in(Rtype::AAAA, &std::net::Ipv6Addr::LOCALHOST.octets()));
        }
        Nature::Absent => {}
    }
    node.zone = Some(Box::new(Zone { nature, soa, everywhere }));
}

fn built_in(rtype: Rtype, rdata: &[u8]) -> Rr {
    Rr { rtype, ttl: TTL, rdata: rdata.into(), operators: false }
}

fn parse(name: &str) -> Result<Name, String> {
    Name::parse(name).map_err(|e| format!("special-use name \"{name}\": {e}"))
}

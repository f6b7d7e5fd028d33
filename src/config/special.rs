//! Special-purpose addresses: ranges where no authoritative server of the Internet can be.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The default of `[resolver] do_not_query`, each range with its reason and source.
///
/// Whoever controls a delegation chooses the addresses that are asked. An address in one of these ranges leads into
/// the operator's own network, to this machine, or nowhere, so asking it serves only an attacker (NXNS-style probing,
/// reflection at internal services, time spent on timeouts).
///
/// Not in the list, on purpose, although they are in the special-purpose registries (RFC 6890): 192.31.196.0/24,
/// 192.175.48.0/24, 2001:4:112::/48 and 2620:4f:8000::/48, where the AS112 name servers are (RFC 7534, RFC 7535);
/// 64:ff9b::/96, which an IPv6-only host behind NAT64 needs to reach IPv4 servers, and whose translators must refuse
/// private addresses (RFC 6052 §3.1); 2002::/16 and 2001::/32 (6to4, Teredo), deprecated but globally routed.
pub const DO_NOT_QUERY: [(&str, &str); 28] = [
    ("0.0.0.0/8", "\"this network\" (RFC 791); 0.0.0.0 reaches this machine on Linux"),
    ("10.0.0.0/8", "private (RFC 1918)"),
    ("100.64.0.0/10", "shared address space behind carrier-grade NAT (RFC 6598)"),
    ("127.0.0.0/8", "this machine (RFC 1122)"),
    ("169.254.0.0/16", "link-local (RFC 3927); cloud metadata services live here"),
    ("172.16.0.0/12", "private (RFC 1918)"),
    ("192.0.0.0/24", "IETF protocol assignments (RFC 6890)"),
    ("192.0.2.0/24", "documentation (RFC 5737)"),
    ("192.88.99.0/24", "6to4 relays, withdrawn (RFC 7526)"),
    ("192.168.0.0/16", "private (RFC 1918)"),
    ("198.18.0.0/15", "benchmarks (RFC 2544)"),
    ("198.51.100.0/24", "documentation (RFC 5737)"),
    ("203.0.113.0/24", "documentation (RFC 5737)"),
    ("224.0.0.0/4", "multicast (RFC 5771): one query, many answers"),
    ("240.0.0.0/4", "reserved, with the limited broadcast (RFC 1112, RFC 919)"),
    ("::/128", "unspecified (RFC 4291); reaches this machine on Linux"),
    ("::1/128", "this machine (RFC 4291)"),
    ("::ffff:0.0.0.0/96", "IPv4-mapped (RFC 4291): would go round every IPv4 range above"),
    ("64:ff9b:1::/48", "translation within one's own network (RFC 8215)"),
    ("100::/64", "discard (RFC 6666)"),
    ("2001:2::/48", "benchmarks (RFC 5180)"),
    ("2001:20::/28", "ORCHIDv2, identifiers that are not routed (RFC 7343)"),
    ("2001:db8::/32", "documentation (RFC 3849)"),
    ("3fff::/20", "documentation (RFC 9637)"),
    ("5f00::/16", "segment routing identifiers (RFC 9602)"),
    ("fc00::/7", "unique local (RFC 4193)"),
    ("fe80::/10", "link-local (RFC 4291)"),
    ("ff00::/8", "multicast (RFC 4291): one query, many answers"),
];

/// Everything but loopback: a laboratory asks nobody else.
pub fn beyond_loopback() -> Vec<IpNet> {
    let v4 = (1..=8u32).map(|length| {
        // 127.0.0.0/8 with the last bit of its first `length` bits turned over.
        let bits = 0x7f00_0000u32 ^ 1 << (32 - length);
        IpNet::new(Ipv4Addr::from(bits & (u32::MAX << (32 - length))).into(), length as u8)
    });
    let v6 = (1..=128u32).map(|length| {
        let bits = 1u128 ^ 1 << (128 - length);
        IpNet::new(Ipv6Addr::from(bits & (u128::MAX << (128 - length))).into(), length as u8)
    });
    v4.chain(v6).filter_map(Result::ok).collect()
}

/// [`DO_NOT_QUERY`] as prefixes.
pub fn do_not_query() -> Vec<IpNet> {
    DO_NOT_QUERY.iter().filter_map(|(prefix, _)| prefix.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_laboratory_asks_loopback_alone() {
        let barred = beyond_loopback();
        let is_barred = |text: &str| {
            let address: std::net::IpAddr = text.parse().expect(text);
            barred.iter().any(|net| net.contains(&address))
        };
        for here in ["127.0.0.1", "127.255.255.255", "127.1.2.3", "::1"] {
            assert!(!is_barred(here), "{here}");
        }
        for there in
            ["0.0.0.0", "126.255.255.255", "128.0.0.0", "203.0.113.66", "::", "::2", "::ffff:127.0.0.1", "2001:db8::1"]
        {
            assert!(is_barred(there), "{there}");
        }
    }
}

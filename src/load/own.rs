//! The addresses of this machine, as the kernel lists them: what leaves it must come from one of them.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of this machine. Asked of the system and not tried by binding: with net.ipv6.ip_nonlocal_bind, any can be
/// bound.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Own {
    addresses: HashSet<IpAddr>,
    /// Where a packet goes to everybody.
    broadcast: HashSet<IpAddr>,
}

impl Own {
    /// Reads them; none where the system does not tell.
    pub fn read() -> Own {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Own::of(&text("/proc/self/net/fib_trie"), &text("/proc/self/net/if_inet6"))
    }

    /// From the kernel's tables.
    fn of(trie: &str, v6: &str) -> Own {
        let mut own = Own::default();
        let mut last: Option<Ipv4Addr> = None;
        for line in trie.lines().map(str::trim) {
            if let Some(address) = line.strip_prefix("|-- ") {
                last = address.parse().ok();
            } else if let Some(address) = last.map(IpAddr::V4) {
                match line {
                    "/32 host LOCAL" => own.addresses.insert(address),
                    "/32 link BROADCAST" => own.broadcast.insert(address),
                    _ => false,
                };
            }
        }
        let words = v6.lines().filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok());
        own.addresses.extend(words.map(|number| IpAddr::V6(Ipv6Addr::from(number))));
        own
    }

    /// Whether an address is this machine's.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Whether nobody owns an address alone: it stands for many, for all of a network here, or for none.
    pub fn is_shared(&self, address: IpAddr) -> bool {
        let all = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        all || address.is_multicast() || address.is_unspecified() || self.broadcast.contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.0.2.0\n        /24 link UNICAST\n     |-- 192.0.2.2\n        \
                    /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n     |-- 198.18.0.0\n        \
                    /15 host LOCAL\n";
        let v6 =
            "fd000000000000000000000000000002 04 40 00 82     eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        let own = Own::of(trie, v6);
        let has = |text: &str| own.has(text.parse().unwrap());
        assert!(has("192.0.2.2") && has("fd00::2") && has("::1"));
        assert!(!has("192.0.2.0") && !has("192.0.2.255") && !has("198.18.0.0") && !has("fd00::3"));
        let shared = |text: &str| own.is_shared(text.parse().unwrap());
        assert!(
            ["192.0.2.255", "224.0.0.251", "ff02::fb", "255.255.255.255", "0.0.0.0", "::"].iter().all(|a| shared(a))
        );
        assert!(!shared("192.0.2.2") && !shared("192.0.2.254"));
        assert!(Own::read().has(IpAddr::from([127, 0, 0, 1])), "this machine's own");
    }
}

//! Who may ask, and to which class a client belongs: the longest prefix that covers it decides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::{PrefixMap, PrefixSet};

/// What is known of an address from the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// It may ask.
    pub allowed: bool,
    /// The number of its class, if it has one.
    pub class: Option<u16>,
}

/// The prefixes of the configuration, cut into ranges that do not overlap: finding an address is a
/// binary search in a short list, whatever the prefixes are.
#[derive(Debug)]
pub struct Ranges {
    v4: (Box<[u32]>, Box<[Standing]>),
    v6: (Box<[u128]>, Box<[Standing]>),
}

impl Ranges {
    /// From the prefixes that may ask and those of each class. Of two classes with the same prefix the first has it.
    pub fn new<'a>(allow: &[IpNet], classes: impl Iterator<Item = &'a [IpNet]>) -> Ranges {
        let (mut allow4, mut allow6) = (PrefixSet::<Ipv4Net>::new(), PrefixSet::<Ipv6Net>::new());
        let (mut class4, mut class6) = (PrefixMap::<Ipv4Net, u16>::new(), PrefixMap::<Ipv6Net, u16>::new());
        let (mut cuts4, mut cuts6) = (vec![0u32], vec![0u128]);
        let mut cut = |prefix: IpNet| match prefix {
            IpNet::V4(net) => {
                cuts4.push(net.network().into());
                cuts4.extend(u32::from(net.broadcast()).checked_add(1));
            }
            IpNet::V6(net) => {
                cuts6.push(net.network().into());
                cuts6.extend(u128::from(net.broadcast()).checked_add(1));
            }
        };
        for prefix in allow.iter().copied().map(canonical_prefix) {
            cut(prefix);
            match prefix {
                IpNet::V4(net) => allow4.insert(net),
                IpNet::V6(net) => allow6.insert(net),
            };
        }
        for (number, prefixes) in (0u16..).zip(classes) {
            for prefix in prefixes.iter().copied().map(canonical_prefix) {
                cut(prefix);
                match prefix {
                    IpNet::V4(net) => class4.entry(net).or_insert(number),
                    IpNet::V6(net) => class6.entry(net).or_insert(number),
                };
            }
        }
        let standing4 = |start: &u32| {
            let host = Ipv4Net::from(Ipv4Addr::from(*start));
            let class = class4.get_lpm(&host).map(|(_, class)| *class);
            Standing { allowed: allow4.get_lpm(&host).is_some(), class }
        };
        let standing6 = |start: &u128| {
            let host = Ipv6Net::from(Ipv6Addr::from(*start));
            let class = class6.get_lpm(&host).map(|(_, class)| *class);
            Standing { allowed: allow6.get_lpm(&host).is_some(), class }
        };
        Ranges { v4: ranges(cuts4, standing4), v6: ranges(cuts6, standing6) }
    }

    /// What is known of an address, which is canonical: not an IPv4 address within IPv6.
    #[inline]
    pub fn find(&self, address: IpAddr) -> Standing {
        fn last<T: Ord>(ranges: &(Box<[T]>, Box<[Standing]>), address: &T) -> Standing {
            let after = ranges.0.partition_point(|start| start <= address);
            ranges.1.get(after.wrapping_sub(1)).copied().unwrap_or_default()
        }
        match address {
            IpAddr::V4(v4) => last(&self.v4, &u32::from(v4)),
            IpAddr::V6(v6) => last(&self.v6, &u128::from(v6)),
        }
    }
}

/// Starts of ranges with what holds in each, neighbours that are alike put together.
fn ranges<T: Ord>(mut cuts: Vec<T>, standing: impl Fn(&T) -> Standing) -> (Box<[T]>, Box<[Standing]>) {
    cuts.sort_unstable();
    cuts.dedup();
    let mut starts = Vec::new();
    let mut standings: Vec<Standing> = Vec::new();
    for start in cuts {
        let here = standing(&start);
        if standings.last() != Some(&here) {
            starts.push(start);
            standings.push(here);
        }
    }
    (starts.into(), standings.into())
}

/// A prefix within `::ffff:0:0/96` as the IPv4 prefix that it means; others without host bits.
pub fn canonical_prefix(prefix: IpNet) -> IpNet {
    if let IpNet::V6(v6) = prefix
        && let (Some(address), Some(length)) = (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96))
        && let Ok(v4) = Ipv4Net::new(address, length)
    {
        return IpNet::V4(v4.trunc());
    }
    prefix.trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides_the_class() {
        let net = |text: &str| text.parse::<IpNet>().expect(text);
        let offices = [net("10.1.0.0/16"), net("2001:db8::/32")];
        let printer = [net("10.1.2.3/32"), net("10.1.0.0/16")];
        let ranges = Ranges::new(&[net("10.0.0.0/8")], [&offices[..], &printer[..]].into_iter());
        let find = |text: &str| ranges.find(text.parse().expect(text));
        assert_eq!(find("10.0.0.1"), Standing { allowed: true, class: None });
        assert_eq!(find("10.1.2.2"), Standing { allowed: true, class: Some(0) });
        assert_eq!(find("10.1.2.3"), Standing { allowed: true, class: Some(1) });
        assert_eq!(find("10.1.2.4"), Standing { allowed: true, class: Some(0) });
        assert_eq!(find("10.255.255.255"), Standing { allowed: true, class: None });
        assert_eq!(find("11.0.0.0"), Standing::default());
        assert_eq!(find("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), Standing { allowed: false, class: Some(0) });
        assert_eq!(find("2001:db9::"), Standing::default());
    }
}

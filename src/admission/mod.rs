//! The door: who may ask.

mod refusals;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixSet;

use crate::clock::Moment;
use refusals::Meter;
pub use refusals::Refusals;

/// Who may ask, and how loudly others are told that they may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Clients inside these prefixes are served; others get REFUSED. A client with an IPv4-mapped IPv6
    /// address (RFC 4291 §2.5.5.2) counts as its IPv4 address, and so does a mapped prefix.
    pub allow: Vec<IpNet>,
    /// At most so many REFUSED a second in all: beyond it silence, so that forged sources gain
    /// nothing. 100 a second tell a misconfigured network what is wrong and reflect next to nothing.
    /// 0: always silence. A second's worth may come at once.
    pub refused_per_second: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            allow: vec![
                IpNet::new(IpAddr::from([127, 0, 0, 0]), 8).expect("a prefix"),
                IpNet::new(IpAddr::from(std::net::Ipv6Addr::LOCALHOST), 128).expect("a prefix"),
            ],
            refused_per_second: 100,
        }
    }
}

/// The proof that a client passed the door: nothing else makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admitted {
    made_here: (),
}

/// What the door says to a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Serve it.
    Admitted(Admitted),
    /// Answer REFUSED (with the extended error Prohibited, RFC 8914 §4.19), and nothing more.
    Refuse,
    /// Be silent: the rate of refusals is used up.
    Drop,
}

/// The door of one shard.
#[derive(Debug)]
pub struct Door {
    v4: PrefixSet<Ipv4Net>,
    v6: PrefixSet<Ipv6Net>,
    meter: Meter,
    /// How often it said `Refuse`.
    pub refused: u64,
    /// How often it said `Drop`.
    pub dropped: u64,
}

impl Door {
    /// A door whose refusals are counted for itself alone.
    pub fn new(policy: &Policy) -> Door {
        Door::beside(policy, &Refusals::default())
    }

    /// A door that shares the rate of refusals with all others made from `refusals`, so that the limit
    /// means the same with one shard or many.
    pub fn beside(policy: &Policy, refusals: &Refusals) -> Door {
        let mut door = Door {
            v4: PrefixSet::new(),
            v6: PrefixSet::new(),
            meter: Meter::new(policy.refused_per_second, refusals.clone()),
            refused: 0,
            dropped: 0,
        };
        for prefix in &policy.allow {
            match canonical(*prefix) {
                IpNet::V4(prefix) => door.v4.insert(prefix),
                IpNet::V6(prefix) => door.v6.insert(prefix),
            };
        }
        door
    }

    /// Judges a client by its address. `now` must not lie before that of an earlier call by much: the
    /// rate of refusals is measured with it.
    pub fn admit(&mut self, now: Moment, client: IpAddr) -> Verdict {
        if self.allows(client) {
            return Verdict::Admitted(Admitted { made_here: () });
        }
        if self.meter.take(now) {
            self.refused += 1;
            Verdict::Refuse
        } else {
            self.dropped += 1;
            Verdict::Drop
        }
    }

    fn allows(&self, client: IpAddr) -> bool {
        match client.to_canonical() {
            IpAddr::V4(address) => self.v4.get_lpm(&host_v4(address)).is_some(),
            IpAddr::V6(address) => self.v6.get_lpm(&host_v6(address)).is_some(),
        }
    }
}

fn host_v4(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::from(address)
}

fn host_v6(address: Ipv6Addr) -> Ipv6Net {
    Ipv6Net::from(address)
}

/// A prefix within `::ffff:0:0/96` as the IPv4 prefix that it means; others without host bits.
fn canonical(prefix: IpNet) -> IpNet {
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
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn door(allow: &[&str], refused_per_second: u32) -> Door {
        let allow = allow.iter().map(|text| text.parse().expect(text)).collect();
        Door::new(&Policy { allow, refused_per_second })
    }

    fn ask(door: &mut Door, client: &str) -> Verdict {
        door.admit(Moment::ZERO, client.parse().expect(client))
    }

    fn is_admitted(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Admitted(_))
    }

    #[test]
    fn by_default_only_this_machine_is_served() {
        let mut door = Door::new(&Policy::default());
        for client in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
            assert!(is_admitted(ask(&mut door, client)), "{client}");
        }
        for client in ["128.0.0.1", "192.0.2.1", "::2", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert_eq!(ask(&mut door, client), Verdict::Refuse, "{client}");
        }
        assert_eq!((door.refused, door.dropped), (5, 0));
    }

    #[test]
    fn an_empty_list_serves_nobody_and_zero_refusals_are_silence() {
        let mut door = door(&[], 0);
        assert_eq!(ask(&mut door, "127.0.0.1"), Verdict::Drop);
        assert_eq!(ask(&mut door, "::1"), Verdict::Drop);
        assert_eq!((door.refused, door.dropped), (0, 2));
    }

    #[test]
    fn mapped_addresses_and_prefixes_mean_ipv4() {
        assert!(is_admitted(ask(&mut door(&["::ffff:10.0.0.0/104"], 1), "10.1.2.3")));
        assert!(is_admitted(ask(&mut door(&["10.0.0.0/8"], 1), "::ffff:10.1.2.3")));
        // All of IPv6 is not a way in for IPv4.
        assert!(!is_admitted(ask(&mut door(&["::/0"], 1), "::ffff:10.1.2.3")));
        assert!(!is_admitted(ask(&mut door(&["0.0.0.0/0"], 1), "::1")));
    }

    #[test]
    fn host_bits_in_a_prefix_do_not_matter() {
        assert!(is_admitted(ask(&mut door(&["10.1.2.3/8"], 1), "10.9.9.9")));
        assert!(is_admitted(ask(&mut door(&["2001:db8::5/32"], 1), "2001:db8:ffff::1")));
    }

    #[test]
    fn refusals_come_back_with_time_and_service_never_stops() {
        let mut door = door(&["10.0.0.0/8"], 10);
        let stranger = IpAddr::from([192, 0, 2, 1]);
        let start = Moment::from_nanos(5_000_000_000_000);
        let refused = (0..1000).filter(|_| door.admit(start, stranger) == Verdict::Refuse).count();
        assert_eq!(refused, 10);
        assert!(is_admitted(door.admit(start, IpAddr::from([10, 0, 0, 1]))));
        let later = start + Duration::from_millis(500);
        let refused = (0..1000).filter(|_| door.admit(later, stranger) == Verdict::Refuse).count();
        assert_eq!(refused, 5);
        assert_eq!((door.refused, door.dropped), (15, 1985));
    }

    #[test]
    fn shards_share_one_rate() {
        let policy = Policy { allow: Vec::new(), refused_per_second: 10 };
        let refusals = Refusals::default();
        let mut doors = [Door::beside(&policy, &refusals), Door::beside(&policy, &refusals)];
        let now = Moment::from_nanos(1);
        for _ in 0..50 {
            for door in &mut doors {
                door.admit(now, IpAddr::from([192, 0, 2, 1]));
            }
        }
        assert_eq!(doors[0].refused + doors[1].refused, 10);
    }

    #[test]
    fn the_ends_of_time_are_harmless() {
        let mut door = door(&[], u32::MAX);
        for now in [Moment::NEVER, Moment::ZERO, Moment::NEVER, Moment::from_nanos(1)] {
            door.admit(now, IpAddr::from([192, 0, 2, 1]));
        }
        assert_eq!(door.refused + door.dropped, 4);
    }

    /// Addresses close together, so that prefixes and clients meet.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0u32..16, 0u32..4).prop_map(|(high, low)| IpAddr::from(Ipv4Addr::from((high << 28) | low))),
            any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits))),
            (0u128..16, 0u128..4).prop_map(|(high, low)| IpAddr::from(Ipv6Addr::from((high << 124) | low))),
            any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits).to_ipv6_mapped())),
        ]
    }

    fn prefix() -> impl Strategy<Value = IpNet> {
        (address(), 0u8..=128).prop_map(|(address, length)| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            IpNet::new(address, length.min(most)).expect("a length within the address")
        })
    }

    /// Bit by bit, without a trie or a library's notion of a prefix.
    fn covers(prefix: IpNet, client: IpAddr) -> bool {
        let (mut bits, mut length, v4) = match prefix.addr() {
            IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, prefix.prefix_len(), true),
            IpAddr::V6(address) => (u128::from(address), prefix.prefix_len(), false),
        };
        let mapped = !v4 && length >= 96 && (bits >> 32) == 0xffff;
        if mapped {
            (bits, length) = (bits << 96, length - 96);
        }
        let (client_bits, client_v4) = match client {
            IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, true),
            IpAddr::V6(address) if u128::from(address) >> 32 == 0xffff => (u128::from(address) << 96, true),
            IpAddr::V6(address) => (u128::from(address), false),
        };
        let same = length == 0 || (bits ^ client_bits) >> (128 - length) == 0;
        (v4 || mapped) == client_v4 && same
    }

    proptest! {
        #[test]
        fn the_door_opens_exactly_for_covered_clients(
            allow in prop::collection::vec(prefix(), 0..12),
            clients in prop::collection::vec(address(), 1..20),
        ) {
            let mut door = Door::new(&Policy { allow: allow.clone(), refused_per_second: 1 });
            for client in clients {
                let expected = allow.iter().any(|prefix| covers(*prefix, client));
                prop_assert_eq!(is_admitted(door.admit(Moment::ZERO, client)), expected, "{} {:?}", client, allow);
            }
        }

        /// Between any two refusals there are never more than the rate allows for that time, and a burst.
        #[test]
        fn refusals_never_exceed_rate_and_burst(
            rate in 1u32..50_000,
            gaps in prop::collection::vec((0u64..400_000_000, 1usize..40), 1..40),
        ) {
            let mut door = Door::new(&Policy { allow: Vec::new(), refused_per_second: rate });
            let mut now = Moment::from_nanos(7);
            let mut refusals: Vec<Moment> = Vec::new();
            for (gap, count) in gaps {
                now = now + Duration::from_nanos(gap);
                for _ in 0..count {
                    if door.admit(now, IpAddr::from([192, 0, 2, 1])) == Verdict::Refuse {
                        refusals.push(now);
                    }
                }
            }
            prop_assert!(!refusals.is_empty());
            for (first, from) in refusals.iter().enumerate() {
                for (last, to) in refusals.iter().enumerate().skip(first) {
                    let nanos = to.since(*from).as_nanos();
                    let most = nanos * u128::from(rate) / 1_000_000_000 + u128::from(rate);
                    prop_assert!((last - first + 1) as u128 <= most, "{} in {} ns at {}/s", last - first + 1, nanos, rate);
                }
            }
        }
    }
}

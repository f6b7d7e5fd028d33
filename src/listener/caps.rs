//! How many connections are open, in all and from one prefix: one account for all shards.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admission::Mode;

/// Why a connection has no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    Total,
    /// Of a prefix that may have a part of all.
    Wide,
    Prefix,
    Client,
}

/// The account. Its table is as large as connections are allowed, no larger.
#[derive(Debug)]
pub struct Caps {
    total: usize,
    /// From the narrowest prefix to the widest.
    most: [(usize, Full); LEVELS],
    open: AtomicUsize,
    prefixes: Mutex<HashMap<Prefix, usize>>,
}

/// How many prefixes of a client are counted.
const LEVELS: usize = 4;
/// An IPv4 /20 or IPv6 /48 has one in so many of all places: whoever holds a whole network does not hold them all.
const WIDE_PART: usize = 4;
/// An IPv4 /16 or IPv6 /32, as networks with a number of their own are given, leaves one in so many places to others: an IPv6
/// /32 is 65,536 of /48.
const LEFT_PART: usize = 4;
/// So many one client and one network may have, however few places are left.
const FEWEST: usize = 8;
/// A prefix: its bits and its length.
type Prefix = (IpAddr, u8);

impl Caps {
    /// At most `total` connections, at most `per_client` from one IPv4 address or IPv6 /64, at most `per_prefix` from
    /// one IPv4 /24 or IPv6 /56, and (if that is more) at most a quarter of all from one IPv4 /20 or IPv6 /48, three quarters
    /// from one IPv4 /16 or IPv6 /32.
    pub fn new(total: usize, per_client: usize, per_prefix: usize) -> Arc<Caps> {
        let wide = per_prefix.max(total / WIDE_PART);
        let widest = per_prefix.max(total - total / LEFT_PART);
        let part = |most: usize| (most, if most > per_prefix { Full::Wide } else { Full::Prefix });
        let most = [(per_client, Full::Client), (per_prefix, Full::Prefix), part(wide), part(widest)];
        Arc::new(Caps { total, most, open: AtomicUsize::new(0), prefixes: Mutex::default() })
    }

    /// A place for a connection from `client`, taken until it is dropped, and what is full although it has one: with
    /// `Observe` nobody but all together is held to a number, and who has a place beyond his own takes none of his prefix;
    /// with `Off` nothing is counted but all of them.
    pub fn enter(self: &Arc<Caps>, client: IpAddr, mode: Mode) -> Result<(Place, Option<Full>), Full> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.total {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Total);
        }
        if mode == Mode::Off {
            return Ok((Place { caps: Arc::clone(self), within: None }, None));
        }
        let within = prefixes(client);
        let scarcity = self.scarcity();
        let mut prefixes = self.prefixes();
        let full = within.iter().zip(self.most).find_map(|(prefix, (most, full))| {
            let most = match full {
                Full::Client | Full::Prefix => most.min((most / scarcity).max(FEWEST)),
                Full::Wide | Full::Total => most,
            };
            (prefixes.get(prefix).copied().unwrap_or(0) >= most).then_some(full)
        });
        match full {
            Some(full) if mode == Mode::Enforce => {
                drop(prefixes);
                self.open.fetch_sub(1, Ordering::Relaxed);
                return Err(full);
            }
            Some(_) => {}
            None => within.iter().for_each(|prefix| *prefixes.entry(*prefix).or_insert(0) += 1),
        }
        drop(prefixes);
        let within = full.is_none().then_some(within);
        Ok((Place { caps: Arc::clone(self), within }, full))
    }

    /// How many times shorter than usual idle connections are kept: the fewer places are left, the shorter.
    pub fn haste(&self) -> u32 {
        match self.open() * 100 / self.total.max(1) {
            0..50 => 1,
            50..75 => 4,
            75..90 => 16,
            _ => 64,
        }
    }

    /// How many times fewer than usual one client and one network may have: twenty clients with all that is theirs would take all
    /// places.
    fn scarcity(&self) -> usize {
        match self.open() * 100 / self.total.max(1) {
            0..75 => 1,
            75..90 => 4,
            _ => 16,
        }
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn prefixes(&self) -> MutexGuard<'_, HashMap<Prefix, usize>> {
        // Nothing panics while holding it, and a count is whole at every moment.
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place in the account.
#[derive(Debug)]
pub struct Place {
    caps: Arc<Caps>,
    /// Where it counts, besides among all.
    within: Option<[Prefix; LEVELS]>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut prefixes = self.caps.prefixes();
        for prefix in self.within.iter().flatten() {
            if let Some(open) = prefixes.get_mut(prefix) {
                *open -= 1;
                if *open == 0 {
                    prefixes.remove(prefix);
                }
            }
        }
        drop(prefixes);
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is taken for one client, and the prefixes around it.
fn prefixes(client: IpAddr) -> [Prefix; LEVELS] {
    match client.to_canonical() {
        IpAddr::V4(v4) => [32u8, 24, 20, 16]
            .map(|length| (IpAddr::from((u32::from(v4) & u32::MAX << (32 - length)).to_be_bytes()), length)),
        IpAddr::V6(v6) => [64u8, 56, 48, 32]
            .map(|length| (IpAddr::from((u128::from(v6) & !(u128::MAX >> length)).to_be_bytes()), length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_prefix_has_its_share_and_all_together_theirs() {
        let caps = Caps::new(4, 2, 2);
        let first = caps.enter(ip("192.0.2.1"), Mode::Enforce).expect("a place");
        let _second = caps.enter(ip("192.0.2.200"), Mode::Enforce).expect("a place");
        assert_eq!(caps.enter(ip("192.0.2.7"), Mode::Enforce).map(drop), Err(Full::Prefix));
        let _third = caps.enter(ip("192.0.113.1"), Mode::Enforce).expect("a place");
        let _fourth = caps.enter(ip("2001:db8::1"), Mode::Enforce).expect("a place");
        assert_eq!(caps.enter(ip("198.51.100.1"), Mode::Enforce).map(drop), Err(Full::Total));
        drop(first);
        assert_eq!(caps.open(), 3);
        assert!(caps.enter(ip("192.0.2.7"), Mode::Enforce).is_ok());
    }

    #[test]
    fn a_few_clients_do_not_take_all_places_together() {
        let caps = Caps::new(1_000, 50, 100);
        let mut held = Vec::new();
        // Each in a network of its own.
        for host in 0..20u8 {
            held.extend((0..50).filter_map(|_| caps.enter(IpAddr::from([10, host, 1, 1]), Mode::Enforce).ok()));
        }
        assert!((750..850).contains(&held.len()), "{} held", held.len());
        assert!(caps.enter(ip("10.99.0.1"), Mode::Enforce).is_ok(), "a customer");
    }

    #[test]
    fn ipv6_clients_are_counted_by_56() {
        let caps = Caps::new(10, 1, 1);
        let _one = caps.enter(ip("2001:db8:0:1200::1"), Mode::Enforce).expect("a place");
        assert_eq!(caps.enter(ip("2001:db8:0:12ff:ffff::1"), Mode::Enforce).map(drop), Err(Full::Prefix));
        assert_eq!(
            caps.enter(ip("2001:db8:0:1200:ffff::1"), Mode::Enforce).map(drop),
            Err(Full::Client),
            "the same /64"
        );
        assert!(caps.enter(ip("2001:db8:0:1300::1"), Mode::Enforce).is_ok());
    }

    /// How many of four hundred places a network has that takes all it gets, for clients with these names; others have a place.
    fn taken(clients: impl Iterator<Item = String>, others: &str) -> usize {
        let caps = Caps::new(400, 10, 10);
        let held: Vec<_> = clients.filter_map(|client| caps.enter(ip(&client), Mode::Enforce).ok()).collect();
        assert!(caps.enter(ip(others), Mode::Enforce).is_ok());
        held.len()
    }

    #[test]
    fn whoever_holds_a_whole_network_does_not_hold_all_places() {
        let v6 = (0..400u32).map(|number| format!("2001:db8:1:{:x}::1", number << 4));
        assert_eq!(taken(v6, "2001:db8:2::1"), 100);
        let v4 = (0..400u32).map(|number| format!("10.1.{}.{}", number % 16, number / 16));
        assert_eq!(taken(v4, "10.9.0.1"), 100);
    }

    #[test]
    fn whoever_has_a_network_of_networks_leaves_places_to_others() {
        let v6 = (0..4_000u32).map(|number| format!("2001:db8:{number:x}::1"));
        assert_eq!(taken(v6, "2001:db9::1"), 300);
        let v4 = (0..4_000u32).map(|number| format!("10.1.{}.{}", number % 256, number / 256));
        assert_eq!(taken(v4, "10.9.0.1"), 300);
    }

    #[test]
    fn nothing_stays_behind() {
        let caps = Caps::new(10, 1, 1);
        drop((caps.enter(ip("192.0.2.1"), Mode::Enforce), caps.enter(ip("192.0.2.2"), Mode::Enforce)));
        assert_eq!((caps.open(), caps.prefixes().len()), (0, 0));
        let none = Caps::new(10, 10, 0);
        assert!(none.enter(ip("192.0.2.1"), Mode::Enforce).is_err());
        assert_eq!((none.open(), none.prefixes().len()), (0, 0));
    }

    #[test]
    fn what_is_observed_is_what_would_have_been_refused() {
        let run = |mode: Mode| {
            let caps = Caps::new(100, 2, 3);
            let mut held = std::collections::VecDeque::new();
            let mut over = Vec::new();
            // Each of three neighbours opens connections in turn; what has been open for long is closed.
            for number in 0..60u8 {
                let client = IpAddr::from([192, 0, 2, number % 3]);
                let (place, full) = match caps.enter(client, mode) {
                    Ok((place, full)) => (Some(place), full),
                    Err(full) => (None, Some(full)),
                };
                over.extend(full.map(|full| (number, full)));
                held.push_back(place);
                if held.len() > 5 {
                    held.pop_front();
                }
            }
            (over, caps.open())
        };
        let (refused, _) = run(Mode::Enforce);
        assert!(refused.len() > 10, "{refused:?}");
        assert_eq!(run(Mode::Observe), (refused, 5));
        assert_eq!(run(Mode::Off), (Vec::new(), 5));
        let none = Caps::new(0, 1, 1);
        assert_eq!(none.enter(ip("192.0.2.1"), Mode::Off).map(drop), Err(Full::Total), "there are no more");
    }

    #[test]
    fn one_client_does_not_take_all_places_of_its_neighbours() {
        let caps = Caps::new(10, 2, 3);
        let _held: Vec<_> = (0..2).map(|_| caps.enter(ip("192.0.2.1"), Mode::Enforce).expect("a place")).collect();
        assert_eq!(caps.enter(ip("192.0.2.1"), Mode::Enforce).map(drop), Err(Full::Client));
        let _neighbour = caps.enter(ip("192.0.2.2"), Mode::Enforce).expect("a place");
        assert_eq!(caps.enter(ip("192.0.2.3"), Mode::Enforce).map(drop), Err(Full::Prefix));
    }

    #[test]
    fn the_fewer_places_are_left_the_greater_the_haste() {
        let caps = Caps::new(4, 4, 4);
        let mut held = Vec::new();
        for haste in [1, 1, 4, 16, 64] {
            assert_eq!(caps.haste(), haste);
            held.extend(caps.enter(ip("192.0.2.1"), Mode::Enforce));
        }
    }
}

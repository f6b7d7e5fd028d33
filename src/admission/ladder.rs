//! The prefixes around an address: the accounts it pays from, and what a unit costs in each.

use std::net::IpAddr;

use super::policy::{Limits, PrefixLevel};
use super::pressure::Level;
use crate::meter::{Hash, Secret, Table};

/// Prefix lengths of one family at most.
pub const RUNGS: usize = 8;
/// Prices are kept in 2⁻¹⁰ ns.
const FRACTION: u32 = 10;
/// Shares that there are in place of one are counted in such parts, a power of two for what is set by default.
const SHARE: u64 = 1_024;

/// What the keys of an account of work differ by from those of the account of answers: no bit that a key has its place by is
/// the same by more than chance.
const WORK: u64 = 0x9e37_79b9_7f4a_7c15;

/// Unproven networks to which octets are counted together, in bits.
const RATION_V4: u8 = 24;
const RATION_V6: u8 = 56;

/// The network around an IPv6 address that is one customer's at least, in bits.
pub const NETWORK_V6: u8 = 64;

/// Which book an account stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Book {
    Share = 1,
    Ration = 2,
    SameAnswer = 3,
    Strangers = 4,
    Address = 5,
    Client = 6,
    Comer = 7,
}

/// One prefix length.
#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    length: u8,
    /// What the keys of its accounts have in common, and the bits of an address that tell them apart, both halves of them.
    kind: u64,
    mask: [u64; 2],
    /// What one unit costs here without pressure, for one share, in 2⁻¹⁰ ns.
    unit: u64,
}

/// The prefix lengths of both families.
#[derive(Clone, Copy, Debug)]
pub struct Ladder {
    v4: Rungs,
    v6: Rungs,
    /// How many shares there are in place of one, by level of pressure, in [`SHARE`].
    lenience: [u64; 4],
}

#[derive(Clone, Copy, Debug, Default)]
struct Rungs {
    rungs: [Rung; RUNGS],
    count: usize,
}

/// What every query of an address is looked up by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keys {
    /// Who was served before, how many are behind it, who is refused.
    pub address: Hash,
    /// Whose octets under pressure are counted together, and who has so many passes: the address, or the IPv6 network around
    /// it, all addresses of which are one customer's.
    pub source: Hash,
    /// The account of the longest prefix.
    pub narrowest: Hash,
    /// The octets sent to its network.
    pub ration: Hash,
}

impl Keys {
    /// Those of who asks, without those of where he is.
    #[inline]
    pub fn of(secret: &Secret, address: IpAddr) -> Keys {
        let key = address_key(secret, address);
        let source = if address.is_ipv4() { key } else { source_key(secret, address) };
        Keys { address: key, source, ..Keys::default() }
    }
}

/// The accounts of one address, longest prefix first.
#[derive(Clone, Copy, Debug)]
pub struct Accounts<'a> {
    /// Those beyond the last are of no meaning.
    keys: [Hash; RUNGS],
    rungs: &'a [Rung],
    lenience: &'a [u64; 4],
}

impl Ladder {
    /// As the limits say.
    pub fn new(limits: &Limits) -> Ladder {
        let rungs = |levels: &[PrefixLevel], v4: bool| {
            let mut rungs = Rungs::default();
            for (rung, level) in rungs.rungs.iter_mut().zip(levels) {
                let per_second = u64::from(limits.client_rate.max(1)) * u64::from(level.shares.max(1));
                let (kind, mask) = (kind(Book::Share, v4, level.length), mask(v4, level.length));
                *rung = Rung { length: level.length, kind, mask, unit: (1_000_000_000 << FRACTION) / per_second };
                rungs.count += 1;
            }
            rungs
        };
        Ladder {
            v4: rungs(&limits.prefixes_v4, true),
            v6: rungs(&limits.prefixes_v6, false),
            lenience: limits.levels.all(|level| level.share.of(SHARE).max(1)),
        }
    }

    /// The keys of an address, which is canonical; that of its narrowest account is of no meaning where it has none.
    #[inline]
    pub fn keys(&self, secret: &Secret, address: IpAddr) -> Keys {
        let rungs = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        Keys {
            narrowest: rungs.rungs[0].key(secret, address),
            ration: ration_key(secret, Book::Ration, address),
            ..Keys::of(secret, address)
        }
    }

    /// What so many units cost at most, in nanoseconds of the account of an address, up to a level of pressure.
    pub fn dearest(&self, units: usize, level: Level) -> u64 {
        let of = |rungs: &Rungs| {
            let accounts =
                Accounts { keys: [Hash(0); RUNGS], rungs: &rungs.rungs[..rungs.count], lenience: &self.lenience };
            let levels = [Level::Open, Level::Watch, Level::Guard, Level::Closed];
            levels
                .into_iter()
                .filter(|one| *one <= level)
                .map(|one| accounts.price(0, units, 1, one))
                .max()
                .unwrap_or(0)
        };
        of(&self.v4).max(of(&self.v6))
    }

    #[inline]
    fn rungs(&self, address: IpAddr) -> &[Rung] {
        let Rungs { rungs, count } = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        rungs.get(..*count).unwrap_or(rungs)
    }

    /// The accounts of an address, which is canonical.
    #[inline]
    pub fn accounts(&self, secret: &Secret, address: IpAddr) -> Accounts<'_> {
        let rungs = self.rungs(address);
        let mut keys = [Hash(0); RUNGS];
        for (key, rung) in keys.iter_mut().zip(rungs) {
            *key = rung.key(secret, address);
        }
        Accounts { keys, rungs, lenience: &self.lenience }
    }
}

impl Rung {
    #[inline]
    fn key(&self, secret: &Secret, address: IpAddr) -> Hash {
        keyed(secret, self.kind, self.mask, address)
    }
}

impl Accounts<'_> {
    /// Has all but the narrowest fetched.
    #[inline]
    pub fn fetch_wider(&self, table: &Table) {
        self.iter().skip(1).for_each(|(key, _)| table.fetch(key));
    }

    /// Key and prefix length of each, longest first.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (Hash, u8)> + '_ {
        self.keys.iter().zip(self.rungs).map(|(key, rung)| (*key, rung.length))
    }

    /// The accounts of the same prefixes for what they have asked upstream: it costs nobody an answer from the cache.
    #[inline]
    pub fn work(&self) -> impl Iterator<Item = (Hash, u8)> + '_ {
        self.iter().map(|(Hash(key), length)| (Hash(key ^ WORK), length))
    }

    /// What `units` cost in the `index`th, in nanoseconds of it, for somebody with `weight` shares.
    #[inline]
    pub fn price(&self, index: usize, units: usize, weight: u32, level: Level) -> u64 {
        let unit = self.rungs.get(index).map_or(0, |rung| rung.unit);
        let shares = self.lenience[level as usize] * u64::from(weight.max(1));
        let price = unit.saturating_mul(SHARE).saturating_mul(units as u64);
        // Mostly a power of two, without the division.
        let share = if shares.is_power_of_two() { price >> shares.trailing_zeros() } else { price / shares };
        (share >> FRACTION).max(1)
    }
}

/// The key of an account for the prefix of `length` around an address.
#[inline]
pub fn prefix_key(secret: &Secret, book: Book, address: IpAddr, length: u8) -> Hash {
    let v4 = address.is_ipv4();
    keyed(secret, kind(book, v4, length), mask(v4, length), address)
}

/// The key of one address.
#[inline]
pub fn address_key(secret: &Secret, address: IpAddr) -> Hash {
    prefix_key(secret, Book::Address, address, 128)
}

/// The key of the network around an address in which octets are counted together.
#[inline]
pub fn ration_key(secret: &Secret, book: Book, address: IpAddr) -> Hash {
    prefix_key(secret, book, address, if address.is_ipv4() { RATION_V4 } else { RATION_V6 })
}

/// The key of who has come himself: an IPv4 address, or the IPv6 network around one, whose customer has all addresses in it,
/// and whose devices change theirs once a day or with every question (RFC 8981).
pub fn comer_key(secret: &Secret, address: IpAddr) -> Hash {
    prefix_key(secret, Book::Comer, address, if address.is_ipv4() { 32 } else { NETWORK_V6 })
}

/// The key of who is loud: an IPv4 address, or the network around an IPv6 one.
pub fn source_key(secret: &Secret, address: IpAddr) -> Hash {
    prefix_key(secret, Book::Address, address, if address.is_ipv4() { 128 } else { NETWORK_V6 })
}

/// The key of whom a sample takes for one: a customer of IPv6 has a network of addresses.
pub fn trial_key(secret: &Secret, address: IpAddr) -> Hash {
    prefix_key(secret, Book::Strangers, address, if address.is_ipv4() { 128 } else { RATION_V6 })
}

/// Bit 48 tells the families apart.
#[inline]
fn kind(book: Book, v4: bool, length: u8) -> u64 {
    u64::from(book as u8) << 56 | u64::from(v4) << 48 | u64::from(length) << 40
}

/// The first `length` bits of an address; those of an IPv4 address stand in the last word.
#[inline]
fn mask(v4: bool, length: u8) -> [u64; 2] {
    if v4 {
        return [0, u64::from((u64::MAX << (32 - u32::from(length.min(32)))) as u32)];
    }
    let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
    [(mask >> 64) as u64, mask as u64]
}

#[inline]
fn keyed(secret: &Secret, kind: u64, mask: [u64; 2], address: IpAddr) -> Hash {
    match address {
        IpAddr::V4(v4) => secret.word(kind | u64::from(u32::from(v4)) & mask[1]),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            secret.triple(kind, (bits >> 64) as u64 & mask[0], bits as u64 & mask[1])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn neighbours_share_the_wider_accounts_only() {
        let ladder = Ladder::new(&Limits::default());
        let secret = Secret::new(&[1; 32]);
        let shared = |a: &str, b: &str| {
            let (a, b) = (ladder.accounts(&secret, ip(a)), ladder.accounts(&secret, ip(b)));
            a.iter().zip(b.iter()).filter(|(a, b)| a == b).map(|(a, _)| a.1).collect::<Vec<_>>()
        };
        assert_eq!(shared("192.0.2.1", "192.0.2.1"), [32, 24, 20, 18]);
        assert_eq!(shared("192.0.2.1", "192.0.2.2"), [24, 20, 18]);
        assert_eq!(shared("192.0.2.1", "192.0.3.1"), [20, 18]);
        assert_eq!(shared("192.0.2.1", "192.0.32.1"), [18]);
        assert!(shared("192.0.2.1", "192.0.64.1").is_empty());
        assert_eq!(shared("2001:db8::1", "2001:db8::2"), [64, 56, 48, 32]);
        assert_eq!(shared("2001:db8:0:1::1", "2001:db8:1::1"), [32]);
    }

    #[test]
    fn prices_follow_rate_shares_weight_and_pressure() {
        let ladder = Ladder::new(&Limits { client_rate: 1_000, ..Limits::default() });
        let secret = Secret::new(&[1; 32]);
        let accounts = ladder.accounts(&secret, ip("192.0.2.1"));
        assert_eq!(accounts.price(0, 1, 1, Level::Guard), 1_000_000);
        assert_eq!(accounts.price(0, 20, 1, Level::Guard), 20_000_000);
        assert_eq!(accounts.price(0, 1, 10, Level::Guard), 100_000);
        assert_eq!(accounts.price(0, 1, 1, Level::Closed), 2_000_000);
        assert_eq!(accounts.price(0, 1, 1, Level::Watch), 250_000);
        assert_eq!(accounts.price(1, 1, 1, Level::Guard), 31_250);
        assert_eq!(accounts.price(3, 1, 1, Level::Guard), 1_302);
    }

    #[test]
    fn books_and_lengths_are_kept_apart() {
        let secret = Secret::new(&[1; 32]);
        let mut keys = std::collections::HashSet::new();
        for book in [Book::Share, Book::Ration, Book::SameAnswer, Book::Strangers, Book::Address, Book::Comer] {
            for (address, most) in [("0.0.0.0", 32), ("::", 128)] {
                for length in 0..=most {
                    assert!(keys.insert(prefix_key(&secret, book, ip(address), length)), "{book:?} {address}/{length}");
                }
            }
        }
    }
}

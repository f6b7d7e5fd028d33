//! The prefixes around an address: the accounts it pays from, and what a unit costs in each.

use std::net::IpAddr;

use super::policy::{Limits, PrefixLevel};
use super::pressure::Level;
use crate::meter::{Hash, Secret};

/// Prefix lengths of one family at most.
pub const RUNGS: usize = 8;
/// Prices are kept in 2⁻¹⁰ ns.
const FRACTION: u32 = 10;
/// How many shares there are in place of one, by level of pressure, in halves.
const LENIENCE: [u64; 4] = [8, 8, 2, 1];

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
}

/// One prefix length.
#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    length: u8,
    /// What one unit costs here without pressure, for one share, in 2⁻¹⁰ ns.
    unit: u64,
}

/// The prefix lengths of both families.
#[derive(Clone, Copy, Debug)]
pub struct Ladder {
    v4: Rungs,
    v6: Rungs,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rungs {
    rungs: [Rung; RUNGS],
    count: usize,
}

/// The accounts of one address, longest prefix first.
#[derive(Clone, Copy, Debug)]
pub struct Accounts {
    keys: [Hash; RUNGS],
    units: [u64; RUNGS],
    lengths: [u8; RUNGS],
    count: usize,
}

impl Ladder {
    /// As the limits say.
    pub fn new(limits: &Limits) -> Ladder {
        let rungs = |levels: &[PrefixLevel]| {
            let mut rungs = Rungs::default();
            for (rung, level) in rungs.rungs.iter_mut().zip(levels) {
                let per_second = u64::from(limits.client_rate.max(1)) * u64::from(level.shares.max(1));
                *rung = Rung { length: level.length, unit: (1_000_000_000 << FRACTION) / per_second };
                rungs.count += 1;
            }
            rungs
        };
        Ladder { v4: rungs(&limits.prefixes_v4), v6: rungs(&limits.prefixes_v6) }
    }

    /// The first account of an address, which is canonical; of no meaning where there is none.
    #[inline]
    pub fn narrowest(&self, secret: &Secret, address: IpAddr) -> Hash {
        let rungs = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        prefix_key(secret, Book::Share, address, rungs.rungs[0].length)
    }

    /// The accounts of an address, which is canonical.
    #[inline]
    pub fn accounts(&self, secret: &Secret, address: IpAddr) -> Accounts {
        let rungs = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let mut accounts =
            Accounts { keys: [Hash(0); RUNGS], units: [0; RUNGS], lengths: [0; RUNGS], count: rungs.count.min(RUNGS) };
        for (index, rung) in rungs.rungs.iter().enumerate().take(accounts.count) {
            accounts.keys[index] = prefix_key(secret, Book::Share, address, rung.length);
            accounts.units[index] = rung.unit;
            accounts.lengths[index] = rung.length;
        }
        accounts
    }
}

impl Accounts {
    /// Key and prefix length of each, longest first.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (Hash, u8)> + '_ {
        self.keys.iter().copied().zip(self.lengths).take(self.count)
    }

    /// What `units` cost in the `index`th, in nanoseconds of it, for somebody with `weight` shares.
    #[inline]
    pub fn price(&self, index: usize, units: usize, weight: u32, level: Level) -> u64 {
        let unit = self.units.get(index).copied().unwrap_or(0);
        let shares = LENIENCE[level as usize] * u64::from(weight.max(1));
        ((unit.saturating_mul(2).saturating_mul(units as u64) / shares) >> FRACTION).max(1)
    }
}

/// The key of an account for the prefix of `length` around an address.
#[inline]
pub fn prefix_key(secret: &Secret, book: Book, address: IpAddr, length: u8) -> Hash {
    let kind = u64::from(book as u8) << 56 | u64::from(length) << 40;
    match address {
        // Bit 48 tells the families apart.
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            secret.word(kind | 1 << 48 | u64::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            let prefix = u128::from(v6) & mask;
            secret.triple(kind, (prefix >> 64) as u64, prefix as u64)
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
        let accounts = ladder.accounts(&Secret::new(&[1; 32]), ip("192.0.2.1"));
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
        for book in [Book::Share, Book::Ration, Book::SameAnswer, Book::Strangers, Book::Address] {
            for (address, most) in [("0.0.0.0", 32), ("::", 128)] {
                for length in 0..=most {
                    assert!(keys.insert(prefix_key(&secret, book, ip(address), length)), "{book:?} {address}/{length}");
                }
            }
        }
    }
}

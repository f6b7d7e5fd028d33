//! Who may fill the caches: where one is nearly full, what is new of one registrable domain, and what is new of all large
//! sets together, has its share and no more. moka keeps what is asked for often, but remembers how often for no longer
//! than ten times as many questions as there are entries; large sets make those few.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache as Moka;
use psl::{List, Psl};
use smallvec::SmallVec;

use super::AsIs;
use crate::clock::Moment;
use crate::meter::{Secret, Table};
use crate::wire::Name;

/// A share is full again after this long.
const WITHIN: Duration = Duration::from_secs(15 * 60);
/// One registrable domain's share of a cache is one part in so many: few have as much even at an ISP.
const DOMAIN: u64 = 16;
/// The share of all large sets, and from how many octets on they are large: hardly any answer has as many.
const LARGE: u64 = 4;
const LARGE_OCTETS: usize = 4_096;
/// Shares hold once less than one part in so many of a cache is free.
const ROOM: u64 = 8;
/// Domains that have an account, 8 octets each.
const ACCOUNTS: usize = 1 << 14;

/// Accounts of what was put into the caches.
pub(super) struct Shares {
    accounts: Table,
    secret: Secret,
    turned_away: AtomicU64,
}

/// Something that is about to be kept.
pub(super) struct New<'a> {
    /// The number of its cache.
    pub kind: u8,
    pub owner: &'a Name,
    pub weight: usize,
}

impl Shares {
    /// With nothing in the caches.
    pub fn new(seed: &[u8; 32]) -> Shares {
        Shares { accounts: Table::new(ACCOUNTS), secret: Secret::new(seed), turned_away: AtomicU64::new(0) }
    }

    /// Charges what is new to its shares. `false`: it is not kept, for there is little room and a share is used up.
    pub fn may_keep<K, V: Send + Sync + 'static>(
        &self,
        store: &Moka<K, V, std::hash::BuildHasherDefault<AsIs>>,
        capacity: u64,
        new: &New<'_>,
        now: Moment,
    ) -> bool {
        self.accounts.sweep(now);
        let domain = self.secret.octets(u64::from(new.kind), domain(new.owner.wire()));
        let mut within = self.charge(domain, new.weight, capacity / DOMAIN, now);
        if new.weight >= LARGE_OCTETS {
            within &= self.charge(self.secret.word(u64::from(new.kind)), new.weight, capacity / LARGE, now);
        }
        let kept = within || store.weighted_size() < capacity - capacity / ROOM;
        self.turned_away.fetch_add(u64::from(!kept), Ordering::Relaxed);
        kept
    }

    /// `false`: there was too little left.
    fn charge(&self, key: crate::meter::Hash, weight: usize, share: u64, now: Moment) -> bool {
        let price = WITHIN.mul_f64(weight as f64 / share.max(1) as f64).min(WITHIN);
        let spent = Duration::from_nanos(self.accounts.read(key, now).0);
        self.accounts.charge(key, now, price, WITHIN);
        spent + price <= WITHIN
    }

    /// What was not kept since others needed the room.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }
}

/// The registrable domain of a name in lower-case wire form; the name itself where there is none.
fn domain(name: &[u8]) -> &[u8] {
    let mut labels: SmallVec<[u8; 32]> = SmallVec::new();
    let mut at = 0;
    while let Some(length) = name.get(at).copied().map(usize::from).filter(|length| *length > 0) {
        // A name has at most 255 octets.
        labels.push(at as u8);
        at += length + 1;
    }
    let text = |start: &u8| {
        let start = usize::from(*start);
        let length = name.get(start).copied().map_or(0, usize::from);
        name.get(start + 1..start + 1 + length).unwrap_or(&[])
    };
    let public = List.find(labels.iter().rev().map(text)).len;
    let mut length = 0;
    for start in labels.iter().rev() {
        length += text(start).len() + 1;
        if length > public + 1 {
            return name.get(usize::from(*start)..).unwrap_or(name);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_public_suffix_is_a_domain() {
        let of =
            |text: &str| Name::from_wire(domain(Name::parse(text).expect(text).wire())).expect("a name").to_string();
        assert_eq!(of("a.b.example.com"), "example.com.");
        assert_eq!(of("www.example.co.uk"), "example.co.uk.");
        assert_eq!(of("example.com"), "example.com.");
        assert_eq!(of("com"), "com.");
        assert_eq!(of("."), ".");
    }
}

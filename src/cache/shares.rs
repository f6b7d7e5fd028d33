//! Who may fill the caches: where one is nearly full, what is new of one registrable domain, and what is new of all large
//! sets together, has its share and no more, unless it is asked for again and again; and what is asked for once does not
//! enter where too much is new ([`Turnover`]). moka keeps what is asked for often, but remembers how often for no longer than
//! ten times as many questions as there are entries; large sets make those few.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache as Moka;

use super::AsIs;
use super::turnover::Turnover;
use crate::admission::{Mode, registrable_domain};
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
    turnover: Turnover,
    /// A [`Mode`].
    mode: AtomicU8,
    turned_away: AtomicU64,
    seldom: AtomicU64,
    observed: AtomicU64,
}

/// Something that is about to be kept.
pub(super) struct New<'a> {
    /// The number of its cache.
    pub kind: u8,
    pub key: u128,
    pub owner: &'a Name,
    pub weight: usize,
}

impl Shares {
    /// With nothing in caches of so many octets together.
    pub fn new(memory: u64, seed: &[u8; 32]) -> Shares {
        Shares {
            accounts: Table::new(ACCOUNTS),
            secret: Secret::new(seed),
            turnover: Turnover::new(memory),
            mode: AtomicU8::new(Mode::Enforce as u8),
            turned_away: AtomicU64::new(0),
            seldom: AtomicU64::new(0),
            observed: AtomicU64::new(0),
        }
    }

    /// Whether they hold from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// Charges what is new to its shares if it is kept. `false`: it is not, for there is little room, and a share is used up or
    /// it has not been asked for often enough.
    pub fn may_keep<K, V: Send + Sync + 'static>(
        &self,
        store: &Moka<K, V, std::hash::BuildHasherDefault<AsIs>>,
        capacity: u64,
        new: &New<'_>,
        now: Moment,
    ) -> bool {
        let mode = self.mode.load(Ordering::Relaxed);
        if mode == Mode::Off as u8 {
            return true;
        }
        self.accounts.sweep(now);
        let domain = self.secret.octets(u64::from(new.kind), registrable_domain(new.owner.wire()));
        let large = (new.weight >= LARGE_OCTETS).then(|| (self.secret.word(u64::from(new.kind)), capacity / LARGE));
        let prices = [Some((domain, capacity / DOMAIN)), large].map(|account| {
            let (key, share) = account?;
            Some((key, WITHIN.mul_f64(new.weight as f64 / share.max(1) as f64).min(WITHIN)))
        });
        let spent = |key| Duration::from_nanos(self.accounts.read(key, now).0);
        let within = prices.iter().flatten().all(|(key, price)| spent(*key) + *price <= WITHIN);
        let room = store.weighted_size() < capacity - capacity / ROOM;
        let why = match room || self.turnover.may_enter(new, capacity, within, now) {
            true => None,
            false if within => Some(&self.seldom),
            false => Some(&self.turned_away),
        };
        let observe = mode == Mode::Observe as u8;
        if let Some(why) = why {
            if observe { &self.observed } else { why }.fetch_add(1, Ordering::Relaxed);
        }
        let kept = why.is_none() || observe;
        // What is not kept takes nothing from the share of others of its domain.
        if kept {
            for (key, price) in prices.into_iter().flatten() {
                self.accounts.charge(key, now, price, WITHIN);
            }
        }
        kept
    }

    /// What was not kept since it had not been asked for often enough, and too much was new.
    pub fn seldom(&self) -> u64 {
        self.seldom.load(Ordering::Relaxed)
    }

    /// What was not kept since its share was used up.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// What would not have been.
    pub fn observed(&self) -> u64 {
        self.observed.load(Ordering::Relaxed)
    }
}

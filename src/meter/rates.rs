//! Rates of any number of keys in a table that never grows: GCRA over fixed atomics.
//!
//! An account is a point in time: how far it lies ahead of now is what has been used and not yet
//! earned back. Prices are nanoseconds of that time, so that one table serves every rate: at 50 a
//! second each costs 20 ms. A [`Rate`] lets an account run ahead by its burst and no further.
//!
//! The table is set-associative: a key's hash chooses a line of eight accounts and a fingerprint of
//! 24 bits within it. A key is taken for another with a probability of at most 8/2²⁴ < 5·10⁻⁷, and that
//! matters only if the other one is busy. A key without an account takes over the one of its line
//! that is least ahead, and what is owed there (space-saving, Metwally et al. 2005): so nobody gets more than
//! rate × time + burst by having his account pushed out, and what a newcomer inherits is nothing at all
//! unless all eight accounts of a line are in use at the same moment.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::Hash;
use crate::clock::Moment;
use crate::memory::{self, Slab};
use crate::pack::{Fields, Pack, Passage};

/// Accounts in a line, which is a cache line.
const WAYS: usize = 8;
/// Time in an account is counted in units of 2⁴ ns.
const UNIT_BITS: u32 = 4;
/// Bits of an account that are its time; it comes round after 2⁴⁴ ns, 4.9 hours.
const TIME_BITS: u32 = 40;
const TIME: u64 = (1 << TIME_BITS) - 1;
/// No account is ever further ahead than this (in units; 18 minutes): what seems to be is long past.
const HORIZON: u64 = 1 << 36;
/// Every account is looked at this often, so that none comes round unnoticed.
const SWEEP: u64 = 1 << (TIME_BITS + UNIT_BITS - 3);
/// Times beyond this, 146 years, are all the same: sums must not overflow.
const LAST: u64 = u64::MAX / 4;

#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU64; WAYS]);

/// The accounts, 8 octets each.
pub struct Table {
    lines: Slab<Line>,
    /// Until when the table has been swept, in nanoseconds.
    swept: AtomicU64,
}

/// How far an account is ahead of now, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Load(pub u64);

/// What a key finds in its line.
struct Found<'a> {
    account: &'a AtomicU64,
    word: u64,
    ahead: u64,
}

impl Table {
    /// Room for at least `accounts`, in memory that is touched now and stays the same.
    pub fn new(accounts: usize) -> Table {
        let lines = Slab::new(accounts.div_ceil(WAYS).next_power_of_two(), Line::default);
        Table { lines, swept: AtomicU64::new(0) }
    }

    /// Octets of memory.
    pub fn octets(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    /// Has the line of a key fetched.
    #[inline]
    pub fn fetch(&self, key: Hash) {
        memory::soon(self.line(key));
    }

    #[inline(always)]
    fn line(&self, key: Hash) -> &Line {
        let place = (key.0 >> (64 - TIME_BITS)) as usize & (self.lines.len() - 1);
        &self.lines[place]
    }

    /// The account of `key`, or the one it may take over: one that is least ahead, and of several the first from its home.
    #[inline(always)]
    fn find(&self, key: Hash, now: u64) -> Found<'_> {
        let account = self.home(key);
        let word = account.load(Ordering::Relaxed);
        // Most are at home.
        match word >> TIME_BITS == tag(key) {
            true => Found { account, word, ahead: ahead(word, now) },
            false => self.find_abroad(key, now),
        }
    }

    #[inline(never)]
    fn find_abroad(&self, key: Hash, now: u64) -> Found<'_> {
        if let Some(found) = self.own(key, now) {
            return found;
        }
        let mut least = Found { account: self.home(key), word: 0, ahead: u64::MAX };
        for account in self.ways(key) {
            let word = account.load(Ordering::Relaxed);
            let ahead = ahead(word, now);
            if ahead < least.ahead {
                least = Found { account, word, ahead };
            }
            if ahead == 0 {
                break;
            }
        }
        least
    }

    /// The account of `key`, if it has one.
    fn own(&self, key: Hash, now: u64) -> Option<Found<'_>> {
        let tag = tag(key);
        self.line(key).0.iter().find_map(|account| {
            let word = account.load(Ordering::Relaxed);
            (word >> TIME_BITS == tag).then(|| Found { account, word, ahead: ahead(word, now) })
        })
    }

    /// Where the account of a key is looked for first.
    #[inline(always)]
    fn home(&self, key: Hash) -> &AtomicU64 {
        &self.line(key).0[key.0 as usize % WAYS]
    }

    /// The accounts of a key's line, from its home in it.
    #[inline]
    fn ways(&self, key: Hash) -> impl Iterator<Item = &AtomicU64> {
        let (line, home) = (self.line(key), key.0 as usize % WAYS);
        (home..home + WAYS).map(|way| &line.0[way % WAYS])
    }

    /// How far the account of `key` is ahead.
    #[inline]
    pub fn read(&self, key: Hash, now: Moment) -> Load {
        let now = now.as_nanos().min(LAST);
        let word = self.home(key).load(Ordering::Relaxed);
        let units = match word >> TIME_BITS == tag(key) {
            true => ahead(word, now),
            false => self.own(key, now).map_or(0, |found| found.ahead),
        };
        Load(units << UNIT_BITS)
    }

    /// Charges what has been spent already, whatever the account has left, but never further than
    /// `ceiling` ahead.
    pub fn charge(&self, key: Hash, now: Moment, price: Duration, ceiling: Duration) -> Load {
        let now = now.as_nanos().min(LAST);
        let ceiling = units(nanos(ceiling)).min(HORIZON - 1);
        loop {
            let found = self.find(key, now);
            let next = found.ahead.saturating_add(units(nanos(price))).min(ceiling).max(found.ahead);
            if found.replace(tag(key), now, next) {
                return Load(next << UNIT_BITS);
            }
        }
    }

    /// Gives back what was charged for nothing.
    pub fn refund(&self, key: Hash, now: Moment, price: Duration) {
        let now = now.as_nanos().min(LAST);
        loop {
            let found = self.find(key, now);
            if found.word >> TIME_BITS != tag(key) || found.ahead == 0 {
                return;
            }
            if found.replace(tag(key), now, found.ahead.saturating_sub(units(nanos(price)))) {
                return;
            }
        }
    }

    /// Writes all accounts that are ahead by more than `least`, a record at a time: the others are even by the time
    /// that somebody reads it.
    pub fn save(&self, now: Moment, least: Duration, put: &mut dyn FnMut(&Pack)) {
        let (now, least) = (now.as_nanos().min(LAST), units(nanos(least)));
        let mut pack = Pack::new();
        for (number, line) in (0u32..).zip(&self.lines) {
            pack.clear();
            pack.u32(self.lines.len() as u32).u32(number);
            let held = pack.octets().len();
            for (way, account) in (0u8..).zip(&line.0) {
                let word = account.load(Ordering::Relaxed);
                let ahead = ahead(word, now);
                if ahead > least {
                    pack.u8(way).u32((word >> TIME_BITS) as u32).u64(ahead);
                }
            }
            if pack.octets().len() > held {
                put(&pack);
            }
        }
    }

    /// Takes in a record, before anything is charged. `None`: it is not of a table like this.
    pub fn load(&self, mut record: Fields<'_>, now: Moment, passage: &Passage) -> Option<()> {
        (record.u32()? as usize == self.lines.len()).then_some(())?;
        let line = self.lines.get(record.u32()? as usize)?;
        let (now, elapsed) = (now.as_nanos().min(LAST), units(nanos(passage.elapsed)));
        self.swept.fetch_max(now, Ordering::Relaxed);
        while !record.is_empty() {
            let account = line.0.get(usize::from(record.u8()?))?;
            let (tag, ahead) = (u64::from(record.u32()?), record.u64()?.min(HORIZON - 1).saturating_sub(elapsed));
            let time = (now >> UNIT_BITS).wrapping_add(ahead) & TIME;
            account.store(tag << TIME_BITS | time, Ordering::Relaxed);
        }
        Some(())
    }

    /// Clears accounts that are long past before their time comes round. To be called now and then;
    /// what there is to do grows with the time since the last call.
    pub fn sweep(&self, now: Moment) {
        let now = now.as_nanos().min(LAST);
        let before = self.swept.load(Ordering::Relaxed);
        let per_line = SWEEP / self.lines.len() as u64 + 1;
        let due = now.saturating_sub(before) / per_line;
        if due == 0 {
            return;
        }
        let after = before + due * per_line;
        if self.swept.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        // After a long sleep nothing in it can be told from what is to come.
        let late = now.saturating_sub(before) > 2 * SWEEP;
        let start = (before / per_line) as usize;
        let count = usize::try_from(due).unwrap_or(usize::MAX).min(self.lines.len());
        for place in start..start + count {
            for account in &self.lines[place & (self.lines.len() - 1)].0 {
                let word = account.load(Ordering::Relaxed);
                if word != 0 && (late || ahead(word, now) == 0) {
                    let _ = account.compare_exchange(word, 0, Ordering::Relaxed, Ordering::Relaxed);
                }
            }
        }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({} accounts)", self.lines.len() * WAYS)
    }
}

impl Found<'_> {
    /// Puts an account `ahead` units ahead of `now`, unless somebody else has written it meanwhile.
    #[inline]
    fn replace(&self, tag: u64, now: u64, ahead: u64) -> bool {
        let time = (now >> UNIT_BITS).wrapping_add(ahead) & TIME;
        let word = tag << TIME_BITS | time;
        self.account.compare_exchange(self.word, word, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Never zero: that is an account nobody has.
#[inline]
fn tag(key: Hash) -> u64 {
    (key.0 & (u64::MAX >> TIME_BITS)).max(1)
}

/// How many units `word` is ahead of `now`.
#[inline]
fn ahead(word: u64, now: u64) -> u64 {
    let ahead = word.wrapping_sub(now >> UNIT_BITS) & TIME;
    if ahead < HORIZON && word != 0 { ahead } else { 0 }
}

/// Nanoseconds in units, rounded up, so that nobody gets more than his rate.
#[inline]
fn units(nanos: u64) -> u64 {
    nanos.div_ceil(1 << UNIT_BITS)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A key, and when it is asked about: the account is nothing without the time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct At {
    key: Hash,
    now: u64,
}

/// What one shard's limiter sees of the clock, and how far the account was ahead that it looked at last, which governor does
/// not tell.
#[derive(Debug, Default)]
struct Reading {
    now: Cell<u64>,
    ahead: Cell<u64>,
}

/// The table as governor sees it.
#[derive(Debug)]
struct Store {
    table: Arc<Table>,
    reading: Rc<Reading>,
}

impl StateStore for Store {
    type Key = At;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, at: &At, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        loop {
            let found = self.table.find(at.key, at.now);
            self.reading.ahead.set(found.ahead << UNIT_BITS);
            let tat = (found.ahead > 0).then(|| Nanos::from(at.now + (found.ahead << UNIT_BITS)));
            let (outcome, next) = decide(tat)?;
            let next = units(next.as_u64().saturating_sub(at.now)).min(HORIZON - 1);
            if found.replace(tag(at.key), at.now, next) {
                self.reading.ahead.set(next << UNIT_BITS);
                return Ok(outcome);
            }
        }
    }
}

/// The time that was handed in.
#[derive(Debug)]
struct Hand(Rc<Reading>);

impl Clock for Hand {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        Nanos::from(self.0.now.get())
    }
}

/// One shard's way to take from accounts: they may run ahead by a burst and no further. The arithmetic is governor's.
#[derive(Debug)]
pub struct Rate {
    limiter: RateLimiter<At, Store, Hand, NoOpMiddleware<Nanos>>,
    reading: Rc<Reading>,
}

impl Rate {
    /// Accounts in `table` may be `burst` ahead, at most 4.29 seconds of it.
    pub fn new(table: Arc<Table>, burst: Duration) -> Rate {
        let reading = Rc::new(Reading::default());
        let burst = NonZeroU32::new(u32::try_from(nanos(burst)).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        // governor's cells are nanoseconds here.
        let quota = Quota::per_second(NonZeroU32::MIN).allow_burst(burst);
        let quota = Quota::with_period(Duration::from_nanos(1)).map_or(quota, |quota| quota.allow_burst(burst));
        let store = Store { table, reading: Rc::clone(&reading) };
        // The clock stands at zero here, the same for all shards: the accounts count from there.
        let limiter = RateLimiter::new(quota, store, Hand(Rc::clone(&reading)));
        Rate { limiter, reading }
    }

    /// Takes `price` nanoseconds out of the account of `key`: `Ok` with how far it is ahead then, or
    /// `Err` with how far it is ahead already, and nothing taken.
    #[inline]
    pub fn take(&self, key: Hash, now: Moment, price: u64) -> Result<Load, Load> {
        // Accounts know no less than a unit: nobody gains more than 16 ns by it, once.
        let now = now.as_nanos().min(LAST) >> UNIT_BITS << UNIT_BITS;
        self.reading.now.set(now);
        let price = NonZeroU32::new(u32::try_from(price).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        match self.limiter.check_key_n(&At { key, now }, price) {
            Ok(Ok(())) => Ok(Load(self.reading.ahead.get())),
            Ok(Err(_)) => Err(Load(self.reading.ahead.get())),
            // Dearer than a whole burst: never.
            Err(_) => Err(Load(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Now, UnixTime};

    const MS: u64 = 1_000_000;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn an_account_has_its_burst_and_then_its_rate() {
        let rate = Rate::new(Arc::new(Table::new(1024)), Duration::from_secs(1));
        let start = at(77_000_000_003);
        assert_eq!((0..1000).filter(|_| rate.take(Hash(5), start, 10 * MS).is_ok()).count(), 100);
        assert!(rate.take(Hash(6), start, 10 * MS).is_ok(), "another key");
        let later = start + Duration::from_millis(95);
        assert_eq!((0..1000).filter(|_| rate.take(Hash(5), later, 10 * MS).is_ok()).count(), 9);
        assert_eq!(rate.take(Hash(7), start, u64::MAX), Err(Load(u64::MAX)), "dearer than the burst");
    }

    #[test]
    fn what_is_owed_is_owed_after_a_restart_less_the_time_it_took() {
        let (before, after) = (Table::new(1024), Table::new(1024));
        let (start, then) = (at(77_000_000_003), at(5_000_000_000));
        for key in 0..200 {
            before.charge(Hash(key << 24 | key), start, Duration::from_secs(key), Duration::from_secs(300));
        }
        let clocks = |mono| Now { mono, age: mono, unix: UnixTime(0) };
        let passage = Passage::new(clocks(start), clocks(then), Duration::from_secs(10));
        before.save(start, Duration::from_secs(2), &mut |pack| {
            after.load(Fields::of(pack.octets()), then, &passage).expect("the same size");
        });
        after.sweep(then + Duration::from_millis(1));
        for key in 0..200 {
            let owed = after.read(Hash(key << 24 | key), then).0;
            assert!(owed.abs_diff(key.saturating_sub(10) * 1_000_000_000) < 64, "{key}: {owed}");
        }
        let other = Table::new(2048);
        before.save(start, Duration::ZERO, &mut |pack| {
            assert_eq!(other.load(Fields::of(pack.octets()), then, &passage), None);
        });
    }

    #[test]
    fn what_was_spent_is_charged_up_to_the_ceiling_and_earned_back() {
        let table = Arc::new(Table::new(8));
        let rate = Rate::new(Arc::clone(&table), Duration::from_secs(1));
        let start = at(1);
        let owed = table.charge(Hash(5), start, Duration::from_secs(60), Duration::from_secs(3));
        assert!(owed.0.abs_diff(3_000_000_000) < 64, "{owed:?}");
        assert!(rate.take(Hash(5), start, 1).is_err());
        assert!(rate.take(Hash(5), start + Duration::from_millis(1990), MS).is_err());
        assert!(rate.take(Hash(5), start + Duration::from_millis(2010), MS).is_ok());
        assert_eq!(table.read(Hash(5), start + Duration::from_secs(9)), Load(0));
    }

    #[test]
    fn a_full_line_gives_up_what_is_least_ahead() {
        let table = Arc::new(Table::new(8));
        let rate = Rate::new(Arc::clone(&table), Duration::from_secs(4));
        let now = at(1_000_000_000_000);
        for key in 1..=8u64 {
            rate.take(Hash(key), now, key * 100 * MS).expect("room");
        }
        rate.take(Hash(9), now, MS).expect("room");
        for key in 2..=8u64 {
            assert!(table.read(Hash(key), now).0 >= key * 100_000_000, "{key} is still there");
        }
        assert!(table.read(Hash(9), now).0 >= 101_000_000, "it owes what the first one owed");
    }

    #[test]
    fn time_that_comes_round_is_nobodys_debt() {
        let table = Arc::new(Table::new(64));
        let rate = Rate::new(Arc::clone(&table), Duration::from_secs(4));
        let hour = 3_600_000_000_000u64;
        for start in [0, 20 * hour, 100 * hour, 500_000 * hour] {
            let mut now = at(start + 5);
            table.sweep(now);
            rate.take(Hash(start ^ 3), now, 4_000_000_000).expect("room");
            for _ in 0..600 {
                now = now + Duration::from_secs(60);
                table.sweep(now);
                assert_eq!(table.read(Hash(start ^ 3), now), Load(0), "after {} s", now.as_nanos() / 1_000_000_000);
            }
        }
        // Asleep for hours, without a sweep.
        let now = at(600_000 * hour);
        table.sweep(now);
        rate.take(Hash(1), now, 4_000_000_000).expect("room");
        let late = now + Duration::from_nanos((1 << 44) - 1_000_000_000);
        table.sweep(late);
        assert_eq!(table.read(Hash(1), late), Load(0));
    }

    #[test]
    fn the_end_of_time_is_harmless() {
        let table = Arc::new(Table::new(8));
        let rate = Rate::new(Arc::clone(&table), Duration::from_secs(1));
        for now in [Moment::NEVER, Moment::ZERO, Moment::NEVER, at(u64::MAX / 4 + 3)] {
            table.sweep(now);
            let _ = rate.take(Hash(1), now, MS);
            let _ = table.charge(Hash(1), now, Duration::MAX, Duration::MAX);
        }
    }

    #[test]
    fn strangers_neither_grow_the_table_nor_charge_each_other() {
        // A million senders invented, each asking once, in one second: 2²⁰ accounts.
        let secret = crate::meter::Secret::new(&[7; 32]);
        let table = Arc::new(Table::new(1 << 16));
        let octets = table.octets();
        let rate = Rate::new(Arc::clone(&table), Duration::from_secs(2));
        let mut refused = 0u32;
        for sender in 0..1u64 << 20 {
            refused += u32::from(rate.take(secret.word(sender), at(1_000_000_000 + sender * 950), MS).is_err());
        }
        assert_eq!(refused, 0);
        assert_eq!(table.octets(), octets);
    }

    #[test]
    fn threads_together_get_no_more_than_one() {
        let table = Arc::new(Table::new(1 << 10));
        let granted: usize = std::thread::scope(|scope| {
            let taking = |_| {
                let table = Arc::clone(&table);
                scope.spawn(move || {
                    let rate = Rate::new(table, Duration::from_secs(1));
                    (0..2000).filter(|_| rate.take(Hash(42), at(9_000_000_000), MS).is_ok()).count()
                })
            };
            let threads: Vec<_> = (0..4).map(taking).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert!((995..=1000).contains(&granted), "{granted}");
    }

    proptest! {
        /// Whatever is asked when and by whom, between any two grants of a key there is no more than
        /// the rate allows for that time, and a burst; pushing it out of its account does not help.
        #[test]
        fn no_account_ever_grants_more_than_rate_and_burst(
            price in 1_000u64..500_000_000,
            burst_millis in 500u64..4_000,
            steps in prop::collection::vec((0u64..300_000_000, 0u64..24, 1usize..8), 1..120),
        ) {
            let burst = Duration::from_millis(burst_millis);
            let rate = Rate::new(Arc::new(Table::new(8)), burst);
            let mut now = 123_456_789;
            let mut granted: Vec<(u64, u64)> = Vec::new();
            for (gap, key, count) in steps {
                now += gap;
                for _ in 0..count {
                    if rate.take(Hash(key + 1), at(now), price).is_ok() {
                        granted.push((key, now));
                    }
                }
            }
            for (first, &(key, from)) in granted.iter().enumerate() {
                let mut taken = 0u64;
                for &(_, to) in granted[first..].iter().filter(|grant| grant.0 == key) {
                    taken += price;
                    let most = (to - from) + u64::try_from(burst.as_nanos()).expect("small") + (1 << UNIT_BITS);
                    prop_assert!(taken <= most, "key {key}: {taken} ns in {} ns", to - from);
                }
            }
        }
    }
}

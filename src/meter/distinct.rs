//! How many different things a key showed lately: HyperLogLog in one cache line a key.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Hash;
use crate::clock::Moment;
use crate::memory::Slab;
use crate::pack::{Fields, Pack, Passage};

/// Entries among which a key has its place.
const WAYS: usize = 4;
/// Words of registers, eight in each.
const WORDS: usize = 6;
const REGISTERS: usize = WORDS * 8;
/// The constant of Flajolet et al. (2007) for this many registers.
const ALPHA: f64 = 0.705_4;

#[derive(Default)]
#[repr(align(64))]
struct Entry {
    /// The key's tag (32 bits) and the number of the span (32 bits).
    head: AtomicU64,
    /// The estimate of the span before (32 bits), and of this one (32 bits).
    counts: AtomicU64,
    registers: [AtomicU64; WORDS],
}

/// A count lower than this is not worth keeping over a restart: it is made again in a moment.
const WORTH_KEEPING: u32 = 8;
/// What was counted is taken in again up to so many spans later: who is behind an address seldom changes in an hour or two, and
/// floods are as long, but addresses are given to others in the end.
const KEPT_FOR: u32 = 120;
const KEPT_SPANS: i32 = KEPT_FOR as i32;

/// Estimates of distinct counts for a fixed number of keys, within 15 % (one standard deviation). A key that is noted
/// takes the place of the one of four that has shown least lately, and of several the one that has been silent longest.
pub struct Distinct {
    entries: Slab<Entry>,
    span: Duration,
}

impl Distinct {
    /// Room for at least `keys`, 64 octets each. What was noted counts for one to two spans.
    pub fn new(keys: usize, span: Duration) -> Distinct {
        let count = keys.next_power_of_two().max(WAYS);
        let entries = Slab::new(count, Entry::default);
        Distinct { entries, span: span.max(Duration::from_millis(1)) }
    }

    /// Notes that `key` showed `item`, which must be hashed as octets are: short keys' hashes are too even to be counted by.
    pub fn note(&self, key: Hash, item: Hash, now: Moment) {
        let epoch = self.epoch(now);
        let entry = self.claim(key, epoch);
        let register = (item.0 >> 32) as usize % REGISTERS;
        let rank = u64::from((item.0 as u32).leading_zeros() + 1);
        let (word, shift) = (&entry.registers[register / 8], register % 8 * 8);
        let mut before = word.load(Ordering::Relaxed);
        while before >> shift & 0xff < rank {
            let after = before & !(0xff << shift) | rank << shift;
            match word.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let counts = entry.counts.load(Ordering::Relaxed);
                    entry.counts.store(counts >> 32 << 32 | u64::from(entry.estimate()), Ordering::Relaxed);
                    return;
                }
                Err(current) => before = current,
            }
        }
    }

    /// How many different items `key` showed in this span or the one before, whichever is more.
    pub fn count(&self, key: Hash, now: Moment) -> u32 {
        let epoch = self.epoch(now);
        let tag = tag(key);
        let entry = self.line(key).iter().find(|entry| entry.head.load(Ordering::Relaxed) >> 32 == tag);
        entry.map_or(0, |entry| entry.shown(epoch))
    }

    /// The same, or where nothing was noted for some spans, what it showed last. A crowd that nobody counts any more, since it is
    /// not to be counted under pressure, is there all the same.
    pub fn count_lately(&self, key: Hash, now: Moment) -> u32 {
        let epoch = self.epoch(now);
        let tag = tag(key);
        let entry = self.line(key).iter().find(|entry| entry.head.load(Ordering::Relaxed) >> 32 == tag);
        entry.map_or(0, |entry| match entry.age(epoch) {
            ..=0 => entry.shown(epoch),
            1..=KEPT_SPANS => entry.carried(),
            _ => 0,
        })
    }

    /// Writes the counts that are worth it, a record at a time.
    pub fn save(&self, now: Moment, put: &mut dyn FnMut(&Pack)) {
        let epoch = self.epoch(now);
        let mut pack = Pack::new();
        for (place, entry) in (0u32..).zip(&self.entries) {
            let count = entry.shown(epoch);
            if count < WORTH_KEEPING {
                continue;
            }
            let tag = (entry.head.load(Ordering::Relaxed) >> 32) as u32;
            pack.clear();
            pack.u32(self.entries.len() as u32).u32(place).u32(tag).u32(count);
            for word in &entry.registers {
                pack.u64(word.load(Ordering::Relaxed));
            }
            put(&pack);
        }
    }

    /// Takes in a record, before anything is noted: it counts as if it had been noted now. `None`: it is not of a table
    /// like this.
    pub fn load(&self, mut record: Fields<'_>, now: Moment, passage: &Passage) -> Option<()> {
        (record.u32()? as usize == self.entries.len()).then_some(())?;
        let entry = self.entries.get(record.u32()? as usize)?;
        let (tag, count) = (u64::from(record.u32()?), u64::from(record.u32()?));
        let mut registers = [0; WORDS];
        for register in &mut registers {
            *register = record.u64()?;
        }
        if passage.elapsed > self.span * KEPT_FOR {
            return Some(());
        }
        for (word, register) in entry.registers.iter().zip(registers) {
            word.store(register, Ordering::Relaxed);
        }
        entry.counts.store(count << 32 | count, Ordering::Relaxed);
        entry.head.store(tag << 32 | self.epoch(now), Ordering::Relaxed);
        Some(())
    }

    fn epoch(&self, now: Moment) -> u64 {
        // One more, so that an entry of zeros is of no span that has been.
        (now.as_nanos() / u64::try_from(self.span.as_nanos()).unwrap_or(u64::MAX) + 1) & 0xffff_ffff
    }

    fn line(&self, key: Hash) -> &[Entry] {
        let place = key.0 as usize & (self.entries.len() - WAYS);
        self.entries.get(place..place + WAYS).unwrap_or(&[])
    }

    /// The entry of a key in this span, made if there is none.
    fn claim(&self, key: Hash, epoch: u64) -> &Entry {
        let tag = tag(key);
        let mut weakest = (&self.entries[0], u64::MAX);
        for entry in self.line(key) {
            let head = entry.head.load(Ordering::Relaxed);
            if head >> 32 == tag {
                let known = head & 0xffff_ffff;
                // A shard that is behind may still be in the span before.
                if age(epoch, known) > 0
                    && entry
                        .head
                        .compare_exchange(head, tag << 32 | epoch, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
                {
                    let last = match age(epoch, known) {
                        // It falls by half at most in a span in which something was noted.
                        1 => entry.current().max(entry.carried() / 2),
                        ..=KEPT_SPANS => entry.carried(),
                        _ => 0,
                    };
                    entry.begin(u64::from(last));
                }
                return entry;
            }
            // What counts still, whenever it was shown: at the beginning of a span everybody's is that of the one before.
            let worth = u64::from(entry.shown(epoch)) << 32 | head & 0xffff_ffff;
            if worth < weakest.1 {
                weakest = (entry, worth);
            }
        }
        weakest.0.head.store(tag << 32 | epoch, Ordering::Relaxed);
        weakest.0.begin(0);
        weakest.0
    }
}

impl std::fmt::Debug for Distinct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Distinct({} keys)", self.entries.len())
    }
}

impl Entry {
    /// How many different items it showed in this span or the one before, whichever is more.
    fn shown(&self, epoch: u64) -> u32 {
        let known = self.head.load(Ordering::Relaxed) & 0xffff_ffff;
        let counts = self.counts.load(Ordering::Relaxed);
        let (before, current) = ((counts >> 32) as u32, counts as u32);
        match age(epoch, known) {
            ..=0 => before.max(current),
            1 => current,
            _ => 0,
        }
    }

    /// How many spans ago it was that something was noted.
    fn age(&self, epoch: u64) -> i32 {
        age(epoch, self.head.load(Ordering::Relaxed) & 0xffff_ffff)
    }

    fn current(&self) -> u32 {
        self.counts.load(Ordering::Relaxed) as u32
    }

    /// What counts after the span in which something was noted last. A crowd is there all the same in a flood, in which nothing is
    /// noted because it is not to be, or little.
    fn carried(&self) -> u32 {
        let before = (self.counts.load(Ordering::Relaxed) >> 32) as u32;
        before.max(self.current())
    }

    fn begin(&self, before: u64) {
        self.counts.store(before << 32, Ordering::Relaxed);
        for word in &self.registers {
            word.store(0, Ordering::Relaxed);
        }
    }

    fn estimate(&self) -> u32 {
        let (mut sum, mut empty) = (0.0, 0u32);
        for word in &self.registers {
            for rank in word.load(Ordering::Relaxed).to_le_bytes() {
                sum += 1.0 / (1u64 << rank.min(40)) as f64;
                empty += u32::from(rank == 0);
            }
        }
        let all = REGISTERS as f64;
        let raw = ALPHA * all * all / sum;
        // Small counts are better told from how many registers are empty.
        let counted = if raw <= 2.5 * all && empty > 0 { all * (all / f64::from(empty)).ln() } else { raw };
        counted.round() as u32
    }
}

/// How many spans ago a span was.
fn age(epoch: u64, known: u64) -> i32 {
    (epoch as u32).wrapping_sub(known as u32) as i32
}

fn tag(key: Hash) -> u64 {
    (key.0 >> 32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Now, UnixTime};
    use crate::meter::Secret;

    const SPAN: Duration = Duration::from_secs(60);

    #[test]
    fn counts_are_near_the_truth_and_repetition_does_not_count() {
        let secret = Secret::new(&[3; 32]);
        for truth in [1u64, 5, 30, 100, 500, 2_000, 20_000] {
            let distinct = Distinct::new(1024, SPAN);
            let now = Moment::from_nanos(5);
            let estimates = (0..20u64).map(|key| {
                let hash = secret.pair(truth, key);
                (0..truth)
                    .chain(0..truth)
                    .for_each(|item| distinct.note(hash, secret.octets(key, &item.to_le_bytes()), now));
                f64::from(distinct.count(hash, now)) / truth as f64
            });
            let estimates: Vec<f64> = estimates.collect();
            let mean = estimates.iter().sum::<f64>() / 20.0;
            assert!((mean - 1.0).abs() < 0.15, "{mean} of {truth}: {estimates:?}");
            assert!(estimates.iter().all(|part| (0.5..1.6).contains(part)), "of {truth}: {estimates:?}");
        }
    }

    #[test]
    fn names_that_are_numbered_are_counted_as_well() {
        let secret = Secret::new(&[3; 32]);
        for truth in [30u32, 500, 20_000] {
            let distinct = Distinct::new(64, SPAN);
            let now = Moment::from_nanos(5);
            let estimates: Vec<f64> = (0..20u64)
                .map(|key| {
                    let hash = secret.pair(u64::from(truth), key);
                    for item in 0..truth {
                        let name = format!("\x08h{item:07}\x07example\0");
                        distinct.note(hash, secret.name(hash.0, name.as_bytes()), now);
                    }
                    f64::from(distinct.count(hash, now)) / f64::from(truth)
                })
                .collect();
            assert!(estimates.iter().all(|part| (0.5..1.6).contains(part)), "of {truth}: {estimates:?}");
        }
    }

    #[test]
    fn a_count_lasts_through_the_next_span_and_not_longer() {
        let secret = Secret::new(&[3; 32]);
        let distinct = Distinct::new(64, SPAN);
        let key = secret.word(1);
        let start = Moment::from_nanos(1);
        (0..100).for_each(|item| distinct.note(key, secret.octets(0, &[item]), start));
        assert!(distinct.count(key, start + SPAN) > 60);
        distinct.note(key, secret.word(7), start + SPAN);
        assert!(distinct.count(key, start + SPAN) > 60, "the span before still counts");
        assert!(distinct.count(key, start + 2 * SPAN) <= 1);
        assert_eq!(distinct.count(key, start + 3 * SPAN), 0);
        assert_eq!(distinct.count(secret.word(2), start), 0, "nothing was noted of it");
    }

    #[test]
    fn a_crowd_that_is_not_counted_for_a_while_is_there_all_the_same() {
        let secret = Secret::new(&[3; 32]);
        let distinct = Distinct::new(64, SPAN);
        let key = secret.word(1);
        let start = Moment::from_nanos(1);
        (0..100).for_each(|item| distinct.note(key, secret.octets(0, &[item]), start));
        let counted = distinct.count(key, start);
        let lately = |spans: u32| distinct.count_lately(key, start + SPAN * spans);
        assert_eq!([0, 1, 2, 15, 120].map(lately), [counted; 5]);
        assert_eq!((lately(121), distinct.count(key, start + 2 * SPAN)), (0, 0));
    }

    #[test]
    fn a_crowd_that_is_counted_for_a_moment_between_is_there_all_the_same() {
        let secret = Secret::new(&[3; 32]);
        let distinct = Distinct::new(64, SPAN);
        let key = secret.word(1);
        let start = Moment::from_nanos(1);
        (0..100).for_each(|item| distinct.note(key, secret.octets(0, &[item]), start));
        let counted = distinct.count(key, start);
        let lately = |spans: u32| distinct.count_lately(key, start + SPAN * spans);
        distinct.note(key, secret.octets(0, &[1]), start + SPAN * 5);
        assert_eq!([5, 6, 60].map(lately), [counted; 3]);
        for (span, left) in [(60, counted), (61, counted / 2), (62, counted / 4)] {
            distinct.note(key, secret.octets(0, &[1]), start + SPAN * span);
            assert_eq!(lately(span), left, "it ebbs away where others are there");
        }
    }

    #[test]
    fn counts_are_known_after_a_restart_that_took_an_hour() {
        let secret = Secret::new(&[3; 32]);
        let at = |second: u64| {
            let moment = Moment::from_nanos(second * 1_000_000_000);
            Now { mono: moment, age: moment, unix: UnixTime(0) }
        };
        let before = Distinct::new(64, SPAN);
        let (many, few) = (secret.word(1), secret.word(2));
        let items = |key, count: u32| (0..count).map(move |item| (key, u32::to_le_bytes(item)));
        for (key, item) in items(many, 1_000).chain(items(few, 3)) {
            before.note(key, secret.octets(7, &item), at(5_000).mono);
        }
        let restarted = |elapsed: u64| {
            let after = Distinct::new(64, SPAN);
            // The machine has started anew ten seconds ago.
            let passage = Passage::new(at(5_010), at(10), Duration::from_secs(elapsed));
            before.save(at(5_010).mono, &mut |pack| {
                after.load(Fields::of(pack.octets()), at(10).mono, &passage).expect("the same size");
                for cut in 0..pack.octets().len() {
                    let cut = Fields::of(pack.octets().get(..cut).unwrap_or(&[]));
                    assert_eq!(Distinct::new(64, SPAN).load(cut, at(10).mono, &passage), None);
                }
                assert_eq!(Distinct::new(128, SPAN).load(Fields::of(pack.octets()), at(10).mono, &passage), None);
            });
            after
        };
        let after = restarted(300);
        let count = |second: u64| after.count(many, at(second).mono);
        assert_eq!((count(10), count(119)), (before.count(many, at(5_010).mono), count(10)));
        assert_eq!((count(200), after.count(few, at(10).mono)), (0, 0), "as if noted now; and the few are made again");
        // The same items again are not counted twice.
        for (key, item) in items(many, 1_000) {
            after.note(key, secret.octets(7, &item), at(11).mono);
        }
        assert_eq!(count(11), count(10));
        assert!(restarted(3_600).count(many, at(10).mono) > 600);
        assert_eq!(restarted(7_300).count(many, at(10).mono), 0);
    }

    #[test]
    fn crowds_do_not_push_out_who_shows_most() {
        let secret = Secret::new(&[3; 32]);
        let distinct = Distinct::new(64, SPAN);
        let now = Moment::from_nanos(1);
        let key = secret.word(1);
        (0..1000).for_each(|item| distinct.note(key, secret.octets(0, &u32::to_le_bytes(item)), now));
        (0..100_000u64).for_each(|other| distinct.note(secret.pair(9, other), secret.word(other), now));
        assert!(distinct.count(key, now) > 600);
    }

    #[test]
    fn crowds_do_not_push_out_who_showed_most_before() {
        let secret = Secret::new(&[3; 32]);
        let start = Moment::from_nanos(1);
        for noted_again in [false, true] {
            let distinct = Distinct::new(64, SPAN);
            let key = secret.word(1);
            (0..1000).for_each(|item| distinct.note(key, secret.octets(0, &u32::to_le_bytes(item)), start));
            // A new span has begun, and somebody with a network of addresses is first.
            let now = start + SPAN;
            if noted_again {
                distinct.note(key, secret.octets(0, &[1]), now);
            }
            (0..100_000u64).for_each(|other| distinct.note(secret.pair(9, other), secret.word(other), now));
            assert!(distinct.count(key, now) > 600, "{noted_again}: {}", distinct.count(key, now));
        }
    }

    #[test]
    fn a_shard_that_is_behind_forgets_nothing() {
        let secret = Secret::new(&[3; 32]);
        let distinct = Distinct::new(64, SPAN);
        let key = secret.word(1);
        let start = Moment::from_nanos(1);
        (0..100u32).for_each(|item| distinct.note(key, secret.octets(0, &item.to_le_bytes()), start + SPAN));
        distinct.note(key, secret.octets(0, &[1]), start);
        (0..1_000u64).for_each(|other| distinct.note(secret.pair(9, other), secret.word(other), start));
        assert!(distinct.count(key, start + SPAN) > 60 && distinct.count(key, start) > 60);
    }
}

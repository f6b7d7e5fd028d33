//! Who was here before: a filter of two generations that forgets by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Hash;
use crate::clock::Moment;
use crate::memory::{self, Slab};
use crate::pack::{Fields, Pack, Passage};

/// Words in a cache line: a key has all its bits in one.
const WORDS: usize = 8;
/// Bits set for a key.
const BITS: u32 = 4;

/// Keys that were noted within the last one to two spans. No key that was noted is missed; a key that was not is
/// taken for one that was with a probability of about (fill)⁴, which is below 2 % as long as fewer keys are
/// noted in a span than there are octets in the filter, and never rises above `FULL`⁴ = 6 %: a generation as full
/// as that takes no more, or gives way to a new one before its time.
pub struct Seen {
    generations: [Slab<AtomicU64>; 2],
    /// How many bits are set in each.
    set: [AtomicU64; 2],
    /// In nanoseconds.
    span: u64,
    /// The number of the span that is filled now.
    epoch: AtomicU64,
    /// When that one ends.
    end: AtomicU64,
    /// A full generation is followed by a new one at once.
    early: bool,
}

/// The part of a generation's bits that may be set.
pub const FULL: f64 = 0.5;
/// The part that may be set by what is noted sparingly.
const SPARING: f64 = FULL * 0.75;

impl Seen {
    /// A filter of `octets` (rounded up to a power of two), half of them for each generation.
    pub fn new(octets: usize, span: Duration) -> Seen {
        Seen::made(octets, span, false)
    }

    /// One that rather forgets what is oldest than that it takes no more: where more is noted than there is room for, a
    /// span is as short as that takes.
    pub fn rolling(octets: usize, span: Duration) -> Seen {
        Seen::made(octets, span, true)
    }

    fn made(octets: usize, span: Duration, early: bool) -> Seen {
        let words = (octets / 16).next_power_of_two().max(WORDS);
        let generation = || Slab::new(words, || AtomicU64::new(0));
        Seen {
            generations: [generation(), generation()],
            set: [AtomicU64::new(0), AtomicU64::new(0)],
            span: u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1),
            epoch: AtomicU64::new(0),
            end: AtomicU64::new(0),
            early,
        }
    }

    /// Octets of memory.
    pub fn octets(&self) -> usize {
        self.generations.iter().map(|words| words.len() * 8).sum()
    }

    /// How many keys were noted within its two spans, by the bits that are set: at least and at most so many, since one may have
    /// been noted in both. Within a few percent.
    pub fn keys(&self) -> (u64, u64) {
        let [one, other] = [0, 1].map(|generation: usize| {
            let bits = self.generations[generation].len() as f64 * 64.0;
            let clear = 1.0 - self.set[generation].load(Ordering::Relaxed) as f64 / bits;
            (bits / f64::from(BITS) * -clear.max(1.0 / bits).ln()).round() as u64
        });
        (one.max(other), one + other)
    }

    /// Has that fetched which noting a key takes.
    #[inline]
    pub fn fetch(&self, key: Hash) {
        let young = (self.epoch.load(Ordering::Relaxed) % 2) as usize;
        if let Some(line) = line(key, &self.generations[young]) {
            memory::soon(line);
        }
    }

    /// Has all that fetched which asking for a key may take.
    #[inline]
    pub fn fetch_all(&self, key: Hash) {
        for line in self.generations.iter().filter_map(|words| line(key, words)) {
            memory::soon(line);
        }
    }

    /// Notes a key.
    pub fn note(&self, key: Hash, now: Moment) {
        self.note_up_to(key, now, FULL);
    }

    /// Notes a key that anybody may have made up: a quarter of the room is left for others.
    pub fn note_sparing(&self, key: Hash, now: Moment) {
        self.note_up_to(key, now, SPARING);
    }

    fn note_up_to(&self, key: Hash, now: Moment, part: f64) {
        let mut young = self.turn(now);
        let most = (self.generations[young].len() as f64 * 64.0 * part) as u64;
        if self.set[young].load(Ordering::Relaxed) >= most {
            if !self.early {
                return;
            }
            self.replace(self.end.load(Ordering::Relaxed), now.as_nanos().saturating_add(self.span));
            young = (self.epoch.load(Ordering::Relaxed) % 2) as usize;
        }
        let mut fresh = 0;
        for (word, bit) in places(key, &self.generations[young]) {
            if word.load(Ordering::Relaxed) & bit == 0 {
                let before = word.fetch_or(bit, Ordering::Relaxed);
                fresh += u64::from(before & bit == 0);
            }
        }
        if fresh > 0 {
            self.set[young].fetch_add(fresh, Ordering::Relaxed);
        }
    }

    /// Was it noted lately? If so it is again, sparingly.
    pub fn renew(&self, key: Hash, now: Moment) -> bool {
        let young = self.turn(now);
        if self.is_in(young, key) {
            return true;
        }
        let known = self.is_in(1 - young, key);
        if known {
            self.note_sparing(key, now);
        }
        known
    }

    fn is_in(&self, generation: usize, key: Hash) -> bool {
        places(key, &self.generations[generation]).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Was it noted lately?
    pub fn has(&self, key: Hash, now: Moment) -> bool {
        let young = self.turn(now);
        self.is_in(young, key) || self.is_in(1 - young, key)
    }

    /// The generation being filled; a new one is begun when a span is over.
    #[inline]
    fn turn(&self, now: Moment) -> usize {
        let end = self.end.load(Ordering::Relaxed);
        if now.as_nanos() >= end {
            // Time does not go back, and where it seems to, nothing is forgotten.
            self.replace(end, (now.as_nanos() / self.span + 1).saturating_mul(self.span));
        }
        (self.epoch.load(Ordering::Relaxed) % 2) as usize
    }

    /// Begins a span that ends at `next` in place of the one that ends at `end`; one who does is enough.
    #[cold]
    fn replace(&self, end: u64, next: u64) {
        if self.end.compare_exchange(end, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let epoch = self.epoch.load(Ordering::Relaxed) + 1;
        // After a whole span without a look both are past.
        let missed = end > 0 && next.saturating_sub(end) > self.span;
        for generation in [(epoch % 2) as usize, (1 - epoch % 2) as usize].into_iter().take(1 + usize::from(missed)) {
            for word in &self.generations[generation] {
                word.store(0, Ordering::Relaxed);
            }
            self.set[generation].store(0, Ordering::Relaxed);
        }
        self.epoch.store(epoch, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seen({} octets)", self.generations[0].len() * 16)
    }
}

/// Lines in a record of [`Seen::save`], whose bits say which of them are there.
const LINES: usize = 64;

impl Seen {
    /// Writes what was noted, a record at a time.
    pub fn save(&self, put: &mut dyn FnMut(&Pack)) {
        let mut pack = Pack::new();
        let (epoch, end) = (self.epoch.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed));
        let words = self.generations[0].len();
        put(pack.u64(words as u64).u8(2).u64(end));
        for (old, generation) in [(epoch % 2) as usize, (1 - epoch % 2) as usize].into_iter().enumerate() {
            for (chunk, lines) in (0u32..).zip(self.generations[generation].chunks(WORDS * LINES)) {
                let filled = |line: &[AtomicU64]| line.iter().any(|word| word.load(Ordering::Relaxed) != 0);
                let bits = lines.chunks(WORDS).enumerate().filter(|(_, line)| filled(line));
                let bits = bits.fold(0u64, |bits, (at, _)| bits | 1 << at);
                if bits == 0 {
                    continue;
                }
                pack.clear();
                pack.u64(words as u64).u8(old as u8).u32(chunk).u64(bits);
                for (_, line) in lines.chunks(WORDS).enumerate().filter(|(at, _)| bits >> at & 1 == 1) {
                    for word in line {
                        pack.u64(word.load(Ordering::Relaxed));
                    }
                }
                put(&pack);
            }
        }
    }

    /// Takes in a record, before anything is noted. `None`: it is not of a filter like this.
    pub fn load(&self, mut record: Fields<'_>, passage: &Passage) -> Option<()> {
        let words = self.generations[0].len();
        (record.u64()? == words as u64).then_some(())?;
        let old = record.u8()?;
        if old == 2 {
            self.end.store(passage.mono(record.moment()?).as_nanos(), Ordering::Relaxed);
            return Some(());
        }
        let generation = (self.epoch.load(Ordering::Relaxed) + u64::from(old)) % 2;
        let (chunk, bits) = (record.u32()? as usize, record.u64()?);
        let mut set = 0;
        for at in (0..LINES).filter(|at| bits >> at & 1 == 1) {
            let line = (chunk * LINES + at) * WORDS;
            for word in self.generations[generation as usize].get(line..line + WORDS)? {
                let noted = record.u64()?;
                set += u64::from((noted & !word.fetch_or(noted, Ordering::Relaxed)).count_ones());
            }
        }
        self.set[generation as usize].fetch_add(set, Ordering::Relaxed);
        Some(())
    }
}

/// The cache line that has all bits of a key.
#[inline]
fn line(key: Hash, words: &[AtomicU64]) -> Option<&[AtomicU64; WORDS]> {
    let (lines, _) = words.as_chunks::<WORDS>();
    lines.get((key.0 >> 36) as usize & (lines.len() - 1))
}

/// Where the bits of a key are, all within one cache line.
fn places(key: Hash, words: &[AtomicU64]) -> impl Iterator<Item = (&AtomicU64, u64)> {
    let line = line(key, words);
    (0..BITS).filter_map(move |index| {
        let bit = key.0 >> (9 * index) & 0x1ff;
        Some((&line?[(bit / 64) as usize % WORDS], 1 << (bit % 64)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Now, UnixTime};
    use crate::meter::Secret;

    const SPAN: Duration = Duration::from_secs(60);

    #[test]
    fn what_was_noted_is_known_for_a_span_and_gone_after_two() {
        let seen = Seen::new(1 << 12, SPAN);
        let secret = Secret::new(&[1; 32]);
        let start = Moment::from_nanos(30 * 60_000_000_000);
        for key in 0..500 {
            seen.note(secret.word(key), start);
        }
        for key in 0..500 {
            assert!(seen.has(secret.word(key), start + SPAN), "{key}");
        }
        let later = start + 2 * SPAN;
        assert_eq!((0..500).filter(|key| seen.has(secret.word(*key), later)).count(), 0);
    }

    #[test]
    fn it_tells_roughly_how_many_keys_are_in_it() {
        let seen = Seen::rolling(1 << 16, SPAN);
        let secret = Secret::new(&[1; 32]);
        let start = Moment::from_nanos(30 * 60_000_000_000);
        assert_eq!(seen.keys(), (0, 0));
        (0..10_000).for_each(|key| seen.note(secret.word(key), start));
        (9_000..12_000).for_each(|key| seen.note(secret.word(key), start + SPAN));
        let (least, most) = seen.keys();
        assert!((9_500..10_500).contains(&least) && (12_400..13_600).contains(&most), "{least} to {most}");
    }

    #[test]
    fn what_was_noted_is_known_after_a_restart_and_forgotten_when_it_would_have_been() {
        let secret = Secret::new(&[1; 32]);
        let start = Moment::from_nanos(30 * 60_000_000_000);
        let at = |moment| Now { mono: moment, age: moment, unix: UnixTime(0) };
        // The machine has started anew a minute ago; a second has passed.
        let passage = Passage::new(at(start), at(Moment::from_nanos(60_000_000_000)), Duration::from_secs(1));
        let (before, after) = (Seen::new(1 << 16, SPAN), Seen::new(1 << 16, SPAN));
        for key in 0..500 {
            before.note(secret.word(key), start);
        }
        before.save(&mut |pack| after.load(Fields::of(pack.octets()), &passage).expect("the same size"));
        let now = Moment::from_nanos(60_000_000_000);
        for key in 0..500 {
            assert!(after.has(secret.word(key), now + SPAN - Duration::from_secs(1)), "{key}");
        }
        assert_eq!((0..500).filter(|key| after.has(secret.word(*key), now + 2 * SPAN)).count(), 0);
        let other = Seen::new(1 << 17, SPAN);
        before.save(&mut |pack| assert_eq!(other.load(Fields::of(pack.octets()), &passage), None));
    }

    #[test]
    fn strangers_are_seldom_taken_for_acquaintances() {
        let seen = Seen::new(1 << 16, SPAN);
        let secret = Secret::new(&[1; 32]);
        let now = Moment::from_nanos(1);
        for key in 0..10_000 {
            seen.note(secret.word(key), now);
        }
        let taken = (1 << 32..(1u64 << 32) + 100_000).filter(|key| seen.has(secret.word(*key), now)).count();
        assert!(taken < 2_000, "{taken} of 100000");
    }

    #[test]
    fn a_rolling_filter_makes_room_and_keeps_what_came_last() {
        let seen = Seen::rolling(1 << 12, SPAN);
        let secret = Secret::new(&[1; 32]);
        let now = Moment::from_nanos(1);
        for key in 0..100_000 {
            seen.note(secret.word(key), now);
        }
        assert!((99_500..100_000).all(|key| seen.has(secret.word(key), now)), "the last ones are there");
        let old = (0..50_000).filter(|key| seen.has(secret.word(*key), now)).count();
        assert!(old < 6_000, "{old} of the oldest");
    }

    #[test]
    fn what_anybody_may_have_made_up_leaves_room_for_the_rest() {
        let seen = Seen::new(1 << 12, SPAN);
        let secret = Secret::new(&[1; 32]);
        let now = Moment::from_nanos(1);
        (0..100_000).for_each(|key| seen.note_sparing(secret.word(key), now));
        (1 << 32..(1u64 << 32) + 500).for_each(|key| seen.note(secret.word(key), now));
        assert!((1 << 32..(1u64 << 32) + 500).all(|key| seen.has(secret.word(key), now)));
    }

    #[test]
    fn a_flood_of_names_does_not_make_everybody_an_acquaintance() {
        let seen = Seen::new(1 << 12, SPAN);
        let secret = Secret::new(&[1; 32]);
        let now = Moment::from_nanos(1);
        for key in 0..1_000_000 {
            seen.note(secret.word(key), now);
        }
        let taken = (1 << 32..(1u64 << 32) + 100_000).filter(|key| seen.has(secret.word(*key), now)).count();
        assert!(taken < 10_000, "{taken} of 100000");
    }
}

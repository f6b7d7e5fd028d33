//! Who was here before: a filter of two generations that forgets by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Hash;
use crate::clock::Moment;

/// Words in a cache line: a key has all its bits in one.
const WORDS: usize = 8;
/// Bits set for a key.
const BITS: u32 = 4;

/// Keys that were noted within the last one to two spans. No key that was noted is missed; a key that was not is
/// taken for one that was with a probability of about (fill)⁴, which is below 2 % as long as fewer keys are
/// noted in a span than there are octets in the filter, and never rises above `FULL`⁴ = 6 %: a generation as full
/// as that takes no more, or gives way to a new one before its time.
pub struct Seen {
    generations: [Box<[AtomicU64]>; 2],
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
        let generation = || {
            let words: Box<[AtomicU64]> = (0..words).map(|_| AtomicU64::new(0)).collect();
            for word in words.iter().step_by(WORDS) {
                word.store(1, Ordering::Relaxed);
                word.store(0, Ordering::Relaxed);
            }
            words
        };
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

    /// Notes a key.
    pub fn note(&self, key: Hash, now: Moment) {
        let mut young = self.turn(now);
        let most = (self.generations[young].len() as f64 * 64.0 * FULL) as u64;
        if self.set[young].load(Ordering::Relaxed) >= most {
            if !self.early {
                return;
            }
            self.replace(self.end.load(Ordering::Relaxed), now.as_nanos().saturating_add(self.span));
            young = (self.epoch.load(Ordering::Relaxed) % 2) as usize;
        }
        let words = &self.generations[young];
        let mut fresh = 0;
        for (place, bit) in places(key, words.len()) {
            if words[place].load(Ordering::Relaxed) & bit == 0 {
                let before = words[place].fetch_or(bit, Ordering::Relaxed);
                fresh += u64::from(before & bit == 0);
            }
        }
        if fresh > 0 {
            self.set[young].fetch_add(fresh, Ordering::Relaxed);
        }
    }

    /// Was it noted lately?
    pub fn has(&self, key: Hash, now: Moment) -> bool {
        self.turn(now);
        self.generations
            .iter()
            .any(|words| places(key, words.len()).all(|(place, bit)| words[place].load(Ordering::Relaxed) & bit != 0))
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

/// Where the bits of a key are, all within one cache line.
fn places(key: Hash, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let line = (key.0 >> 36) as usize & (words / WORDS - 1);
    (0..BITS).map(move |index| {
        let bit = key.0 >> (9 * index) & 0x1ff;
        (line * WORDS + (bit / 64) as usize, 1 << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
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

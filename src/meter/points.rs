//! Points that keys have earned, and lose with time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::Hash;
use crate::clock::Moment;
use crate::memory::{self, Slab};
use crate::pack::{Fields, Pack, Passage};

/// Keys in a line, which is a cache line.
const WAYS: usize = 16;
/// No key has more.
const MOST: u32 = 255;

#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU32; WAYS]);

/// Points of a fixed number of keys, four octets each: a tag of 16 bits, the number of the span (8 bits), the points (8
/// bits). They halve with every span. A key that finds no room takes the place of the one of sixteen that has least,
/// so that a crowd of newcomers pushes out newcomers. A key is taken for another with a probability of 16/2¹⁶.
pub struct Points {
    lines: Slab<Line>,
    span: u64,
}

impl Points {
    /// Room for at least `keys`, in memory that is touched now and stays the same.
    pub fn new(keys: usize, span: Duration) -> Points {
        let lines = Slab::new(keys.div_ceil(WAYS).next_power_of_two(), Line::default);
        Points { lines, span: u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1) }
    }

    /// Octets of memory.
    pub fn octets(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    /// Has that fetched which asking for a key takes.
    #[inline]
    pub fn fetch(&self, key: Hash) {
        memory::soon(self.line(key));
    }

    /// The points of a key.
    pub fn of(&self, key: Hash, now: Moment) -> u32 {
        let (line, tag, epoch) = self.find(key, now);
        let found = line.0.iter().map(|word| word.load(Ordering::Relaxed)).find(|word| word >> 16 == tag);
        found.map_or(0, |word| worth(word, epoch))
    }

    /// Gives a key one more.
    pub fn add(&self, key: Hash, now: Moment) {
        let (line, tag, epoch) = self.find(key, now);
        let mut least = (&line.0[0], u32::MAX);
        for place in &line.0 {
            let word = place.load(Ordering::Relaxed);
            let worth = worth(word, epoch);
            if word >> 16 == tag {
                place.store(tag << 16 | epoch << 8 | (worth + 1).min(MOST), Ordering::Relaxed);
                return;
            }
            if worth < least.1 {
                least = (place, worth);
            }
        }
        least.0.store(tag << 16 | epoch << 8 | 1, Ordering::Relaxed);
    }

    /// Writes all points, a record at a time.
    pub fn save(&self, now: Moment, put: &mut dyn FnMut(&Pack)) {
        let epoch = self.epoch(now);
        let mut pack = Pack::new();
        for (number, line) in (0u32..).zip(&self.lines) {
            pack.clear();
            pack.u32(self.lines.len() as u32).u32(number);
            let held = pack.octets().len();
            for (way, word) in (0u8..).zip(&line.0) {
                let word = word.load(Ordering::Relaxed);
                let worth = worth(word, epoch);
                if worth > 0 {
                    pack.u8(way).u16((word >> 16) as u16).u8(worth as u8);
                }
            }
            if pack.octets().len() > held {
                put(&pack);
            }
        }
    }

    /// Takes in a record, before any points are given. `None`: it is not of a table like this.
    pub fn load(&self, mut record: Fields<'_>, now: Moment, passage: &Passage) -> Option<()> {
        (record.u32()? as usize == self.lines.len()).then_some(())?;
        let line = self.lines.get(record.u32()? as usize)?;
        let halvings = passage.elapsed.as_nanos() / u128::from(self.span);
        while !record.is_empty() {
            let place = line.0.get(usize::from(record.u8()?))?;
            let (tag, worth) = (u32::from(record.u16()?), u32::from(record.u8()?));
            place.store(tag << 16 | self.epoch(now) << 8 | worth >> halvings.min(31), Ordering::Relaxed);
        }
        Some(())
    }

    fn epoch(&self, now: Moment) -> u32 {
        (now.as_nanos() / self.span) as u32 & 0xff
    }

    fn line(&self, key: Hash) -> &Line {
        &self.lines[(key.0 >> 24) as usize & (self.lines.len() - 1)]
    }

    fn find(&self, key: Hash, now: Moment) -> (&Line, u32, u32) {
        // 256 spans later it comes round: what is as old as that has been written over long before.
        (self.line(key), (key.0 as u32 & 0xffff).max(1), self.epoch(now))
    }
}

impl std::fmt::Debug for Points {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Points({} keys)", self.lines.len() * WAYS)
    }
}

/// What is left of the points in a word.
fn worth(word: u32, epoch: u32) -> u32 {
    (word & 0xff) >> (epoch.wrapping_sub(word >> 8) & 0xff).min(31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Secret;

    const SPAN: Duration = Duration::from_secs(60);

    #[test]
    fn points_add_up_and_halve() {
        let points = Points::new(1 << 10, SPAN);
        let (key, start) = (Secret::new(&[1; 32]).word(7), Moment::from_nanos(5));
        assert_eq!(points.of(key, start), 0);
        (0..400).for_each(|_| points.add(key, start));
        let left = [0u32, 1, 2, 8, 100].map(|spans| points.of(key, start + SPAN * spans));
        assert_eq!(left, [255, 127, 63, 0, 0]);
        points.add(key, start + SPAN);
        assert_eq!(points.of(key, start + SPAN), 128);
    }

    #[test]
    fn newcomers_push_out_newcomers() {
        let points = Points::new(1 << 10, SPAN);
        let (secret, now) = (Secret::new(&[1; 32]), Moment::from_nanos(5));
        let regulars = || (0..300).map(|key| secret.word(key));
        regulars().for_each(|key| (0..4).for_each(|_| points.add(key, now)));
        (1000..1_000_000).for_each(|key| points.add(secret.word(key), now));
        let kept = regulars().filter(|key| points.of(*key, now) >= 3).count();
        assert!(kept > 290, "{kept} of 300");
    }
}

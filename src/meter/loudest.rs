//! Who is loudest: the keys that were counted most often lately (space-saving, Metwally et al. 2005).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Hash;
use crate::clock::Moment;

/// Entries among which a key has its place.
const WAYS: usize = 8;
const WORDS: usize = 4;
/// Octets of a key's text that are kept.
pub const TEXT: usize = WORDS * 8;

#[derive(Default)]
#[repr(align(64))]
struct Entry {
    /// Zero while nobody's, or while it is being written.
    tag: AtomicU64,
    count: AtomicU64,
    /// What of the count was somebody else's.
    inherited: AtomicU64,
    text: [AtomicU64; WORDS],
}

/// One of the loudest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loud {
    /// What it was noted with, up to [`TEXT`] octets; zeros at the end are cut off.
    pub text: Vec<u8>,
    /// At least so often in the last spans: each span ago counts half.
    pub count: u64,
}

/// Counts for a fixed number of keys, of whom the loudest stay.
pub struct Loudest {
    entries: Box<[Entry]>,
    span: Duration,
    epoch: AtomicU64,
}

impl Loudest {
    /// Room for at least `keys`, 64 octets each; counts halve after each span.
    pub fn new(keys: usize, span: Duration) -> Loudest {
        let count = keys.next_power_of_two().max(WAYS);
        let entries: Box<[Entry]> = (0..count).map(|_| Entry::default()).collect();
        for entry in &entries {
            entry.tag.store(1, Ordering::Relaxed);
            entry.tag.store(0, Ordering::Relaxed);
        }
        Loudest { entries, span: span.max(Duration::from_millis(1)), epoch: AtomicU64::new(0) }
    }

    /// Counts `times` for a key, which is shown as `text`.
    pub fn note(&self, key: Hash, text: &[u8], times: u64) {
        let place = key.0 as usize & (self.entries.len() - WAYS);
        let line = self.entries.get(place..place + WAYS).unwrap_or(&[]);
        let tag = key.0.max(1);
        let mut least: Option<(&Entry, u64)> = None;
        for entry in line {
            if entry.tag.load(Ordering::Relaxed) == tag {
                entry.count.fetch_add(times, Ordering::Relaxed);
                return;
            }
            let count = entry.count.load(Ordering::Relaxed);
            if least.is_none_or(|(_, fewest)| count < fewest) {
                least = Some((entry, count));
            }
        }
        let Some((entry, inherited)) = least else { return };
        let before = entry.tag.load(Ordering::Relaxed);
        // Whoever is first may write; others have lost one count.
        if entry.tag.compare_exchange(before, 0, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        entry.inherited.store(inherited, Ordering::Relaxed);
        entry.count.store(inherited + times, Ordering::Relaxed);
        for (word, chunk) in entry.text.iter().zip(0..) {
            let mut octets = [0; 8];
            let from = text.get(chunk * 8..).unwrap_or(&[]);
            let length = from.len().min(8);
            octets[..length].copy_from_slice(&from[..length]);
            word.store(u64::from_le_bytes(octets), Ordering::Relaxed);
        }
        entry.tag.store(tag, Ordering::Release);
    }

    /// Halves all counts for every span that has passed. To be called now and then.
    pub fn age(&self, now: Moment) {
        let epoch = now.as_nanos() / u64::try_from(self.span.as_nanos()).unwrap_or(u64::MAX);
        let known = self.epoch.load(Ordering::Relaxed);
        if epoch <= known || self.epoch.compare_exchange(known, epoch, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let halvings = u32::try_from(epoch - known).unwrap_or(63).min(63);
        for entry in &self.entries {
            for count in [&entry.count, &entry.inherited] {
                count.store(count.load(Ordering::Relaxed) >> halvings, Ordering::Relaxed);
            }
        }
    }

    /// The `most` loudest, the loudest first.
    pub fn list(&self, most: usize) -> Vec<Loud> {
        let mut found: Vec<Loud> = self.entries.iter().filter_map(Entry::read).collect();
        found.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
        found.truncate(most);
        found
    }
}

impl std::fmt::Debug for Loudest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loudest({} keys)", self.entries.len())
    }
}

impl Entry {
    fn read(&self) -> Option<Loud> {
        let tag = self.tag.load(Ordering::Acquire);
        let count = self.count.load(Ordering::Relaxed).saturating_sub(self.inherited.load(Ordering::Relaxed));
        let mut text: Vec<u8> = self.text.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        if tag == 0 || count == 0 || self.tag.load(Ordering::Acquire) != tag {
            return None;
        }
        text.truncate(text.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1));
        Some(Loud { text, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Secret;

    const SPAN: Duration = Duration::from_secs(10);

    #[test]
    fn the_loudest_come_first_through_a_crowd() {
        let loudest = Loudest::new(256, SPAN);
        let secret = Secret::new(&[9; 32]);
        for turn in 0..10_000u64 {
            for loud in 0..5u64 {
                loudest.note(secret.word(loud), format!("loud {loud}").as_bytes(), 1 + loud);
            }
            loudest.note(secret.pair(1, turn), b"somebody", 1);
        }
        let list = loudest.list(5);
        let names: Vec<_> = list.iter().map(|loud| String::from_utf8_lossy(&loud.text).into_owned()).collect();
        assert_eq!(names, ["loud 4", "loud 3", "loud 2", "loud 1", "loud 0"]);
        assert!(list[0].count <= 50_000 && list[0].count > 49_000, "{list:?}");
    }

    #[test]
    fn counts_fade() {
        let loudest = Loudest::new(8, SPAN);
        let start = Moment::from_nanos(1);
        loudest.age(start);
        loudest.note(Hash(77), b"a name that is much longer than the room there is for it", 800);
        assert_eq!(loudest.list(1)[0].text.len(), TEXT);
        loudest.age(start + 3 * SPAN);
        assert_eq!(loudest.list(1)[0].count, 100);
        loudest.age(start + 300 * SPAN);
        assert!(loudest.list(1).is_empty());
    }
}

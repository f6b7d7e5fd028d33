//! How much what is kept is in use, roughly: where a snapshot has no room for all, it takes the hottest. moka knows it too, but
//! does not tell.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::memory::Slab;

/// Octets of cache for each counter, which is about one for each RRset; never more than so many counters.
const OCTETS: u64 = 512;
const MOST: u64 = 1 << 22;

/// Counters by key, which halve with every snapshot. Two keys may share one.
pub(super) struct Heat(Slab<AtomicU8>);

impl Heat {
    /// Counters for a cache of so many octets.
    pub fn new(octets: u64) -> Heat {
        let count = (octets / OCTETS).clamp(1 << 10, MOST).next_power_of_two();
        Heat(Slab::new(usize::try_from(count).unwrap_or(1 << 10), || AtomicU8::new(0)))
    }

    fn place(&self, key: u64) -> Option<&AtomicU8> {
        // Not the bits by which moka divides its table.
        self.0.get((key >> 20) as usize & (self.0.len() - 1))
    }

    /// It was in use.
    pub fn warm(&self, key: u64) {
        if let Some(place) = self.place(key) {
            let heat = place.load(Ordering::Relaxed);
            if heat < u8::MAX {
                place.store(heat + 1, Ordering::Relaxed);
            }
        }
    }

    /// How much it has been.
    pub fn of(&self, key: u64) -> u8 {
        self.place(key).map_or(0, |place| place.load(Ordering::Relaxed))
    }

    /// All have been less.
    pub fn cool(&self) {
        for place in &self.0 {
            place.store(place.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
    }
}

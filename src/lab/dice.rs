//! Chance for the lab: quick, seeded, of no worth against an adversary.

use std::sync::atomic::{AtomicU64, Ordering};

/// A sequence of numbers that a seed determines (SplitMix64). Shared by threads, each draw is given out once.
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(AtomicU64::new(seed))
    }

    pub(super) fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0.0 up to, not including, 1.0.
    pub(super) fn share(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to, not including, `end`; 0 if that is 0.
    pub(super) fn below(&self, end: usize) -> usize {
        ((self.next() as u128 * end as u128) >> 64) as usize
    }
}

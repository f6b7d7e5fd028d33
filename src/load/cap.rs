//! The bound on what a run sends in a second: one for all its threads.

use std::sync::{Mutex, PoisonError};

/// A run may be ahead of its cap by what is due in so many nanoseconds.
const BURST: u64 = 100_000_000;

/// So many packets a second, whoever sends them.
#[derive(Debug)]
pub struct Cap {
    /// Nanoseconds from one packet to the next.
    gap: u64,
    /// When the next one would be due if they were evenly spaced.
    next: Mutex<u64>,
}

impl Cap {
    /// At most `cap` packets a second.
    pub fn new(cap: u32) -> Cap {
        Cap { gap: 1_000_000_000 / u64::from(cap.max(1)), next: Mutex::new(0) }
    }

    /// Whether one more packet may leave, so many nanoseconds after the start; if so, it is counted.
    pub fn may(&self, now: u64) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = (*next).max(now);
        if begun - now > BURST.max(self.gap) - self.gap {
            return false;
        }
        *next = begun + self.gap;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_no_second_more_leaves_than_the_cap_and_a_tenth() {
        for cap in [1u32, 7, 10, 100, 5_000] {
            let bound = Cap::new(cap);
            let sent: Vec<u64> = (0..5_000_000u64).map(|tick| tick * 1_000).filter(|now| bound.may(*now)).collect();
            let most = (0..4)
                .map(|second| sent.iter().filter(|at| (second..second + 1).contains(&(**at / 1_000_000_000))).count())
                .max();
            let most = most.unwrap_or(0) as u32;
            assert!(most <= cap + cap / 10 + 1 && most >= cap, "{most} in a second of {cap}");
        }
    }
}

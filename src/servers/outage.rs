//! Whether any server answers at all: where none does, it is the way there that is broken, not they.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::Moment;

/// So many servers that answered nobody else meanwhile make an outage: fewer may just be dead together.
const SERVERS: u32 = 4;
/// Nobody has answered for this long: longer than a timeout, shorter than a household's patience.
const SILENCE: Duration = Duration::from_secs(1);
/// In an outage one probe goes out so often, to whichever server it is for: the end is noticed within a round trip,
/// and the line that comes back is not flooded.
const PROBE_EVERY: Duration = Duration::from_millis(10);
/// The time of the last answer is noted this exactly: it is written by all shards.
const GRAIN: Duration = Duration::from_millis(50);

/// What all shards know of the way to servers together.
#[derive(Debug, Default)]
pub struct Outage {
    /// Servers given up since anybody answered.
    given_up: AtomicU32,
    /// When anybody answered last.
    answered: AtomicU64,
    /// When somebody answered again after an outage.
    restored: AtomicU64,
    /// When the next probe may go out.
    probe_at: AtomicU64,
}

impl Outage {
    /// A server has answered.
    pub fn answered(&self, now: Moment) {
        if self.given_up.load(Relaxed) > 0 {
            if self.is_on(now) {
                self.restored.store(now.as_nanos(), Relaxed);
            }
            self.given_up.store(0, Relaxed);
        }
        if now.since(Moment::from_nanos(self.answered.load(Relaxed))) >= GRAIN {
            self.answered.store(now.as_nanos(), Relaxed);
        }
    }

    /// A server that used to be asked is left alone from now on.
    pub fn given_up(&self) {
        self.given_up.fetch_add(1, Relaxed);
    }

    /// Does nobody answer?
    pub fn is_on(&self, now: Moment) -> bool {
        let silent = now.since(Moment::from_nanos(self.answered.load(Relaxed)));
        self.given_up.load(Relaxed) >= SERVERS && silent >= SILENCE
    }

    /// When the last outage ended.
    pub fn restored(&self) -> Moment {
        Moment::from_nanos(self.restored.load(Relaxed))
    }

    /// May a probe go out, as far as an outage is concerned?
    pub fn may_probe(&self, now: Moment) -> bool {
        now.as_nanos() >= self.probe_at.load(Relaxed) || !self.is_on(now)
    }

    /// A probe goes out.
    pub fn probing(&self, now: Moment) {
        self.probe_at.store((now + PROBE_EVERY).as_nanos(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn an_outage_is_all_of_them_and_ends_with_the_first() {
        let outage = Outage::default();
        outage.answered(at(1_000));
        (0..3).for_each(|_| outage.given_up());
        assert!(!outage.is_on(at(9_000)), "three may be dead together");
        outage.given_up();
        assert!(!outage.is_on(at(1_500)) && outage.is_on(at(2_100)));
        outage.probing(at(2_100));
        assert!(!outage.may_probe(at(2_105)) && outage.may_probe(at(2_110)));
        assert_eq!(outage.restored(), Moment::ZERO);
        outage.answered(at(3_000));
        assert!(!outage.is_on(at(9_000)) && outage.may_probe(at(3_000)));
        assert_eq!(outage.restored(), at(3_000));
        // Where others answer meanwhile, it is none.
        (0..4).for_each(|_| outage.given_up());
        outage.answered(at(3_900));
        assert_eq!(outage.restored(), at(3_000));
    }
}

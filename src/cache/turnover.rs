//! What is asked for once is not kept where so much is new that a full cache would soon hold nothing else. moka's own record of
//! how often something was asked for is as short as ten times what it holds: where what comes within a second fills the
//! cache, it cannot tell a name that is asked for every second from one that is asked for once.
//!
//! Whatever enters a full cache fills an account, which empties at the rate at which the whole cache would be new after
//! [`HOLD`]. The fuller it is, the more often something must have been asked for to enter, so that what enters never stays
//! ahead of that rate for long, whoever asks for it and however many domains it is spread over: there need be no share of
//! a client.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::shares::New;
use crate::clock::Moment;
use crate::memory::Slab;

/// A cache is new no sooner than after this long: what somebody asks for every few seconds is used again before its turn to
/// give way comes. At the default size that is 5 MB a second, which no ordinary traffic comes near.
const HOLD: Duration = Duration::from_secs(30);
/// So many times at most something must have been asked for: a name in use has been after as many seconds. Once more for
/// each part of the cache that is new, one in `STEPS`: what a flood's names that are asked for a few times each bring in before
/// that is noticed must not be half of it.
const MOST: u64 = 16;
const STEPS: u64 = 48;
/// Octets of all caches for each counter, and how many there are at least and at most. A small cache has more of them than
/// entries, for a flood brings as many names to it as to a large one.
const OCTETS: u64 = 16;
const FEWEST: u64 = 1 << 16;
const LARGEST: u64 = 1 << 20;

/// How often things were asked for that were not there, and what has entered. One octet a counter.
pub(super) struct Turnover {
    /// Each key has two of them, and the smaller one counts. As many as there are counts later each has been halved.
    counts: Slab<AtomicU8>,
    noted: AtomicU32,
    /// When the accounts of RRsets and of negative answers are empty, in nanoseconds.
    entered: [AtomicU64; 2],
}

impl Turnover {
    /// For caches of so many octets together.
    pub fn new(memory: u64) -> Turnover {
        let count = (memory / OCTETS).clamp(FEWEST, LARGEST).next_power_of_two();
        let counts = Slab::new(usize::try_from(count).unwrap_or(1 << 16), || AtomicU8::new(0));
        Turnover { counts, noted: AtomicU32::new(0), entered: Default::default() }
    }

    /// May something enter a full cache, of this number, `capacity` octets large? It is counted whether it may or not. Whose share
    /// is used up, what is not `within` it, must have been asked for as often as anything.
    pub fn may_enter(&self, new: &New<'_>, capacity: u64, within: bool, now: Moment) -> bool {
        let New { kind, key, weight, .. } = *new;
        let Some(entered) = self.entered.get(usize::from(kind)) else { return true };
        let (times, now) = (self.note(key), now.as_nanos());
        let hold = HOLD.as_nanos() as u64;
        let ahead = entered.load(Ordering::Relaxed).saturating_sub(now).min(hold);
        let least = if within { (1 + ahead / (hold / STEPS)).min(MOST) } else { MOST };
        if u64::from(times) < least {
            return false;
        }
        let price = HOLD.mul_f64((weight as f64 / capacity.max(1) as f64).min(1.0)).as_nanos() as u64;
        let next = |until: u64| Some(until.clamp(now, now + hold).saturating_add(price).min(now + hold));
        let _ = entered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        true
    }

    /// Counts that something was asked for, and says how often it has been, roughly.
    fn note(&self, key: u128) -> u8 {
        let mask = self.counts.len() - 1;
        let at = |place: usize| self.counts.get(place & mask);
        let noted = self.noted.fetch_add(1, Ordering::Relaxed);
        if let Some(oldest) = at(noted as usize) {
            oldest.store(oldest.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
        // The low half is moka's.
        let (Some(one), Some(other)) = (at((key >> 64) as usize), at((key >> 96) as usize)) else { return u8::MAX };
        let least = one.load(Ordering::Relaxed).min(other.load(Ordering::Relaxed));
        let times = least.saturating_add(1);
        for place in [one, other] {
            if place.load(Ordering::Relaxed) < times {
                place.store(times, Ordering::Relaxed);
            }
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(turnover: &Turnover, kind: u8, key: u128, weight: usize, capacity: u64, now: Moment) -> bool {
        turnover.may_enter(&New { kind, key, owner: &crate::wire::Name::root(), weight }, capacity, true, now)
    }

    /// Keys as they come from a keyed hash.
    fn key(number: u128) -> u128 {
        (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).rotate_left(64)
    }

    /// Octets of the cache, of which one thing takes a ten-thousandth.
    const CAPACITY: u64 = 4_000_000;

    /// Of a thousand things a second that are new, each asked for `times` times in a row, those that entered in the last ten
    /// of sixty seconds.
    fn entered(turnover: &Turnover, times: u128, from: u64) -> u32 {
        let mut entered = 0;
        for ms in 0..60_000u64 {
            let now = Moment::from_nanos((from + ms) * 1_000_000);
            for _ in 0..times {
                let may = enter(turnover, 0, key(u128::from(from + ms)), 400, CAPACITY, now);
                entered += u32::from(may && ms >= 50_000);
            }
        }
        entered
    }

    #[test]
    fn where_little_is_new_all_of_it_enters() {
        let turnover = Turnover::new(8 << 20);
        for second in 0..600u64 {
            let now = Moment::from_nanos(second * 1_000_000_000);
            let may =
                (0..200).all(|number| enter(&turnover, 0, key((second * 200 + number).into()), 400, CAPACITY, now));
            assert!(may, "{second}");
        }
    }

    #[test]
    fn no_more_enters_than_may_be_new_however_often_each_is_asked_for() {
        let turnover = Turnover::new(8 << 20);
        // A thirtieth of ten thousand a second.
        for (from, times) in [(0, 1), (100_000, 2), (200_000, 4), (300_000, 8)] {
            let entered = entered(&turnover, times, from);
            assert!(entered <= 3_700, "{entered} asked for {times} times");
        }
    }

    #[test]
    fn what_is_asked_for_again_and_again_enters_while_others_do_not() {
        let turnover = Turnover::new(8 << 20);
        entered(&turnover, 1, 0);
        let mut asked = 0;
        for ms in 60_000..90_000u64 {
            let now = Moment::from_nanos(ms * 1_000_000);
            enter(&turnover, 0, key(ms.into()), 400, CAPACITY, now);
            if ms % 1_000 == 0 {
                asked += 1;
                if enter(&turnover, 0, key(1 << 40), 400, CAPACITY, now) {
                    break;
                }
            }
        }
        assert!((2..=MOST).contains(&asked), "{asked}");
    }

    #[test]
    fn negative_answers_have_an_account_of_their_own_and_zone_cuts_none() {
        let turnover = Turnover::new(1 << 20);
        let now = Moment::from_nanos(1);
        let full = |kind| {
            (0..1_000).any(|number| !enter(&turnover, kind, key(number << 8 | u128::from(kind)), 4_000, 40_000, now))
        };
        assert_eq!([0, 3].map(full), [true, false]);
        assert!(enter(&turnover, 1, key(1 << 50), 4_000, 40_000, now));
    }
}

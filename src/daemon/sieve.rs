//! Which sources are thinned out before they reach a socket's queue: those that the door turns away far more often than
//! it could ever serve them. They keep their share, and enough passes to tell when they are done.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::meter::source_of;
use crate::net::filter::{MOST, Thinned};

/// Turned away so often a second, a source is thinned out.
const LOUD: f64 = 20_000.0;
/// Thinned out, it is to be turned away so often a second: it has its share, and enough more to prove itself.
const THROUGH: f64 = 8_000.0;
/// Above this it is thinned out further.
const MORE: f64 = 16_000.0;
/// Below this its share may be more than what is let through.
const QUIET: f64 = 500.0;
/// No source has less than this part of its packets let through: of one that is loud a hundred a second are.
const LEAST: f32 = 0.005;
/// What passes of a source is counted for so long before it is judged by how many it sends: twenty of the smallest part.
const LOOK: Duration = Duration::from_millis(200);
/// One window counts for so much of it at most: whoever was held up himself has not looked in the meantime.
const LONGEST: Duration = Duration::from_millis(100);
/// Of whoever sends fewer a second, as what passes shows, nothing is held back any more: his flood is over.
const DONE: f64 = 5_000.0;
/// He has to be done for so long; whoever comes back is believed half as soon each time, down to the other.
const PATIENCE: Duration = LOOK;
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);
/// For so long it is known that he was there before.
const MEMORY: Duration = Duration::from_secs(20);

/// The sources being thinned out, and those that were.
#[derive(Debug, Default)]
pub struct Sieve {
    kept: HashMap<IpAddr, Kept>,
    thinned: usize,
}

/// What is kept of a source.
#[derive(Debug)]
struct Kept {
    /// The part of its packets that is let through; none is held back: 1.
    part: f32,
    /// How many of its packets were let through, and how many of those turned away, in how long.
    seen: u32,
    turned: u32,
    looked: Duration,
    /// For how long it has been done, or free.
    quiet: Duration,
    patience: Duration,
}

impl Kept {
    fn is_free(&self) -> bool {
        self.part >= 1.0
    }

    /// A window of `span` in which it was turned away `turned` times is over; whether that changes anything.
    fn look(&mut self, turned: u32, span: Duration) -> bool {
        let before = self.part;
        let rate = f64::from(turned) / span.as_secs_f64().max(1e-3);
        if rate > MORE {
            self.part = (self.part * (THROUGH / rate) as f32).max(LEAST);
        }
        self.turned = self.turned.saturating_add(turned);
        self.looked += span.min(LONGEST);
        if self.looked < LOOK {
            return self.part < before;
        }
        let seconds = self.looked.as_secs_f64();
        let (passed, turned) = (f64::from(self.seen) / seconds, f64::from(self.turned) / seconds);
        if passed / f64::from(before) < DONE {
            self.quiet += self.looked;
            if self.quiet >= self.patience {
                (self.part, self.quiet) = (1.0, Duration::ZERO);
            }
        } else {
            self.quiet = Duration::ZERO;
            if turned < QUIET && passed * 2.0 <= THROUGH {
                // It goes on, and what is let through does not come to its share.
                self.part = (self.part * 2.0).min(1.0);
            }
        }
        (self.seen, self.turned, self.looked) = (0, 0, Duration::ZERO);
        self.part != before
    }
}

impl Sieve {
    /// A packet of a source was let through. Costs little as long as nobody is thinned out.
    pub fn saw(&mut self, address: IpAddr) {
        if self.thinned > 0
            && let Some(kept) = self.kept.get_mut(&source_of(address))
        {
            kept.seen = kept.seen.saturating_add(1);
        }
    }

    /// Takes how often each source was turned away within `span`; the filters that follow, if they changed.
    pub fn sift(&mut self, turned: &[(IpAddr, u32)], span: Duration) -> Option<Vec<Thinned>> {
        let seconds = span.as_secs_f64().max(1e-3);
        let mut times: HashMap<IpAddr, u32> = HashMap::new();
        for (source, turned) in turned {
            *times.entry(*source).or_default() += turned;
        }
        let mut changed = false;
        self.kept.retain(|source, kept| {
            if kept.is_free() {
                kept.quiet += span;
                return kept.quiet < MEMORY;
            }
            changed |= kept.look(times.remove(source).unwrap_or(0), span);
            true
        });
        self.thinned = self.kept.values().filter(|kept| !kept.is_free()).count();
        let rates = times.into_iter().map(|(source, times)| (source, f64::from(times) / seconds));
        let mut loud: Vec<(IpAddr, f64)> = rates.filter(|(_, rate)| *rate > LOUD).collect();
        loud.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (source, rate) in loud.into_iter().take(MOST.saturating_sub(self.thinned)) {
            changed = true;
            self.thinned += 1;
            let again = self.kept.get(&source).map(|kept| (kept.patience * 2).min(LONGEST_PATIENCE));
            let (looked, quiet, patience) = (Duration::ZERO, Duration::ZERO, again.unwrap_or(PATIENCE));
            let part = (THROUGH / rate) as f32;
            self.kept.insert(source, Kept { part, seen: 0, turned: 0, looked, quiet, patience });
        }
        let held = || self.kept.iter().filter(|(_, kept)| !kept.is_free());
        let thinned = || held().map(|(source, kept)| Thinned { source: *source, part: kept.part }).collect();
        changed.then(thinned)
    }

    /// Thins out nobody any more; the filters that follow, if there was anybody.
    pub fn clear(&mut self) -> Option<Vec<Thinned>> {
        let anybody = !self.is_empty();
        *self = Sieve::default();
        anybody.then(Vec::new)
    }

    /// Whether nobody is thinned out.
    pub fn is_empty(&self) -> bool {
        self.thinned == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_millis(50);

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// One window, in which so many packets of a source came, of which `share` are served.
    fn window(sieve: &mut Sieve, source: IpAddr, count: u32, share: u32) -> Option<Vec<Thinned>> {
        let part = sieve.kept.get(&source).map_or(1.0, |kept| kept.part);
        let passed = (count as f32 * part) as u32;
        (0..passed).for_each(|_| sieve.saw(source));
        sieve.sift(&[(source, passed.saturating_sub(share))], SPAN)
    }

    #[test]
    fn who_is_loud_is_thinned_out() {
        let mut sieve = Sieve::default();
        assert_eq!(sieve.sift(&[(source(1), 900)], SPAN), None, "18,000 a second are the door's business");
        // 400,000 a second: one in fifty passes.
        let thinned = sieve.sift(&[(source(1), 900), (source(2), 20_000)], SPAN).expect("a filter");
        assert_eq!(thinned, [Thinned { source: source(2), part: 0.02 }]);
        for _ in 0..20 {
            assert_eq!(window(&mut sieve, source(2), 20_000, 50), None, "still the same");
        }
        let thinned = window(&mut sieve, source(2), 80_000, 0).expect("a filter");
        assert!((thinned[0].part - 0.005).abs() < 1e-4, "four times as many: {thinned:?}");
    }

    #[test]
    fn who_stopped_comes_back_at_once_whatever_others_do() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000), (source(2), 100_000)], SPAN).expect("a filter");
        let back = (1..200).find(|_| {
            // The other goes on, and the kernel drops some two million packets a second of it.
            (0..500).for_each(|_| sieve.saw(source(2)));
            let thinned = sieve.sift(&[(source(2), 400)], SPAN);
            thinned.is_some_and(|thinned| thinned.iter().all(|thinned| thinned.source == source(2)))
        });
        assert!(back.is_some_and(|windows| SPAN * windows <= Duration::from_millis(300)), "{back:?} windows");
        assert!(!sieve.is_empty());
    }

    #[test]
    fn who_asks_like_others_again_comes_back_too() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000)], SPAN).expect("a filter");
        let back = (1..200).find(|_| window(&mut sieve, source(1), 50, 50).is_some());
        assert!(back.is_some_and(|windows| SPAN * windows <= Duration::from_millis(300)), "{back:?} windows");
        assert!(sieve.is_empty());
    }

    #[test]
    fn who_only_pauses_is_believed_less_each_time() {
        let mut sieve = Sieve::default();
        let pauses: Vec<Duration> = (0..8)
            .map(|_| {
                sieve.sift(&[(source(1), 20_000)], SPAN).expect("a filter");
                let back = (1..200).find(|_| sieve.sift(&[], SPAN).is_some());
                SPAN * back.expect("it comes back")
            })
            .collect();
        assert!(pauses[0] <= Duration::from_millis(200) && pauses[7] >= Duration::from_secs(5), "{pauses:?}");
        (0..500).for_each(|_| assert_eq!(sieve.sift(&[], SPAN), None));
        assert!(sieve.kept.is_empty(), "and then it is forgotten");
    }

    #[test]
    fn a_flood_that_the_kernel_holds_back_is_not_let_in_to_see_whether_it_goes_on() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000)], SPAN).expect("a filter");
        for _ in 0..20 * 60 {
            // 300,000 a second, of which 4,000 are its share.
            window(&mut sieve, source(1), 15_000, 200);
            let part = sieve.kept[&source(1)].part;
            assert!((0.0134..0.04).contains(&part), "{part}: it has its share, and hardly more");
        }
    }

    #[test]
    fn there_is_room_for_so_many_and_the_loudest_have_it() {
        let mut sieve = Sieve::default();
        let turned: Vec<_> = (0..200).map(|last| (source(last), 2_000 + u32::from(last))).collect();
        let thinned = sieve.sift(&turned, SPAN).expect("a filter");
        assert_eq!(thinned.len(), MOST);
        assert!(thinned.iter().all(|thinned| thinned.source >= source(200 - 32)));
    }
}

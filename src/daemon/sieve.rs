//! Which sources are thinned out before they reach a socket's queue: those that the door turns away far more often than
//! it could ever serve them. They keep their share, and the door still sees enough to tell when they are done.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::net::filter::{MOST, Thinned};

/// Turned away so often a second, a source is thinned out.
const LOUD: f64 = 20_000.0;
/// Thinned out, it is to be turned away so often a second: it has its share, and enough more to prove itself.
const THROUGH: f64 = 8_000.0;
/// Above this it is thinned out further.
const MORE: f64 = 16_000.0;
/// Below this it may be done.
const QUIET: f64 = 500.0;
/// No source has less than this part of its packets let through.
const LEAST: f32 = 0.005;
/// Quiet for so long, it has twice as many let through, and so on until it has all: a flood that only paused, or whose sender
/// was not run for a moment, does not return at its full height.
const PATIENCE: Duration = Duration::from_millis(800);
/// As long as the kernel drops so many packets a second on our word, somebody still sends them: then patience is longer.
const GOES_ON: f64 = 5_000.0;
const LONG_PATIENCE: Duration = Duration::from_secs(30);

/// The sources being thinned out.
#[derive(Debug, Default)]
pub struct Sieve(HashMap<IpAddr, Kept>);

/// What is kept of a source.
#[derive(Debug)]
struct Kept {
    /// The part of its packets that is let through.
    part: f32,
    /// For how long it has been quiet.
    quiet: Duration,
}

impl Sieve {
    /// Takes how often each source was turned away within `span`, and how many packets the kernel dropped if that was looked
    /// at; the filters that follow, if they changed.
    pub fn sift(&mut self, turned: &[(IpAddr, u32)], dropped: Option<u64>, span: Duration) -> Option<Vec<Thinned>> {
        let seconds = span.as_secs_f64().max(1e-3);
        let goes_on = dropped.is_none_or(|dropped| dropped as f64 / seconds >= GOES_ON);
        let patience = if goes_on { LONG_PATIENCE } else { PATIENCE };
        let mut changed = false;
        let mut rates: HashMap<IpAddr, f64> =
            turned.iter().map(|(source, times)| (*source, f64::from(*times) / seconds)).collect();
        self.0.retain(|source, kept| {
            // What is seen of it is what the filter let through, but for its share, of which nobody here knows how large it is.
            let rate = rates.remove(source).unwrap_or(0.0);
            if rate < QUIET {
                kept.quiet += span;
                if kept.quiet >= patience {
                    changed = true;
                    *kept = Kept { part: kept.part * 2.0, quiet: Duration::ZERO };
                }
                return kept.part < 1.0;
            }
            kept.quiet = Duration::ZERO;
            if rate > MORE {
                changed = true;
                kept.part = (kept.part * (THROUGH / rate) as f32).max(LEAST);
            }
            true
        });
        let mut loud: Vec<(IpAddr, f64)> = rates.into_iter().filter(|(_, rate)| *rate > LOUD).collect();
        loud.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (source, rate) in loud.into_iter().take(MOST.saturating_sub(self.0.len())) {
            changed = true;
            self.0.insert(source, Kept { part: (THROUGH / rate) as f32, quiet: Duration::ZERO });
        }
        let thinned = || self.0.iter().map(|(source, kept)| Thinned { source: *source, part: kept.part }).collect();
        changed.then(thinned)
    }

    /// Thins out nobody any more; the filters that follow, if there was anybody.
    pub fn clear(&mut self) -> Option<Vec<Thinned>> {
        let anybody = !std::mem::take(&mut self.0).is_empty();
        anybody.then(Vec::new)
    }

    /// Whether anybody is thinned out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_millis(50);

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn who_is_loud_is_thinned_out_until_it_is_quiet() {
        let mut sieve = Sieve::default();
        assert_eq!(sieve.sift(&[(source(1), 900)], Some(0), SPAN), None, "18,000 a second are the door's business");
        // 400,000 a second: one in fifty passes.
        let thinned = sieve.sift(&[(source(1), 900), (source(2), 20_000)], Some(0), SPAN).expect("a filter");
        assert_eq!(thinned, [Thinned { source: source(2), part: 0.02 }]);
        assert_eq!(sieve.sift(&[(source(2), 200)], Some(0), SPAN), None, "still the same");
        assert_eq!(sieve.sift(&[(source(2), 50)], Some(0), SPAN), None, "most of what came was its share");
        let thinned = sieve.sift(&[(source(2), 1_600)], Some(0), SPAN).expect("a filter");
        assert!((thinned[0].part - 0.005).abs() < 1e-4, "four times as many: {thinned:?}");
        // It is quiet, and has twice as many let through each time.
        let mut parts = Vec::new();
        for _ in 0..9 * (PATIENCE.as_millis() / SPAN.as_millis()) {
            parts.extend(
                sieve.sift(&[], Some(0), SPAN).map(|thinned| thinned.first().map(|one| (one.part * 100.0) as u32)),
            );
        }
        assert_eq!(parts, [1, 2, 4, 8, 16, 32, 64].map(Some).into_iter().chain([None]).collect::<Vec<_>>());
        assert!(sieve.is_empty());
    }

    #[test]
    fn a_flood_that_pauses_does_not_return_at_its_full_height() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000)], Some(0), SPAN).expect("a filter");
        for _ in 0..8 {
            assert_eq!(sieve.sift(&[], Some(0), SPAN), None, "a pause of 400 ms");
        }
        assert_eq!(sieve.sift(&[(source(1), 200)], Some(0), SPAN), None, "still the same");
    }

    #[test]
    fn a_flood_that_the_kernel_holds_back_is_not_let_in_to_see_whether_it_goes_on() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000)], Some(0), SPAN).expect("a filter");
        // What is let through is its share: nothing of it is turned away.
        for _ in 0..20 * 20 {
            assert_eq!(sieve.sift(&[], Some(15_000), SPAN), None, "300,000 a second are held back");
        }
        let ends = (0..20 * 20).find(|_| sieve.sift(&[], Some(0), SPAN).is_some_and(|thinned| thinned.is_empty()));
        assert!(ends.is_some_and(|windows| windows < 20 * 7), "{ends:?} windows after its end");
    }

    #[test]
    fn there_is_room_for_so_many_and_the_loudest_have_it() {
        let mut sieve = Sieve::default();
        let turned: Vec<_> = (0..200).map(|last| (source(last), 2_000 + u32::from(last))).collect();
        let thinned = sieve.sift(&turned, Some(0), SPAN).expect("a filter");
        assert_eq!(thinned.len(), MOST);
        assert!(thinned.iter().all(|thinned| thinned.source >= source(200 - 32)));
    }
}

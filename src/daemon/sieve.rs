//! Which sources are thinned out before they reach a socket's queue: those that the door turns away far more often than
//! it could ever serve them. They keep their share, and the door still sees enough to tell when they are done.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::net::filter::{MOST, Thinned};

/// Turned away so often a second, a source is thinned out.
const LOUD: f64 = 20_000.0;
/// So many of its packets a second are let through: a share, and enough to prove itself.
const THROUGH: f64 = 4_000.0;
/// Below this it is left alone again.
const QUIET: f64 = 8_000.0;
/// Changes by less than this factor are not worth a new filter.
const WORTH: f32 = 1.3;

/// The sources being thinned out.
#[derive(Debug, Default)]
pub struct Sieve(HashMap<IpAddr, f32>);

impl Sieve {
    /// Takes how often each source was turned away within `span`; the filters that follow, if they changed.
    pub fn sift(&mut self, turned: &[(IpAddr, u32)], span: Duration) -> Option<Vec<Thinned>> {
        let seconds = span.as_secs_f64().max(1e-3);
        let mut changed = false;
        let mut rates: HashMap<IpAddr, f64> =
            turned.iter().map(|(source, times)| (*source, f64::from(*times) / seconds)).collect();
        self.0.retain(|source, part| {
            // What is seen of it is what the filter let through.
            let rate = rates.remove(source).unwrap_or(0.0) / f64::from(*part);
            if rate < QUIET {
                changed = true;
                return false;
            }
            let fit = ((THROUGH / rate) as f32).clamp(0.001, 1.0);
            if fit > *part * WORTH || fit < *part / WORTH {
                changed = true;
                *part = fit;
            }
            true
        });
        let mut loud: Vec<(IpAddr, f64)> = rates.into_iter().filter(|(_, rate)| *rate > LOUD).collect();
        loud.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (source, rate) in loud.into_iter().take(MOST.saturating_sub(self.0.len())) {
            changed = true;
            self.0.insert(source, (THROUGH / rate) as f32);
        }
        let thinned = || self.0.iter().map(|(source, part)| Thinned { source: *source, part: *part }).collect();
        changed.then(thinned)
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
        assert_eq!(sieve.sift(&[(source(1), 900)], SPAN), None, "18,000 a second are the door's business");
        // 400,000 a second: one in a hundred passes.
        let thinned = sieve.sift(&[(source(1), 900), (source(2), 20_000)], SPAN).expect("a filter");
        assert_eq!(thinned, [Thinned { source: source(2), part: 0.01 }]);
        assert_eq!(sieve.sift(&[(source(2), 200)], SPAN), None, "still the same");
        let thinned = sieve.sift(&[(source(2), 50)], SPAN).expect("a filter");
        assert!((thinned[0].part - 0.04).abs() < 0.001, "a quarter of what it was: {thinned:?}");
        assert_eq!(sieve.sift(&[], SPAN), Some(vec![]));
        assert!(sieve.is_empty());
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

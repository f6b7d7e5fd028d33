//! How long things take: counts in buckets that widen with the time, within 13 % of the truth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets in each doubling of the time.
const STEPS: u64 = 8;
/// Doublings, from 1 µs on: the last bucket begins at 134 s.
const DOUBLINGS: u64 = 27;
const BUCKETS: usize = (STEPS * (DOUBLINGS + 1)) as usize;

/// A histogram of durations; 2 KiB.
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    /// In microseconds.
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many have been counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// All durations added up.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum.load(Ordering::Relaxed))
    }

    /// How many were at most `span`, as far as buckets tell.
    pub fn at_most(&self, span: Duration) -> u64 {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.buckets[..=bucket(micros)].iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The duration that a `part` (0 to 1) of all do not exceed, rounded up to the end of its bucket.
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.count() as f64 * part.clamp(0.0, 1.0)).ceil() as u64;
        let mut counted = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            counted += bucket.load(Ordering::Relaxed);
            if counted >= wanted.max(1) {
                return Duration::from_micros(end(index));
            }
        }
        Duration::ZERO
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Histogram({} counted)", self.count())
    }
}

fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let doubling = u64::from(micros.ilog2()) - 3;
    let step = (micros >> doubling) - STEPS;
    ((STEPS * (doubling + 1) + step) as usize).min(BUCKETS - 1)
}

/// The last microsecond of a bucket.
fn end(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let (doubling, step) = (index / STEPS - 1, index % STEPS);
    ((STEPS + step + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_a_bucket_that_ends_close_behind_it() {
        for micros in (0..5_000).chain((5_000..100_000_000).step_by(9_973)) {
            let end = end(bucket(micros));
            assert!(end >= micros && end - micros <= micros / 8, "{micros} ends at {end}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_where_they_belong() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        let median = histogram.quantile(0.5).as_millis();
        assert!((500..570).contains(&median), "{median}");
        let high = histogram.quantile(0.99).as_millis();
        assert!((990..1125).contains(&high), "{high}");
        assert_eq!(histogram.count(), 1000);
        assert_eq!(histogram.sum(), Duration::from_millis(500_500));
        assert_eq!(histogram.at_most(Duration::from_secs(10)), 1000);
    }
}

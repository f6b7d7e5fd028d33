//! A histogram of latencies: sixteen steps to the power of two, so within 6 % of the truth, in fixed memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Steps to a power of two.
const STEPS: u64 = 16;
/// Up to 2^36 µs, nineteen hours; what is longer counts as that.
const BUCKETS: usize = 16 * 33;

/// Latencies counted by size.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: Vec<AtomicU64>,
}

impl Histogram {
    pub(super) fn new() -> Histogram {
        Histogram { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Relaxed);
    }

    pub(super) fn snapshot(&self) -> Latencies {
        Latencies { buckets: self.buckets.iter().map(|b| b.load(Relaxed)).collect() }
    }
}

fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let power = u64::from(micros.ilog2()) - 3;
    let step = (micros >> (power - 1)) & (STEPS - 1);
    ((power * STEPS + step) as usize).min(BUCKETS - 1)
}

/// The largest number of microseconds in a bucket.
fn upper(bucket: usize) -> u64 {
    let (power, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    match power {
        0 => step,
        _ => ((STEPS + step + 1) << (power - 1)) - 1,
    }
}

/// A histogram at one time, or between two.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Latencies {
    buckets: Vec<u64>,
}

impl Latencies {
    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The latency that `share` (0.0 to 1.0) of all do not exceed, as the upper end of its bucket; zero if there
    /// are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(upper(index));
            }
        }
        Duration::ZERO
    }

    /// What was recorded after `earlier`.
    pub fn since(&self, earlier: &Latencies) -> Latencies {
        let before = earlier.buckets.iter().copied().chain(std::iter::repeat(0));
        Latencies { buckets: self.buckets.iter().zip(before).map(|(now, then)| now.saturating_sub(then)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_within_six_percent_of_its_end() {
        for micros in (0..5_000).chain((13..40).map(|p| (1u64 << p.min(35)) + 12_345)) {
            let end = upper(bucket(micros));
            assert!(end >= micros && (end - micros) as f64 <= micros as f64 / 15.9, "{micros} in a bucket up to {end}");
            assert!(bucket(micros) == 0 || upper(bucket(micros) - 1) < micros, "{micros}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_and_differences() {
        let histogram = Histogram::new();
        (1..=100).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        let first = histogram.snapshot();
        let median = first.quantile(0.5).as_millis();
        assert!((50..=53).contains(&median), "{median}");
        assert!(first.quantile(0.99) >= Duration::from_millis(99));
        histogram.record(Duration::from_secs(1));
        let later = histogram.snapshot().since(&first);
        assert_eq!((later.count(), Latencies::default().quantile(0.5)), (1, Duration::ZERO));
        assert!(later.quantile(0.0) >= Duration::from_secs(1));
    }
}

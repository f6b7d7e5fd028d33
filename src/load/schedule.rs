//! When queries are due: a rate over time with steps and ramps, and the moments that follow from it. The schedule does
//! not ask whether anything was answered (an open loop).

use std::time::Duration;

use super::dice::Dice;

/// The rate from a moment on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Step {
    pub at: Duration,
    /// Queries a second.
    pub qps: f64,
    /// The rate rises or falls evenly from the step before to this one, instead of jumping here.
    pub ramp: bool,
}

/// A rate over time.
#[derive(Clone, PartialEq, Debug)]
pub struct Rate {
    steps: Vec<Step>,
}

/// A stretch of time in which the rate changes evenly.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    start: f64,
    end: f64,
    first: f64,
    last: f64,
}

impl Stretch {
    /// Queries from its start up to `at`.
    fn until(&self, at: f64) -> f64 {
        let span = self.end - self.start;
        let passed = (at.min(self.end) - self.start).max(0.0);
        if span <= 0.0 {
            return 0.0;
        }
        self.first * passed + (self.last - self.first) * passed * passed / (2.0 * span)
    }

    /// When the `count`th query since its start is due.
    fn moment(&self, count: f64) -> f64 {
        let span = self.end - self.start;
        let slope = (self.last - self.first) / span;
        let passed = if slope.abs() < 1e-9 {
            count / self.first
        } else {
            // first·t + slope·t²/2 = count, the earlier of the two roots.
            let root = (self.first * self.first + 2.0 * slope * count).max(0.0).sqrt();
            (root - self.first) / slope
        };
        self.start + passed.clamp(0.0, span)
    }
}

impl Rate {
    /// The same all the time.
    pub fn steady(qps: f64) -> Rate {
        Rate { steps: vec![Step { at: Duration::ZERO, qps, ramp: false }] }
    }

    /// Steps in the order of time; before the first, nothing.
    pub fn of(mut steps: Vec<Step>) -> Rate {
        steps.sort_by_key(|step| step.at);
        Rate { steps }
    }

    /// So many times this, at every moment.
    #[must_use]
    pub fn times(&self, factor: f64) -> Rate {
        Rate { steps: self.steps.iter().map(|step| Step { qps: step.qps * factor, ..*step }).collect() }
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The greatest rate.
    pub fn peak(&self) -> f64 {
        self.steps.iter().map(|step| step.qps).fold(0.0, f64::max)
    }

    /// How many queries are due up to `end`.
    pub fn total(&self, end: Duration) -> f64 {
        self.stretches(end).iter().map(|s| s.until(s.end)).sum()
    }

    /// Queries a second at a moment.
    pub fn at(&self, moment: Duration) -> f64 {
        let end = moment + Duration::from_nanos(1);
        let last = self.stretches(end).last().copied();
        // Of a ramp, the stretch is cut at `end`.
        last.filter(|s| s.end >= moment.as_secs_f64()).map_or(0.0, |s| s.last)
    }

    /// Whether anything is sent in the second that begins at `second`.
    pub fn is_active(&self, second: usize) -> bool {
        let from = self.total(Duration::from_secs(second as u64));
        self.total(Duration::from_secs(second as u64 + 1)) - from > 0.0
    }

    fn stretches(&self, end: Duration) -> Vec<Stretch> {
        let end = end.as_secs_f64();
        let mut stretches = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let start = step.at.as_secs_f64();
            if start >= end {
                break;
            }
            let next = self.steps.get(index + 1);
            let stop = next.map_or(f64::INFINITY, |next| next.at.as_secs_f64());
            let target = next.filter(|next| next.ramp).map_or(step.qps, |next| next.qps);
            let cut = stop.min(end);
            let last = if stop.is_finite() {
                step.qps + (target - step.qps) * (cut - start) / (stop - start)
            } else {
                step.qps
            };
            if cut > start {
                stretches.push(Stretch { start, end: cut, first: step.qps, last });
            }
        }
        stretches
    }

    /// The moments at which queries are due, up to `end`. With `chance`, they come as from many independent people (a
    /// Poisson process), else evenly.
    pub fn moments(&self, end: Duration, chance: Option<Dice>) -> Moments {
        Moments { stretches: self.stretches(end), current: 0, before: 0.0, count: 0.0, chance }
    }
}

/// The moments at which queries are due, in order.
#[derive(Clone, Debug)]
pub struct Moments {
    stretches: Vec<Stretch>,
    current: usize,
    /// Queries in the stretches before the current one.
    before: f64,
    /// Queries so far.
    count: f64,
    chance: Option<Dice>,
}

impl Moments {
    /// Leaves out the moments before `at`.
    pub fn skip_to(&mut self, at: Duration) {
        let at = at.as_secs_f64();
        let mut before = self.before;
        for stretch in &self.stretches[self.current.min(self.stretches.len())..] {
            before += stretch.until(at);
            if stretch.end > at {
                break;
            }
        }
        self.count = self.count.max(before.ceil());
    }
}

impl Iterator for Moments {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let step = self.chance.as_mut().map_or(1.0, Dice::gap);
        // The first of evenly spaced queries is due at the start.
        let wanted = if self.chance.is_none() { self.count } else { self.count + step };
        loop {
            let stretch = self.stretches.get(self.current)?;
            let within = stretch.until(stretch.end);
            if wanted - self.before < within {
                self.count += step;
                return Some(Duration::from_secs_f64(stretch.moment(wanted - self.before)));
            }
            self.before += within;
            self.current += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_steady_rate_is_evenly_spaced() {
        let moments: Vec<Duration> = Rate::steady(4.0).moments(secs(1.0), None).collect();
        assert_eq!(moments, [0.0, 0.25, 0.5, 0.75].map(secs));
    }

    #[test]
    fn steps_and_ramps_send_what_the_area_under_them_says() {
        let rate = Rate::of(vec![
            Step { at: secs(0.0), qps: 0.0, ramp: false },
            Step { at: secs(2.0), qps: 100.0, ramp: true },
            Step { at: secs(4.0), qps: 50.0, ramp: false },
        ]);
        // A triangle of 100, a block of 200, a block of 50.
        assert!((rate.total(secs(5.0)) - 350.0).abs() < 1e-6);
        let moments: Vec<f64> = rate.moments(secs(5.0), None).map(|m| m.as_secs_f64()).collect();
        assert_eq!(moments.len(), 350);
        assert!(moments.windows(2).all(|w| w[0] <= w[1]));
        let before = |t: f64| moments.iter().filter(|m| **m < t).count();
        assert!((24..=26).contains(&before(1.0)), "a quarter of the ramp: {}", before(1.0));
        assert!((299..=301).contains(&before(4.0)));
        assert!((rate.at(secs(1.0)) - 50.0).abs() < 0.1 && (rate.at(secs(4.5)) - 50.0).abs() < 0.1);
        assert!(rate.is_active(0) && rate.is_active(4));
        assert_eq!(rate.peak(), 100.0);
    }

    #[test]
    fn what_is_over_can_be_left_out() {
        let rate = Rate::of(vec![
            Step { at: secs(0.0), qps: 2.0, ramp: false },
            Step { at: secs(2.0), qps: 0.0, ramp: false },
            Step { at: secs(5.0), qps: 10.0, ramp: false },
        ]);
        let after = |skips: &[f64]| -> Vec<Duration> {
            let mut moments = rate.moments(secs(5.25), None);
            skips.iter().for_each(|at| moments.skip_to(secs(*at)));
            moments.collect()
        };
        assert_eq!(after(&[0.6]), [1.0, 1.5, 5.0, 5.1, 5.2].map(secs));
        assert_eq!(after(&[1.2, 0.1, 4.0]), [5.0, 5.1, 5.2].map(secs));
        assert_eq!(after(&[5.15]), [5.2].map(secs));
        assert!(after(&[6.0]).is_empty());
    }

    #[test]
    fn chance_keeps_the_rate() {
        let count = Rate::steady(1000.0).moments(secs(10.0), Some(Dice::new(3))).count();
        assert!((9_600..10_400).contains(&count), "{count}");
    }
}

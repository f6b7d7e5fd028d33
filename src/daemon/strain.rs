//! How hard a shard is pressed, measured where it works: how much of its time it is busy, how long its turns are, what
//! the kernel drops before it is seen.

use std::time::Duration;

use crate::admission::Pressure;
use crate::clock::Moment;

/// Over so long a time it is measured.
const WINDOW: Duration = Duration::from_millis(50);

/// The measurement under way.
#[derive(Debug, Default)]
pub struct Strain {
    /// When this window began.
    since: Moment,
    worked: Duration,
    longest: Duration,
    received: u64,
    /// What the kernel had dropped in all when it began.
    dropped_before: u64,
}

impl Strain {
    /// A turn took from `start` to `end`.
    pub fn note(&mut self, start: Moment, end: Moment) {
        let took = end.since(start);
        self.worked += took;
        self.longest = self.longest.max(took);
    }

    /// So many packets were taken out of the sockets.
    pub fn received(&mut self, count: usize) {
        self.received += count as u64;
    }

    /// What was felt since the last window, if this one is over. `dropped` counts what the kernel dropped since the start.
    pub fn take(&mut self, now: Moment, dropped: impl FnOnce() -> u64) -> Option<Pressure> {
        let length = now.since(self.since);
        if length < WINDOW {
            return None;
        }
        let dropped = dropped();
        let lost = dropped.saturating_sub(self.dropped_before);
        let pressure = Pressure {
            busy: (self.worked.as_secs_f32() / length.as_secs_f32()).min(1.0),
            dropped: lost as f32 / (lost + self.received).max(1) as f32,
            delay: self.longest,
            ..Pressure::default()
        };
        *self = Strain { since: now, dropped_before: dropped, ..Strain::default() };
        Some(pressure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_window_tells_how_busy_it_was_and_what_was_lost() {
        let mut strain = Strain::default();
        assert!(strain.take(at(1000), || 7).is_some(), "whatever was before");
        strain.note(at(1000), at(1020));
        strain.received(64);
        assert_eq!(strain.take(at(1020), || 7), None);
        strain.note(at(1030), at(1040));
        strain.received(26);
        let pressure = strain.take(at(1060), || 17).expect("a window");
        assert!((pressure.busy - 0.5).abs() < 0.01, "{pressure:?}");
        assert!((pressure.dropped - 0.1).abs() < 0.01, "{pressure:?}");
        assert_eq!(pressure.delay, Duration::from_millis(20));
        let pressure = strain.take(at(5000), || 17).expect("a window");
        assert_eq!(pressure, Pressure::default());
    }
}

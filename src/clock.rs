//! Time as a value: the shell reads the clocks once an event, everything below takes [`Now`].

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on a clock that never goes back, in nanoseconds from an arbitrary start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Moment(u64);

impl Moment {
    /// The start of the clock.
    pub const ZERO: Moment = Moment(0);
    /// Later than anything that happens.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// `nanos` nanoseconds after the start of the clock.
    pub const fn from_nanos(nanos: u64) -> Moment {
        Moment(nanos)
    }

    /// Nanoseconds since the start of the clock.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero if `earlier` is the later one.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds from `self` back to `earlier`, zero if `earlier` is the later one.
    pub fn seconds_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000_000
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Seconds since 1970-01-01T00:00:00Z, as signatures and logs count them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnixTime(pub u64);

/// One reading of the clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For timers and round-trip times.
    pub mono: Moment,
    /// For the age of cached data: `mono`, or the wall clock where a lab fakes that one
    /// (`[cache] clock = "wall"`).
    pub age: Moment,
    /// The wall clock.
    pub unix: UnixTime,
}

impl Now {
    /// A reading where all clocks agree, `nanos` after the start: for simulations and tests.
    pub fn simulated(nanos: u64) -> Now {
        let at = Moment::from_nanos(nanos);
        Now { mono: at, age: at, unix: UnixTime(1_750_000_000 + nanos / 1_000_000_000) }
    }
}

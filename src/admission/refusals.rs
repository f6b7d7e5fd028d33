//! The rate of refusals: governor's GCRA, driven by the time the shell hands in.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::clock::Moment;

const SECOND: u64 = 1_000_000_000;

/// What has been used of the rate, shared by the doors of all shards.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<InMemoryState>);

impl StateStore for Refusals {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, decide)
    }
}

/// A clock that shows what it was set to.
#[derive(Debug, Default)]
struct Hand(Cell<u64>);

impl Clock for Hand {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.get())
    }
}

/// One shard's view of the rate; `None` allows nothing.
#[derive(Debug)]
pub(super) struct Meter(Option<RateLimiter<NotKeyed, Refusals, Hand, NoOpMiddleware<Nanos>>>);

impl Meter {
    /// `per_second` in the long run, and as many at once.
    pub fn new(per_second: u32, refusals: Refusals) -> Meter {
        let quota = NonZeroU32::new(per_second).and_then(|burst| {
            // Rounded up, so that the rate is never exceeded.
            let interval = Duration::from_nanos(SECOND.div_ceil(u64::from(per_second)));
            Some(Quota::with_period(interval)?.allow_burst(burst))
        });
        // The clock stands at zero here, the same for all shards: the state counts from there.
        Meter(quota.map(|quota| RateLimiter::new(quota, refusals, Hand::default())))
    }

    /// Takes one out of the rate, if there is one.
    pub fn take(&self, now: Moment) -> bool {
        self.0.as_ref().is_some_and(|limiter| {
            // Half the range is 292 years: governor's sums of instants must not overflow.
            limiter.clock().0.set(now.as_nanos().min(u64::MAX / 2));
            limiter.check().is_ok()
        })
    }
}

//! The clocks of this machine, read through the C library so that a lab can put its own in front.

use crate::clock::{Moment, Now, UnixTime};

const NANOS: u64 = 1_000_000_000;
/// The monotonic clock of the machine begins with it; ours then shows thirty days already, so that what was kept before
/// the machine was started has a place on it.
const BEFORE: u64 = 30 * 86_400 * NANOS;

/// Reads the clocks once. With `age_is_wall`, cached data ages by the wall clock, which a lab may
/// fake (`[cache] clock = "wall"`); otherwise by the monotonic one.
pub fn read(age_is_wall: bool) -> Now {
    let mono = mono();
    // Where only its seconds count, the time of the last tick will do, which costs a tenth.
    let wall = nanos(if age_is_wall { libc::CLOCK_REALTIME } else { libc::CLOCK_REALTIME_COARSE });
    let age = if age_is_wall { Moment::from_nanos(wall) } else { mono };
    Now { mono, age, unix: UnixTime(wall / NANOS) }
}

/// Reads the monotonic clock alone.
pub fn mono() -> Moment {
    Moment::from_nanos(nanos(libc::CLOCK_MONOTONIC).saturating_add(BEFORE))
}

/// How long the calling thread has had a processor.
pub fn thread_cpu() -> std::time::Duration {
    std::time::Duration::from_nanos(nanos(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// Nanoseconds on `clock` since its start; 0 for a wall clock set before 1970.
fn nanos(clock: libc::clockid_t) -> u64 {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `at` is a valid place for a timespec. The call fails only for unknown clocks, and
    // leaves zeros then.
    unsafe { libc::clock_gettime(clock, &mut at) };
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    seconds.saturating_mul(NANOS).saturating_add(u64::try_from(at.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_data_ages_by_the_clock_that_was_chosen() {
        let mono = read(false);
        assert_eq!(mono.age, mono.mono);
        let wall = read(true);
        assert_eq!(wall.age.as_nanos() / NANOS, wall.unix.0);
        assert!(wall.mono >= mono.mono, "the monotonic clock went back");
        assert!(wall.unix.0 > 1_700_000_000, "the wall clock stands before 2023: {:?}", wall.unix);
    }
}

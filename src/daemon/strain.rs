//! How hard a shard is pressed, measured where it works: how much of its time it is busy, how long its turns are, what
//! the kernel drops before it is seen.

use std::time::Duration;

use crate::admission::Pressure;
use crate::clock::Moment;
use crate::net::batch::BATCH;
use crate::net::socket::Queue;

/// Over so long a time it is measured.
const WINDOW: Duration = Duration::from_millis(50);
/// So many full batches in a row are a backlog; then it is looked after so long: by the end of a window what waits behind
/// a flood would wait for a tenth of a second.
const BACKLOG: u32 = 16;
const GLANCE: Duration = Duration::from_millis(5);

/// Others have the processor now and then; if they have it for about so long, in seconds, there is less than is needed.
const LASTING: f32 = 1.0;

/// Where a queue was full, at least so many packets are taken out of it at once: with the least room that systems give
/// (208 KiB) and the largest queries there are it holds some fifty.
const CRAMMED: usize = BATCH / 4;
/// The same of how full it is when it is looked at.
const FILLED: f32 = 0.5;

/// One turn that took longer counts as one of this length: a machine that was stopped for a while goes on as if nothing
/// had been.
const LONGEST: Duration = Duration::from_millis(250);

/// The measurement under way.
#[derive(Debug, Default)]
pub struct Strain {
    /// When this window began.
    since: Moment,
    worked: Duration,
    longest: Duration,
    received: u64,
    /// So many came at once that the queue may have been full before.
    crammed: bool,
    /// Full batches in a row, and when they were looked at last.
    full: u32,
    glanced: Moment,
    /// The processor time of this thread when it began.
    cpu_before: Duration,
    /// What the kernel had dropped in all when it began.
    dropped_before: u32,
    /// The part of the time that turns have taken lately, whoever had the processor in them.
    taken: f32,
}

/// What a window told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Felt {
    pub pressure: Pressure,
    pub span: Duration,
}

impl Strain {
    /// A turn took from `start` to `end`.
    pub fn note(&mut self, start: Moment, end: Moment) {
        let took = end.since(start);
        self.worked += took;
        self.longest = self.longest.max(took);
    }

    /// So many packets were taken out of a socket; `full`: it may have more.
    pub fn received(&mut self, count: usize, full: bool) {
        self.received += count as u64;
        self.crammed |= count >= CRAMMED;
        self.full = if full { self.full.saturating_add(1) } else { 0 };
    }

    /// How many packets the kernel has dropped in the window under way, if it has dropped so many in all.
    pub fn missing(&self, dropped: u32) -> u64 {
        u64::from(dropped.wrapping_sub(self.dropped_before))
    }

    /// What was felt since the last window, if this one is over, and how long it was. `queues` says how full the fullest
    /// queue is, and what the kernel has dropped since the start; `lost` says for how many of those dropped in this window
    /// there was no room, if it is told whether a queue may have been full: the others were on our word, and are no sign of
    /// pressure. `cpu` is the processor time that this thread has had.
    ///
    /// A long turn may be one in which others had the processor, on this machine or on the one it is a guest of: that alone
    /// refuses nobody a question. Where they have it for a second or two, it counts like work of our own, since there is no
    /// more for us.
    pub fn take(
        &mut self,
        now: Moment,
        lost: impl FnOnce(u64, bool) -> u64,
        cpu: impl FnOnce() -> Duration,
        queues: impl FnOnce() -> Queue,
    ) -> Option<Felt> {
        let span = now.since(self.since);
        let backlog = self.full >= BACKLOG;
        if span < WINDOW {
            let span = now.since(self.since.max(self.glanced));
            if !backlog || span < GLANCE {
                return None;
            }
            self.glanced = now;
            return Some(Felt { pressure: Pressure { backlog, ..Pressure::default() }, span });
        }
        let Queue { filled, dropped } = queues();
        let missing = self.missing(dropped);
        let lost = lost(missing, self.crammed || filled > FILLED);
        let cpu = cpu();
        let own = cpu.saturating_sub(self.cpu_before);
        let part = |time: Duration| (time.as_secs_f32() / span.as_secs_f32()).min(1.0);
        let stopped = self.longest.saturating_sub(LONGEST).min(span);
        let (turns, during) = (self.worked.saturating_sub(stopped).as_secs_f32(), (span - stopped).as_secs_f32());
        let lately = (turns / during.max(f32::MIN_POSITIVE)).min(1.0);
        let taken = lately + (self.taken - lately) * (-during / LASTING).exp();
        let pressure = Pressure {
            busy: part(self.worked.min(own)).max(taken),
            dropped: lost as f32 / (lost + self.received).max(1) as f32,
            queue: filled,
            backlog,
            delay: self.longest.min(own),
            ..Pressure::default()
        };
        let span = now.since(self.since.max(self.glanced));
        let (full, before) = (self.full, Strain::default());
        *self = Strain { since: now, full, glanced: now, cpu_before: cpu, dropped_before: dropped, taken, ..before };
        Some(Felt { pressure, span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No filter drops anything.
    fn all(missing: u64, _: bool) -> u64 {
        missing
    }

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_late_turn_counts_only_with_work_of_our_own() {
        let late = |received, filled, dropped, cpu| {
            let mut strain = Strain::default();
            let before = Queue { filled: 0.0, dropped: 0 };
            strain.take(at(1000), all, || Duration::from_secs(1), || before);
            strain.note(at(1000), at(1200));
            strain.received(received, false);
            let cpu = Duration::from_secs(1) + Duration::from_millis(cpu);
            let queue = || Queue { filled, dropped };
            let felt = strain.take(at(1200), all, || cpu, queue).expect("a window");
            (felt.pressure.busy > 0.5, felt.pressure.delay > Duration::from_millis(20))
        };
        assert_eq!(late(3, 0.0, 0, 1), (false, false), "others had the processor");
        assert_eq!(late(2_000, 0.1, 0, 15), (false, false), "others had the processor, and there is traffic");
        assert_eq!(late(3, 0.0, 0, 190), (true, true), "it worked");
    }

    #[test]
    fn a_backlog_is_felt_long_before_a_window_is_over() {
        let mut strain = Strain::default();
        let none = || Queue { filled: 0.0, dropped: 0 };
        strain.take(at(1_000), all, || Duration::ZERO, none);
        let mut felt = |millis: u64, batches: usize, full: bool| {
            (0..batches).for_each(|_| strain.received(64, full));
            strain.take(at(millis), all, || Duration::ZERO, none).map(|felt| (felt.pressure.backlog, felt.span))
        };
        assert_eq!(felt(1_006, 15, true), None, "a burst");
        assert_eq!(felt(1_008, 1, true), Some((true, Duration::from_millis(8))));
        assert_eq!(felt(1_010, 10, true), None, "just looked at");
        assert_eq!(felt(1_013, 1, true), Some((true, Duration::from_millis(5))));
        assert_eq!(felt(1_019, 1, false), None, "it has been worked off");
        assert_eq!(felt(1_050, 1, true), Some((false, Duration::from_millis(37))));
    }

    #[test]
    fn a_machine_that_was_stopped_for_long_has_no_pressure() {
        let mut strain = Strain::default();
        let queue = || Queue { filled: 0.0, dropped: 0 };
        strain.take(at(1_000), all, || Duration::ZERO, queue);
        strain.note(at(1_000), at(61_000));
        let felt = strain.take(at(61_000), all, || Duration::from_millis(3), queue).expect("a window");
        assert!(felt.pressure.busy < 0.5, "{:?}", felt.pressure);
    }

    #[test]
    fn others_who_keep_the_processor_for_seconds_count() {
        let mut strain = Strain::default();
        let mut busy = |millis: u64, turn: u64| {
            strain.note(at(millis), at(millis + turn));
            let worked = Duration::from_millis(millis / 5);
            let queue = || Queue { filled: 0.0, dropped: 0 };
            strain.take(at(millis + 50), all, || worked, queue).map(|felt| felt.pressure.busy)
        };
        busy(950, 0);
        // Nine tenths of the time in turns, of which a fifth is work of our own.
        let windows = (1..=100).find(|window| busy(950 + window * 50, 45).is_some_and(|busy| busy > 0.75));
        let windows = windows.expect("it shows");
        assert!((25..=50).contains(&windows), "after {windows} windows of 50 ms");
    }

    #[test]
    fn a_window_tells_how_busy_it_was_and_what_was_lost() {
        let mut strain = Strain::default();
        let queue = |dropped| move || Queue { filled: 0.25, dropped };
        assert!(strain.take(at(1000), all, || Duration::ZERO, queue(7)).is_some(), "whatever was before");
        strain.note(at(1000), at(1020));
        strain.received(64, false);
        assert_eq!(strain.take(at(1020), all, || Duration::ZERO, queue(7)), None);
        let worked = || Duration::from_millis(31);
        strain.note(at(1030), at(1040));
        strain.received(26, false);
        let Felt { pressure, span } = strain.take(at(1060), all, worked, queue(17)).expect("a window");
        assert!((pressure.busy - 0.5).abs() < 0.01, "{pressure:?}");
        assert!((pressure.dropped - 0.1).abs() < 0.01, "{pressure:?}");
        assert_eq!((pressure.delay, pressure.queue), (Duration::from_millis(20), 0.25));
        assert_eq!(span, Duration::from_millis(60));
    }

    #[test]
    fn what_a_full_queue_loses_is_felt_beside_a_filter() {
        let mut strain = Strain::default();
        let mut felt = |second: u64, batch: usize, filled: f32, lost: u64| {
            let queue = Queue { filled, dropped: 100 * second as u32 };
            let mut told = None;
            let lost = |missing: u64, crammed: bool| {
                told = Some((missing, crammed));
                lost
            };
            strain.received(batch, false);
            let felt = strain.take(at(second * 1_000), lost, || Duration::ZERO, || queue).expect("a window");
            (told, felt.pressure.dropped)
        };
        assert_eq!(felt(1, 10, 0.0, 0), (Some((100, false)), 0.0), "all of it was filtered");
        assert_eq!(felt(2, 60, 0.0, 40), (Some((100, true)), 0.4), "so many came at once");
        assert_eq!(felt(3, 10, 0.9, 40), (Some((100, true)), 0.8), "so many wait");
        assert_eq!(felt(4, 10, 0.0, 0), (Some((100, false)), 0.0));
    }
}

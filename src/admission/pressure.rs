//! How hard it is pressed: from what a shard feels to one of four levels, with hysteresis.

use std::time::Duration;

use crate::clock::Moment;

/// How hard it is pressed, and with that how strictly limits are meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Level {
    /// There is room: limits count, and nobody is refused.
    #[default]
    Open,
    /// Less than usual: limits hold, with four times the share.
    Watch,
    /// Little: everybody has his share and no more.
    Guard,
    /// None: half the share, and strangers prove themselves.
    Closed,
}

impl Level {
    /// All of them, upwards.
    pub const ALL: [Level; 4] = [Level::Open, Level::Watch, Level::Guard, Level::Closed];

    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Level::Open => "open",
            Level::Watch => "watch",
            Level::Guard => "guard",
            Level::Closed => "closed",
        }
    }

    fn below(self) -> Level {
        Level::ALL[(self as usize).saturating_sub(1)]
    }
}

/// What a shard feels, since it was last asked.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pressure {
    /// The part of the time that it was at work, or would have been if others had not had the processor for seconds, 0 to 1.
    pub busy: f32,
    /// The part of the packets that the kernel dropped because nobody took them, 0 to 1.
    pub dropped: f32,
    /// The part of the room for waiting packets that is taken, 0 to 1.
    pub queue: f32,
    /// More packets wait than are taken, for a thousand of them and more: to be watched, whatever the room.
    pub backlog: bool,
    /// How long the longest turn of its loop took, as far as that was work of its own: so long did a packet wait at least.
    pub delay: Duration,
    /// The part of the places for questions in flight that are taken, 0 to 1.
    pub in_flight: f32,
    /// The part of the memory it may have that it has, 0 to 1, whichever is the fullest: what the process has beyond its
    /// plan (caches and tables have a cap of their own, at which they are full and well), what clients on connections have not
    /// read yet, and the places for those who wait.
    pub memory: f32,
}

/// From where on each level holds: watch, guard, closed.
struct Marks {
    busy: [f32; 3],
    dropped: [f32; 3],
    queue: [f32; 3],
    delay: [Duration; 3],
    in_flight: [f32; 3],
    memory: [f32; 3],
}

/// A part of 2 is never reached: being busy alone closes nothing, since it costs nobody an answer.
const MARKS: Marks = Marks {
    busy: [0.75, 0.95, 2.0],
    dropped: [0.000_1, 0.01, 0.2],
    queue: [0.5, 0.8, 2.0],
    delay: [Duration::from_millis(20), Duration::from_millis(50), Duration::from_secs(1)],
    in_flight: [0.5, 0.75, 0.95],
    memory: [0.9, 0.95, 0.98],
};

/// So much of the memory a pool with an end of its own calls for when it is full. With the default marks that is guard: a few
/// clients can fill such a pool, and to close the door to all others is not in their hands.
const POOL: f32 = 0.96;

impl Pressure {
    /// What a pool of memory with an end of its own counts for as [`memory`](Self::memory), if this part of it is taken.
    pub fn of_a_pool(taken: f32) -> f32 {
        taken.min(1.0) * POOL
    }

    /// The highest level that anything here calls for, with the marks scaled by `scale`.
    fn calls_for(&self, scale: f32) -> Level {
        let reached = |value: f32, marks: [f32; 3]| marks.iter().filter(|mark| value >= **mark * scale).count();
        let delays: [f32; 3] = MARKS.delay.map(|mark| mark.as_secs_f32());
        let most = reached(self.busy, MARKS.busy)
            .max(reached(self.dropped, MARKS.dropped))
            .max(reached(self.queue, MARKS.queue))
            .max(reached(self.delay.as_secs_f32(), delays))
            .max(reached(self.in_flight, MARKS.in_flight))
            .max(reached(self.memory, MARKS.memory))
            .max(usize::from(self.backlog));
        Level::ALL[most]
    }
}

/// One shard's level. It rises at once and falls step by step, each after a while without need.
#[derive(Clone, Debug)]
pub struct Controller {
    level: Level,
    /// Since when this level holds.
    since: Moment,
    /// When this level was last called for.
    needed: Moment,
    calm: Duration,
    /// So many times longer than `calm` a level is kept, because it was needed again soon after it had been left.
    patience: u32,
    /// When a level was last left.
    left: Moment,
}

/// A level is kept at most so many times longer than `calm`.
const PATIENCE: u32 = 8;

/// Marks count this much less on the way down.
const DOWN: f32 = 0.8;

impl Controller {
    /// Open; a level is left after `calm` without need of it.
    pub fn new(calm: Duration) -> Controller {
        Controller {
            level: Level::Open,
            since: Moment::ZERO,
            needed: Moment::ZERO,
            calm,
            patience: 1,
            left: Moment::ZERO,
        }
    }

    /// Takes what is felt now; the level that follows.
    pub fn feel(&mut self, now: Moment, pressure: &Pressure) -> Level {
        let wanted = pressure.calls_for(1.0);
        if wanted > self.level {
            // What comes back as soon as it is let in would otherwise be let in every few seconds.
            let soon = self.left > Moment::ZERO && now.since(self.left) < 2 * self.calm * self.patience;
            self.patience = if soon { (2 * self.patience).min(PATIENCE) } else { 1 };
            self.enter(wanted, now);
        } else if pressure.calls_for(DOWN) >= self.level {
            self.needed = now;
        } else if now.since(self.needed) >= self.calm * self.patience {
            // After a long silence it may be several steps at once.
            let mut steps = now.since(self.needed).as_millis() / (self.calm * self.patience).as_millis().max(1);
            while steps > 0 && self.level > Level::Open && pressure.calls_for(DOWN) < self.level {
                self.enter(self.level.below(), now);
                self.left = now;
                steps -= 1;
            }
        }
        self.level
    }

    /// Another `calm`; the level stays.
    pub fn set_calm(&mut self, calm: Duration) {
        self.calm = calm;
    }

    fn enter(&mut self, level: Level, now: Moment) {
        self.level = level;
        self.since = now;
        self.needed = now;
    }

    /// The level that holds, and since when.
    pub fn level(&self) -> (Level, Moment) {
        (self.level, self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    fn busy(busy: f32) -> Pressure {
        Pressure { busy, ..Pressure::default() }
    }

    #[test]
    fn it_rises_at_once_and_falls_step_by_step() {
        let mut controller = Controller::new(Duration::from_secs(2));
        assert_eq!(controller.feel(at(0), &busy(0.5)), Level::Open);
        assert_eq!(controller.feel(at(100), &Pressure { dropped: 0.5, ..busy(1.0) }), Level::Closed);
        assert_eq!(controller.feel(at(200), &busy(0.0)), Level::Closed);
        assert_eq!(controller.feel(at(2_050), &busy(0.0)), Level::Closed);
        assert_eq!(controller.feel(at(2_100), &busy(0.0)), Level::Guard);
        assert_eq!(controller.feel(at(4_000), &busy(0.0)), Level::Guard);
        assert_eq!(controller.feel(at(4_100), &busy(0.0)), Level::Watch);
        assert_eq!(controller.feel(at(6_100), &busy(0.0)), Level::Open);
        assert_eq!(controller.level(), (Level::Open, at(6_100)));
    }

    #[test]
    fn it_does_not_flap_around_a_mark() {
        let mut controller = Controller::new(Duration::from_secs(2));
        let mut changes = 0;
        let mut last = Level::Open;
        for tick in 0..600u64 {
            let level = controller.feel(at(tick * 100), &busy(if tick % 2 == 0 { 0.76 } else { 0.70 }));
            changes += u32::from(level != last);
            last = level;
        }
        assert_eq!((changes, last), (1, Level::Watch));
    }

    #[test]
    fn what_comes_back_as_soon_as_it_is_let_in_is_kept_out_longer_each_time() {
        let mut controller = Controller::new(Duration::from_secs(2));
        let mut entered = Vec::new();
        let mut last = Level::Open;
        // Busy whenever it is open, at ease whenever it is not: a flood that is cheap to refuse.
        for tick in 0..2_400u64 {
            let level = controller.feel(at(tick * 50), &busy(if last == Level::Open { 1.0 } else { 0.1 }));
            if level > last {
                entered.push(tick * 50);
            }
            last = level;
        }
        let gaps: Vec<u64> = entered.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
        assert_eq!(gaps[..4], [4, 8, 16, 32], "seconds from one time to the next");
        assert_eq!(entered.len(), 6);
    }

    #[test]
    fn every_signal_counts() {
        let none = Pressure::default();
        for (pressure, level) in [
            (none, Level::Open),
            (busy(1.0), Level::Guard),
            (Pressure { dropped: 0.001, ..none }, Level::Watch),
            (Pressure { delay: Duration::from_secs(1), ..none }, Level::Closed),
            (Pressure { in_flight: 0.8, ..none }, Level::Guard),
            (Pressure { memory: 0.99, ..none }, Level::Closed),
            (Pressure { backlog: true, ..none }, Level::Watch),
            (busy(f32::NAN), Level::Open),
        ] {
            assert_eq!(Controller::new(Duration::ZERO).feel(at(1), &pressure), level, "{pressure:?}");
        }
    }
}

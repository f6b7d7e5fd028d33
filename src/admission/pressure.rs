//! How hard it is pressed: from what a shard feels to one of four levels, with hysteresis.

use std::time::Duration;

use super::levels::Levels;
use crate::clock::Moment;

/// How hard it is pressed, and with that how strictly limits are meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Level {
    /// There is room: limits count, and nobody is refused.
    #[default]
    Open,
    /// Less than usual: limits hold, with four times the share (unless [`Levels`] say otherwise, here and below).
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

/// What is felt: what a mark of each level is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    Busy,
    Dropped,
    Queue,
    Backlog,
    Delay,
    InFlight,
    Memory,
}

impl Signal {
    /// Its mark, as the settings name it; more packets than are taken have none.
    pub fn key(self) -> Option<&'static str> {
        Some(match self {
            Signal::Busy => "busy",
            Signal::Dropped => "dropped",
            Signal::Queue => "queue",
            Signal::Backlog => return None,
            Signal::Delay => "delay",
            Signal::InFlight => "in_flight",
            Signal::Memory => "memory",
        })
    }

    /// What it says, of a level that it called for.
    pub fn text(self) -> &'static str {
        match self {
            Signal::Busy => "it had hardly any time left",
            Signal::Dropped => "the kernel dropped packets that nobody took",
            Signal::Queue => "packets filled the queue",
            Signal::Backlog => "packets came faster than they were taken",
            Signal::Delay => "a turn took long",
            Signal::InFlight => "questions took the places for those in flight",
            Signal::Memory => "memory went short",
        }
    }
}

/// From where on watch, guard and closed hold.
#[derive(Clone, Copy, Debug)]
struct Marks {
    marks: [(Signal, [f32; 3]); 6],
}

impl Marks {
    fn new(levels: &Levels) -> Marks {
        Marks {
            marks: [
                (Signal::Dropped, levels.each(|level| level.dropped.fraction())),
                (Signal::Delay, levels.each(|level| level.delay.as_secs_f32())),
                (Signal::Memory, levels.each(|level| level.memory.fraction())),
                (Signal::InFlight, levels.each(|level| level.in_flight.fraction())),
                (Signal::Queue, levels.each(|level| level.queue.fraction())),
                (Signal::Busy, levels.each(|level| level.busy.fraction())),
            ],
        }
    }

    /// The highest level that anything felt calls for, with the marks scaled by `scale`, and what that is.
    fn call(&self, felt: &Pressure, scale: f32) -> (Level, Signal) {
        let mut call = (Level::ALL[usize::from(felt.backlog)], Signal::Backlog);
        for (signal, marks) in &self.marks {
            let value = felt.value(*signal);
            let reached = marks.iter().filter(|mark| value >= **mark * scale).count();
            if reached > call.0 as usize {
                call = (Level::ALL[reached], *signal);
            }
        }
        call
    }
}

/// So much of the memory a pool with an end of its own calls for when it is full. With the default marks that is guard: a few
/// clients can fill such a pool, and to close the door to all others is not in their hands.
const POOL: f32 = 0.96;

impl Pressure {
    /// What a pool of memory with an end of its own counts for as [`memory`](Self::memory), if this part of it is taken.
    pub fn of_a_pool(taken: f32) -> f32 {
        taken.min(1.0) * POOL
    }

    fn value(&self, signal: Signal) -> f32 {
        match signal {
            Signal::Busy => self.busy,
            Signal::Dropped => self.dropped,
            Signal::Queue => self.queue,
            Signal::Backlog => f32::from(u8::from(self.backlog)),
            Signal::Delay => self.delay.as_secs_f32(),
            Signal::InFlight => self.in_flight,
            Signal::Memory => self.memory,
        }
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
    /// What called for it then.
    cause: Signal,
    marks: Marks,
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
    pub fn new(calm: Duration, levels: &Levels) -> Controller {
        Controller {
            level: Level::Open,
            since: Moment::ZERO,
            needed: Moment::ZERO,
            cause: Signal::Busy,
            marks: Marks::new(levels),
            calm,
            patience: 1,
            left: Moment::ZERO,
        }
    }

    /// Takes what is felt now; the level that follows.
    pub fn feel(&mut self, now: Moment, pressure: &Pressure) -> Level {
        let (wanted, signal) = self.marks.call(pressure, 1.0);
        let (kept, keeping) = self.marks.call(pressure, DOWN);
        if wanted > self.level {
            // What comes back as soon as it is let in would otherwise be let in every few seconds.
            let soon = self.left > Moment::ZERO && now.since(self.left) < 2 * self.calm * self.patience;
            self.patience = if soon { (2 * self.patience).min(PATIENCE) } else { 1 };
            self.enter(wanted, now);
            self.cause = signal;
        } else if kept >= self.level {
            self.needed = now;
            self.cause = keeping;
        } else if now.since(self.needed) >= self.calm * self.patience {
            // After a long silence it may be several steps at once.
            let mut steps = now.since(self.needed).as_millis() / (self.calm * self.patience).as_millis().max(1);
            while steps > 0 && self.level > Level::Open && kept < self.level {
                self.enter(self.level.below(), now);
                self.left = now;
                steps -= 1;
            }
        }
        self.level
    }

    /// Other marks and another `calm`; the level stays until something is felt.
    pub fn set_rules(&mut self, calm: Duration, levels: &Levels) {
        self.calm = calm;
        self.marks = Marks::new(levels);
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

    /// What called for the level last; nothing does for open.
    pub fn cause(&self) -> Option<Signal> {
        (self.level > Level::Open).then_some(self.cause)
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
        let mut controller = Controller::new(Duration::from_secs(2), &Levels::default());
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
        let mut controller = Controller::new(Duration::from_secs(2), &Levels::default());
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
        let mut controller = Controller::new(Duration::from_secs(2), &Levels::default());
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
            assert_eq!(
                Controller::new(Duration::ZERO, &Levels::default()).feel(at(1), &pressure),
                level,
                "{pressure:?}"
            );
        }
    }
}

//! What the levels of pressure are: from where on each holds, and what is done at it. Nobody has to change any of this.

use std::time::Duration;

use super::policy::Limits;
use super::pressure::Level;

/// A part of a whole, in millionths; it may be more than the whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Part(pub u32);

impl Part {
    /// As much as there is.
    pub const WHOLE: Part = Part::percent(100);
    /// As a mark: it is never reached.
    pub const NEVER: Part = Part(u32::MAX);

    /// So many hundredths, 0 to 400,000.
    pub const fn percent(hundredths: u32) -> Part {
        Part(hundredths * 10_000)
    }

    /// 1 for the whole; infinite for never.
    pub fn fraction(self) -> f32 {
        if self == Part::NEVER { f32::INFINITY } else { self.0 as f32 / 1e6 }
    }

    /// This part of something.
    pub fn of(self, whole: u64) -> u64 {
        u64::try_from(u128::from(whole) * u128::from(self.0) / 1_000_000).unwrap_or(u64::MAX)
    }
}

/// One level: its marks, of which one reached is enough, and its measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LevelRules {
    /// Marks, against what is felt (see [`Pressure`](super::Pressure)).
    pub busy: Part,
    pub dropped: Part,
    pub queue: Part,
    pub delay: Duration,
    pub in_flight: Part,
    pub memory: Part,
    /// What everybody may use, of his share; 1 % to 10,000 %.
    pub share: Part,
    /// What all strangers together may ask, of [`Limits::stranger_rate`]; of no meaning under watch.
    pub strangers: Part,
    /// The ration for the strangers of a network, of [`Limits::ration`]; of no meaning under watch.
    pub ration: Part,
    /// How long a connection may idle, of the usual time.
    pub tcp_idle: Part,
}

/// The levels above open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Levels {
    pub watch: LevelRules,
    pub guard: LevelRules,
    pub closed: LevelRules,
}

impl Default for Levels {
    fn default() -> Levels {
        let percent = Part::percent;
        let watch = LevelRules {
            busy: percent(75),
            dropped: Part(100),
            queue: percent(50),
            delay: Duration::from_millis(20),
            in_flight: percent(50),
            memory: percent(90),
            share: percent(400),
            strangers: Part::WHOLE,
            ration: Part::WHOLE,
            tcp_idle: Part::WHOLE,
        };
        let guard = LevelRules {
            busy: percent(95),
            dropped: percent(1),
            queue: percent(80),
            delay: Duration::from_millis(50),
            in_flight: percent(75),
            memory: percent(95),
            share: percent(100),
            strangers: percent(100),
            // Who was served in peace does not pay for what is forged beside him.
            ration: Part(125_000),
            tcp_idle: percent(25),
        };
        let closed = LevelRules {
            // Being busy alone closes nothing, since it costs nobody an answer; nor does a queue that is not overrun.
            busy: Part::NEVER,
            dropped: percent(20),
            queue: Part::NEVER,
            delay: Duration::from_secs(1),
            in_flight: percent(95),
            memory: percent(98),
            share: percent(50),
            strangers: percent(10),
            ration: Part(125_000),
            tcp_idle: Part(62_500),
        };
        Levels { watch, guard, closed }
    }
}

impl Levels {
    /// What holds at a level; nothing at open.
    pub fn at(&self, level: Level) -> Option<&LevelRules> {
        match level {
            Level::Open => None,
            Level::Watch => Some(&self.watch),
            Level::Guard => Some(&self.guard),
            Level::Closed => Some(&self.closed),
        }
    }

    /// Something of each, upwards.
    pub(super) fn each<T>(&self, what: impl Fn(&LevelRules) -> T) -> [T; 3] {
        [&self.watch, &self.guard, &self.closed].map(what)
    }

    /// The same with open, which has what watch has: accounts are kept there for when they will be needed.
    pub(super) fn all<T>(&self, what: impl Fn(&LevelRules) -> T) -> [T; 4] {
        [&self.watch, &self.watch, &self.guard, &self.closed].map(what)
    }
}

/// What a door does at each level, worked out beforehand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measures {
    /// What a question of a stranger costs in the account of all strangers, in nanoseconds of it.
    pub stranger_price: [u64; 4],
    /// Octets a second to the strangers of a network.
    pub stranger_ration: [u64; 4],
    pub tcp_idle: [Part; 4],
}

impl Measures {
    pub fn new(limits: &Limits) -> Measures {
        let levels = &limits.levels;
        let [watch, guard, closed] = levels.each(|level| level.tcp_idle);
        Measures {
            stranger_price: levels.all(|level| {
                // Of nothing no part is one.
                let rate = level.strangers.of(u64::from(limits.stranger_rate)).max(u64::from(limits.stranger_rate > 0));
                1_000_000_000_u64.checked_div(rate).unwrap_or(u64::MAX)
            }),
            stranger_ration: levels.all(|level| level.ration.of(limits.ration)),
            tcp_idle: [Part::WHOLE, watch, guard, closed],
        }
    }
}

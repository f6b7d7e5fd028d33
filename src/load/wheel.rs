//! Deadlines of many questions: put in and taken out without sorting.

/// A tick, in nanoseconds.
const TICK: u64 = 2_000_000;
/// Ticks in a turn of the wheel.
const TICKS: usize = 8192;

/// Something that has a deadline.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tick: u64,
    key: u64,
}

/// Deadlines within a tick of the truth, never early.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<Entry>>,
    /// The next tick to be looked at.
    next: u64,
    len: usize,
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel { slots: vec![Vec::new(); TICKS], next: 0, len: 0 }
    }
}

impl Wheel {
    /// Adds a deadline, in nanoseconds since the start.
    pub fn add(&mut self, deadline: u64, key: u64) {
        let tick = (deadline.div_ceil(TICK)).max(self.next);
        self.slots[(tick % TICKS as u64) as usize].push(Entry { tick, key });
        self.len += 1;
    }

    /// Moves the keys whose deadline has passed to `out`.
    pub fn expire(&mut self, now: u64, out: &mut Vec<u64>) {
        let current = now / TICK;
        while self.next <= current {
            if self.len == 0 {
                self.next = current + 1;
                return;
            }
            let (tick, before) = (self.next, out.len());
            let slot = &mut self.slots[(tick % TICKS as u64) as usize];
            slot.retain(|entry| {
                if entry.tick <= tick {
                    out.push(entry.key);
                }
                entry.tick > tick
            });
            self.len -= out.len() - before;
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_their_time_even_beyond_a_turn() {
        let mut wheel = Wheel::default();
        let deadlines = [1, 5_000_000, 40_000_000_000, 16_384_000_000, 2_000_000];
        for (key, deadline) in deadlines.iter().enumerate() {
            wheel.add(*deadline, key as u64);
        }
        let (mut out, mut seen) = (Vec::new(), Vec::new());
        for step in 0..42_000u64 {
            let now = step * 1_000_000;
            wheel.expire(now, &mut out);
            seen.extend(out.drain(..).map(|key| (key, now)));
        }
        assert_eq!(wheel.len, 0);
        for (key, now) in &seen {
            let deadline = deadlines[*key as usize];
            assert!((deadline..deadline + 2 * TICK + 1_000_000).contains(now), "{key} at {now}");
        }
        assert_eq!(seen.len(), deadlines.len());
    }
}

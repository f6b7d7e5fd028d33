//! Waiting for packets without the runtime, while many come: asking the runtime to wait costs as much as answering several
//! questions from the cache. The runtime has its turn every millisecond all the same.

use std::io;
use std::time::Duration;

use crate::clock::Moment;
use crate::listener::Socket;
use crate::net::epoll::Epoll;
use crate::upstream::Upstream;

/// The runtime, and all that waits for it (connections, timers, orders), has its turn as often as this while packets come.
const VISIT: Duration = Duration::from_millis(1);
/// The same where they stop coming all at once. A shorter time would be the next that the processor has to be woken for, and
/// setting that anew for each packet costs as much as a packet; so it is only where the runtime has something to wait for.
const SILENCE: Duration = Duration::from_millis(20);
/// So many packets a second are many: the next one is there soon.
const MANY: u64 = 10_000;
/// Sockets that can be watched here; with more there is no lookout.
const MOST: usize = 63;
/// The bit of what servers say.
const UPSTREAM: u64 = 63;

/// Where most of what comes gets no answer, it is taken so seldom: nobody waits for silence, and being woken for each packet
/// costs more than refusing it. Who is served waits as much longer, which is less than his own line takes.
const PAUSE: Duration = Duration::from_micros(60);

/// Watches the sockets of a shard.
pub struct Lookout {
    /// None where it cannot be had: the runtime waits then.
    epoll: Option<Epoll>,
    /// What is ready, a bit each.
    ready: u64,
    pulse: Pulse,
}

/// How packets come: what to wait for follows from it.
#[derive(Debug)]
struct Pulse {
    /// When counting began, the packets since then, and how many of them got no answer.
    since: Moment,
    received: u64,
    silent: u64,
    /// When the last turn ended.
    ended: Moment,
    /// They were many the last time, and most of them got none.
    many: bool,
    flood: bool,
    /// When the runtime has had its turn, and whether it is having it.
    visited: Moment,
    away: bool,
}

/// What to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    /// Whatever there is, in the runtime.
    Runtime,
    /// The next packet, so long.
    Packet(Duration),
    /// A moment.
    Pause,
}

impl Pulse {
    fn new() -> Pulse {
        let (since, ended, visited) = (Moment::ZERO, Moment::ZERO, Moment::ZERO);
        Pulse { since, received: 0, silent: 0, ended, many: false, flood: false, visited, away: true }
    }

    fn begin(&mut self, now: Moment) {
        if std::mem::take(&mut self.away) {
            self.visited = now;
        }
    }

    fn end(&mut self, received: usize, silent: usize, now: Moment) {
        self.ended = now;
        self.received += received as u64;
        self.silent += silent as u64;
        let span = now.since(self.since);
        if span >= VISIT {
            self.many = u128::from(self.received) * 1_000_000_000 >= u128::from(MANY) * span.as_nanos();
            self.flood = self.many && 2 * self.silent > self.received;
            (self.since, self.received, self.silent) = (now, 0, 0);
        }
    }

    /// `others` is whether anything else may happen than packets.
    fn next(&self, others: bool) -> Wait {
        match self.many && self.ended.since(self.visited) < VISIT {
            false => Wait::Runtime,
            true if self.flood => Wait::Pause,
            true => Wait::Packet(if others { VISIT } else { SILENCE }),
        }
    }
}

impl Lookout {
    /// Over these sockets.
    pub fn new(sockets: &[Socket], upstream: &Upstream) -> Lookout {
        let epoll = if sockets.len() <= MOST { watch(sockets, upstream).ok() } else { None };
        Lookout { epoll, ready: 0, pulse: Pulse::new() }
    }

    /// A turn begins.
    pub fn begin(&mut self, now: Moment) {
        self.pulse.begin(now);
    }

    /// A turn has ended in which so many packets came, of which so many got no answer.
    pub fn end(&mut self, received: usize, silent: usize, now: Moment) {
        self.ready = 0;
        self.pulse.end(received, silent, now);
    }

    /// Waits for packets, if that is better done here. False: let the runtime have its turn. `others` is whether anything
    /// else may happen than packets on these sockets: connections are open, or questions under way.
    pub fn stay(&mut self, others: bool) -> bool {
        let Some(epoll) = &mut self.epoll else { return false };
        match self.pulse.next(others) {
            Wait::Runtime => return false,
            Wait::Packet(longest) => {
                let count = epoll.wait(longest).unwrap_or(0);
                self.ready = (0..count).filter_map(|index| epoll.token(index)).fold(0, |all, token| all | 1 << token);
            }
            Wait::Pause => {
                std::thread::sleep(PAUSE);
                // Looked at without asking: there is something.
                self.ready = u64::MAX;
            }
        }
        self.ready != 0
    }

    /// The runtime has its turn now.
    pub fn leave(&mut self) {
        self.pulse.away = true;
    }

    /// Whether the socket of this number was seen to have something.
    pub fn sees(&self, socket: usize) -> bool {
        self.ready >> (socket as u64 & UPSTREAM) & 1 == 1
    }

    /// Whether a server was seen to have said something.
    pub fn sees_upstream(&self) -> bool {
        self.sees(UPSTREAM as usize)
    }
}

fn watch(sockets: &[Socket], upstream: &Upstream) -> io::Result<Epoll> {
    let epoll = Epoll::new()?;
    for (socket, token) in sockets.iter().zip(0..) {
        epoll.add(socket.descriptor(), token)?;
    }
    epoll.add(upstream.descriptor(), UPSTREAM)?;
    Ok(epoll)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Moment {
        Moment::from_nanos(1_000_000_000 + micros * 1_000)
    }

    /// What is waited for after turns of `received` packets each, `silent` of which got no answer, every 50 µs for 3 ms.
    fn after(received: usize, silent: usize, others: bool) -> Wait {
        let mut pulse = Pulse::new();
        for turn in 0..60 {
            pulse.begin(at(turn * 50));
            pulse.end(received, silent, at(turn * 50));
            if pulse.next(others) == Wait::Runtime {
                pulse.away = true;
            }
        }
        pulse.begin(at(3_000));
        pulse.end(received, silent, at(3_010));
        pulse.next(others)
    }

    #[test]
    fn a_flood_that_is_refused_is_taken_a_few_at_a_time_and_answers_as_they_come() {
        assert_eq!(after(0, 0, false), Wait::Runtime);
        assert_eq!(after(8, 0, false), Wait::Packet(SILENCE), "160,000 a second, all answered");
        assert_eq!(after(8, 4, false), Wait::Packet(SILENCE), "half of them are");
        assert_eq!(after(8, 7, false), Wait::Pause);
    }

    #[test]
    fn after_a_burst_connections_and_timers_are_no_more_than_a_millisecond_late() {
        for silent in 0..=8 {
            let longest = match after(8, silent, true) {
                Wait::Packet(longest) => longest,
                Wait::Pause => PAUSE,
                Wait::Runtime => Duration::ZERO,
            };
            assert!(longest <= Duration::from_millis(1), "{longest:?} with {silent} silent");
        }
    }

    #[test]
    fn the_runtime_has_its_turn_every_millisecond() {
        for silent in [0, 8] {
            let mut pulse = Pulse::new();
            let mut turns = Vec::new();
            for turn in 0..400 {
                let now = at(turn * 50);
                pulse.begin(now);
                pulse.end(8, silent, now);
                if pulse.next(false) == Wait::Runtime {
                    turns.push(turn);
                    pulse.away = true;
                }
            }
            let most = turns.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(most.is_some_and(|most| most <= 21), "{silent} silent: {turns:?}");
        }
    }
}

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
/// setting that anew for each packet costs as much as a packet.
const SILENCE: Duration = Duration::from_millis(20);
/// So many packets a second are many: the next one is there soon.
const MANY: u64 = 10_000;
/// Sockets that can be watched here; with more there is no lookout.
const MOST: usize = 63;
/// The bit of what servers say.
const UPSTREAM: u64 = 63;

/// Watches the sockets of a shard.
pub struct Lookout {
    /// None where it cannot be had: the runtime waits then.
    epoll: Option<Epoll>,
    /// What is ready, a bit each.
    ready: u64,
    /// When counting began, and the packets since then.
    since: Moment,
    received: u64,
    /// When the last turn ended.
    ended: Moment,
    /// They were many the last time.
    many: bool,
    /// When the runtime has had its turn, and whether it is having it.
    visited: Moment,
    away: bool,
}

impl Lookout {
    /// Over these sockets.
    pub fn new(sockets: &[Socket], upstream: &Upstream) -> Lookout {
        let epoll = if sockets.len() <= MOST { watch(sockets, upstream).ok() } else { None };
        let (since, ended, visited) = (Moment::ZERO, Moment::ZERO, Moment::ZERO);
        Lookout { epoll, ready: 0, since, received: 0, ended, many: false, visited, away: true }
    }

    /// A turn begins.
    pub fn begin(&mut self, now: Moment) {
        if std::mem::take(&mut self.away) {
            self.visited = now;
        }
    }

    /// A turn in which so many packets came has ended.
    pub fn end(&mut self, received: usize, now: Moment) {
        (self.ready, self.ended) = (0, now);
        self.received += received as u64;
        let span = now.since(self.since);
        if span >= VISIT {
            self.many = u128::from(self.received) * 1_000_000_000 >= u128::from(MANY) * span.as_nanos();
            (self.since, self.received) = (now, 0);
        }
    }

    /// Waits for packets, if that is better done here. False: let the runtime have its turn.
    pub fn stay(&mut self) -> bool {
        let staying = self.many && self.ended.since(self.visited) < VISIT;
        if let Some(epoll) = self.epoll.as_mut().filter(|_| staying) {
            let count = epoll.wait(SILENCE).unwrap_or(0);
            self.ready = (0..count).filter_map(|index| epoll.token(index)).fold(0, |all, token| all | 1 << token);
        }
        self.ready != 0
    }

    /// The runtime has its turn now.
    pub fn leave(&mut self) {
        self.away = true;
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

//! Which core each shard runs on: `[server] pin`.

use std::io;
use std::os::fd::AsFd;

use tracing::warn;

use crate::config::Pin;
use crate::listener::Doors;
use crate::net::cores;
use crate::net::socket::prefer_core;

/// A shard's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    core: usize,
    /// Packets that the kernel takes in on this core are for this shard.
    steered: bool,
}

/// A place for each of so many shards among the cores this process may use, in turns; none where they are not pinned.
pub fn seats(pin: Pin, workers: usize) -> Vec<Option<Seat>> {
    let cores = cores::allowed();
    let steered = match pin {
        Pin::Off => return vec![None; workers],
        Pin::Cores => false,
        Pin::Queues => true,
    };
    if cores.is_empty() {
        warn!("the kernel does not say which cores there are: shards are not pinned ([server] pin)");
    }
    (0..workers).map(|number| Some(Seat { core: *cores.get(number % cores.len().max(1))?, steered })).collect()
}

impl Seat {
    /// Takes the calling thread there, and the packets that belong there to `doors`. Everything works without.
    pub fn take(self, number: usize, doors: &Doors) {
        let Seat { core, steered } = self;
        if let Err(error) = cores::stay_on(core) {
            warn!("the kernel does not let shard {number} stay on core {core} ([server] pin): {error}");
            return;
        }
        if !steered {
            return;
        }
        let udp = doors.udp.iter().map(|socket| prefer_core(socket.as_fd(), core));
        let tcp = doors.tcp.iter().map(|socket| prefer_core(socket.as_fd(), core));
        if let Err(error) = udp.chain(tcp).collect::<io::Result<()>>() {
            warn!("the kernel does not steer packets to shard {number} on core {core} ([server] pin): {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_take_the_cores_in_turns() {
        let cores = cores::allowed();
        let taken = seats(Pin::Queues, cores.len() + 1);
        let expected = cores.iter().chain(cores.first()).map(|&core| Some(Seat { core, steered: true }));
        assert_eq!(taken, expected.collect::<Vec<_>>());
        assert_eq!(seats(Pin::Off, 2), [None, None]);
    }
}

//! Times in which this machine stood still: a core did not run a thread that goes before the others although it was due.
//! A virtual machine whose host is busy, and a group of processes that has used up its share, stand still like this, and a
//! query that meets such a time is late whatever the resolver does.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::net::{cores, limits};

/// How long a watcher sleeps: short beside the latencies that scenarios expect, and half a per cent of a core.
const NAP: Duration = Duration::from_millis(1);
/// What a watcher may oversleep before the core counts as still: more than timers and interrupts take.
const USUAL: Duration = Duration::from_micros(500);
/// The most cores that are watched.
const MOST_CORES: usize = 16;

/// A time in which a core stood still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stall {
    /// The earliest it can have begun, and its end.
    pub from: Instant,
    pub to: Instant,
}

/// Watchers of cores; they end when it is dropped.
#[derive(Debug)]
pub struct Stalls {
    found: Arc<Mutex<Vec<Stall>>>,
    stop: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<()>>,
}

impl Stalls {
    /// Watches the cores this process may use, the first 16 of them.
    pub fn watch() -> Stalls {
        let mut all = cores::allowed();
        all.truncate(MOST_CORES);
        Stalls::of(&all)
    }

    /// Watches some cores. One without a watcher, for want of a thread, counts as one that never stood still.
    pub fn of(watched: &[usize]) -> Stalls {
        let found: Arc<Mutex<Vec<Stall>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = |&core: &usize| {
            let (found, stop) = (Arc::clone(&found), Arc::clone(&stop));
            let watch = move || {
                limits::prefer_this_thread();
                if cores::stay_on(core).is_err() {
                    return;
                }
                while !stop.load(Relaxed) {
                    let from = Instant::now();
                    std::thread::sleep(NAP);
                    let stall = Stall { from, to: Instant::now() };
                    if !stall.length().is_zero() {
                        found.lock().unwrap_or_else(PoisonError::into_inner).push(stall);
                    }
                }
            };
            std::thread::Builder::new().name(format!("stalls-{core}")).spawn(watch).ok()
        };
        let watchers = watched.iter().filter_map(watcher).collect();
        Stalls { found, stop, watchers }
    }

    /// The times found since this was asked last, those of all cores together.
    pub fn take(&self) -> Vec<Stall> {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for watcher in self.watchers.drain(..) {
            let _ = watcher.join();
        }
    }
}

impl Stall {
    /// How long it was: it began at any time of the nap, half of one ago in the mean. Nothing for a nap of the usual length.
    pub fn length(&self) -> Duration {
        let over = (self.to - self.from).saturating_sub(NAP);
        if over > USUAL { over + NAP / 2 } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_too_long_stood_still() {
        let from = Instant::now();
        let slept = |nap: Duration| Stall { from, to: from + nap }.length();
        assert_eq!((slept(NAP), slept(NAP + USUAL)), (Duration::ZERO, Duration::ZERO));
        assert_eq!(slept(Duration::from_millis(12)), Duration::from_micros(11_500));
    }
}

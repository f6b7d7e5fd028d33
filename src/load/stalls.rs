//! Times in which this machine stood still: a core did not run a thread that goes before the others although it was due.
//! A virtual machine whose host is busy, and a group of processes that has used up its share, stand still like this, and a
//! query that meets such a time is late whatever the resolver does.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::net::{cores, limits};

/// How long a watcher sleeps: short beside the latencies that scenarios expect, and a quarter of a per cent of a core.
const NAP: Duration = Duration::from_millis(2);
/// What a watcher may oversleep before the core counts as still: more than timers and interrupts take.
const USUAL: Duration = Duration::from_millis(1);
/// The most cores that are watched.
const MOST_CORES: usize = 16;

/// Watchers of the cores this process may use; they end when it is dropped.
#[derive(Debug)]
pub struct Stalls {
    found: Arc<Mutex<Vec<Duration>>>,
    stop: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<()>>,
}

impl Stalls {
    /// Begins to watch. A core without a watcher, for want of a thread, counts as one that never stood still.
    pub fn watch() -> Stalls {
        let found: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = |core: usize| {
            let (found, stop) = (Arc::clone(&found), Arc::clone(&stop));
            let watch = move || {
                limits::prefer_this_thread();
                if cores::stay_on(core).is_err() {
                    return;
                }
                while !stop.load(Relaxed) {
                    let before = Instant::now();
                    std::thread::sleep(NAP);
                    if let Some(length) = stood_still(before.elapsed()) {
                        found.lock().unwrap_or_else(PoisonError::into_inner).push(length);
                    }
                }
            };
            std::thread::Builder::new().name(format!("stalls-{core}")).spawn(watch).ok()
        };
        let watchers = cores::allowed().into_iter().take(MOST_CORES).filter_map(watcher).collect();
        Stalls { found, stop, watchers }
    }

    /// The times found since this was asked last, those of all cores together.
    pub fn take(&self) -> Vec<Duration> {
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

/// How long a core stood still that let a watcher sleep so long: it began at any time of the nap, half of one ago in the
/// mean.
fn stood_still(slept: Duration) -> Option<Duration> {
    let over = slept.saturating_sub(NAP);
    (over > USUAL).then_some(over + NAP / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_too_long_stood_still() {
        assert_eq!(stood_still(NAP), None);
        assert_eq!(stood_still(NAP + USUAL), None);
        assert_eq!(stood_still(Duration::from_millis(12)), Some(Duration::from_millis(11)));
    }
}

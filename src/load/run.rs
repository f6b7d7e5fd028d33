//! A run under way: its threads, and how it is bounded.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::cap::Cap;
use super::feed::{Feed, Popular};
use super::ledger::Ledger;
use super::own::Own;
use super::scenario::{Scenario, Stream, Traffic};
use super::sender::{Loop, Manners, Work};
use super::streams;
use crate::clock::Moment;

/// Whom a run may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permit {
    target: SocketAddr,
    /// Packets a second at most.
    cap: Option<u32>,
    /// What is sent leaves this machine.
    leaves: bool,
}

/// Why nobody is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The target is not on this machine, and nobody said that it is theirs.
    NotYours(SocketAddr),
    /// It was said, of another address.
    Other { target: SocketAddr, owned: IpAddr },
    /// There is no bound on the rate.
    NoCap(SocketAddr),
    /// The address stands for many, or for nobody.
    Many(IpAddr),
    /// This network was to have no way out, and has one.
    NotEnclosed,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NotYours(target) => write!(
                f,
                "{target} is not on this machine; sending it load may be a crime. If it is yours, say \
                 --i-own-this-target {} and --rate-cap QUERIES-A-SECOND",
                target.ip()
            ),
            Refusal::Other { target, owned } => {
                write!(f, "the target is {}, --i-own-this-target says {owned}", target.ip())
            }
            Refusal::NoCap(target) => write!(f, "{target} is not on this machine: --rate-cap has to bound the rate"),
            Refusal::Many(ip) => {
                write!(f, "{ip} is no address of one machine (multicast, broadcast, or unspecified): nobody can own it")
            }
            Refusal::NotEnclosed => write!(f, "this is no network of its own: it has other interfaces than loopback"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Permit {
    /// The right to ask this machine's loopback, or an address that the user says is theirs, at a bounded rate. There is
    /// no other way to ask anyone but [`enclosed`](Self::enclosed).
    ///
    /// # Errors
    /// The target is neither.
    pub fn new(target: SocketAddr, owned: Option<IpAddr>, cap: Option<u32>) -> Result<Permit, Refusal> {
        if target.ip().is_loopback() {
            return Ok(Permit { target, cap, leaves: false });
        }
        if Own::read().is_shared(target.ip()) {
            return Err(Refusal::Many(target.ip()));
        }
        match owned {
            None => Err(Refusal::NotYours(target)),
            Some(owned) if owned != target.ip() => Err(Refusal::Other { target, owned }),
            Some(_) if cap.is_none() => Err(Refusal::NoCap(target)),
            Some(_) => Ok(Permit { target, cap, leaves: true }),
        }
    }

    /// The right to ask anyone in a network of which loopback is the only interface, so that nothing can leave it.
    ///
    /// # Errors
    /// This network has others.
    pub fn enclosed(target: SocketAddr, cap: Option<u32>) -> Result<Permit, Refusal> {
        if is_enclosed() { Ok(Permit { target, cap, leaves: false }) } else { Err(Refusal::NotEnclosed) }
    }

    /// Who is asked.
    pub fn target(&self) -> SocketAddr {
        self.target
    }

    /// Whether what is sent leaves this machine: it must come from an address of its own then ([`Own`]).
    pub fn leaves(&self) -> bool {
        self.leaves
    }
}

/// Whether loopback is the only interface of this process's network, so that nothing can leave it.
pub fn is_enclosed() -> bool {
    let text = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let mut names = text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.next() == Some("lo") && names.next().is_none()
}

/// A run under way. It ends by itself, or when it is dropped.
pub struct Run {
    ledger: Arc<Mutex<Ledger>>,
    /// Streams with a loop of their own, and its counts.
    apart: Vec<(usize, Arc<Mutex<Ledger>>)>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    start: Moment,
}

/// How a stream of a scenario treats its questions.
pub fn manners(stream: &Stream) -> Manners {
    Manners {
        retry: stream.retry.clone(),
        timeout: stream.timeout,
        follow_truncation: stream.follow_truncation,
        cookies: stream.cookies,
        best_effort: stream.best_effort,
        holds: match &stream.traffic {
            Traffic::Connections { kind, hold, at_once, .. } => Some((*kind, *hold, *at_once)),
            _ => None,
        },
    }
}

fn named(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.to_owned())
}

fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a loop on a thread of its own, which waits to be told when to start: its buffers stay on the thread they were
/// made on.
fn prepare(work: Work, threads: &mut Vec<JoinHandle<()>>) -> io::Result<Sender<Moment>> {
    let (tell, told) = channel();
    let (go, gone) = channel();
    threads.push(named("load-udp").spawn(move || match Loop::new(work) {
        Ok(sending) => {
            let _ = tell.send(Ok(()));
            if let Ok(start) = gone.recv() {
                sending.run(start);
            }
        }
        Err(error) => drop(tell.send(Err(error))),
    })?);
    told.recv().map_err(|_| io::Error::other("the sending thread ended"))??;
    Ok(go)
}

impl Run {
    /// Begins a scenario. `popular` are the sites that streams may name as such.
    pub fn start(scenario: &Scenario, permit: Permit, popular: &[Popular]) -> io::Result<Run> {
        let target = permit.target.ip();
        let feed = |s: &Stream| Feed::generated(s, scenario.duration, scenario.seed, popular, target);
        let feeds = scenario.streams.iter().map(|stream| (feed(stream), manners(stream))).collect();
        Run::feeds(feeds, permit, scenario.most, scenario.late_after)
    }

    /// Begins to send what feeds have.
    pub fn feeds(mut feeds: Vec<(Feed, Manners)>, permit: Permit, most: u64, late_after: Duration) -> io::Result<Run> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicU64::new(0));
        let (jobs, waiting) = streams::channel();
        let target = permit.target;
        let cap = permit.cap.map(|most| Arc::new(Cap::new(most)));
        let count = feeds.len();
        let own = permit.leaves.then(|| Arc::new(Own::read()));
        let work = |feeds: Vec<(Feed, Manners)>, preferred: bool| {
            let ledger = Arc::new(Mutex::new(Ledger::new(count)));
            let (asked, stop, jobs, cap) = (Arc::clone(&asked), Arc::clone(&stop), jobs.clone(), cap.clone());
            let own = own.clone();
            Work { target, feeds, late_after, most, asked, preferred, cap, own, ledger, stop, jobs }
        };
        // As fast as it goes without taking time from the others.
        let mut works = Vec::new();
        for stream in 0..count {
            if !feeds[stream].1.best_effort {
                continue;
            }
            let nothing = |(_, manners): &(Feed, Manners)| (Feed::none(), manners.clone());
            let mut own: Vec<(Feed, Manners)> = feeds.iter().map(nothing).collect();
            std::mem::swap(&mut own[stream].0, &mut feeds[stream].0);
            works.push((stream, work(own, false)));
        }
        let apart = works.iter().map(|(stream, work)| (*stream, Arc::clone(&work.ledger))).collect();
        let main = work(feeds, true);
        drop(jobs);
        let ledger = Arc::clone(&main.ledger);
        let mut threads = Vec::new();
        let mut ready = Vec::new();
        for work in std::iter::once(main).chain(works.into_iter().map(|(_, work)| work)) {
            ready.push(prepare(work, &mut threads)?);
        }
        let start = crate::net::clock::read(false).mono + Duration::from_millis(20);
        let (shared, stopped, cap) = (Arc::clone(&ledger), Arc::clone(&stop), cap.clone());
        threads.push(named("load-tcp").spawn(move || {
            if let Err(error) = streams::work(target, start, waiting, Arc::clone(&shared), cap, &stopped) {
                let mut ledger = shared.lock().unwrap_or_else(PoisonError::into_inner);
                ledger.cut_short = Some(format!("no thread for TCP: {error}"));
            }
        })?);
        for go in ready {
            let _ = go.send(start);
        }
        Ok(Run { ledger, apart, stop, threads, start })
    }

    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        crate::net::clock::read(false).mono.since(self.start)
    }

    /// Looks at the counts so far.
    pub fn look<T>(&self, see: impl FnOnce(&Ledger) -> T) -> T {
        let apart: Vec<_> = self.apart.iter().map(|(stream, own)| (*stream, locked(own).clone())).collect();
        let mut ledger = locked(&self.ledger);
        for (stream, own) in apart {
            ledger.take_in(stream, own);
        }
        see(&ledger)
    }

    /// Whether all is asked and ended.
    pub fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends it, with the counts as they are then.
    pub fn finish(mut self) -> Ledger {
        let over = self.is_over();
        self.end();
        let mut ledger = self.counts();
        if !over && ledger.cut_short.is_none() {
            ledger.cut_short = Some("it was interrupted".to_owned());
        }
        ledger
    }

    /// Waits until all is asked and ended, which is bounded by the schedule and the streams' patience.
    pub fn complete(mut self) -> Ledger {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.counts()
    }

    /// The counts of all loops, which have ended.
    fn counts(&mut self) -> Ledger {
        let mut ledger = std::mem::take(&mut *locked(&self.ledger));
        for (stream, own) in &self.apart {
            let own = std::mem::take(&mut *locked(own));
            ledger.stray += own.stray;
            ledger.refused_by_kernel += own.refused_by_kernel;
            ledger.capped += own.capped;
            ledger.cut_short = ledger.cut_short.or(own.cut_short.clone());
            ledger.take_in(*stream, own);
        }
        ledger
    }

    fn end(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // How well it measures is seen in `validation`.

    #[test]
    fn nobody_else_is_asked_unless_it_is_said_twice() {
        let there: SocketAddr = "192.0.2.1:53".parse().unwrap();
        let (own, other) = (Some(there.ip()), Some(IpAddr::from([192, 0, 2, 2])));
        assert_eq!(Permit::new(there, None, Some(10)), Err(Refusal::NotYours(there)));
        assert!(matches!(Permit::new(there, other, Some(10)), Err(Refusal::Other { .. })));
        assert_eq!(Permit::new(there, own, None), Err(Refusal::NoCap(there)));
        assert!(Permit::new(there, own, Some(10)).is_ok());
        for here in ["127.0.0.1:53", "127.9.8.7:1", "[::1]:53"] {
            assert!(Permit::new(here.parse().unwrap(), None, None).is_ok());
        }
        for elsewhere in ["10.0.0.1:53", "[fd00::1]:53", "0.0.0.0:53", "[::ffff:127.0.0.1]:53", "128.0.0.1:53"] {
            assert!(Permit::new(elsewhere.parse().unwrap(), None, None).is_err(), "{elsewhere}");
        }
        for many in ["224.0.0.251:5353", "255.255.255.255:53", "[ff02::fb]:5353", "0.0.0.0:53", "[::]:53"] {
            let many: SocketAddr = many.parse().unwrap();
            assert_eq!(Permit::new(many, Some(many.ip()), Some(10)), Err(Refusal::Many(many.ip())));
        }
    }

    /// The kernel would let some leave, where it is told to (net.ipv6.ip_nonlocal_bind).
    #[test]
    fn what_leaves_comes_from_an_address_of_this_machine() {
        use crate::load::feed::{Pace, Recorded};
        use crate::load::moved::Moves;
        let here = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (forged, own) = (IpAddr::from([127, 9, 9, 9]), IpAddr::from([127, 0, 0, 1]));
        let of = |client| Recorded { at: Duration::ZERO, client: Some(client), tcp: false, packet: [0; 12].into() };
        let queries = Arc::new(vec![of(forged), of(own), of(forged)]);
        let moves = Arc::new(Moves::new([forged, own].into_iter(), |_| true, None, 1));
        let pace = Pace { speed: 1.0, rounds: 1, copies: 1, moves };
        let timeout = Duration::from_millis(50);
        let manners = Manners { timeout, ..Manners::default() };
        let permit = Permit { target: here.local_addr().unwrap(), cap: None, leaves: true };
        let feeds = vec![(Feed::recorded(queries, pace), manners)];
        let ledger = Run::feeds(feeds, permit, 100, Duration::from_secs(9)).unwrap().complete();
        let second = &ledger.accounts[0].seconds[0];
        assert_eq!((second.asked, second.unsent, second.packets), (3, 2, 1));
    }
}

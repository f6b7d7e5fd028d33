//! The running program: shards, signals, logging.
//!
//! [`run`] is `maeslant serve`: it stays until a signal ends it. [`start`] is the same server inside
//! another program, a test or the lab, with a [`Handle`] to end it by.

mod anchors;
mod descriptors;
mod error;
mod headroom;
mod logging;
mod lookout;
mod notices;
mod once;
mod orders;
mod overflow;
mod reload;
mod sample;
mod seat;
mod shard;
mod sieve;
mod snapshot;
mod strain;
mod supervision;

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

pub use error::{Error, Exit};
pub use logging::{init as init_logging, warn_of};
pub use once::{Resolved, Verdict, resolve_once};

use crate::admission::Sizes;
use crate::config::{CacheClock, Settings};
use crate::control::{self, Told};
use crate::engine::{Rules, Shared};
use crate::listener::{self, Bound, Caps, Counters};
use crate::net::clock;
use crate::net::socket::{RECEIVE_BUFFER, can_bind, receive_buffer};
use headroom::Headroom;
use notices::Notices;
pub use reload::Reloaded;
use reload::Reloader;
use shard::{Shard, Site};
use supervision::Ledger;

/// How long shards may take to begin, which is opening a handful of descriptors each.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long shards may take to end. They finish what is in flight for [`shard::DRAIN_LIMIT`]; after
/// this they are left behind, so that the process is gone within five seconds of the signal.
const STOP_LIMIT: Duration = Duration::from_millis(4_500);
/// How long writing the trust anchors and the last snapshot may take at the end, if the shards have used up the time.
const KEEP_LIMIT: Duration = Duration::from_millis(300);
/// How often is looked whether it is written.
const KEEP_LOOK: Duration = Duration::from_millis(5);
/// A shard's stack. Name-server addresses are resolved by recursion, a bounded one.
const STACK: usize = 8 << 20;

/// Serves until SIGTERM or SIGINT, which end it well: no new questions, those in flight are finished
/// for a few seconds. SIGHUP reads the configuration `file` again. An error has been logged when it comes back, and only its
/// [exit code](Error::exit) remains to be told.
pub fn run(settings: Settings, file: Option<PathBuf>) -> Result<(), Error> {
    if let Err(failure) = logging::init(&settings.log) {
        // There is no log to write it to.
        let _ = writeln!(io::stderr(), "{failure}");
        return Err(failure);
    }
    logging::log_panics();
    let served = serve(settings, file);
    if let Err(failure) = &served {
        error!("{failure}");
    }
    served
}

fn serve(settings: Settings, file: Option<PathBuf>) -> Result<(), Error> {
    let failed = |source| Error::System { doing: "setting up signals", source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        // Before anything answers: a signal that comes right after must find its handler.
        let mut signals = Signals::new().map_err(failed)?;
        let mut settings = settings;
        settings.snapshot.file = settings.snapshot.file.or_else(snapshot::default_path);
        let handle = start_from(settings, file)?;
        loop {
            tokio::select! {
                caught = signals.next() => match caught {
                    Caught::End(name) => {
                        info!("{name}: no more questions are taken, those in flight are finished");
                        break;
                    }
                    Caught::Reload => {
                        info!("SIGHUP: the configuration is read again");
                        let told = Arc::clone(&handle.told);
                        // A large one takes seconds, in which another signal may come.
                        drop(tokio::task::spawn_blocking(move || told.reload(false, clock::read(false).mono)));
                    }
                },
                failure = handle.failed() => return Err(failure),
            }
        }
        // Further signals change nothing: the end is near, and whoever started us through others may
        // well send each signal twice.
        handle.end().await
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

enum Caught {
    End(&'static str),
    Reload,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.terminate.recv() => Caught::End("SIGTERM"),
            _ = self.interrupt.recv() => Caught::End("SIGINT"),
            _ = self.hangup.recv() => Caught::Reload,
        }
    }
}

/// A running server.
pub struct Handle {
    addresses: Vec<SocketAddr>,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    ledger: Arc<Ledger>,
    threads: Vec<JoinHandle<()>>,
    /// Its file is there as long as this is.
    _control: Option<control::Socket>,
    /// The memory is watched as long as this is.
    _watching: mpsc::Sender<Infallible>,
    /// Keeps the trust anchors, until no shard follows them any more.
    keeper: Option<JoinHandle<()>>,
    snapshots: Option<snapshot::Keeper>,
    reloader: Arc<Reloader>,
    told: Arc<Told>,
}

/// Opens every address, starts every shard, and comes back when all of them answer. Does not touch
/// logging or signals.
pub fn start(settings: Settings) -> Result<Handle, Error> {
    start_from(settings, None)
}

/// As [`start`], with the configuration `file` to read again at a [reload](Handle::reload).
pub fn start_from(mut settings: Settings, file: Option<PathBuf>) -> Result<Handle, Error> {
    let written = settings.clone();
    let learned = anchors::begin(&mut settings)?;
    let workers = settings.workers.max(1);
    let Bound { addresses, shards } = listener::bind(&settings.listener.listen, workers).map_err(Error::Bind)?;
    let plan = descriptors::plan(&settings, workers, addresses.len());
    warn_of_shortcomings(&settings, &shards);

    let counters = Arc::new(Counters::default());
    let ledger = Arc::new(Ledger::default());
    let caps = Caps::new(
        plan.client_connections,
        settings.listener.tcp_connections_per_client,
        settings.listener.tcp_connections_per_prefix,
    );
    let sizes = Sizes::within(settings.limits_memory).learning(settings.learned_memory);
    let age_is_wall = settings.cache_clock == CacheClock::Wall;
    let path = settings.snapshot.file.clone().filter(|_| settings.snapshot.keep);
    let dnssec = &settings.engine.resolve.dnssec;
    let found = path.as_ref().and_then(|path| snapshot::find(path, dnssec, clock::read(age_is_wall)));
    // Whatever was kept is where its seed has put it.
    let table_seed = found.as_ref().map_or_else(seed, |found| Ok(found.seed))?;
    let shared = Shared::sized(&settings.cache, &sizes, workers, table_seed);
    if let Some(found) = found {
        found.take(&shared)?;
    }
    let (changes, rules) = watch::channel(Rules::from(Arc::new(settings.engine.clone())));
    let changes = Arc::new(changes);
    let reloader = Arc::new(Reloader::new(file, written, Arc::clone(&changes)));
    let seen = Arc::clone(&counters);
    let told = told(&shared, &settings, workers, &reloader).with_sockets(move || seen.snapshot().to_vec());
    let told = Arc::new(told);
    let control = match &settings.control_socket {
        None => None,
        Some(path) => Some(
            control::Socket::open(path, Arc::clone(&told))
                .map_err(|source| Error::Control { path: path.clone(), source })?,
        ),
    };
    let (mut follows, keeper) = learned.map(|state| state.keep(changes)).transpose()?.unzip();
    let snapshots = path.map(|path| {
        let policy = settings.snapshot.clone();
        snapshot::Keeper::begin(path, policy, table_seed, age_is_wall, shared.clone(), rules.clone(), &told)
    });
    let snapshots = snapshots.transpose()?;
    let notices = Arc::new(Notices::default());
    let headroom = Arc::new(Headroom::of(&settings));
    let (watching, goes_on) = mpsc::channel();
    let watched = Arc::clone(&headroom);
    begin_beside("headroom", move || watched.watch(&goes_on))?;
    let (stop, stopped) = watch::channel(false);

    let mut handle = Handle {
        addresses,
        counters: Arc::clone(&counters),
        stop,
        ledger,
        threads: Vec::new(),
        keeper,
        snapshots,
        reloader,
        told: Arc::clone(&told),
        _control: control,
        _watching: watching,
    };
    let seats = seat::seats(settings.pin, workers);
    for (number, (doors, seat)) in shards.into_iter().zip(seats).enumerate() {
        let site = Site {
            doors,
            seat,
            listener: settings.listener.clone(),
            upstream: plan.upstream(&settings.upstream),
            upstream_sockets: plan.upstream_sockets,
            caps: Arc::clone(&caps),
            counters: Arc::clone(&counters),
            age_is_wall,
            rules: rules.clone(),
            follows: follows.take(),
            shared: shared.clone(),
            engine_seed: seed()?,
            port_seed: seed()?,
            notices: Arc::clone(&notices),
            headroom: Arc::clone(&headroom),
            told: Arc::clone(&told),
            number,
            stop: stopped.clone(),
        };
        handle.threads.push(begin_shard(site, Arc::clone(&handle.ledger))?);
    }
    handle.ledger.wait_begun(workers, START_LIMIT)?;
    let listed: Vec<String> = handle.addresses.iter().map(SocketAddr::to_string).collect();
    info!(target: logging::SERVING, "ready: answering on {} (UDP and TCP), {workers} shards", listed.join(", "));
    Ok(handle)
}

/// What operators are told, and the reload they can ask for.
fn told(shared: &Shared, settings: &Settings, workers: usize, reloader: &Arc<Reloader>) -> Told {
    let began = clock::read(false).mono;
    let reloader = Arc::clone(reloader);
    let reload = move |only_try: bool| {
        let reloaded = if only_try { reloader.reload(true) } else { reloader.reload_and_log() };
        reloaded.map(|reloaded| reloaded.json())
    };
    Told::new(shared.clone(), settings.engine.access.clone(), workers, began).with_reload(reload)
}

fn begin_shard(site: Site, ledger: Arc<Ledger>) -> Result<JoinHandle<()>, Error> {
    let number = site.number;
    let body = move || {
        let book = Arc::clone(&ledger);
        supervision::watch(&ledger, number, || Shard::run(site, move || book.began()));
    };
    let thread = std::thread::Builder::new().name(format!("shard-{number}")).stack_size(STACK);
    thread.spawn(body).map_err(|source| Error::System { doing: "starting a shard", source })
}

/// Begins something beside the shards.
fn begin_beside(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map_err(|source| Error::System { doing: "starting a thread", source })
}

fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|source| Error::System { doing: "drawing random numbers", source: source.into() })?;
    Ok(seed)
}

/// Says what works, but not as well as it could.
fn warn_of_shortcomings(settings: &Settings, shards: &[listener::Doors]) {
    let granted = shards.iter().flat_map(|doors| &doors.udp).filter_map(|socket| receive_buffer(socket).ok()).min();
    if let Some(granted) = granted.filter(|granted| *granted < RECEIVE_BUFFER) {
        warn!(
            "the kernel grants {} KiB of receive buffer instead of {} KiB: bursts will lose packets; raise net.core.rmem_max",
            granted >> 10,
            RECEIVE_BUFFER >> 10
        );
    }
    for address in &settings.upstream.outgoing {
        match can_bind(*address) {
            Ok(()) => {}
            Err(error) if address.is_unspecified() => debug!("no server is asked from {address}: {error}"),
            Err(error) => warn!("no server can be asked from {address} ([resolver] outgoing): {error}"),
        }
    }
}

impl Handle {
    /// Where it answers, by UDP and TCP, with true ports, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What its listeners have seen.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Reads the configuration file again and takes what can be taken without a restart; only says what that would be if
    /// this is to `only_try` it.
    ///
    /// # Errors
    /// What is wrong with the file; nothing has changed then.
    pub fn reload(&self, only_try: bool) -> Result<Reloaded, String> {
        self.reloader.reload(only_try)
    }

    /// Takes no more questions, finishes those in flight for a few seconds, ends. Blocks until then.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.stop.send_replace(true);
        self.snapshots.iter_mut().for_each(snapshot::Keeper::finish);
        let ended = self.ledger.wait_ended(self.threads.len(), STOP_LIMIT);
        if ended.is_ok() {
            for thread in self.threads.drain(..) {
                // A panic inside has been caught and is in the ledger.
                let _ = thread.join();
            }
            // With the shard that fed it.
            let _ = self.keeper.take().map(JoinHandle::join);
            let _ = self.snapshots.take().map(snapshot::Keeper::join);
        }
        self.log_counters();
        ended
    }

    /// As [`shutdown`](Self::shutdown), for async callers.
    async fn end(mut self) -> Result<(), Error> {
        self.stop.send_replace(true);
        let begin = Instant::now();
        // While questions in flight are finished.
        self.snapshots.iter_mut().for_each(snapshot::Keeper::finish);
        if tokio::time::timeout(STOP_LIMIT, self.ledger.all_ended(self.threads.len())).await.is_err() {
            warn!("some shards did not end in time and are left behind");
        }
        // Until what was learned last is written, and whoever wrote it is gone; a disk that hangs is not waited for.
        let kept = async {
            while self.keeper.as_ref().is_some_and(|keeper| !keeper.is_finished())
                || self.snapshots.as_ref().is_some_and(|snapshots| !snapshots.is_finished())
            {
                tokio::time::sleep(KEEP_LOOK).await;
            }
        };
        let _ = tokio::time::timeout(KEEP_LIMIT.max(STOP_LIMIT.saturating_sub(begin.elapsed())), kept).await;
        self.log_counters();
        self.ledger.failure().map_or(Ok(()), Err)
    }

    /// Waits until a shard has failed, which ends the server.
    async fn failed(&self) -> Error {
        self.ledger.failed().await
    }

    fn log_counters(&self) {
        for (name, count) in self.counters.snapshot() {
            debug!("{name} {count}");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

#[cfg(test)]
mod tests;

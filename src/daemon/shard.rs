//! One shard: an engine, its sockets, and the loop that carries packets between them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};
use tracing::{debug, info};

use super::Error;
use super::anchors::Follows;
use super::headroom::Headroom;
use super::lookout::Lookout;
use super::notices::Notices;
use super::orders::{Order, Orders};
use super::overflow::Overflow;
use super::sample::Sample;
use super::seat::Seat;
use super::sieve::{Sieve, Window};
use super::strain::{Felt, Strain};
use crate::admission::{Door, Level, Pressure};
use crate::clock::{Moment, Now};
use crate::control::{Told, Word};
use crate::engine::{
    AskKey, Client, Disposition, Engine, Followed, LinkError, Route, Rules, Shared, Transmit, Transport,
};
use crate::listener::{self, Caps, Counters, Desk, Doors, Query, Socket, Terms};
use crate::net::batch::{BATCH, Receiver};
use crate::net::clock;
use crate::net::socket::Queue;
use crate::upstream::{self, Upstream};

/// Packets from servers taken in one turn at most.
const RESPONSES: usize = 256;
/// Queries of a batch that are read before the first of them is answered: what their answers lie in is on its way then. As
/// many as a processor can wait for at once.
const READ: usize = 16;
/// Queries from connections taken in one turn at most.
const STREAMED: usize = 128;
/// Sources that are thinned out are looked at this often, whatever arrives.
const SIFT: Duration = Duration::from_millis(100);
/// Busy for less of the time than this, a shard lets more through of those. A quarter more then stays below the mark of watch,
/// unless that was set lower, and nobody else notices.
const EASY: f32 = 0.5;
/// How long questions in flight may take to finish once no more are taken.
pub const DRAIN_LIMIT: Duration = Duration::from_millis(2_500);
/// How long connections may take to have the last replies written after that.
const PARTING: Duration = Duration::from_millis(200);

/// What a shard is made of.
pub struct Site {
    pub doors: Doors,
    /// Where its thread stays.
    pub seat: Option<Seat>,
    pub listener: listener::Policy,
    pub upstream: upstream::Policy,
    pub upstream_sockets: usize,
    pub caps: Arc<Caps>,
    pub counters: Arc<Counters>,
    pub age_is_wall: bool,
    /// What holds, and from time to time something else.
    pub rules: watch::Receiver<Rules>,
    /// Follows trust anchors.
    pub follows: Option<Follows>,
    pub shared: Shared,
    pub engine_seed: [u8; 32],
    pub port_seed: [u8; 32],
    pub notices: Arc<Notices>,
    pub headroom: Arc<Headroom>,
    /// Where it says how it is, and as which shard.
    pub told: Arc<Told>,
    pub number: usize,
    /// Becomes true when the shard must end.
    pub stop: watch::Receiver<bool>,
}

/// A running shard.
pub struct Shard {
    engine: Engine,
    upstream: Upstream,
    sockets: Vec<Socket>,
    batch: Receiver,
    desk: Rc<Desk>,
    counters: Arc<Counters>,
    notices: Arc<Notices>,
    headroom: Arc<Headroom>,
    /// Where what is seen of trust anchors goes, on the shard that follows them.
    seen: Option<mpsc::Sender<Followed>>,
    age_is_wall: bool,
    /// A response to a connection, while it is written.
    response: Vec<u8>,
    /// Asks that failed at once.
    failed: Vec<(AskKey, LinkError)>,
    alarm: Alarm,
    lookout: Lookout,
    strain: Strain,
    sieve: Sieve,
    /// While somebody is thinned out.
    overflow: Option<Overflow>,
    told: Arc<Told>,
    number: usize,
    /// How hard it is pressed, for its connections too.
    level: Rc<Cell<Level>>,
    /// The door of its connections; that of its questions is in the engine.
    connections: Rc<RefCell<Door>>,
}

impl Shard {
    /// Runs a shard on this thread until it is stopped. `began` is called when it answers.
    pub fn run(site: Site, began: impl FnOnce() + 'static) -> Result<(), Error> {
        let failed = |source| Error::System { doing: "starting a shard", source };
        // Before anything of its own is made: memory comes from the node of the core that touches it first.
        if let Some(seat) = site.seat {
            seat.take(site.number, &site.doors);
        }
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.map_err(failed)?;
        // A task, not the runtime's main future: waking that one costs a system call each time.
        let life = runtime.spawn_local(async move {
            let (stop, rules, leads) = (site.stop.clone(), site.rules.clone(), site.number == 0);
            let mut shard = Shard::new(site)?;
            // What is learned of the root is there for all.
            if leads {
                shard.engine.start(clock::read(shard.age_is_wall));
                Sample::begin(Arc::clone(&shard.told));
            }
            began();
            shard.serve(stop, rules).await;
            shard.drain().await;
            debug!("toward servers: {:?}", shard.upstream.counters());
            debug!("questions: {:?}", shard.engine.counters());
            io::Result::Ok(())
        });
        match runtime.block_on(life) {
            Ok(ended) => ended.map_err(failed),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => panic::resume_unwind(payload),
                Err(_) => Ok(()),
            },
        }
    }

    fn new(mut site: Site) -> io::Result<Shard> {
        let desk = Desk::new();
        let level = Rc::new(Cell::new(Level::Open));
        let rules = site.rules.borrow_and_update().clone();
        let connections = Rc::new(RefCell::new(Door::beside(&rules.policy.access, &site.shared.books)));
        let terms = Rc::new(Terms {
            policy: site.listener,
            desk: Rc::clone(&desk),
            caps: site.caps,
            counters: Arc::clone(&site.counters),
            door: Rc::clone(&connections),
            level: Rc::clone(&level),
            draining: site.stop,
        });
        for listener in site.doors.tcp {
            listener::accept(listener, Rc::clone(&terms))?;
        }
        let longest = rules.policy.respond.udp_payload_size;
        let mut engine = Engine::new(rules, site.shared, site.engine_seed);
        let seen = site.follows.map(|follows| {
            let now = clock::read(site.age_is_wall);
            follows.rollovers.into_iter().for_each(|rollover| engine.follow(now, rollover));
            follows.seen
        });
        let upstream = Upstream::new(&site.upstream, site.upstream_sockets, site.port_seed)?;
        let sockets: Vec<Socket> = site.doors.udp.into_iter().map(Socket::new).collect::<io::Result<_>>()?;
        sockets.iter().for_each(|socket| socket.expect(longest));
        Ok(Shard {
            engine,
            lookout: Lookout::new(&sockets, &upstream),
            upstream,
            sockets,
            batch: Receiver::new(),
            desk,
            counters: site.counters,
            notices: site.notices,
            headroom: site.headroom,
            seen,
            age_is_wall: site.age_is_wall,
            response: Vec::new(),
            failed: Vec::new(),
            alarm: Alarm::new(),
            strain: Strain::default(),
            sieve: Sieve::default(),
            overflow: None,
            told: site.told,
            number: site.number,
            level,
            connections,
        })
    }

    /// Turns until told to stop. While there is work, other tasks of this thread only have their
    /// turn between ours; without work all wait.
    async fn serve(&mut self, stop: watch::Receiver<bool>, rules: watch::Receiver<Rules>) {
        let mut orders = Orders::listen(stop, rules);
        loop {
            match orders.take() {
                Some(Order::Stop) => return,
                Some(Order::Follow(rules)) => {
                    self.connections.borrow_mut().set_policy(&rules.policy.access);
                    self.told.set_policy(&rules.policy.access);
                    self.sockets.iter().for_each(|socket| socket.expect(rules.policy.respond.udp_payload_size));
                    self.engine.set_rules(rules);
                }
                None => {}
            }
            let more = self.turn(true);
            if !more && self.lookout.stay(self.desk.connections() > 0 || self.engine.in_flight() > 0) {
                continue;
            }
            self.lookout.leave();
            if more {
                tokio::task::yield_now().await;
            } else {
                self.idle(Some(&orders), Moment::NEVER).await;
            }
        }
    }

    /// Finishes what is in flight, for a while.
    async fn drain(&mut self) {
        // What had arrived when the signal came is still taken, a batch from each socket.
        let mut more = self.turn(true);
        let end = clock::mono() + DRAIN_LIMIT;
        loop {
            if self.engine.counters().waiting == 0 && self.desk.connections() == 0 {
                return;
            }
            if clock::mono() >= end {
                return self.give_up().await;
            }
            if more {
                tokio::task::yield_now().await;
            } else {
                self.idle(None, end).await;
            }
            more = self.turn(false);
        }
    }

    /// Tells everybody who still waits that nothing will come, and lets that be written to connections.
    async fn give_up(&mut self) {
        let now = clock::read(self.age_is_wall);
        self.engine.give_up(now);
        self.transmit(now);
        for socket in &mut self.sockets {
            socket.flush(&self.counters);
        }
        let latest = Instant::now() + PARTING;
        while self.desk.connections() > 0 && Instant::now() < latest {
            sleep(PARTING / 50).await;
        }
    }

    /// Everything that can be done now, in bounded batches: what servers say comes first, so that a
    /// flood of questions does not starve the work in hand. True if there may be more to do.
    fn turn(&mut self, receiving: bool) -> bool {
        let now = clock::read(self.age_is_wall);
        self.lookout.begin(now.mono);
        self.feel(now);
        let mut more = self.take_responses(now);
        if self.engine.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.engine.handle_timeout(now);
        }
        self.upstream.handle_timeout(now.mono);
        self.transmit(now);
        let (mut received, mut silent) = (0, 0);
        if receiving {
            (received, silent) = self.take_datagrams(now, &mut more);
        }
        more |= self.take_streamed(now);
        self.transmit(now);
        for socket in &mut self.sockets {
            socket.flush(&self.counters);
        }
        while let Some(notice) = self.engine.poll_notice() {
            self.notices.log(now.mono, &notice);
        }
        while let Some(followed) = self.engine.poll_followed() {
            if let Some(seen) = &self.seen {
                // Whoever keeps them ends no sooner than this shard.
                let _ = seen.send(followed);
            }
        }
        let end = clock::mono();
        self.strain.note(now.mono, end);
        self.lookout.end(received, silent, end);
        // Resolutions that rested go on at once, and not when an alarm rings.
        more || self.engine.poll_timeout().is_some_and(|due| due <= end)
    }

    /// Tells the engine how hard this shard is pressed, and the operator when that changes.
    fn feel(&mut self, now: Now) {
        let sockets = &self.sockets;
        let (overflow, counters) = (&mut self.overflow, &self.counters);
        let lost = |missing, crammed| {
            if let Some(overflow) = overflow {
                return overflow.count(missing, crammed, counters);
            }
            counters.note_dropped(missing, 0);
            missing
        };
        let look = || queues(sockets);
        let Some(Felt { pressure, span }) = self.strain.take(now.mono, lost, clock::thread_cpu, look) else {
            return;
        };
        let ease =
            self.level.get() == Level::Open && !pressure.backlog && pressure.dropped == 0.0 && pressure.busy < EASY;
        let window = Window { now: now.mono, span, ease };
        let sifted = !self.sieve.is_empty();
        let thinned = match self.engine.may_filter() {
            true => self.sieve.sift(&self.engine.take_loud(), &self.engine.take_good_cookies(), window),
            false => self.sieve.clear(),
        };
        if let Some(thinned) = thinned {
            let refused = self.sockets.iter().filter_map(|socket| socket.thin_out(&thinned).err()).next();
            debug!("the kernel thins out {} sources: {:?}", thinned.len(), refused.as_ref().map_or(Ok(()), Err));
            if refused.is_some() {
                // What it drops is no longer on our word.
                self.sieve.clear();
            }
            self.engine.tell_good_cookies_of(self.sieve.sources());
            self.overflow = match self.sieve.is_empty() {
                true => None,
                false => self.overflow.take().or_else(|| {
                    let before = self.strain.missing(queues(&self.sockets).dropped);
                    Some(Overflow::begin(before, &self.counters))
                }),
            };
        }
        if sifted || !self.sieve.is_empty() {
            self.told.sifts(self.number, self.sieve.sifted());
        }
        let memory = self.headroom.part().max(Pressure::of_a_pool(self.desk.fullness()));
        let pressure = Pressure { memory, ..pressure };
        let level = self.engine.feel(now, pressure);
        self.tell();
        if level != self.level.get() {
            info!(
                "pressure {} after {}: busy {:.0} %, dropped by the kernel {:.1} %, queue {:.0} % full, longest turn {:?}, memory {:.0} %{}",
                level.name(),
                self.level.get().name(),
                pressure.busy * 100.0,
                pressure.dropped * 100.0,
                pressure.queue * 100.0,
                pressure.delay,
                pressure.memory * 100.0,
                if pressure.backlog { ", packets come faster than they are taken" } else { "" }
            );
            self.level.set(level);
        }
    }

    /// Says how it is, for whoever asks.
    fn tell(&self) {
        let (level, since) = self.engine.level();
        let mut counters = self.engine.counters();
        counters.door = counters.door.with(&self.connections.borrow().tally());
        self.told.say(self.number, Word { counters, level, since, cause: self.engine.cause() });
    }

    fn take_responses(&mut self, now: Now) -> bool {
        let engine = &mut self.engine;
        let seen = self.lookout.sees_upstream();
        self.upstream.receive(now.mono, seen, RESPONSES, |key, arrival| match arrival {
            Ok(packet) => engine.handle_response(now, key, packet),
            Err(error) => engine.handle_link_error(now, key, error),
        })
    }

    /// A batch of queries from each UDP socket; how many, and how many of them get no answer.
    fn take_datagrams(&mut self, now: Now, more: &mut bool) -> (usize, usize) {
        let (mut received, mut silent, mut full) = (0, 0, false);
        for (number, socket) in self.sockets.iter_mut().enumerate() {
            let count = socket.receive(&mut self.batch, self.lookout.sees(number), &self.counters);
            received += count;
            full |= count == BATCH;
            for start in (0..count).step_by(READ) {
                let mut arrived = SmallVec::<[_; READ]>::new();
                for index in start..count.min(start + READ) {
                    let Some(datagram) = self.batch.datagram(index) else {
                        self.counters.note_oversized();
                        continue;
                    };
                    let route = Route { socket: number as u64, local: datagram.local };
                    let client = Client { addr: datagram.from, transport: Transport::Udp, route };
                    self.sieve.saw(datagram.from.ip(), datagram.data);
                    arrived.push(self.engine.read(client, datagram.data));
                }
                arrived.iter_mut().for_each(|arrived| self.engine.find_out(arrived));
                arrived.iter().for_each(|arrived| self.engine.fetch(arrived));
                for arrived in &arrived {
                    let client = arrived.client();
                    match self.engine.handle_arrived(now, arrived, socket.reply()) {
                        Disposition::Answered => socket.commit(client.addr, client.route.local, &self.counters),
                        Disposition::Dropped(_) => silent += 1,
                        Disposition::Pending => {}
                    }
                }
            }
        }
        self.strain.received(received, full);
        *more |= full;
        (received, silent)
    }

    /// Queries that came by connections, and connections that went.
    fn take_streamed(&mut self, now: Now) -> bool {
        assert!(!self.desk.is_broken(), "a connection's task panicked");
        for _ in 0..STREAMED {
            let Some(Query { client, route, packet }) = self.desk.take() else {
                while let Some(route) = self.desk.take_gone() {
                    self.engine.handle_gone(route);
                }
                return false;
            };
            let client = Client { addr: client, transport: Transport::Tcp, route };
            match self.engine.handle_query(now, client, &packet, &mut self.response) {
                Disposition::Answered => self.desk.reply(route, &self.response),
                Disposition::Pending => {}
                Disposition::Dropped(reason) => {
                    if let Some(reason) = reason.closing() {
                        let (level, _) = self.engine.level();
                        self.connections.borrow_mut().note_closed(now.mono, client.addr.ip(), level, reason);
                    }
                    self.desk.hang_up(route);
                }
            }
        }
        true
    }

    /// Carries out what the engine wants sent, until it wants nothing more.
    fn transmit(&mut self, now: Now) {
        loop {
            while let Some(transmit) = self.engine.poll_transmit(now) {
                match transmit {
                    Transmit::Reply { client, packet } => self.reply(client, packet),
                    Transmit::Close { key } => self.upstream.close(now.mono, key),
                    Transmit::Ask { key, server, transport, packet } => {
                        if let Err(error) = self.upstream.ask(now.mono, key, server, transport, &packet) {
                            self.failed.push((key, error));
                        }
                    }
                }
            }
            if self.failed.is_empty() {
                return;
            }
            for (key, error) in self.failed.drain(..) {
                self.engine.handle_link_error(now, key, error);
            }
        }
    }

    fn reply(&mut self, client: Client, packet: Vec<u8>) {
        match client.transport {
            Transport::Tcp => self.desk.reply(client.route, &packet),
            Transport::Udp => {
                let socket = usize::try_from(client.route.socket).ok().and_then(|number| self.sockets.get_mut(number));
                if let Some(socket) = socket {
                    *socket.reply() = packet;
                    socket.commit(client.addr, client.route.local, &self.counters);
                }
            }
        }
    }

    /// Waits until there is something to do, or it is `latest`. Without orders to wait for, no queries are taken any more.
    async fn idle(&mut self, orders: Option<&Orders>, latest: Moment) {
        self.tell();
        let due = [self.engine.poll_timeout(), self.upstream.poll_timeout()];
        let mut due = due.into_iter().flatten().fold(latest, Moment::min);
        if !self.sieve.is_empty() {
            // Whoever is thinned out may be done, and hardly anything of it arrives to tell.
            due = due.min(clock::mono() + SIFT);
        }
        self.alarm.set(due);
        // Connections that close while nobody waits are news only to whoever waits for the end.
        let ending = orders.is_none() && self.engine.counters().waiting == 0;
        let (sockets, upstream, desk, alarm) = (&self.sockets, &mut self.upstream, &self.desk, &mut self.alarm);
        let work = poll_fn(|context| {
            let mut found = upstream.poll_ready(context).is_ready();
            found |= desk.poll_ready(context).is_ready();
            found |= alarm.poll_ringing(context).is_ready();
            found |= ending && desk.connections() == 0;
            if let Some(orders) = orders {
                found |= orders.poll_ready(context);
                for socket in sockets {
                    found |= socket.poll_ready(context).is_ready();
                }
            }
            if found { Poll::Ready(()) } else { Poll::Pending }
        });
        work.await;
    }
}

/// How full the fullest queue is, and what has been dropped from all.
fn queues(sockets: &[Socket]) -> Queue {
    sockets.iter().map(Socket::queue).fold(Queue::default(), |all, one| Queue {
        filled: all.filled.max(one.filled),
        dropped: all.dropped.wrapping_add(one.dropped),
    })
}

/// A timer that is set only to ring earlier: setting it costs a system call, and every question has
/// a deadline that is hardly ever reached. It may ring too early, never too late.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// `NEVER` while it is not set.
    rings: Moment,
    /// The task is woken when it rings.
    heard: bool,
}

impl Alarm {
    /// Beyond this there is nothing to tell from never.
    const FAR: Duration = Duration::from_secs(86_400);

    fn new() -> Alarm {
        Alarm { sleep: Box::pin(sleep(Alarm::FAR)), rings: Moment::NEVER, heard: false }
    }

    /// Has it ring at `due`, if it would not ring before.
    fn set(&mut self, due: Moment) {
        if due < self.rings {
            let wait = due.since(clock::mono()).min(Alarm::FAR);
            self.sleep.as_mut().reset(Instant::now() + wait);
            (self.rings, self.heard) = (due, false);
        }
    }

    /// Ready once after each time it was set.
    fn poll_ringing(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.rings == Moment::NEVER || self.heard && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        // It is always the same task that waits.
        if self.sleep.as_mut().poll(context).is_pending() {
            self.heard = true;
            return Poll::Pending;
        }
        self.rings = Moment::NEVER;
        Poll::Ready(())
    }
}

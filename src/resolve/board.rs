//! What a resolution awaits: replies and moments. The engine carries the packets and turns the clock.
//!
//! Resolutions are straight-line `async` code that awaits only what is here, polled by the engine
//! without a runtime. Dropping a resolution lets go of everything it was waiting for.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use chacha20::ChaCha12Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use crate::clock::{Moment, Now, UnixTime};
use crate::dnssec::Turn;
use crate::servers::{Claim, Cookie, Servers};
use crate::wire::{Message, Name, Rtype};

use super::exchange::Sent;
use super::failure::Limit;
use super::follow::Followed;

/// Names one packet to a server, from its sending until its end. Never reused within 2^32 asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct AskKey(pub u64);

/// How a server is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AskTransport {
    Udp,
    Tcp,
}

/// Why a packet to a server has no response, as the transport knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkError {
    /// ICMP port unreachable, or TCP refused.
    Refused,
    /// Network or host unreachable, as a router says.
    Unreachable,
    /// Nothing was sent: this machine has no route there, no address of that family, or a packet filter in the way.
    NoRoute,
    /// The connection ended before the response.
    Closed,
    /// No socket could be had: descriptors or ports are exhausted here.
    Exhausted,
}

/// A question to one server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ask {
    pub server: SocketAddr,
    /// The zone it is asked as a server of, as a number.
    pub zone: u64,
    pub name: Name,
    pub rtype: Rtype,
    pub transport: AskTransport,
    /// How often the asker has asked this before: a packet sent again is a new one, with an ID and a port
    /// of its own, not the one that was lost.
    pub attempt: u8,
    /// Without EDNS.
    pub plain: bool,
    /// With RD: to a forwarder.
    pub recurse: bool,
    /// The COOKIE option to send; empty for none.
    pub cookie: Cookie,
}

/// Hashes with a secret key: senders choose what is hashed.
#[derive(Clone, Copy, Debug)]
pub struct Keyed(u64, u64);

impl Keyed {
    /// With a key made of two fresh random numbers.
    pub fn new(first: u64, second: u64) -> Keyed {
        Keyed(first, second)
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A response that matches; octets, and when it came.
    Message(Rc<Message>, usize),
    /// Something with the wrong ID, name or cookie came instead: somebody may be forging.
    NearMiss,
    /// A response whose name has not the case that was sent.
    CaseMismatch,
    /// A response that cannot be read.
    Malformed,
    /// A datagram larger than was offered.
    Oversized,
    Link(LinkError),
}

/// A task of the engine, by its place and generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// What is wanted of a zone, whoever of its servers is asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Interest(u64, Name, Rtype);

impl Interest {
    fn of(ask: &Ask) -> Interest {
        Interest(ask.zone, ask.name.clone(), ask.rtype)
    }
}

pub(super) struct Slot {
    pub ask: Ask,
    pub sent: Option<Sent>,
    pub reply: Option<Reply>,
    pub replied_at: Moment,
    watchers: SmallVec<[TaskId; 2]>,
    holders: u32,
    /// Its server is taken to be at work on it.
    counts: bool,
}

/// The meeting place of resolutions and the engine.
pub struct Board {
    now: Now,
    /// What this turn may spend on cryptography.
    pub turn: Turn,
    /// The task being polled.
    pub running: TaskId,
    rng: ChaCha12Rng,
    slots: Vec<(u32, Option<Slot>)>,
    free: Vec<u32>,
    /// The latest ask for a name and type to any server of a zone.
    by_interest: HashMap<Interest, AskKey, Keyed>,
    outbox: VecDeque<AskKey>,
    closed: VecDeque<AskKey>,
    timers: BTreeSet<(Moment, TaskId)>,
    ready: VecDeque<TaskId>,
    in_flight: usize,
    pub counters: Counters,
    pub trace: Option<Vec<super::trace::Traced>>,
    pub notices: VecDeque<Notice>,
    pub followed: VecDeque<Followed>,
    pub(super) servers: Arc<Servers>,
}

/// What the operator is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Root priming has succeeded (RFC 9609).
    Primed { servers: usize },
    /// No root server has answered, after so many attempts. It goes on trying.
    RootUnreachable { tries: u32 },
    /// This machine has no way to any server of a family.
    NoRoute { ipv6: bool },
    /// The keys of a trust anchor's zone do not validate because of the time: this machine's clock, which says `at`, or
    /// the signature, is off by so many seconds. Positive: the signature has ended; negative: it has not begun.
    ClockOff { zone: Name, seconds: i64, at: UnixTime },
}

/// What happened on the way to servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub sent_udp: u64,
    pub sent_tcp: u64,
    /// Questions that joined an identical one on its way to a server of the zone.
    pub joined: u64,
    pub timeouts: u64,
    pub near_misses: u64,
    pub case_mismatches: u64,
    pub malformed: u64,
    /// Datagrams larger than was offered, which come in fragments (RFC 9715): asked again by TCP.
    pub oversized: u64,
    /// Answers of more records than are kept.
    pub excessive: u64,
    /// Servers asked by TCP because they answer others, but not this by UDP.
    pub last_by_tcp: u64,
    /// Packets for nobody: late, repeated, or forged.
    pub unexpected: u64,
    pub truncated: u64,
    pub lame: u64,
    pub links: u64,
    /// Questions that used up a budget, by [`Limit`].
    pub over_budget: [u64; Limit::COUNT],
    /// Zones whose name servers were not looked for, since that had been in vain a moment before.
    pub barren: u64,
    /// Validations that went on in the next turn, because their work would have kept others waiting.
    pub rests: u64,
}

/// The board, as resolutions and the engine hold it.
pub type Shared = Rc<RefCell<Board>>;

impl Board {
    /// An empty board; all its randomness comes from `seed`. What is awaited from whom is told to `servers`.
    pub fn new(seed: [u8; 32], servers: Arc<Servers>) -> Board {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let keyed = Keyed::new(rng.next_u64(), rng.next_u64());
        Board {
            now: Now::default(),
            turn: Turn::default(),
            running: TaskId(0),
            rng,
            slots: Vec::new(),
            free: Vec::new(),
            by_interest: HashMap::with_hasher(keyed),
            outbox: VecDeque::new(),
            closed: VecDeque::new(),
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            in_flight: 0,
            counters: Counters::default(),
            trace: None,
            notices: VecDeque::new(),
            followed: VecDeque::new(),
            servers,
        }
    }

    pub fn now(&self) -> Now {
        self.now
    }

    /// Sets the time. A later one is a new turn.
    pub fn set_now(&mut self, now: Now) {
        if now.mono != self.now.mono {
            self.turn.begin();
        }
        self.now = now;
    }

    /// A number nobody outside can foresee.
    pub fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Packets awaiting a response.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Joins an ask that is on its way to some server of the zone, with what is wanted.
    pub(super) fn join(
        &mut self,
        zone: u64,
        name: &Name,
        rtype: Rtype,
        transport: AskTransport,
    ) -> Option<(AskKey, SocketAddr)> {
        let key = *self.by_interest.get(&Interest(zone, name.clone(), rtype))?;
        let slot = self.slot_mut(key).filter(|slot| slot.reply.is_none() && slot.ask.transport == transport)?;
        slot.holders += 1;
        let server = slot.ask.server;
        self.counters.joined += 1;
        Some((key, server))
    }

    /// Begins an ask.
    pub(super) fn ask(&mut self, ask: Ask, claim: Claim) -> AskKey {
        self.servers.opened(ask.server, claim, self.now.mono);
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = &mut self.slots[index as usize];
        entry.0 = entry.0.wrapping_add(1);
        let key = AskKey(u64::from(entry.0) << 32 | u64::from(index));
        self.by_interest.insert(Interest::of(&ask), key);
        entry.1 = Some(Slot {
            ask,
            sent: None,
            reply: None,
            replied_at: Moment::ZERO,
            watchers: SmallVec::new(),
            holders: 1,
            counts: true,
        });
        self.outbox.push_back(key);
        self.in_flight += 1;
        key
    }

    /// Lets go of an ask; the last to do so ends it.
    pub(super) fn release(&mut self, key: AskKey) {
        let Some(slot) = self.slot_mut(key) else { return };
        slot.holders -= 1;
        if slot.holders > 0 {
            return;
        }
        let index = key.0 as u32;
        let Some(slot) = self.slots.get_mut(index as usize).and_then(|entry| entry.1.take()) else { return };
        if slot.counts {
            self.servers.closed(slot.ask.server);
        }
        let interest = Interest::of(&slot.ask);
        if self.by_interest.get(&interest) == Some(&key) {
            self.by_interest.remove(&interest);
        }
        self.in_flight -= 1;
        if slot.sent.is_some() {
            self.closed.push_back(key);
        }
        self.free.push(index);
    }

    /// Takes it that the server of an ask has dropped it, and is not at work on it; it is waited for all the same.
    pub(super) fn write_off(&mut self, key: AskKey) {
        let Some(slot) = self.slot_mut(key) else { return };
        if std::mem::take(&mut slot.counts) {
            let server = slot.ask.server;
            self.servers.closed(server);
        }
    }

    pub(super) fn slot_mut(&mut self, key: AskKey) -> Option<&mut Slot> {
        let entry = self.slots.get_mut((key.0 & 0xffff_ffff) as usize)?;
        if u64::from(entry.0) != key.0 >> 32 { None } else { entry.1.as_mut() }
    }

    pub(super) fn reply_of(&mut self, key: AskKey) -> Option<Reply> {
        self.slot_mut(key).and_then(|slot| slot.reply.clone())
    }

    /// Puts a reply where its resolutions find it, and makes them ready.
    pub(super) fn deliver(&mut self, key: AskKey, reply: Reply) {
        let now = self.now.mono;
        let Some(slot) = self.slot_mut(key) else { return };
        if slot.reply.is_some() {
            return;
        }
        slot.reply = Some(reply);
        slot.replied_at = now;
        let watchers = std::mem::take(&mut slot.watchers);
        self.ready.extend(watchers);
    }

    pub(super) fn next_to_send(&mut self) -> Option<AskKey> {
        while let Some(key) = self.outbox.pop_front() {
            if self.slot_mut(key).is_some() {
                return Some(key);
            }
        }
        None
    }

    /// The next ask for which nothing more is awaited.
    pub fn next_closed(&mut self) -> Option<AskKey> {
        self.closed.pop_front()
    }

    /// The next task that has something to do.
    pub fn next_ready(&mut self) -> Option<TaskId> {
        self.ready.pop_front()
    }

    /// Makes a task ready.
    pub fn wake(&mut self, task: TaskId) {
        self.ready.push_back(task);
    }

    /// Makes the tasks ready whose moment has come.
    pub fn expire(&mut self) {
        while let Some(&(at, task)) = self.timers.first() {
            if at > self.now.mono {
                return;
            }
            self.timers.pop_first();
            self.ready.push_back(task);
        }
    }

    /// The next moment a task waits for.
    pub fn next_timer(&self) -> Option<Moment> {
        self.timers.first().map(|&(at, _)| at)
    }
}

/// Waits for the first reply among `keys`, at most until a moment.
pub(super) struct First<'a> {
    board: &'a Shared,
    keys: &'a [AskKey],
    until: Moment,
    registered: Option<(Moment, TaskId)>,
}

impl<'a> First<'a> {
    pub(super) fn new(board: &'a Shared, keys: &'a [AskKey], until: Moment) -> First<'a> {
        First { board, keys, until, registered: None }
    }
}

impl Future for First<'_> {
    type Output = Option<(usize, Reply)>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let mut board = self.board.borrow_mut();
        for (index, &key) in self.keys.iter().enumerate() {
            if let Some(reply) = board.reply_of(key) {
                return Poll::Ready(Some((index, reply)));
            }
        }
        if board.now.mono >= self.until {
            return Poll::Ready(None);
        }
        let task = board.running;
        for &key in self.keys {
            if let Some(slot) = board.slot_mut(key)
                && !slot.watchers.contains(&task)
            {
                slot.watchers.push(task);
            }
        }
        let timer = (self.until, task);
        board.timers.insert(timer);
        drop(board);
        self.registered = Some(timer);
        Poll::Pending
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if let Some(timer) = self.registered {
            self.board.borrow_mut().timers.remove(&timer);
        }
    }
}

/// Waits until a moment.
pub(super) async fn sleep_until(board: &Shared, until: Moment) {
    while First::new(board, &[], until).await.is_some() {}
}

/// An ask held open.
pub(super) struct Held {
    board: Shared,
    pub key: AskKey,
}

impl Held {
    pub(super) fn new(board: &Shared, key: AskKey) -> Held {
        Held { board: Rc::clone(board), key }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.board.borrow_mut().release(self.key);
    }
}

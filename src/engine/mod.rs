//! One shard's whole state without I/O: questions in, packets out, time as an argument.
//!
//! A client's packet goes through the door, then to what is known beforehand, then to the cache; only
//! what is left becomes a question in flight, shared by all who ask the same.

mod arrived;
mod gate;
mod hot;
mod release;
mod respond;
mod stale;
mod streams;
mod tasks;
#[cfg(test)]
mod tests;
mod types;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::admission::{Admitted, Books, CookieReply, Door, Parting, Payer, Sizes, Standing, Ticket, Turned, Verdict};
use crate::cache::{Cache, Security};
use crate::clock::{Moment, Now};
use crate::dnssec::{Anchor, Rollover, Sentinel};
use crate::local::LocalRecord;
use crate::meter::Secret;
use crate::resolve::{self, Board, Cached, Cx, Keyed, Outcome, Plan, StaleWhy, TaskId, Traced, Why, Work};
use crate::servers::{Claim, Servers};
use crate::wire::{
    CLASS_ANY, CLASS_CH, CLASS_IN, Flags, Name, QueryView, Question, Rcode, Rtype, Unreadable, ede, header_only,
    leading_name,
};
pub use arrived::Arrived;
use arrived::asking;
use gate::{Denied, Pass};
use hot::Hot;
use release::Releases;
use respond::{Asker, Extended};
use streams::Streams;
use tasks::Tasks;
pub use types::{
    AskKey, AskTransport, Client, Counters, Disposition, DropReason, Followed, LinkError, Notice, Policy,
    RespondPolicy, Route, Rules, Transmit, Transport,
};

/// Questions in flight on one shard (Unbound: 2,048 a thread, PowerDNS: 2,048 a thread); some 10 KiB each.
const MAX_QUESTIONS: usize = 10_000;
/// Clients waiting for the same answer.
const MAX_WAITERS: usize = 1_000;
/// Clients that wait in all, some 800 octets each; twice as many with those who have proven their address.
const MAX_WAITING: u64 = 50_000;
/// One part in this many of the caches' memory is for the hottest answers, as they were written.
const HOT_PART: u64 = 16;
/// One shard has use for no more of it: some ten thousand answers.
const MOST_HOT: u64 = 8 << 20;
/// One answer from the cache in so many is looked for in the caches of all shards although it may be hot here, so that they
/// know what is in use.
const LOOK_AGAIN: u64 = 128;
/// A resolution ends this long before the client's deadline, so that SERVFAIL arrives within it.
const DEADLINE_MARGIN: Duration = Duration::from_millis(100);
/// Servers that fall silent while a question is with them are given this long before it fails: stub resolvers wait two
/// seconds and more, and what is back by then costs nobody an answer.
const SOONEST_FAILURE: Duration = Duration::from_millis(1_800);

/// What all shards have in common: the caches and what is known of servers.
#[derive(Clone)]
pub struct Shared {
    /// For each shard's table of hot answers.
    hot_octets: usize,
    pub cache: Arc<Cache>,
    pub servers: Arc<Servers>,
    pub books: Books,
}

impl Shared {
    /// Empty caches of the size in `policy`, and small books at the door. `seed` keys their hashes.
    pub fn new(policy: &crate::cache::Policy, seed: [u8; 32]) -> Shared {
        Shared::sized(policy, &Sizes::small(), 1, seed)
    }

    /// The same with books of a size, for so many shards, whose tables of hot answers come out of the same memory.
    pub fn sized(policy: &crate::cache::Policy, sizes: &Sizes, shards: usize, seed: [u8; 32]) -> Shared {
        let hot = (policy.memory / HOT_PART).min(MOST_HOT * shards.max(1) as u64);
        let rest = crate::cache::Policy { memory: policy.memory - hot, ..policy.clone() };
        Shared {
            hot_octets: (hot / shards.max(1) as u64) as usize,
            cache: Arc::new(Cache::new(&rest, &seed)),
            servers: Arc::new(Servers::new(&seed)),
            books: Books::new(sizes, &seed),
        }
    }
}

/// A client waiting for an answer.
struct Waiter {
    client: Client,
    /// When it asked.
    since: Moment,
    asker: Asker,
    pass: Pass,
    /// The operator's aliases that led to the question being resolved.
    before: SmallVec<[LocalRecord; 1]>,
}

/// What is resolved: a question, and whether the answer is validated (clients with CD set validate themselves).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Wanted {
    question: Question,
    checking: bool,
}

/// A question in flight.
struct Pending {
    waiters: Vec<Waiter>,
    task: TaskId,
    /// Where it counts.
    ticket: Ticket,
    /// Why nobody waits for it where there is a stale answer.
    slow: Option<StaleWhy>,
    /// Who has taken its place, if it is for a name never seen.
    holder: Option<u64>,
    /// Who began it, and pays for it, whether or not he still waits.
    payer: Option<Admitted>,
}

/// One shard.
pub struct Engine {
    policy: Arc<Policy>,
    shared: Shared,
    cx: Cx,
    door: Door,
    tasks: Tasks,
    pending: HashMap<Wanted, Pending, Keyed>,
    running: HashMap<TaskId, Wanted, Keyed>,
    /// How many questions each client has in flight.
    holding: HashMap<u64, u32, Keyed>,
    streams: Streams,
    hot: Hot,
    /// When those who wait for a task are given a stale answer, the earliest first.
    patience: VecDeque<(Moment, TaskId)>,
    releases: Releases,
    out: VecDeque<Transmit>,
    counters: Counters,
    /// The answer to the query at hand is of the cache.
    from_cache: bool,
}

impl Engine {
    /// A shard with nothing in flight. `seed` is the source of all its randomness.
    pub fn new(rules: impl Into<Rules>, shared: Shared, seed: [u8; 32]) -> Engine {
        let hot_octets = shared.hot_octets;
        let Rules { policy, zones } = rules.into();
        let mut board = Board::new(seed, Arc::clone(&shared.servers));
        let keyed = Keyed::new(board.random(), board.random());
        let mut drawn = [0; 32];
        for (number, word) in drawn.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *word = BuildHasher::hash_one(&keyed, number).to_le_bytes();
        }
        let cx = Cx {
            board: Rc::new(RefCell::new(board)),
            cache: Arc::clone(&shared.cache),
            servers: Arc::clone(&shared.servers),
            books: shared.books.clone(),
            plan: Rc::new(Plan::new(&policy.resolve)),
            zones,
        };
        shared.cache.set_shares(policy.access.limits.shares);
        Engine {
            door: Door::beside(&policy.access, &shared.books),
            policy,
            shared,
            cx,
            tasks: Tasks::default(),
            pending: HashMap::with_hasher(keyed),
            running: HashMap::with_hasher(keyed),
            holding: HashMap::with_hasher(keyed),
            streams: Streams::new(keyed),
            hot: Hot::new(Secret::new(&drawn), hot_octets),
            patience: VecDeque::new(),
            releases: Releases::new(keyed),
            out: VecDeque::new(),
            counters: Counters::default(),
            from_cache: false,
        }
    }

    /// Begins root priming, where the policy asks for it.
    pub fn start(&mut self, now: Now) {
        if self.cx.plan.prime {
            self.keep(now, resolve::keep_primed(self.cx.clone()));
        }
    }

    /// Follows the keys of a trust anchor's zone from now on (RFC 5011); what is seen comes out of `poll_followed`. Its
    /// keys count when a new policy says so.
    pub fn follow(&mut self, now: Now, rollover: Rollover) {
        self.keep(now, resolve::keep_followed(self.cx.clone(), rollover));
    }

    /// Adds a task of the shard's own.
    fn keep(&mut self, now: Now, task: impl Future<Output = ()> + 'static) {
        self.set_now(now);
        let task = self.tasks.add(Box::pin(async move {
            task.await;
            None
        }));
        self.cx.board.borrow_mut().wake(task);
        self.run();
    }

    /// Takes a client's packet. With `Answered`, the response is in `out`, which is cleared first.
    pub fn handle_query(&mut self, now: Now, client: Client, packet: &[u8], out: &mut Vec<u8>) -> Disposition {
        let mut arrived = self.read(client, packet);
        self.find_out(&mut arrived);
        self.handle_arrived(now, &arrived, out)
    }

    /// Takes a packet that has been read.
    pub fn handle_arrived(&mut self, now: Now, arrived: &Arrived<'_>, out: &mut Vec<u8>) -> Disposition {
        self.set_now(now);
        self.counters.queries += 1;
        out.clear();
        let disposition = self.take_query(now, arrived, out);
        match disposition {
            Disposition::Answered => self.counters.answered += 1,
            Disposition::Dropped(reason) => self.counters.dropped[reason as usize] += 1,
            Disposition::Pending => {}
        }
        disposition
    }

    fn take_query(&mut self, now: Now, arrived: &Arrived<'_>, out: &mut Vec<u8>) -> Disposition {
        let Arrived { client, packet, view, origin, sought } = arrived;
        if client.addr.port() == 0 {
            return Disposition::Dropped(DropReason::PortZero);
        }
        if let Err(silent @ (Unreadable::NoHeader | Unreadable::Response)) = view {
            let response = *silent == Unreadable::Response;
            return Disposition::Dropped(if response { DropReason::Response } else { DropReason::Malformed });
        }
        let asking = asking(client, view.as_ref().ok());
        let (verdict, cookie) = match self.answer_quickly(now, arrived, &asking, out) {
            Ok(disposition) => return disposition,
            Err(Some(leave)) => (Verdict::Admitted(origin.admitted(leave)), CookieReply::None),
            Err(None) => self.door.judge_from(now, origin, &asking),
        };
        let view = match (view, verdict) {
            (Ok(view), _) => view,
            (Err(_), Verdict::Turned(Turned::Drop(reason))) => return Disposition::Dropped(reason.into()),
            (Err(unreadable), _) => {
                let rcode = match unreadable {
                    _ if matches!(verdict, Verdict::Turned(_)) => Rcode::REFUSED,
                    Unreadable::Reject(rcode, _) => *rcode,
                    _ => Rcode::NOTIMP,
                };
                self.note_rejected(rcode);
                reject(out, packet, rcode);
                return Disposition::Answered;
            }
        };
        let admitted = match verdict {
            Verdict::Admitted(admitted) => admitted,
            Verdict::Turned(Turned::Drop(reason)) => return Disposition::Dropped(reason.into()),
            Verdict::Turned(turned) => {
                let asker = Asker::new(view, client.transport, cookie);
                return self.turn(turned, client, &asker, packet.len(), out);
            }
        };
        let pass = Pass { admitted, received: packet.len() };
        // For whoever seemed to be turned away nothing was looked up.
        let late = || self.hot.seek(view, client.transport).filter(|_| !view.question.is_empty());
        let sought = if origin.seems_barred() { late() } else { *sought };
        if let Some(sought) = sought
            && cookie != CookieReply::Malformed
            && !self.counters.cache_hits.is_multiple_of(LOOK_AGAIN)
            && self.answer_hot(now, view, sought, client.transport, &cookie, out)
        {
            self.counters.cache_hits += 1;
            let parting = self.parting(now.mono, &pass, view.name(), true, out);
            return match parting {
                Parting::Send => Disposition::Answered,
                _ => self.carry_out(parting, &Asker::new(view, client.transport, cookie), out),
            };
        }
        let asker = Asker::new(view, client.transport, cookie);
        if cookie == CookieReply::Malformed {
            respond::bare(out, &asker, &self.policy.respond, Rcode::FORMERR, &Extended::none());
            self.note_rejected(Rcode::FORMERR);
            let parting = self.parting(now.mono, &pass, view.name(), false, out);
            return self.carry_out(parting, &asker, out);
        }
        if view.question.is_empty() {
            return self.give_cookie(now.mono, &asker, &pass, out);
        }
        self.from_cache = false;
        match self.answer(now, *client, view, &asker, pass, out) {
            Disposition::Answered => {
                let parting = self.parting(now.mono, &pass, view.name(), self.from_cache, out);
                self.carry_out(parting, &asker, out)
            }
            other => other,
        }
    }

    /// A query is answered with an RCODE that says that it cannot be understood, if it is one of those.
    fn note_rejected(&mut self, rcode: Rcode) {
        self.counters.formerr += u64::from(rcode == Rcode::FORMERR);
        self.counters.notimp += u64::from(rcode == Rcode::NOTIMP);
    }

    /// Answers an admitted query at once where that is possible.
    fn answer(
        &mut self,
        now: Now,
        client: Client,
        view: &QueryView<'_>,
        asker: &Asker,
        pass: Pass,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let policy = Arc::clone(&self.policy);
        let respond = &policy.respond;
        if let Some((rcode, why)) = unsupported(view) {
            self.note_rejected(rcode);
            respond::bare(out, asker, respond, rcode, &why);
            return Disposition::Answered;
        }
        if view.class == CLASS_CH {
            respond::chaos(out, asker, respond, view.rtype);
            return Disposition::Answered;
        }
        let Some(name) = Name::from_wire(view.name()) else {
            return Disposition::Dropped(DropReason::Malformed);
        };
        let mut before = SmallVec::new();
        let mut question = Question::new(name, view.rtype);
        if let Some(answer) = self.cx.zones.lookup(&question.name, view.rtype) {
            match local_alias(&answer, view.rtype) {
                None => {
                    respond::local(out, asker, respond, &answer);
                    return Disposition::Answered;
                }
                Some(target) => {
                    before.extend(answer.answer);
                    question.name = target;
                }
            }
        }
        if view.rtype == Rtype::ANY {
            respond::any(out, asker, respond);
            return Disposition::Answered;
        }
        let checking = self.cx.plan.validates && !view.flags.has(Flags::CD);
        let wanted = Wanted { question, checking };
        let why = match self.known(now, &wanted) {
            Ok(known) => {
                let recurse = view.flags.has(Flags::RD);
                let stale = if recurse { self.rather_stale(&wanted, &known, 1) } else { None };
                let known = stale.unwrap_or(known);
                respond::outcome(out, asker, respond, &before, &known, now.age);
                self.from_cache = true;
                // What is deduced is mostly for names that are asked once: a flood of them leaves the hot ones in place.
                if before.is_empty() && !known.deduced {
                    self.hot.keep(view, asker, &known, now.age, out);
                }
                if known.ripe && policy.cache_prefetch {
                    self.refresh(now, &pass, wanted);
                }
                return Disposition::Answered;
            }
            Err(why) => why,
        };
        // Clients that may ask at all may ask without RD: the cache answers, as with BIND and Knot Resolver (Unbound has
        // `allow` refuse it and `allow_snoop` not). What is in the cache tells a client only what others of the same
        // network asked for, which a question with RD and its time tells as well; `answers` with REFUSED otherwise.
        if !view.flags.has(Flags::RD) {
            let extended = Extended::new(ede::NOT_SUPPORTED, "not in the cache, and recursion was not asked for");
            respond::bare(out, asker, respond, Rcode::REFUSED, &extended);
            return Disposition::Answered;
        }
        self.enqueue(now, Waiter { client, since: now.mono, asker: asker.clone(), pass, before }, wanted, why, out)
    }

    /// What the caches say of a question, failures included; or why it has to be resolved.
    fn known(&mut self, now: Now, wanted: &Wanted) -> Result<Outcome, Why> {
        let question = &wanted.question;
        let security = if wanted.checking { Security::Insecure } else { Security::Unchecked };
        let why = match resolve::from_cache(&self.cx, question, security, now.age) {
            Cached::Whole(outcome) => {
                self.counters.cache_hits += 1;
                if outcome.deduced {
                    self.counters.deduced += 1;
                    self.cx.note_deduced(question);
                }
                return Ok(self.heed_sentinel(wanted, outcome));
            }
            Cached::Part => Why::Part,
            Cached::Nothing => Why::Unknown,
        };
        let failed = self.cx.failed(question).filter(|failed| wanted.checking || !failed.what.unproven).ok_or(why)?;
        self.counters.failure_hits += 1;
        Ok(Outcome::remembered(&failed))
    }

    /// The answer to a question for a sentinel is whether it is given (RFC 8509 §2.2).
    fn heed_sentinel(&self, wanted: &Wanted, outcome: Outcome) -> Outcome {
        let dnssec = &self.cx.plan.dnssec;
        if !(dnssec.sentinel && wanted.checking && outcome.secure) {
            return outcome;
        }
        let root = dnssec.anchors.of(&Name::root());
        match Sentinel::of(&wanted.question.name, wanted.question.rtype) {
            Some(sentinel) if sentinel.refuses(root.into_iter().flat_map(Anchor::tags)) => outcome.refused_by(sentinel),
            _ => outcome,
        }
    }

    /// Lets a client wait for a question, beginning it where nobody else waits for it yet.
    fn enqueue(&mut self, now: Now, waiter: Waiter, wanted: Wanted, why: Why, out: &mut Vec<u8>) -> Disposition {
        if let Some(pending) = self.pending.get(&wanted) {
            let crowded = self.counters.waiting >= MAX_WAITING;
            let full = crowded || pending.waiters.len() >= MAX_WAITERS;
            let address = waiter.client.addr.ip();
            let own = pending.waiters.iter().filter(|other| other.client.addr.ip() == address).count();
            let why = pending.slow.or(full.then_some(StaleWhy::Crowded));
            let stale = match why {
                Some(why) => self.give_stale(now, &waiter, &wanted, why, out),
                None => self.give_stale_at_once(now, &waiter, &wanted, out),
            };
            if stale {
                return Disposition::Answered;
            }
            if full && !self.make_room(now, &waiter, &wanted, crowded) {
                return Disposition::Dropped(DropReason::Overload);
            }
            if !self.door.may_wait(now.mono, &waiter.pass.admitted, wanted.question.name.wire(), own) {
                return Disposition::Dropped(DropReason::Waiting);
            }
            self.counters.joined += 1;
            self.counters.waiting += 1;
            let client = waiter.client;
            if let Some(pending) = self.pending.get_mut(&wanted) {
                let task = pending.task;
                pending.waiters.push(waiter);
                self.note_stream(&client, task, true);
            }
            return Disposition::Pending;
        }
        let ticket = match self.may_resolve(now, &waiter.pass, &wanted.question) {
            Ok(ticket) => ticket,
            Err((why, denied)) => {
                let stale = self.give_stale(now, &waiter, &wanted, why, out);
                self.note_denied(now, &waiter.pass, &wanted.question, &denied, stale);
                return match denied {
                    _ if stale => Disposition::Answered,
                    Denied::Turned(turned) => {
                        self.turn(turned, &waiter.client, &waiter.asker, waiter.pass.received, out)
                    }
                    Denied::Flooded(_, text) => self.deny(&waiter, &text, out),
                    Denied::Full(text) => {
                        self.counters.shed += 1;
                        self.deny(&waiter, &text, out)
                    }
                };
            }
        };
        let payer = self.door.payer(now.mono, &waiter.pass.admitted);
        if self.give_stale_at_once(now, &waiter, &wanted, out) {
            self.begin(now, wanted, None, why, (ticket, payer));
            return Disposition::Answered;
        }
        self.counters.waiting += 1;
        self.begin(now, wanted, Some(waiter), why, (ticket, payer));
        Disposition::Pending
    }

    /// Makes room for one more who waits with others: somebody whose address may be forged gives way to somebody whose is not.
    fn make_room(&mut self, now: Now, waiter: &Waiter, wanted: &Wanted, crowded: bool) -> bool {
        let name = wanted.question.name.wire();
        let given_way =
            self.pending.get_mut(wanted).filter(|_| waiter.pass.admitted.goes_first()).and_then(|pending| {
                let place = pending.waiters.iter().position(|other| !other.pass.admitted.goes_first())?;
                Some(pending.waiters.swap_remove(place))
            });
        if let Some(other) = given_way {
            self.counters.waiting -= 1;
            self.counters.dropped[DropReason::Overload as usize] += 1;
            self.door.note_crowded(now.mono, &other.pass.admitted, name);
            return true;
        }
        // Others may wait for other questions: whoever is proven has as much room again.
        if crowded && waiter.pass.admitted.goes_first() && self.counters.waiting < 2 * MAX_WAITING {
            let waiting = self.pending.get(wanted).map_or(0, |pending| pending.waiters.len());
            if waiting < MAX_WAITERS {
                return true;
            }
        }
        self.door.note_crowded(now.mono, &waiter.pass.admitted, name);
        false
    }

    /// Refreshes what comes near its end. Whoever asked for it pays, as if it were there no more, and it is a question of its
    /// zone like any other; where either has nothing left, or asking has failed a moment ago, it is left to its end.
    fn refresh(&mut self, now: Now, pass: &Pass, wanted: Wanted) {
        if self.pending.contains_key(&wanted) {
            return;
        }
        let crowded = self.pending.len() >= MAX_QUESTIONS / 2;
        let why_not = crowded || self.cx.failed(&wanted.question).is_some();
        let Some(on) = (if why_not { None } else { self.may_refresh(now, pass, &wanted.question) }) else {
            self.counters.left_to_end += 1;
            return;
        };
        self.counters.refreshed += 1;
        self.begin(now, wanted, None, Why::Refresh, on);
    }

    fn begin(&mut self, now: Now, wanted: Wanted, waiter: Option<Waiter>, why: Why, on: (Ticket, Option<Payer>)) {
        let (ticket, payer) = on;
        self.shared.books.zones().begin(&ticket);
        let holder = waiter.as_ref().map(|waiter| self.door.holder(&waiter.pass.admitted));
        self.hold(holder, false);
        let deadline = now.mono + self.cx.plan.deadline.saturating_sub(DEADLINE_MARGIN);
        let mut work = Work::new(deadline, &self.cx.plan.dnssec.policy.limits, self.cx.turn(), wanted.checking);
        work.claim = claim(ticket.standing);
        work.payer = payer;
        work.begun = now.mono;
        work.patient_until = (now.mono + SOONEST_FAILURE).min(deadline);
        let resolution = resolve::resolve(self.cx.clone(), work, wanted.question.clone(), why);
        let task = self.tasks.add(Box::pin(async move { Some(resolution.await) }));
        self.set_patience(now, task);
        let client = waiter.as_ref().map(|waiter| waiter.client);
        let payer = waiter.as_ref().map(|waiter| waiter.pass.admitted);
        let waiters = waiter.into_iter().collect();
        self.pending.insert(wanted.clone(), Pending { waiters, task, ticket, slow: None, holder, payer });
        self.running.insert(task, wanted);
        if let Some(client) = client {
            self.note_stream(&client, task, true);
        }
        self.cx.board.borrow_mut().wake(task);
        self.run();
    }

    /// Takes a packet that came back for `key`.
    pub fn handle_response(&mut self, now: Now, key: AskKey, packet: &[u8]) {
        self.set_now(now);
        self.cx.board.borrow_mut().take_response(key, packet);
        self.run();
    }

    /// Takes the transport's word that nothing will come back for `key`.
    pub fn handle_link_error(&mut self, now: Now, key: AskKey, error: LinkError) {
        self.set_now(now);
        self.cx.board.borrow_mut().take_link_error(key, error);
        self.run();
    }

    /// Lets everything happen that was due by `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        self.set_now(now);
        self.cx.board.borrow_mut().expire();
        self.run();
        self.serve_impatient(now);
        self.send_due(now, false);
    }

    /// The next thing to send; call until `None` after every `handle_*`.
    pub fn poll_transmit(&mut self, now: Now) -> Option<Transmit> {
        if let Some(transmit) = self.out.pop_front() {
            return Some(transmit);
        }
        self.set_now(now);
        let mut board = self.cx.board.borrow_mut();
        if let Some(out) = board.next_outgoing(self.cx.plan.manner) {
            return Some(Transmit::Ask {
                key: out.key,
                server: out.server,
                transport: out.transport,
                packet: out.packet,
            });
        }
        board.next_closed().map(|key| Transmit::Close { key })
    }

    /// When `handle_timeout` must be called next, if nothing else happens first.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let timer = self.cx.board.borrow().next_timer();
        [timer, self.next_impatient(), self.releases.next()].into_iter().flatten().min()
    }

    /// The next thing the operator should be told.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.cx.board.borrow_mut().notices.pop_front()
    }

    /// The next look at the keys of a trust anchor's zone.
    pub fn poll_followed(&mut self) -> Option<Followed> {
        self.cx.board.borrow_mut().followed.pop_front()
    }

    /// Takes new rules; questions in flight go on under the old one.
    pub fn set_rules(&mut self, rules: impl Into<Rules>) {
        let Rules { policy, zones } = rules.into();
        self.cx.plan = Rc::new(Plan::new(&policy.resolve));
        self.door.set_policy(&policy.access);
        self.shared.cache.set_shares(policy.access.limits.shares);
        self.cx.zones = zones;
        if self.policy.resolve.dnssec.judges_otherwise(&policy.resolve.dnssec) {
            self.cx.cache.forget_trusts(self.cx.now().age);
        }
        self.policy = policy;
        self.hot.clear();
    }

    /// Questions in flight, and answers that wait for their turn.
    pub fn in_flight(&self) -> usize {
        self.pending.len() + self.releases.len()
    }

    /// Packets to servers that await a response.
    pub fn asks_in_flight(&self) -> usize {
        self.cx.board.borrow().in_flight()
    }

    /// Resolutions and other tasks that have not ended.
    pub fn tasks(&self) -> usize {
        self.tasks.count()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        Counters { upstream: self.cx.board.borrow().counters, door: self.door.tally(), ..self.counters }
    }

    /// Records every step from now on, for `take_trace`.
    pub fn set_tracing(&mut self) {
        self.cx.board.borrow_mut().trace = Some(Vec::new());
    }

    /// The steps since the last call.
    pub fn take_trace(&mut self) -> Vec<Traced> {
        self.cx.board.borrow_mut().trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn set_now(&mut self, now: Now) {
        self.cx.board.borrow_mut().set_now(now);
    }

    /// Polls every task that has something to do.
    fn run(&mut self) {
        loop {
            let task = {
                let mut board = self.cx.board.borrow_mut();
                let Some(task) = board.next_ready() else { return };
                board.running = task;
                task
            };
            if let Some(outcome) = self.tasks.poll(task) {
                self.finish(task, outcome);
            }
        }
    }

    /// A resolution has ended: everybody who waits for it is answered.
    fn finish(&mut self, task: TaskId, outcome: Option<Outcome>) {
        let Some(wanted) = self.running.remove(&task) else { return };
        let Some(pending) = self.pending.remove(&wanted) else { return };
        self.hold(pending.holder, true);
        let Some(outcome) = outcome else { return };
        let clients = pending.waiters.len();
        let stale = if clients > 0 { self.rather_stale(&wanted, &outcome, clients) } else { None };
        self.settle(&wanted, &pending, &outcome, stale.is_some());
        self.counters.deduced += u64::from(outcome.deduced);
        let now = self.cx.now();
        let outcome = stale.unwrap_or_else(|| self.heed_sentinel(&wanted, outcome));
        self.answer_waiters(now, task, pending.waiters, &outcome);
        // Nobody wakes up for those that have ended.
        while self.patience.front().is_some_and(|(_, task)| !self.running.contains_key(task)) {
            self.patience.pop_front();
        }
    }

    /// Answers everybody who waits.
    fn answer_waiters(&mut self, now: Now, task: TaskId, waiters: Vec<Waiter>, outcome: &Outcome) {
        for waiter in waiters {
            self.note_stream(&waiter.client, task, false);
            let mut packet = Vec::with_capacity(512);
            respond::outcome(&mut packet, &waiter.asker, &self.policy.respond, &waiter.before, outcome, now.age);
            self.release(now, waiter, packet);
        }
    }
}

/// Who comes first at a server.
fn claim(standing: Standing) -> Claim {
    match standing {
        Standing::Learned => Claim::First,
        Standing::Trusted => Claim::Second,
        Standing::Likely | Standing::Unknown => Claim::Last,
    }
}

/// The RCODE for what is not supported, if it is not, and why.
fn unsupported(view: &QueryView<'_>) -> Option<(Rcode, Extended)> {
    if view.edns.is_some_and(|edns| edns.version > 0) {
        return Some((Rcode::BADVERS, Extended::none()));
    }
    let no_question = || Extended::new(ede::INVALID_QUERY_TYPE, "not a type that is asked for");
    match view.rtype {
        // Zone transfers are authoritative servers' business.
        Rtype::AXFR | Rtype::IXFR => return Some((Rcode::REFUSED, Extended::none())),
        Rtype::ANY => {}
        // RFC 9824 §3.5.
        Rtype::NXNAME => return Some((Rcode::FORMERR, no_question())),
        meta if meta.is_meta() => return Some((Rcode::NOTIMP, no_question())),
        _ => {}
    }
    match view.class {
        CLASS_IN | CLASS_CH => None,
        CLASS_ANY => Some((Rcode::REFUSED, Extended::none())),
        _ => Some((Rcode::NOTIMP, Extended::none())),
    }
}

/// Where an answer known beforehand leads, if it is nothing but an alias.
fn local_alias(answer: &crate::local::Answer, rtype: Rtype) -> Option<Name> {
    match answer.answer.as_slice() {
        [record] if record.rtype == Rtype::CNAME && !matches!(rtype, Rtype::CNAME | Rtype::ANY) => {
            leading_name(&record.rdata)
        }
        _ => None,
    }
}

/// Answers what cannot be read with its header and an RCODE.
fn reject(out: &mut Vec<u8>, packet: &[u8], rcode: Rcode) {
    let Some(&[id_high, id_low, high, low]) = packet.first_chunk() else { return };
    let flags = u16::from_be_bytes([high, low]);
    // The OPCODE and RD are echoed, everything else is ours.
    let flags = Flags::QR | (flags & 0x7900) | rcode.0 & 0xf;
    header_only(out, u16::from_be_bytes([id_high, id_low]), flags);
}

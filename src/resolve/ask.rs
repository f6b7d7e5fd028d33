//! Asking a zone: its servers one after another, until one has something to say.

mod busy;
mod lookup;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::admission::Count;
use crate::cache::NameServer;
use crate::clock::Moment;
use crate::servers::{Candidate, Report, State, choose, choose_lame};
use crate::wire::{Flags, Message, Name, Rcode, Rtype};

use super::board::{Ask, AskKey, AskTransport, First, Held, LinkError, Notice, Reply, sleep_until};
use super::budget::{Whom, Work};
use super::classify::{Asked, Reading, addresses, classify};
use super::failure::{Failure, Limit, Useless};
use super::trace::TraceStep;
use super::{Cx, UpstreamKind};

/// Times one server is asked the same by UDP.
const MAX_TRIES: u8 = 5;
/// Packets that may be awaited at once: late answers are welcome while others are asked.
const MAX_OPEN: usize = 4;
/// TCP has a handshake and perhaps a retransmission to wait for.
const TCP_TIMEOUT: Duration = Duration::from_millis(2500);
/// No wait for a datagram is longer, so that others are asked while there is time.
const LONGEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// Unanswered datagrams to a server that answers others before TCP is tried: a server that limits its rate drops datagrams,
/// not connections.
const TCP_AFTER: u8 = 3;
/// Servers that seemed lame and are asked all the same, for one question, when nobody else is left.
const LAME_TRIES: usize = 2;
/// Servers of one family tried for one question where this machine has no way to them: to others it may have one.
const MAX_ROUTELESS: u8 = 4;
/// Silences upon a shortened name before the whole one is asked: some servers drop what they do not know.
const SHORTENED_TRIES: u8 = 2;
/// What comes later than this after it was asked for is not waited for: servers at two seconds are still heard.
const LATEST: Duration = Duration::from_secs(3);
/// Servers of one zone taken into consideration.
const MAX_CANDIDATES: usize = 32;

/// A place in the tree, and who answers for it.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    pub zone: Name,
    pub who: Who,
    /// Known from the cache rather than from a referral just now, since when.
    pub cached: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Who {
    /// Name servers, those to ask first and those to ask then.
    Named(Arc<[NameServer]>, Option<Arc<[NameServer]>>),
    /// Addresses from the configuration.
    Fixed(Arc<[SocketAddr]>, UpstreamKind),
    /// The root hints: addresses from the configuration, with names.
    Hints(Arc<[NameServer]>),
}

impl Cut {
    pub fn is_forward(&self) -> bool {
        matches!(self.who, Who::Fixed(_, UpstreamKind::Forward))
    }
}

/// What a zone said.
pub(super) struct Heard {
    pub reading: Reading,
    pub message: Rc<Message>,
    /// Who said it, if others could be asked too.
    pub one_of: Option<SocketAddr>,
}

/// Why a zone said nothing.
pub(super) enum Silence {
    /// A server stumbled over a shortened name, and might not over the whole one.
    Stumbled,
    Failed(Failure),
}

impl From<Failure> for Silence {
    fn from(failure: Failure) -> Silence {
        Silence::Failed(failure)
    }
}

struct Try {
    held: Held,
    candidate: usize,
    transport: AskTransport,
    since: Moment,
    /// Sent for another question: its round trip is not this one's to measure.
    joined: bool,
    /// It has counted as lost.
    silent: bool,
}

/// One zone being asked one thing.
struct Asking<'a> {
    cx: &'a Cx,
    work: &'a Work,
    cut: &'a Cut,
    name: &'a Name,
    rtype: Rtype,
    shortened: bool,
    zone_hash: u64,
    candidates: SmallVec<[Candidate; 8]>,
    /// Which candidates are not asked again for this.
    done: SmallVec<[bool; 8]>,
    plain: SmallVec<[bool; 8]>,
    /// Which candidates have closed a connection on this.
    closed: SmallVec<[bool; 8]>,
    open: SmallVec<[Try; MAX_OPEN]>,
    last: Option<(SocketAddr, Useless)>,
    spare: Option<Heard>,
    /// Name servers whose addresses have not been looked up yet.
    unknown: Vec<Name>,
    /// The parent's name servers are among them.
    parents_named: bool,
    /// Those of the lame ones that may be asked all the same.
    resorts: SmallVec<[usize; 2]>,
    /// Timeouts so far.
    timeouts: u8,
    /// There is an address of a family that is switched off.
    other_family: bool,
    /// Packets asked for, one's own and those of others, and those of them that this machine had no way to send, by family.
    tries: u8,
    routeless: [u8; 2],
    /// Servers were passed over, since their network has borne enough for this question.
    spared: bool,
    /// Name servers that were looked for without a limit in the way, and whether one was.
    looked_for: u8,
    hampered: bool,
    /// A name server's own zone is flooded.
    flooded: Option<Failure>,
    /// Somebody who knows of them was not heard.
    unheard: bool,
}

/// Asks the servers of `cut`. `shortened`: `name` is only part of what is wanted.
pub(super) async fn ask_zone(
    cx: &Cx,
    work: &Work,
    cut: &Cut,
    name: &Name,
    rtype: Rtype,
    shortened: bool,
) -> Result<Heard, Silence> {
    let mut asking = Asking::new(cx, work, cut, name, rtype, shortened);
    if let Some(until) = asking.join(AskTransport::Udp)
        && let Some(heard) = asking.wait(until, true).await?
    {
        return Ok(heard);
    }
    loop {
        if cx.now().mono >= work.deadline {
            return asking.give_up(Failure::limit(Limit::Deadline));
        }
        let Some(index) = asking.choose() else {
            if let Some(until) = asking.until_there_is_room() {
                match asking.wait(until, false).await? {
                    Some(heard) => return Ok(heard),
                    None => sleep_until(&cx.board, until).await,
                }
                continue;
            }
            if !asking.open.is_empty() {
                // Nobody else to ask: wait for those that were, the slow ones too.
                let sent = asking.open.iter().map(|one| one.since).max().unwrap_or_default();
                let until = (sent + LATEST).max(cx.now().mono + Duration::from_secs(1)).min(work.deadline);
                match asking.wait(until, false).await? {
                    Some(heard) => return Ok(heard),
                    None => asking.open.clear(),
                }
                continue;
            }
            if asking.look_up_a_server().await? || asking.admit_a_lame_one() {
                continue;
            }
            if asking.has_fallen_silent() {
                sleep_until(&cx.board, work.patient_until).await;
                continue;
            }
            asking.note_barren();
            let failure = asking.failure();
            if shortened && asking.spare.is_none() && failure.is_lameness() {
                cx.conclude(work, || format!("lame for {name}: perhaps not for the whole name"));
                return Err(Silence::Stumbled);
            }
            return asking.give_up(failure);
        };
        let until = match asking.send(index, asking.transport(index)) {
            Ok(until) => until,
            Err(failure) => return asking.give_up(failure),
        };
        if let Some(heard) = asking.wait(until, true).await? {
            return Ok(heard);
        }
        if shortened && asking.timeouts >= SHORTENED_TRIES {
            cx.conclude(work, || format!("silence about {name}: perhaps not about the whole name"));
            return Err(Silence::Stumbled);
        }
    }
}

impl<'a> Asking<'a> {
    fn new(cx: &'a Cx, work: &'a Work, cut: &'a Cut, name: &'a Name, rtype: Rtype, shortened: bool) -> Asking<'a> {
        let mut asking = Asking {
            cx,
            work,
            cut,
            name,
            rtype,
            shortened,
            zone_hash: cx.zone_hash(&cut.zone, cut.is_forward()),
            candidates: SmallVec::new(),
            done: SmallVec::new(),
            plain: SmallVec::new(),
            closed: SmallVec::new(),
            open: SmallVec::new(),
            last: None,
            spare: None,
            unknown: Vec::new(),
            parents_named: false,
            resorts: SmallVec::new(),
            timeouts: 0,
            other_family: false,
            tries: 0,
            routeless: [0; 2],
            spared: false,
            looked_for: 0,
            hampered: false,
            flooded: None,
            unheard: false,
        };
        match &cut.who {
            Who::Fixed(servers, _) => {
                for &server in servers.iter().filter(|server| cx.plan.speaks(server.ip())) {
                    asking.add(server);
                }
            }
            Who::Hints(servers) => {
                for server in servers.iter() {
                    for &address in server.glue.iter().filter(|address| cx.plan.speaks(**address)) {
                        asking.add(SocketAddr::new(address, cx.plan.server_port));
                    }
                }
            }
            Who::Named(first, then) => {
                asking.add_named(first);
                if asking.candidates.is_empty()
                    && let Some(then) = then
                {
                    asking.add_named(then);
                }
            }
        }
        asking
    }

    /// Adds the name servers' addresses that are known; the names of the others are kept.
    fn add_named(&mut self, servers: &[NameServer]) {
        let age = self.cx.now().age;
        for server in servers {
            // Glue came with the delegation and does for most; the name server's own word comes in once it fails.
            let mut known = false;
            if server.glue.is_empty() {
                let before = self.candidates.len();
                for rtype in [Rtype::A, Rtype::AAAA] {
                    if let Some(set) = self.cx.cache.rrset(&server.name, rtype, age) {
                        addresses(&set).for_each(|address| self.add_address(address));
                    }
                }
                known = self.candidates.len() > before;
            }
            for &address in &server.glue {
                self.add_address(address);
            }
            // A name within the zone could only be looked up from the servers that are being looked for.
            let within = server.name.is_at_or_below(&self.cut.zone);
            if !known && !within && !self.unknown.contains(&server.name) {
                self.unknown.push(server.name.clone());
            }
        }
    }

    fn add_address(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        if !self.cx.plan.speaks(address) {
            self.other_family = true;
        } else if !self.cx.plan.is_forbidden(address) {
            self.add(SocketAddr::new(address, self.cx.plan.server_port));
        }
    }

    fn add(&mut self, server: SocketAddr) {
        if self.candidates.len() >= MAX_CANDIDATES || self.candidates.iter().any(|c| c.server == server) {
            return;
        }
        let report = self.report(server);
        self.candidates.push(Candidate { server, report, asked: 0 });
        self.done.push(false);
        self.plain.push(false);
        self.closed.push(false);
    }

    fn report(&self, server: SocketAddr) -> Report {
        self.cx.servers.report(server, self.zone_hash, self.claim(), self.cx.now().mono)
    }

    fn choose(&mut self) -> Option<usize> {
        if !self.may_ask() {
            return None;
        }
        let now = self.cx.now().mono;
        let (counts, spares, claim) = (self.counts(), self.spares(), self.claim());
        let mut candidates = std::mem::take(&mut self.candidates);
        for (index, (candidate, done)) in candidates.iter_mut().zip(&self.done).enumerate() {
            candidate.report = self.cx.servers.report(candidate.server, self.zone_hash, claim, now);
            let network = Whom::around(candidate.server.ip());
            let routeless = self.routeless[usize::from(candidate.server.is_ipv6())];
            if *done || routeless >= MAX_ROUTELESS || candidate.asked >= MAX_TRIES || self.work.avoids(candidate.server)
            {
                candidate.report.state = State::Done;
            } else if counts && !self.work.may_ask(network) {
                candidate.report.state = State::Done;
                if !std::mem::replace(&mut self.spared, true) {
                    let server = candidate.server;
                    self.cx.conclude(self.work, || format!("{server}: its network has borne enough for this question"));
                }
            } else if candidate.report.state == State::Lame && self.resorts.contains(&index) {
                candidate.report.state = State::Usable;
            }
            if candidate.report.busy.is_some() && spares && candidate.report.state == State::Usable {
                candidate.report.state = State::Busy;
            }
        }
        self.candidates = candidates;
        self.put_lost_families_last(now);
        let choice = choose(&self.candidates, self.cx.random())?;
        let candidate = self.candidates.get(choice.index)?;
        if choice.probe || candidate.report.doubtful {
            self.cx.servers.probing(candidate.server, now);
        }
        Some(choice.index)
    }

    /// Where this machine seems to have no way to servers of one family, those of the other go first.
    fn put_lost_families_last(&mut self, now: Moment) {
        let routes = self.cx.servers.routes();
        let lost = |candidate: &Candidate| routes.is_lost(candidate.server.ip(), now);
        let there =
            |candidate: &Candidate| matches!(candidate.report.state, State::Usable | State::Busy) && !lost(candidate);
        if self.candidates.iter().any(there) {
            let last = self.candidates.iter_mut().filter(|candidate| lost(candidate));
            last.for_each(|candidate| candidate.report.state = State::Done);
        }
    }

    /// Do packets count toward whom they are sent to? The operator's own forwarders and stub servers bear what they bear.
    fn counts(&self) -> bool {
        !matches!(self.cut.who, Who::Fixed(..))
    }

    /// Whom a packet to a server counts toward.
    fn toward(&self, server: SocketAddr) -> SmallVec<[Whom; 2]> {
        let all = [Whom::around(server.ip()), Whom::Zone(self.zone_hash)];
        all.into_iter().filter(|_| self.counts()).collect()
    }

    /// May the zone be asked at all for this question?
    fn may_ask(&self) -> bool {
        !self.counts() || self.work.may_ask(Whom::Zone(self.zone_hash))
    }

    /// Lets one that seemed lame be asked, where nobody else is left. `true`: there is one.
    fn admit_a_lame_one(&mut self) -> bool {
        if self.resorts.len() >= LAME_TRIES || !self.may_ask() {
            return false;
        }
        let Some(index) = choose_lame(&self.candidates, self.cx.random()) else { return false };
        self.resorts.push(index);
        true
    }

    /// How to ask a candidate next.
    fn transport(&self, index: usize) -> AskTransport {
        match self.candidates.get(index) {
            Some(candidate) if candidate.asked >= TCP_AFTER && candidate.report.alive => {
                self.cx.board.borrow_mut().counters.last_by_tcp += 1;
                AskTransport::Tcp
            }
            _ => AskTransport::Udp,
        }
    }

    /// Sends to a candidate. Returns until when to wait before somebody else is asked.
    fn send(&mut self, index: usize, transport: AskTransport) -> Result<Moment, Failure> {
        let now = self.cx.now().mono;
        let plan = &self.cx.plan;
        let Some(candidate) = self.candidates.get_mut(index) else { return Ok(now) };
        let plain = candidate.report.plain || self.plain[index];
        let forward = self.cut.is_forward();
        let ask = Ask {
            server: candidate.server,
            zone: self.zone_hash,
            name: self.name.clone(),
            rtype: self.rtype,
            transport,
            attempt: candidate.asked,
            plain,
            recurse: forward,
            cookie: if plan.cookies && !plain {
                self.cx.servers.cookie_for(candidate.server, now)
            } else {
                SmallVec::new()
            },
        };
        let timeout = match transport {
            // What comes again after a silence waits longer.
            AskTransport::Udp => (candidate.report.timeout * (1 + u32::from(candidate.asked))).min(LONGEST_TIMEOUT),
            AskTransport::Tcp => TCP_TIMEOUT,
        };
        candidate.asked += 1;
        let (server, busy) = (candidate.server, candidate.report.busy.is_some());
        self.work.packet(&self.toward(server))?;
        self.note_busy(busy);
        let claim = self.claim();
        let key = self.cx.board.borrow_mut().ask(ask, claim);
        let held = Held::new(&self.cx.board, key);
        self.cx.trace(self.work, || TraceStep::Ask {
            server,
            zone: self.cut.zone.clone(),
            name: self.name.clone(),
            rtype: self.rtype,
            transport,
        });
        if self.open.len() == MAX_OPEN {
            self.open.remove(0);
        }
        self.tries = self.tries.saturating_add(1);
        self.open.push(Try { held, candidate: index, transport, since: now, joined: false, silent: false });
        Ok((now + timeout).min(self.work.deadline))
    }

    /// Joins a packet that another question has on its way to this zone for the same. Returns until when to wait.
    fn join(&mut self, transport: AskTransport) -> Option<Moment> {
        let (key, server) = self.cx.board.borrow_mut().join(self.zone_hash, self.name, self.rtype, transport)?;
        let held = Held::new(&self.cx.board, key);
        if self.work.avoids(server) {
            return None;
        }
        if !self.candidates.iter().any(|candidate| candidate.server == server) {
            self.add(server);
        }
        let candidate = self.candidates.iter().position(|candidate| candidate.server == server)?;
        let since = self.cx.now().mono;
        let timeout = match transport {
            AskTransport::Udp => self.candidates.get(candidate)?.report.timeout,
            AskTransport::Tcp => TCP_TIMEOUT,
        };
        self.tries = self.tries.saturating_add(1);
        self.open.push(Try { held, candidate, transport, since, joined: true, silent: false });
        Some((since + timeout).min(self.work.deadline))
    }

    /// Waits for any of the open tries; goes on by itself where a reply asks for it. `strike`: silence until then counts
    /// against the newest of them.
    async fn wait(&mut self, mut until: Moment, strike: bool) -> Result<Option<Heard>, Silence> {
        loop {
            let keys: SmallVec<[AskKey; MAX_OPEN]> = self.open.iter().map(|one| one.held.key).collect();
            if keys.is_empty() {
                return Ok(None);
            }
            let Some((at, reply)) = First::new(&self.cx.board, &keys, until).await else {
                if strike {
                    self.note_timeout(keys.len() - 1);
                }
                return Ok(None);
            };
            let one = self.open.remove(at);
            let newest = at + 1 == keys.len();
            match self.take(one, reply)? {
                Next::Heard(heard) => return Ok(Some(*heard)),
                Next::Again(again) => until = until.max(again),
                // Another one is still being waited for, unless it was the newest that failed.
                Next::Other if newest => return Ok(None),
                Next::Other => {}
            }
        }
    }

    fn note_timeout(&mut self, newest: usize) {
        let now = self.cx.now().mono;
        let Some(one) = self.open.get(newest) else { return };
        self.timeouts = self.timeouts.saturating_add(1);
        let Some(candidate) = self.candidates.get(one.candidate) else { return };
        let (server, after) = (candidate.server, now.since(one.since));
        if !one.joined {
            if self.cx.servers.timed_out(server, self.zone_hash, one.since, now) {
                self.cx.board.borrow_mut().write_off(one.held.key);
            }
            self.count(Count::Silent, one.since);
        }
        self.cx.board.borrow_mut().counters.timeouts += 1;
        if one.transport == AskTransport::Tcp {
            self.done[one.candidate] = true;
        }
        if let Some(one) = self.open.get_mut(newest) {
            one.silent = true;
        }
        self.cx.trace(self.work, || TraceStep::Timeout { server, after });
    }

    /// Counts a packet in the zones' accounts that was sent then.
    fn count(&self, what: Count, sent: Moment) {
        self.cx.books.zones().packet(self.name.wire(), self.cut.zone.wire(), what, sent);
    }

    /// Takes one reply.
    fn take(&mut self, one: Try, reply: Reply) -> Result<Next, Silence> {
        let now = self.cx.now().mono;
        let server = match self.candidates.get(one.candidate) {
            Some(candidate) => candidate.server,
            None => return Ok(Next::Other),
        };
        match reply {
            Reply::Message(message, octets) => {
                let records = message.answers().len() + message.authorities().len() + message.additionals().len();
                self.work.response(octets, records, &self.toward(server))?;
                let rtt = now.since(one.since);
                if one.transport == AskTransport::Udp && !one.joined {
                    self.cx.servers.answered(server, rtt, now);
                    self.count(Count::Heard, one.since);
                    if one.silent {
                        self.cx.servers.late(server, one.since, now);
                        self.count(Count::Late, one.since);
                    }
                }
                self.take_message(one, server, message)
            }
            Reply::NearMiss | Reply::CaseMismatch | Reply::Malformed | Reply::Oversized => {
                self.last = Some((
                    server,
                    match reply {
                        Reply::Malformed => Useless::Malformed,
                        Reply::Oversized => Useless::Fragments,
                        _ => Useless::Mismatch,
                    },
                ));
                self.cx.conclude(self.work, || format!("{server}: {}: asking by TCP", describe(&reply)));
                self.by_tcp(one)
            }
            // A shortage here says nothing about the server.
            Reply::Link(LinkError::Exhausted) => Err(Silence::Failed(Failure::limit(Limit::Sockets))),
            // Servers end connections when they please (RFC 7766 §6.2.4): once more on a new one.
            Reply::Link(LinkError::Closed) if one.transport == AskTransport::Tcp && !self.closed[one.candidate] => {
                self.closed[one.candidate] = true;
                Ok(Next::Again(self.send(one.candidate, AskTransport::Tcp)?))
            }
            // Nothing was sent, so that it says nothing about the server either.
            Reply::Link(LinkError::NoRoute) => {
                self.done[one.candidate] = true;
                self.routeless[usize::from(server.is_ipv6())] += 1;
                if self.cx.servers.routes().lost(server.ip(), now) {
                    self.cx.board.borrow_mut().notices.push_back(Notice::NoRoute { ipv6: server.is_ipv6() });
                }
                self.cx.conclude(self.work, || format!("this machine has no route to {server}"));
                Ok(Next::Other)
            }
            Reply::Link(error) => {
                if one.transport == AskTransport::Udp || self.last.is_none() {
                    self.cx.servers.timed_out(server, self.zone_hash, one.since, now);
                }
                self.done[one.candidate] = true;
                self.cx.conclude(self.work, || format!("{server} cannot be reached: {error:?}"));
                Ok(Next::Other)
            }
        }
    }

    /// Goes on by TCP, where UDP did not carry the answer.
    fn by_tcp(&mut self, one: Try) -> Result<Next, Silence> {
        self.done[one.candidate] = true;
        if one.transport == AskTransport::Tcp {
            return Ok(Next::Other);
        }
        if let Some(until) = self.join(AskTransport::Tcp) {
            return Ok(Next::Again(until));
        }
        Ok(Next::Again(self.send(one.candidate, AskTransport::Tcp)?))
    }

    fn take_message(&mut self, one: Try, server: SocketAddr, message: Rc<Message>) -> Result<Next, Silence> {
        let rcode = message.rcode();
        if message.flags.has(Flags::TC) && one.transport == AskTransport::Udp {
            self.cx.board.borrow_mut().counters.truncated += 1;
            if rcode != Rcode::REFUSED {
                self.cx.servers.serves(server, self.zone_hash, self.cx.now().mono);
            }
            self.cx.conclude(self.work, || format!("{server}: truncated: asking by TCP"));
            return self.by_tcp(one);
        }
        if rcode == Rcode::BADCOOKIE && one.transport == AskTransport::Udp {
            // The new cookie has been noted; if that does not do either, TCP does.
            let asked = self.candidates.get(one.candidate).map_or(MAX_TRIES, |candidate| candidate.asked);
            if asked < 2 {
                self.refresh(one.candidate);
                return Ok(Next::Again(self.send(one.candidate, AskTransport::Udp)?));
            }
            return self.by_tcp(one);
        }
        let plain = self.candidates.get(one.candidate).is_none_or(|candidate| candidate.report.plain);
        let stumbled = matches!(rcode, Rcode::FORMERR | Rcode::NOTIMP | Rcode::BADVERS);
        let unheard = message.edns.is_none() || rcode == Rcode::BADVERS;
        if stumbled && unheard && !plain && !self.plain[one.candidate] {
            self.cx.conclude(self.work, || format!("{server}: {rcode}: asking without EDNS"));
            self.plain[one.candidate] = true;
            return Ok(Next::Again(self.send(one.candidate, one.transport)?));
        }
        if self.plain[one.candidate] && !stumbled {
            self.cx.servers.speaks_plain(server, self.cx.now().mono);
        }
        self.judge(one, server, message)
    }

    fn refresh(&mut self, index: usize) {
        let claim = self.claim();
        if let Some(candidate) = self.candidates.get_mut(index) {
            candidate.report = self.cx.servers.report(candidate.server, self.zone_hash, claim, self.cx.now().mono);
        }
    }

    /// Is the response of use, or is another server to be asked?
    fn judge(&mut self, one: Try, server: SocketAddr, message: Rc<Message>) -> Result<Next, Silence> {
        let asked = Asked {
            zone: &self.cut.zone,
            name: self.name,
            rtype: self.rtype,
            forwarded: self.cut.is_forward(),
            age: self.cx.now().age,
        };
        let reading = classify(&message, asked);
        let rtt = self.cx.now().mono.since(one.since);
        self.cx.trace(self.work, || TraceStep::Heard { server, rtt, summary: summarise(&message, &reading) });
        let now = self.cx.now().mono;
        match reading {
            Reading::Error(rcode) => {
                self.done[one.candidate] = true;
                self.last = Some((server, Useless::Rcode(rcode)));
                if self.shortened {
                    return Err(Silence::Stumbled);
                }
                if rcode == Rcode::REFUSED && !self.cut.is_forward() {
                    self.cx.servers.lame(server, self.zone_hash, now);
                    self.cx.board.borrow_mut().counters.lame += 1;
                }
                Ok(Next::Other)
            }
            Reading::Lame => {
                self.done[one.candidate] = true;
                self.last = Some((server, Useless::Lame));
                if !self.shortened {
                    self.cx.servers.lame(server, self.zone_hash, now);
                }
                self.cx.board.borrow_mut().counters.lame += 1;
                Ok(Next::Other)
            }
            Reading::Excessive => {
                self.done[one.candidate] = true;
                self.last = Some((server, Useless::Excessive));
                self.cx.board.borrow_mut().counters.excessive += 1;
                Ok(Next::Other)
            }
            Reading::Recursive(reading) => {
                // Others may know better; if none does, its word is what there is.
                self.done[one.candidate] = true;
                self.spare = Some(self.heard(server, *reading, message));
                Ok(Next::Other)
            }
            reading => {
                self.cx.servers.serves(server, self.zone_hash, now);
                if self.resorts.contains(&one.candidate) {
                    self.cx.servers.lame_no_more(server, self.zone_hash, now);
                }
                Ok(Next::Heard(Box::new(self.heard(server, reading, message))))
            }
        }
    }

    fn heard(&self, server: SocketAddr, reading: Reading, message: Rc<Message>) -> Heard {
        let others = self.candidates.iter().any(|candidate| candidate.server != server) || !self.unknown.is_empty();
        Heard { reading, message, one_of: others.then_some(server) }
    }

    /// Was the silence of servers found out only just now?
    fn has_fallen_silent(&self) -> bool {
        let now = self.cx.now().mono;
        let silent = |candidate: &Candidate| matches!(candidate.report.state, State::BackOff | State::Probe);
        let asked = |candidate: &Candidate| candidate.asked > 0 && silent(candidate);
        self.may_ask() && now < self.work.patient_until && self.spare.is_none() && self.candidates.iter().any(asked)
    }

    fn failure(&self) -> Failure {
        let zone = self.cut.zone.clone();
        match self.last {
            _ if self.has_no_route() => Failure::NoRoute { zone },
            _ if !self.may_ask() => Failure::limit(Limit::Zone),
            _ if self.is_busy() => Failure::Busy { zone },
            None if self.spared => Failure::limit(Limit::Network),
            Some((server, what)) => Failure::Useless { zone, server, what },
            None if self.candidates.is_empty() && self.flooded.is_some() => {
                self.flooded.clone().unwrap_or(Failure::NoAddress { zone })
            }
            None if self.candidates.is_empty() && self.other_family => Failure::NoFamily { zone },
            None if self.candidates.is_empty() => Failure::NoAddress { zone },
            None => Failure::Unreachable { zone },
        }
    }

    /// Was nobody asked, since this machine has no way to any of them?
    fn has_no_route(&self) -> bool {
        let [four, six] = self.routeless;
        self.tries > 0 && self.tries == four + six
    }

    /// Nobody else can be asked: what is left is a server that answered from its cache.
    fn give_up(mut self, failure: Failure) -> Result<Heard, Silence> {
        self.spare.take().ok_or(Silence::Failed(failure))
    }
}

enum Next {
    Heard(Box<Heard>),
    /// A follow-up is on its way: wait until then.
    Again(Moment),
    Other,
}

fn describe(reply: &Reply) -> &'static str {
    match reply {
        Reply::NearMiss => "a response that does not match",
        Reply::CaseMismatch => "a response in another case",
        Reply::Malformed => "a response that cannot be read",
        Reply::Oversized => "a response larger than was offered, in fragments that may be forged",
        Reply::Message(..) => "a response",
        Reply::Link(_) => "no response",
    }
}

fn summarise(message: &Message, reading: &Reading) -> String {
    let what = match reading {
        Reading::Answer(sets) => format!("answer, {} RRset(s)", sets.len()),
        Reading::Alias { target, .. } => format!("alias to {target}"),
        Reading::TooLong(_) => "DNAME makes the name too long".to_owned(),
        Reading::Negative(negative) if negative.rcode == Rcode::NXDOMAIN => "the name does not exist".to_owned(),
        Reading::Negative(_) => "the name has no such records".to_owned(),
        Reading::Referral(servers) => format!("referral to {} ({} servers)", servers.zone, servers.servers.len()),
        Reading::Lame => "lame: it does not serve the zone".to_owned(),
        Reading::Recursive(_) => "answered from a cache".to_owned(),
        Reading::Error(rcode) => format!("error {rcode}"),
        Reading::Excessive => "more records than an answer may have here".to_owned(),
    };
    format!(
        "{} {:?}, {}/{}/{} records: {what}",
        message.rcode(),
        message.flags,
        message.answers().len(),
        message.authorities().len(),
        message.additionals().len()
    )
}

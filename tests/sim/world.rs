//! The simulated Internet: one engine, servers and clients, an event queue, and time as a number.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use maeslant::clock::{Moment, Now};
use maeslant::engine::{
    AskKey, AskTransport, Client, Disposition, Engine, LinkError, Notice, Policy, Route, Shared, Transmit, Transport,
};

use super::client::{self, Asked};
use super::dice::Dice;
use super::server::{self, Sent, Server};
use super::text;

/// Timeouts in a row at one and the same moment: more is an engine that spins.
const SPIN: u32 = 1_000;

/// What the network does to packets.
#[derive(Clone, Debug)]
pub struct Network {
    /// Round-trip times are drawn from this span where a server has none of its own.
    pub rtt: (Duration, Duration),
    pub loss: f64,
    pub duplicate: f64,
    /// This share of packets is late by up to `late`.
    pub reorder: f64,
    pub late: Duration,
}

impl Default for Network {
    fn default() -> Network {
        let rtt = (Duration::from_millis(10), Duration::from_millis(10));
        Network { rtt, loss: 0.0, duplicate: 0.0, reorder: 0.0, late: Duration::from_millis(50) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Response { key: AskKey, bytes: Vec<u8> },
    Link { key: AskKey, error: u8 },
}

const LINKS: [LinkError; 5] =
    [LinkError::Refused, LinkError::Unreachable, LinkError::NoRoute, LinkError::Closed, LinkError::Exhausted];

/// A packet to a server whose `Close` has not come yet.
#[derive(Clone, Debug)]
pub struct OpenAsk {
    pub server: SocketAddr,
    pub packet: Vec<u8>,
}

/// A whole run.
pub struct World {
    /// Nanoseconds of simulated time.
    pub now: u64,
    pub engine: Engine,
    pub policy: Arc<Policy>,
    pub servers: Vec<Server>,
    pub network: Network,
    pub asked: Vec<Asked>,
    pub notices: Vec<Notice>,
    pub open: HashMap<AskKey, OpenAsk>,
    /// What went over the wire, for whoever reads a failure.
    pub log: Vec<String>,
    /// What must never happen, and did.
    pub broken: Vec<String>,
    /// Packets to servers, those to addresses without a server included.
    pub asks: usize,
    /// Packets to each address, and octets that came from it.
    pub toward: HashMap<IpAddr, (u32, usize)>,
    /// Those packets themselves, unless the world is quiet.
    pub queries: Vec<Vec<u8>>,
    pub dice: Dice,
    /// Real time of the engine's work on responses, all together and the longest.
    pub took: (Duration, Duration),
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    logging: bool,
}

impl World {
    pub fn new(policy: Policy, cache: &maeslant::cache::Policy, servers: Vec<Server>, seed: u64) -> World {
        let shared = Shared::new(cache, Dice::new(!seed).seed());
        World::sharing(shared, policy, servers, seed)
    }

    /// With caches that other shards use too.
    pub fn sharing(shared: Shared, policy: Policy, servers: Vec<Server>, seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let policy = Arc::new(policy);
        let engine = Engine::new(policy.clone(), shared, dice.seed());
        World {
            now: 1_000_000_000,
            engine,
            policy,
            servers,
            network: Network::default(),
            asked: Vec::new(),
            notices: Vec::new(),
            open: HashMap::new(),
            log: Vec::new(),
            broken: Vec::new(),
            asks: 0,
            toward: HashMap::new(),
            queries: Vec::new(),
            dice,
            took: Default::default(),
            events: BinaryHeap::new(),
            order: 0,
            logging: true,
        }
    }

    /// Without the packet log, for long runs.
    pub fn quiet(mut self) -> World {
        self.logging = false;
        self
    }

    pub fn start(&mut self) {
        self.engine.start(self.reading());
        self.pump();
    }

    fn reading(&self) -> Now {
        Now::simulated(self.now)
    }

    /// Writes a line about now.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.logging && self.log.len() < 2_000 {
            self.log.push(format!("{:>12.6}s {}", self.now as f64 / 1e9 - 1.0, line()));
        }
    }

    /// A client's packet arrives now. Its number in `asked` comes back.
    pub fn ask(&mut self, from: SocketAddr, transport: Transport, packet: Vec<u8>) -> usize {
        let number = self.asked.len();
        let route = Route { socket: number as u64, local: None };
        let client = Client { addr: from, transport, route };
        let mut out = vec![0xee; 3];
        let disposition = self.engine.handle_query(self.reading(), client, &packet, &mut out);
        self.note(|| format!("client {from} {transport:?}: {} -> {disposition:?}", summary(&packet)));
        self.asked.push(Asked { packet, from, transport, at: self.now, disposition, gone: false, reply: None });
        if disposition == Disposition::Answered {
            self.replied(number, out);
        }
        self.pump();
        number
    }

    /// The client's connection ends.
    pub fn gone(&mut self, number: usize) {
        self.asked[number].gone = true;
        self.engine.handle_gone(Route { socket: number as u64, local: None });
        self.pump();
    }

    fn replied(&mut self, number: usize, packet: Vec<u8>) {
        self.note(|| format!("reply to client {number}: {}", summary(&packet)));
        let limit = usize::from(self.policy.respond.udp_payload_size);
        let asked = &mut self.asked[number];
        if let Err(what) = client::check_reply(asked, &packet, limit) {
            self.broken.push(format!("reply to `{}`: {what}", summary(&asked.packet)));
        }
        if asked.reply.is_some() || asked.gone || matches!(asked.disposition, Disposition::Dropped(_)) {
            self.broken.push(format!("`{}` has a second reply, or one after a drop", summary(&asked.packet)));
        }
        asked.reply = Some((self.now, packet));
    }

    /// Takes all the engine wants sent.
    fn pump(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit(self.reading()) {
            match transmit {
                Transmit::Reply { client, packet } => self.reply(client, packet),
                Transmit::Ask { key, server, transport, packet } => self.carry(key, server, transport, packet),
                Transmit::Close { key } => {
                    self.open.remove(&key);
                }
            }
        }
        while let Some(notice) = self.engine.poll_notice() {
            self.note(|| format!("notice {notice:?}"));
            self.notices.push(notice);
        }
        let counters = self.engine.counters();
        let ended = counters.answered + counters.dropped.iter().sum::<u64>() + counters.gone;
        if counters.queries != ended + counters.waiting {
            let (queries, waiting) = (counters.queries, counters.waiting);
            self.broken.push(format!("{queries} queries, but {ended} have ended and {waiting} wait: {counters:?}"));
        }
    }

    fn reply(&mut self, client: Client, packet: Vec<u8>) {
        let number = client.route.socket as usize;
        match self.asked.get(number) {
            Some(asked) if asked.from == client.addr && asked.transport == client.transport => {
                self.replied(number, packet);
            }
            // The very question in hand: `handle_query` has not returned, so it is not listed yet.
            _ => self.broken.push(format!("a reply for nobody: {client:?}")),
        }
    }

    /// Brings a query to its server, and the server's answer into the queue.
    fn carry(&mut self, key: AskKey, addr: SocketAddr, transport: AskTransport, packet: Vec<u8>) {
        let at = self.servers.iter().position(|server| server.addresses.contains(&addr.ip()));
        if at.is_some_and(|at| self.servers[at].no_route_to(addr.ip())) {
            self.note(|| format!("  -> no route to {addr}"));
            self.open.insert(key, OpenAsk { server: addr, packet });
            return self.put(key, transport, Sent::Link { after: Duration::ZERO, error: LinkError::NoRoute });
        }
        self.asks += 1;
        self.toward.entry(addr.ip()).or_default().0 += 1;
        if self.logging {
            self.queries.push(packet.clone());
        }
        let whom = at.map_or("nobody".to_string(), |at| self.servers[at].name.clone());
        self.note(|| format!("  -> {whom} {addr} {transport:?}: {}", summary(&packet)));
        let again = self.open.insert(key, OpenAsk { server: addr, packet: packet.clone() });
        if again.is_some() {
            self.broken.push(format!("{key:?} is used for two packets at once"));
        }
        let query = match Message::from_vec(&packet) {
            Ok(query) => query,
            Err(error) => return self.broken.push(format!("a query to {addr} does not parse: {error}")),
        };
        if let Err(what) = check_query(&query, &self.policy) {
            self.broken.push(format!("a query to {whom}: {what}: {}", summary(&packet)));
        }
        let Some(at) = at else { return };
        let server = &mut self.servers[at];
        let rtt = server.rtt.unwrap_or_else(|| self.dice.between(self.network.rtt.0, self.network.rtt.1));
        // Over TCP, a handshake comes first.
        let rtt = if transport == AskTransport::Tcp { rtt * 2 } else { rtt };
        let lost =
            transport == AskTransport::Udp && (self.dice.happens(self.network.loss) || self.dice.happens(server.loss));
        if lost {
            // The query itself may have arrived or not; half of the time the server counts it.
            if self.dice.happens(0.5) {
                server.handle(&query, transport, rtt, &mut self.dice);
            }
            return self.note(|| "     lost".to_string());
        }
        for sent in server.handle(&query, transport, rtt, &mut self.dice) {
            if let Sent::Packet { bytes, .. } = &sent {
                self.toward.entry(addr.ip()).or_default().1 += bytes.len();
            }
            self.put(key, transport, sent);
        }
    }

    fn put(&mut self, key: AskKey, transport: AskTransport, sent: Sent) {
        match sent {
            Sent::Link { after, error } => {
                let error = LINKS.iter().position(|link| *link == error).unwrap_or(0) as u8;
                self.schedule(after, Event::Link { key, error });
            }
            Sent::Packet { mut after, bytes } => {
                if transport == AskTransport::Udp {
                    if self.dice.happens(self.network.reorder) {
                        after += self.dice.between(Duration::ZERO, self.network.late);
                    }
                    if self.dice.happens(self.network.duplicate) {
                        let later = after + self.dice.between(Duration::ZERO, self.network.late);
                        self.schedule(later, Event::Response { key, bytes: bytes.clone() });
                    }
                }
                self.schedule(after, Event::Response { key, bytes });
            }
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.now + after.as_nanos() as u64, self.order, event)));
    }

    /// A packet from nowhere, for a key the engine may or may not know.
    pub fn inject(&mut self, key: AskKey, bytes: &[u8]) {
        self.note(|| format!("  <- forged for {key:?}: {}", summary(bytes)));
        self.engine.handle_response(self.reading(), key, bytes);
        self.pump();
    }

    /// The transport's word, from nowhere.
    pub fn inject_link(&mut self, key: AskKey, error: LinkError) {
        self.engine.handle_link_error(self.reading(), key, error);
        self.pump();
    }

    /// When something happens next.
    pub fn next(&self) -> Option<u64> {
        let event = self.events.peek().map(|Reverse((at, ..))| *at);
        let timer = self.engine.poll_timeout().filter(|at| *at != Moment::NEVER).map(Moment::as_nanos);
        match (event, timer) {
            (Some(event), Some(timer)) => Some(event.min(timer)),
            (event, timer) => event.or(timer),
        }
    }

    /// Lets time pass until `end`.
    pub fn advance(&mut self, end: u64) {
        self.advance_until(end, |_| false);
    }

    /// Lets time pass until `end`, or until `done`. True if done.
    pub fn advance_until(&mut self, end: u64, done: impl Fn(&World) -> bool) -> bool {
        let mut spins = 0;
        loop {
            if done(self) {
                return true;
            }
            let Some(next) = self.next().filter(|next| *next <= end) else { break };
            spins = if next > self.now { 0 } else { spins + 1 };
            self.now = next.max(self.now);
            if !self.step() && spins > SPIN {
                self.broken.push(format!("poll_timeout stays at {next} ns: the engine spins"));
                break;
            }
        }
        self.now = self.now.max(end);
        done(self)
    }

    /// One event, or else what the timer asks for. True if it was an event.
    fn step(&mut self) -> bool {
        if let Some(Reverse((at, ..))) = self.events.peek()
            && *at <= self.now
            && let Some(Reverse((_, _, event))) = self.events.pop()
        {
            self.deliver(event);
            return true;
        }
        let now = self.reading();
        let before = Instant::now();
        self.engine.handle_timeout(now);
        let took = before.elapsed();
        self.took = (self.took.0 + took, self.took.1.max(took));
        self.pump();
        if self.engine.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.broken.push("poll_timeout lies in the past after handle_timeout".to_string());
            // Time goes on, so that the run ends.
            self.now += 1_000_000;
        }
        false
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::Response { key, bytes } => {
                if !self.open.contains_key(&key) {
                    // The socket is closed: the kernel would drop it.
                    return;
                }
                self.note(|| format!("  <- {key:?}: {}", summary(&bytes)));
                let before = Instant::now();
                self.engine.handle_response(self.reading(), key, &bytes);
                let took = before.elapsed();
                self.took = (self.took.0 + took, self.took.1.max(took));
            }
            Event::Link { key, error } => {
                let Some(open) = self.open.remove(&key) else { return };
                self.note(|| format!("  <- {key:?}: {:?} from {}", LINKS[usize::from(error)], open.server));
                self.engine.handle_link_error(self.reading(), key, LINKS[usize::from(error)]);
            }
        }
        self.pump();
    }

    /// True when no question and no packet is in flight.
    pub fn idle(&self) -> bool {
        self.engine.in_flight() == 0 && self.engine.asks_in_flight() == 0
    }

    /// Waits up to `patience` for an idle moment, and says what is left over if none comes.
    pub fn settle(&mut self, patience: Duration) -> Result<(), String> {
        let end = self.now + patience.as_nanos() as u64;
        if !self.idle() && !self.advance_until(end, World::idle) {
            let (questions, asks) = (self.engine.in_flight(), self.engine.asks_in_flight());
            return Err(format!("after {patience:?}, {questions} questions and {asks} asks are still in flight"));
        }
        if !self.open.is_empty() {
            return Err(format!("idle, but {} asks were never closed", self.open.len()));
        }
        // The task that keeps the root primed never ends.
        let tasks = self.engine.tasks().saturating_sub(usize::from(self.policy.resolve.prime));
        if tasks > 0 {
            return Err(format!("idle, but {tasks} tasks have not ended"));
        }
        let counters = self.engine.counters();
        let ended = counters.answered + counters.dropped.iter().sum::<u64>() + counters.gone;
        if counters.queries != ended || counters.waiting != 0 {
            return Err(format!("idle, but {} queries of {} have ended: {counters:?}", ended, counters.queries));
        }
        Ok(())
    }

    /// Every question ended as its disposition promises.
    pub fn unanswered(&self) -> Vec<usize> {
        let pending = |asked: &Asked| !asked.gone && asked.disposition == Disposition::Pending && asked.reply.is_none();
        self.asked.iter().enumerate().filter(|(_, asked)| pending(asked)).map(|(number, _)| number).collect()
    }

    pub fn server(&mut self, name: &str) -> Result<&mut Server, String> {
        self.servers.iter_mut().find(|server| server.name == name).ok_or_else(|| format!("there is no server `{name}`"))
    }
}

/// What holds of every query to a server.
fn check_query(query: &Message, policy: &Policy) -> Result<(), String> {
    let header = &query.metadata;
    if query.queries.len() != 1 {
        return Err(format!("it has {} questions", query.queries.len()));
    }
    let forwards =
        policy.resolve.upstreams.iter().any(|upstream| upstream.kind == maeslant::resolve::UpstreamKind::Forward);
    if header.recursion_desired && !forwards {
        return Err("RD is set toward an authoritative server".to_string());
    }
    if header.truncation || header.authoritative || header.recursion_available {
        return Err("a flag of responses is set".to_string());
    }
    if let Some(edns) = &query.edns
        && edns.max_payload() > policy.resolve.udp_payload_size.max(512)
    {
        return Err(format!("it offers {} octets", edns.max_payload()));
    }
    Ok(())
}

/// One line about a packet.
pub fn summary(packet: &[u8]) -> String {
    let Ok(message) = Message::from_vec(packet) else {
        let shown: String = packet.iter().take(24).map(|byte| format!("{byte:02x}")).collect();
        return format!("{} octets {shown}…", packet.len());
    };
    let header = &message.metadata;
    let mut line = format!("id={}", header.id);
    for (on, name) in [
        (header.authoritative, "aa"),
        (header.truncation, "tc"),
        (header.recursion_desired, "rd"),
        (header.recursion_available, "ra"),
        (header.authentic_data, "ad"),
        (header.checking_disabled, "cd"),
    ] {
        if on {
            line += &format!(" {name}");
        }
    }
    for question in &message.queries {
        line += &format!(" {} {}", question.name, text::show_type(question.query_type));
    }
    if header.message_type == hickory_proto::op::MessageType::Response {
        line += &format!(" {}", text::show_response_code(header.response_code));
        for (title, list) in [("an", &message.answers), ("ns", &message.authorities), ("ar", &message.additionals)] {
            let shown: Vec<String> = list.iter().take(6).map(text::show_record).collect();
            let more = list.len().saturating_sub(6);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            if !list.is_empty() {
                line += &format!(" {title}[{}{more}]", shown.join("; "));
            }
        }
    }
    for code in client::extended_errors(&message) {
        line += &format!(" ede={code}");
    }
    if message.edns.is_some() {
        line += " +edns";
        if server::cookie_of(&message).is_some() {
            line += " +cookie";
        }
    }
    line
}

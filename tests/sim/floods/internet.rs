//! A simulated Internet for floods: nothing but octets, so that a million questions take seconds. A root, one server for
//! all top-level domains, and servers of zones that answer so many questions a second and lose the rest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use maeslant::admission::{Door, Pressure, Sizes, ToldZone};
use maeslant::clock::{Moment, Now};
use maeslant::engine::{AskKey, AskTransport, Client, Disposition, Engine, Policy, Route, Shared, Transmit, Transport};
use maeslant::pack::{Fields, Passage};
use maeslant::resolve::Hint;

use crate::sim::dice::Dice;

pub const SECOND: u64 = 1_000_000_000;
const ROOT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const TLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// What is no server's address. It is what names lead to.
pub const DEAD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// What all the zones that have one server begin with.
pub const HOSTED: &str = "hosted";
/// Octets around a datagram.
const HEADERS: u64 = 28;
/// What a client waits for an answer.
const PATIENCE: u64 = 5 * SECOND;

/// How the servers of a zone are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Servers {
    pub alive: bool,
    pub rtt: Duration,
    /// Questions a second that are answered; the rest is lost.
    pub capacity: f64,
}

impl Servers {
    pub const fn alive(capacity: f64) -> Servers {
        Servers { alive: true, rtt: Duration::from_millis(20), capacity }
    }

    pub const DEAD: Servers = Servers { alive: false, rtt: Duration::ZERO, capacity: 0.0 };
}

/// Which names of a zone there are.
pub type Exists = fn(first_label: &str) -> bool;

/// How a zone's servers answer that do as they please: all that they send to a question, in order.
pub type Serves = fn(packet: &[u8], labels: &[String]) -> Vec<Vec<u8>>;

/// A zone, `example.com` in text.
struct Zone {
    servers: Servers,
    exists: Exists,
    ttl: u32,
    /// What is left of its capacity, and since when.
    tokens: f64,
    at: u64,
    /// Questions that came, by second.
    came: Vec<u32>,
}

/// What is counted of a stream of questions.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    pub asked: u32,
    /// NOERROR with an answer, in time.
    pub found: u32,
    pub absent: u32,
    pub servfail: u32,
    pub late: u32,
}

impl Tally {
    pub fn success(&self) -> f64 {
        f64::from(self.found) / f64::from(self.asked.max(1))
    }

    /// Not asked of anybody, whatever was said.
    pub fn refused(&self) -> f64 {
        1.0 - f64::from(self.found + self.absent) / f64::from(self.asked.max(1))
    }
}

/// How a zone leads to names in another.
#[derive(Clone, Copy)]
pub enum Lead {
    /// Every name in it is an alias of the same label there.
    Alias,
    /// Every name in it is delegated to three servers with names there, and no addresses.
    Servers,
}

/// When a response arrives, in which order, and what it is.
type Arrival = (u64, u64, AskKey, Vec<u8>);

pub struct Internet {
    pub now: u64,
    pub engine: Engine,
    shared: Shared,
    /// Of the hashes in what it keeps.
    seed: [u8; 32],
    policy: Policy,
    sizes: Sizes,
    cache: maeslant::cache::Policy,
    zones: HashMap<String, Zone>,
    hostile: HashMap<String, (Serves, Duration)>,
    /// Zones whose parent names one server and no address of it.
    pointing: HashMap<String, String>,
    /// Packets to servers by the domain that they ask about.
    pub about: HashMap<String, u32>,
    /// Nothing comes from any server.
    pub cut: bool,
    pub pressure: Pressure,
    /// Octets from and to the clients of each stream.
    pub octets: Vec<(u64, u64)>,
    /// When answers left for the clients of each stream, where that is wanted.
    pub left: HashMap<usize, Vec<u64>>,
    /// Answers that say what nobody but a forger said.
    pub poisoned: u32,
    /// What zones that are not listed have.
    others: (Servers, Exists),
    leads: HashMap<String, (Lead, String)>,
    heap: BinaryHeap<Reverse<Arrival>>,
    order: u64,
    /// By the number in their route: the stream, and when it was asked.
    waiting: HashMap<u64, (usize, u64)>,
    /// Streams whose clients come by TCP when they are told to, what those have asked by UDP, and the door to which they come.
    pub come_by_tcp: HashSet<usize>,
    asked: HashMap<u64, (Ipv4Addr, Vec<u8>)>,
    door: Door,
    next: u64,
    /// By stream and second.
    pub tallies: Vec<Vec<Tally>>,
    /// What streams ask for before A of the same name, where that is anything.
    also: HashMap<usize, &'static [u16]>,
    /// Streams that ask for types that nobody has heard of in place of A.
    random_types: HashSet<usize>,
    /// The longest waits of answered questions by stream, for quantiles.
    pub waits: Vec<Vec<u64>>,
    out: Vec<u8>,
}

impl Internet {
    pub fn new(seed: u64, change: impl FnOnce(&mut Policy)) -> Internet {
        Internet::sized(seed, &maeslant::cache::Policy::default(), Sizes::default(), change)
    }

    /// The same with caches and books of other sizes.
    pub fn sized(
        seed: u64,
        cache: &maeslant::cache::Policy,
        sizes: Sizes,
        change: impl FnOnce(&mut Policy),
    ) -> Internet {
        let mut dice = Dice::new(seed);
        let mut policy = Policy::default();
        policy.access.allow = vec!["10.0.0.0/8".parse().expect("a prefix")];
        policy.resolve.prime = false;
        policy.resolve.dnssec.validation = false;
        policy.resolve.root_hints = vec![Hint { name: "a.root.".to_owned(), addresses: vec![ROOT.into()] }];
        change(&mut policy);
        let seed = dice.seed();
        let shared = Shared::sized(cache, &sizes, 1, seed);
        Internet {
            now: 1000 * SECOND,
            engine: Engine::new(Arc::new(policy.clone()), shared.clone(), dice.seed()),
            seed,
            sizes,
            cache: cache.clone(),
            zones: HashMap::new(),
            hostile: HashMap::new(),
            pointing: HashMap::new(),
            about: HashMap::new(),
            cut: false,
            pressure: Pressure::default(),
            octets: Vec::new(),
            left: HashMap::new(),
            poisoned: 0,
            others: (Servers::alive(1e9), |_| true),
            leads: HashMap::new(),
            heap: BinaryHeap::new(),
            order: 0,
            waiting: HashMap::new(),
            come_by_tcp: HashSet::new(),
            asked: HashMap::new(),
            door: Door::beside(&policy.access, &shared.books),
            shared,
            policy,
            next: 0,
            tallies: Vec::new(),
            also: HashMap::new(),
            random_types: HashSet::new(),
            waits: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Takes the policy that it began with, changed.
    pub fn change(&mut self, change: impl FnOnce(&mut Policy)) {
        change(&mut self.policy);
        self.engine.set_rules(Arc::new(self.policy.clone()));
    }

    pub fn zone(&mut self, name: &str, servers: Servers, exists: Exists, ttl: u32) {
        let zone = Zone { servers, exists, ttl, tokens: 0.0, at: self.now, came: Vec::new() };
        self.zones.insert(name.to_owned(), zone);
    }

    /// From now on, what is asked of a zone leads elsewhere.
    pub fn lead(&mut self, apex: &str, lead: Lead, to: &str) {
        self.leads.insert(apex.to_owned(), (lead, to.to_owned()));
    }

    pub fn set_servers(&mut self, name: &str, servers: Servers) {
        if let Some(zone) = self.zones.get_mut(name) {
            zone.servers = servers;
        }
    }

    /// A zone whose servers do as they please.
    pub fn hostile(&mut self, name: &str, serves: Serves, rtt: Duration) {
        self.hostile.insert(name.to_owned(), (serves, rtt));
    }

    /// The parent of a zone names this server for it, and no address.
    pub fn point(&mut self, zone: &str, server: &str) {
        self.pointing.insert(zone.to_owned(), server.to_owned());
    }

    /// The server is killed, and another one takes in what was kept two seconds before, two seconds later.
    pub fn restart(&mut self) {
        const STEP: Duration = Duration::from_secs(2);
        let (written, mut kept) = (Now::simulated(self.now), Vec::new());
        let mut keep = |kind: u8, part: u8, octets: &[u8]| kept.push((kind, part, octets.to_vec()));
        self.shared.books.save(written.mono, STEP, &mut |part, pack| keep(0, part, pack.octets()));
        self.shared.servers.save(&mut |pack| keep(1, 0, pack.octets()));
        self.shared.cache.save(written.age, Duration::from_secs(86_400), u64::MAX, &mut |part, pack| {
            keep(2, part, pack.octets());
            true
        });
        self.advance(self.now + 2 * SECOND);
        let end = self.now + 2 * SECOND;
        self.shared = Shared::sized(&self.cache, &self.sizes, 1, self.seed);
        let mut dice = Dice::new(self.now);
        self.engine = Engine::new(Arc::new(self.policy.clone()), self.shared.clone(), dice.seed());
        (self.now, self.heap) = (end, BinaryHeap::new());
        self.waiting.clear();
        self.asked.clear();
        self.door = Door::beside(&self.policy.access, &self.shared.books);
        let now = Now::simulated(end);
        let passage = Passage::new(written, now, 2 * STEP);
        for (kind, part, record) in kept {
            let fields = Fields::of(&record);
            let taken = match kind {
                0 => self.shared.books.load(part, fields, now.mono, &passage),
                1 => self.shared.servers.load(fields, &passage),
                _ => self.shared.cache.load(part, fields, &passage, true),
            };
            assert!(taken.is_some(), "a record of kind {kind}, part {part}");
        }
    }

    pub fn second(&self) -> usize {
        (self.now / SECOND) as usize - 1000
    }

    /// Octets in the caches, and how many there may be.
    pub fn memory(&self) -> (u64, u64) {
        let used = self.shared.cache.sizes().iter().map(|(_, _, octets)| octets).sum();
        (used, self.cache.memory)
    }

    /// Questions that came to a zone's servers, by second.
    pub fn came(&self, name: &str) -> &[u32] {
        self.zones.get(name).map_or(&[], |zone| &zone.came)
    }

    /// The zones that are said to be flooded.
    pub fn flooded(&self) -> Vec<ToldZone> {
        self.shared.books.zones().list(1000, Moment::from_nanos(self.now))
    }

    /// A stream asks for these types before A of each name; only what came of A is counted.
    pub fn also(&mut self, stream: usize, types: &'static [u16]) {
        self.also.insert(stream, types);
    }

    /// A stream asks for types that nobody has heard of.
    pub fn random_types(&mut self, stream: usize) {
        self.random_types.insert(stream);
    }

    /// A question for A now, after those for what the stream asks as well.
    pub fn ask(&mut self, stream: usize, from: Ipv4Addr, name: &str) {
        for rtype in self.also.get(&stream).copied().unwrap_or_default() {
            self.ask_type(None, from, name, *rtype);
        }
        let unheard_of = 1_000 + (self.next * 7_919 % 50_000) as u16;
        let rtype = if self.random_types.contains(&stream) { unheard_of } else { 1 };
        self.ask_type(Some(stream), from, name, rtype);
    }

    fn ask_type(&mut self, stream: Option<usize>, from: Ipv4Addr, name: &str, rtype: u16) {
        let packet = question(name, rtype, self.next as u16);
        self.send(stream, from, &packet);
    }

    /// A packet to the server, whatever it is.
    pub fn send(&mut self, stream: Option<usize>, from: Ipv4Addr, packet: &[u8]) {
        let number = self.next;
        self.next += 1;
        let client = Client {
            addr: SocketAddr::new(from.into(), 4000),
            transport: Transport::Udp,
            route: Route { socket: number, local: None },
        };
        if let Some(stream) = stream {
            if self.come_by_tcp.contains(&stream) {
                self.asked.insert(number, (from, packet.to_vec()));
            }
            self.waiting.insert(number, (stream, self.now));
            let second = self.second();
            let tallies = entry(&mut self.tallies, stream);
            entry(tallies, second).asked += 1;
            entry(&mut self.octets, stream).0 += HEADERS + packet.len() as u64;
        }
        self.hand_in(client, packet);
        self.pump();
    }

    fn hand_in(&mut self, client: Client, packet: &[u8]) {
        let number = client.route.socket;
        let mut out = std::mem::take(&mut self.out);
        match self.engine.handle_query(Now::simulated(self.now), client, packet, &mut out) {
            Disposition::Answered => self.answered(number, &out),
            Disposition::Dropped(_) => {
                self.waiting.remove(&number);
                self.asked.remove(&number);
            }
            Disposition::Pending => {}
        }
        self.out = out;
    }

    fn answered(&mut self, number: u64, packet: &[u8]) {
        if let Some((from, question)) = self.asked.remove(&number)
            && packet[2] & 2 != 0
        {
            let (level, _) = self.engine.level();
            if self.door.accept(Moment::from_nanos(self.now), from.into(), level) {
                let addr = SocketAddr::new(from.into(), 4000);
                let route = Route { socket: number, local: None };
                self.hand_in(Client { addr, transport: Transport::Tcp, route }, &question);
            } else {
                self.waiting.remove(&number);
            }
            return;
        }
        let Some((stream, at)) = self.waiting.remove(&number) else { return };
        entry(&mut self.octets, stream).1 += HEADERS + packet.len() as u64;
        self.left.entry(stream).and_modify(|left| left.push(self.now));
        self.poisoned += u32::from(packet.ends_with(&super::hostile::POISON));
        let tally = entry(entry(&mut self.tallies, stream), (at / SECOND) as usize - 1000);
        match (packet[3] & 15, packet[7]) {
            _ if self.now - at > PATIENCE => tally.late += 1,
            (0, 1..) => {
                tally.found += 1;
                entry(&mut self.waits, stream).push(self.now - at);
            }
            (0 | 3, _) => tally.absent += 1,
            _ => tally.servfail += 1,
        }
    }

    fn pump(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit(Now::simulated(self.now)) {
            match transmit {
                Transmit::Reply { client, packet } => self.answered(client.route.socket, &packet),
                Transmit::Ask { key, server, transport, packet } => self.carry(key, server.ip(), transport, packet),
                Transmit::Close { .. } => {}
            }
        }
    }

    fn carry(&mut self, key: AskKey, server: IpAddr, transport: AskTransport, packet: Vec<u8>) {
        let labels = labels(&packet);
        let domain = labels.iter().rev().take(2).rev().cloned().collect::<Vec<_>>().join(".");
        *self.about.entry(domain.clone()).or_default() += 1;
        let address = match server {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => return,
        };
        if self.cut || address == DEAD {
            return;
        }
        let (rtt, responses) = if address == ROOT {
            (Duration::from_millis(10), vec![refer(&packet, &labels, 1, TLD)])
        } else if address == TLD {
            let referral = match self.pointing.get(&domain) {
                Some(server) => point(&packet, &domain, server),
                None => refer(&packet, &labels, 2, self::address(&domain)),
            };
            (Duration::from_millis(10), vec![referral])
        } else if let Some((serves, rtt)) = self.hostile.get(&domain) {
            (*rtt, serves(&packet, &labels))
        } else {
            match self.serve(&domain, &labels, &packet) {
                Some((rtt, said)) => (rtt, vec![said]),
                None => return,
            }
        };
        // By TCP nobody else can answer.
        let forged = if transport == AskTransport::Tcp { responses.len().saturating_sub(1) } else { 0 };
        for response in responses.into_iter().skip(forged) {
            self.order += 1;
            self.heap.push(Reverse((self.now + rtt.as_nanos() as u64, self.order, key, response)));
        }
    }

    fn serve(&mut self, apex: &str, labels: &[String], packet: &[u8]) -> Option<(Duration, Vec<u8>)> {
        let second = self.second();
        let (servers, exists, ttl) = match self.zones.get_mut(host_of(apex)) {
            None => (self.others.0, self.others.1, 300),
            Some(zone) => {
                *entry(&mut zone.came, second) += 1;
                let earned = (self.now - zone.at) as f64 / 1e9 * zone.servers.capacity;
                (zone.tokens, zone.at) = ((zone.tokens + earned).min(zone.servers.capacity / 20.0 + 1.0), self.now);
                if zone.tokens < 1.0 {
                    return None;
                }
                zone.tokens -= 1.0;
                (zone.servers, zone.exists, zone.ttl)
            }
        };
        if !servers.alive {
            return None;
        }
        let first = labels.first().map_or("", String::as_str);
        if let Some((lead, to)) = self.leads.get(apex).filter(|_| labels.len() > 2) {
            return Some((servers.rtt, led(packet, labels, *lead, to)));
        }
        let there = labels.len() <= 2 || exists(first);
        let address = rtype(packet) == 1 && there;
        Some((servers.rtt, answer(packet, apex, address, there, ttl)))
    }

    /// What zones that are not listed have, and which of their names there are.
    pub fn set_others_to(&mut self, servers: Servers, exists: Exists) {
        self.others = (servers, exists);
    }

    /// What zones that are not listed have.
    pub fn set_others(&mut self, servers: Servers) {
        self.others.0 = servers;
    }

    /// The engine takes how hard it is pressed, as the shell lets it.
    pub fn feel(&mut self) {
        self.engine.feel(Now::simulated(self.now), self.pressure);
    }

    /// Lets time pass until `end`.
    pub fn advance(&mut self, end: u64) {
        loop {
            let event = self.heap.peek().map(|Reverse((at, ..))| *at);
            let timer = self.engine.poll_timeout().map(Moment::as_nanos);
            let Some(next) = event.into_iter().chain(timer).min().filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            match self.heap.pop() {
                Some(Reverse((at, _, key, bytes))) if at <= self.now => {
                    self.engine.handle_response(Now::simulated(self.now), key, &bytes);
                }
                other => {
                    self.heap.extend(other);
                    self.engine.handle_timeout(Now::simulated(self.now));
                }
            }
            self.pump();
        }
        self.now = self.now.max(end);
    }

    /// What became of a stream's questions asked in these seconds.
    pub fn sum(&self, stream: usize, from: usize, until: usize) -> Tally {
        let mut sum = Tally::default();
        for tally in self.tallies.get(stream).into_iter().flatten().take(until).skip(from) {
            sum.asked += tally.asked;
            sum.found += tally.found;
            sum.absent += tally.absent;
            sum.servfail += tally.servfail;
            sum.late += tally.late;
        }
        sum
    }
}

/// The place of an index, made where there is none.
fn entry<T: Default + Clone>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}

pub fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

pub fn question(name: &str, rtype: u16, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut packet = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend(wire(name));
    packet.extend(rtype.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// The labels asked for, in lower case.
fn labels(packet: &[u8]) -> Vec<String> {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_lowercase());
        at = end;
    }
    labels
}

fn question_end(packet: &[u8]) -> usize {
    let mut at = 12;
    while packet[at] != 0 {
        at += 1 + usize::from(packet[at]);
    }
    at + 5
}

fn rtype(packet: &[u8]) -> u16 {
    let end = question_end(packet);
    u16::from_be_bytes([packet[end - 4], packet[end - 3]])
}

/// Header and question of a response with so many records.
pub fn head(packet: &[u8], flags: [u8; 2], counts: [u8; 3]) -> Vec<u8> {
    let mut response = packet[..question_end(packet)].to_vec();
    (response[2], response[3]) = (flags[0], flags[1]);
    response[4..12].copy_from_slice(&[0, 1, 0, counts[0], 0, counts[1], 0, counts[2]]);
    response
}

pub fn record(response: &mut Vec<u8>, owner: &str, rtype: u8, ttl: u32, data: &[u8]) {
    response.extend(wire(owner));
    response.extend([0, rtype, 0, 1]);
    response.extend(ttl.to_be_bytes());
    response.extend((data.len() as u16).to_be_bytes());
    response.extend(data);
}

/// A referral to the zone of the last `depth` labels, whose one server has an address.
fn refer(packet: &[u8], labels: &[String], depth: usize, address: Ipv4Addr) -> Vec<u8> {
    let zone = labels.iter().rev().take(depth).rev().cloned().collect::<Vec<_>>().join(".");
    let server = format!("ns.{zone}");
    let mut response = head(packet, [0x80, 0], [0, 1, 1]);
    record(&mut response, &zone, 2, 86_400, &wire(&server));
    record(&mut response, &server, 1, 86_400, &address.octets());
    response
}

fn led(packet: &[u8], labels: &[String], lead: Lead, to: &str) -> Vec<u8> {
    let name = labels.join(".");
    match lead {
        Lead::Alias => {
            let mut response = head(packet, [0x84, 0], [1, 0, 0]);
            record(&mut response, &name, 5, 60, &wire(&format!("{}.{to}", labels[0])));
            response
        }
        Lead::Servers => {
            let mut response = head(packet, [0x80, 0], [0, 3, 0]);
            for number in 0..3 {
                record(&mut response, &name, 2, 60, &wire(&format!("{}{number}.{to}", labels[0])));
            }
            response
        }
    }
}

/// Who serves a zone: itself, but for those whose names begin with `hosted`, which have one server together.
fn host_of(apex: &str) -> &str {
    if apex.starts_with(HOSTED) { HOSTED } else { apex }
}

/// A referral to one server, and no address.
fn point(packet: &[u8], zone: &str, server: &str) -> Vec<u8> {
    let mut response = head(packet, [0x80, 0], [0, 1, 0]);
    record(&mut response, zone, 2, 86_400, &wire(server));
    response
}

/// Each host has a server of its own: its address for a zone.
pub fn address(apex: &str) -> Ipv4Addr {
    let hash = host_of(apex).bytes().fold(7u32, |sum, octet| sum.wrapping_mul(0x0100_0193) ^ u32::from(octet));
    Ipv4Addr::from(0x6440_0000 | hash & 0x003f_ffff)
}

fn answer(packet: &[u8], apex: &str, address: bool, there: bool, ttl: u32) -> Vec<u8> {
    if address {
        let name = labels(packet).join(".");
        let mut response = head(packet, [0x84, 0], [1, 0, 0]);
        record(&mut response, &name, 1, ttl, &[198, 51, 100, 1]);
        return response;
    }
    let mut response = head(packet, [0x84, if there { 0 } else { 3 }], [0, 1, 0]);
    let mut soa = [wire(&format!("ns.{apex}")), wire(&format!("admin.{apex}"))].concat();
    for number in [1u32, 2, 3, 4, 60] {
        soa.extend(number.to_be_bytes());
    }
    record(&mut response, apex, 6, 300, &soa);
    response
}

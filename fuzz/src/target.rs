//! An engine that is fed packets, with the shell's part played: sockets that close, clients that count.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use maeslant::clock::Now;
use maeslant::engine::{AskKey, Client, Disposition, Engine, LinkError, Policy, Route, Shared, Transmit, Transport};
use maeslant::resolve::Hint;

/// Inputs between two moments at which everything must have come to rest.
const BREATH: u64 = 32;
/// Responses one input gives to the questions it causes.
const RESPONSES: usize = 8;
/// Octets of all caches: small, so that a leak is seen.
const MEMORY: u64 = 8 << 20;
/// What is asked, below a label that is new each time.
const QUESTIONS: [(&str, u8); 6] = [
    ("www.example.com.", 1),
    ("a.b.c.d.example.net.", 28),
    ("example.org.", 15),
    ("alias.example.com.", 16),
    ("example.com.", 43),
    ("1.2.0.192.in-addr.arpa.", 12),
];

/// An engine and its clients.
pub struct Resolver {
    engine: Engine,
    now: u64,
    inputs: u64,
    /// Questions that are pending.
    waiting: usize,
    open: HashMap<AskKey, Vec<u8>>,
    out: Vec<u8>,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver::new()
    }
}

impl Resolver {
    /// With one root server that answers what the input says.
    pub fn new() -> Resolver {
        let mut policy = Policy::default();
        policy.resolve.prime = false;
        policy.resolve.root_hints =
            vec![Hint { name: "k.root-servers.net.".to_string(), addresses: vec![IpAddr::from([192, 0, 2, 1])] }];
        let cache = maeslant::cache::Policy { memory: MEMORY, ..Default::default() };
        let engine = Engine::new(Arc::new(policy), Shared::new(&cache, [7; 32]), [9; 32]);
        let open = HashMap::new();
        Resolver { engine, now: 1_000_000_000, inputs: 0, waiting: 0, open, out: Vec::new() }
    }

    fn reading(&self) -> Now {
        Now::simulated(self.now)
    }

    /// True if the packet became a question.
    fn ask(&mut self, packet: &[u8], transport: Transport) -> bool {
        let client = Client {
            addr: SocketAddr::from(([127, 0, 0, 1], 1 + (self.inputs % 60_000) as u16)),
            transport,
            route: Route { socket: self.inputs, local: None },
        };
        let mut out = std::mem::take(&mut self.out);
        let disposition = self.engine.handle_query(self.reading(), client, packet, &mut out);
        match disposition {
            Disposition::Answered => check_answer(packet, &out, transport),
            Disposition::Pending => self.waiting += 1,
            Disposition::Dropped(_) => {}
        }
        self.out = out;
        self.drain();
        disposition == Disposition::Pending
    }

    /// Takes what the engine wants sent.
    fn drain(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit(self.reading()) {
            match transmit {
                Transmit::Reply { packet, .. } => {
                    assert!(self.waiting > 0, "a reply nobody waits for");
                    assert!(packet.len() >= 12 && packet[2] & 0x80 != 0, "a reply that is no response");
                    self.waiting -= 1;
                }
                Transmit::Ask { key, packet, .. } => {
                    assert!(self.open.insert(key, packet).is_none(), "one key for two packets");
                }
                Transmit::Close { key } => {
                    self.open.remove(&key);
                }
            }
        }
        while self.engine.poll_notice().is_some() {}
    }

    /// A packet of a client.
    pub fn client_packet(&mut self, data: &[u8]) -> bool {
        self.inputs += 1;
        let transport = if self.inputs.is_multiple_of(8) { Transport::Tcp } else { Transport::Udp };
        let taken = self.ask(data, transport);
        self.breathe();
        taken
    }

    /// A response to a question that is asked for it.
    pub fn server_response(&mut self, data: &[u8]) -> bool {
        self.inputs += 1;
        let Some((&manner, body)) = data.split_first() else { return false };
        let mut taken = false;
        let (name, rtype) = QUESTIONS[usize::from(manner >> 3) % QUESTIONS.len()];
        // A name of its own, or else the cache would answer.
        let name = format!("n{}.{name}", self.inputs);
        self.ask(&question(&name, rtype, self.inputs as u16), Transport::Udp);
        for _ in 0..RESPONSES {
            let Some((&key, query)) = self.open.iter().next() else { break };
            let response = fit(manner, body, query);
            self.now += 1_000_000;
            self.engine.handle_response(self.reading(), key, &response);
            self.drain();
            taken |= !self.open.contains_key(&key);
            if self.open.contains_key(&key) {
                // It was not taken: the server falls silent.
                self.open.remove(&key);
                self.engine.handle_link_error(self.reading(), key, LinkError::Refused);
                self.drain();
            }
        }
        self.breathe();
        taken
    }

    /// From time to time, everything ends, and nothing may be left.
    fn breathe(&mut self) {
        self.now += 100_000;
        if !self.inputs.is_multiple_of(BREATH) {
            return;
        }
        for _ in 0..10_000 {
            let Some(&key) = self.open.keys().next() else { break };
            self.open.remove(&key);
            self.engine.handle_link_error(self.reading(), key, LinkError::Unreachable);
            self.drain();
        }
        for _ in 0..1_000 {
            let Some(at) = self.engine.poll_timeout() else { break };
            self.now = self.now.max(at.as_nanos());
            let now = self.reading();
            self.engine.handle_timeout(now);
            self.drain();
            assert!(self.engine.poll_timeout().is_none_or(|at| at > now.mono), "a timer lies in the past");
        }
        assert_eq!(self.waiting, 0, "questions without an end");
        assert_eq!(self.engine.in_flight(), 0, "questions are left over");
        assert_eq!(self.engine.asks_in_flight(), 0, "packets are left over");
        // What failed is forgotten, and asked anew.
        self.now += 400_000_000_000;
    }
}

fn check_answer(query: &[u8], answer: &[u8], transport: Transport) {
    assert!(answer.len() >= 12 && answer[2] & 0x80 != 0, "an answer that is no response");
    assert_eq!(query.get(..2), answer.get(..2), "an answer with another ID");
    assert!(query.get(2).is_some_and(|flags| flags & 0x80 == 0), "a response was answered");
    if transport == Transport::Udp {
        assert!(answer.len() <= 1_232, "{} octets over UDP", answer.len());
    }
}

/// A client's query with RD and without EDNS.
fn question(name: &str, rtype: u8, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut packet = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, rtype, 0, 1]);
    packet
}

/// The body as a response to `query`: bit 0 of `manner` gives it the right ID, bit 1 the right question, bit 2 the
/// flags of a response.
fn fit(manner: u8, body: &[u8], query: &[u8]) -> Vec<u8> {
    let mut packet = body.to_vec();
    packet.resize(packet.len().max(12), 0);
    if manner & 1 != 0 {
        packet[..2].copy_from_slice(&query[..2]);
    }
    if manner & 4 != 0 {
        packet[2] = (packet[2] | 0x80) & 0x87;
    }
    if manner & 2 != 0 {
        packet[4..6].copy_from_slice(&[0, 1]);
        let end = question_end(query);
        let rest = packet.split_off(12);
        packet.extend_from_slice(&query[12..end]);
        packet.extend_from_slice(&rest);
    }
    packet
}

/// Where the question of one of our own queries ends.
fn question_end(query: &[u8]) -> usize {
    let mut at = 12;
    while let Some(&length) = query.get(at).filter(|length| **length != 0) {
        at += 1 + usize::from(length);
    }
    (at + 5).min(query.len())
}

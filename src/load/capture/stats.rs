//! What is in a record.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::{Message, lines};
use crate::load::outcome::rcode_name;
use crate::load::packet::read_response;

/// Names and clients listed.
const TOP: usize = 10;
/// Different names that are counted one by one; what comes later counts as others.
const MOST_NAMES: usize = 2_000_000;

/// Counts of a record.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    queries: u64,
    responses: u64,
    octets: u64,
    tcp: u64,
    first: Option<Duration>,
    last: Duration,
    clients: HashMap<IpAddr, u64>,
    servers: HashSet<IpAddr>,
    types: BTreeMap<String, u64>,
    rcodes: BTreeMap<String, u64>,
    names: HashMap<crate::wire::Name, u64>,
    unreadable: u64,
}

/// The counts as they are shown.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Shown {
    pub messages: u64,
    pub queries: u64,
    pub responses: u64,
    pub tcp: u64,
    pub octets: u64,
    /// Seconds from the first to the last message.
    pub seconds: f64,
    pub queries_a_second: f64,
    pub clients: usize,
    pub servers: usize,
    /// Different names asked for.
    pub names: usize,
    /// Messages without a question that can be read.
    pub unreadable: u64,
    pub types: Vec<(String, u64)>,
    pub rcodes: Vec<(String, u64)>,
    pub top_names: Vec<(String, u64)>,
    pub top_clients: Vec<(String, u64)>,
}

impl Stats {
    /// Counts a message.
    pub fn add(&mut self, message: &Message) {
        self.octets += message.packet.len() as u64;
        self.tcp += u64::from(message.tcp);
        let first = self.first.get_or_insert(message.at);
        *first = (*first).min(message.at);
        self.last = self.last.max(message.at);
        self.servers.extend(message.server.map(|server| server.ip()));
        if message.is_response() {
            self.responses += 1;
            if let Some(seen) = read_response(&message.packet) {
                *self.rcodes.entry(rcode_name(seen.rcode)).or_default() += 1;
            }
            return;
        }
        self.queries += 1;
        if let Some(client) = message.client {
            *self.clients.entry(client.ip()).or_default() += 1;
        }
        match lines::question(&message.packet) {
            Some((name, rtype)) => {
                *self.types.entry(rtype.to_string()).or_default() += 1;
                if self.names.len() < MOST_NAMES || self.names.contains_key(&name) {
                    *self.names.entry(name).or_default() += 1;
                }
            }
            None => self.unreadable += 1,
        }
    }

    /// The counts, the most frequent first.
    pub fn show(&self) -> Shown {
        let seconds = self.last.saturating_sub(self.first.unwrap_or_default()).as_secs_f64();
        Shown {
            messages: self.queries + self.responses,
            queries: self.queries,
            responses: self.responses,
            tcp: self.tcp,
            octets: self.octets,
            seconds,
            queries_a_second: if seconds > 0.0 { self.queries as f64 / seconds } else { 0.0 },
            clients: self.clients.len(),
            servers: self.servers.len(),
            names: self.names.len(),
            unreadable: self.unreadable,
            types: most(self.types.iter(), usize::MAX),
            rcodes: most(self.rcodes.iter(), usize::MAX),
            top_names: most(self.names.iter(), TOP),
            top_clients: most(self.clients.iter(), TOP),
        }
    }
}

fn most<'a, T: ToString + 'a>(counts: impl Iterator<Item = (&'a T, &'a u64)>, many: usize) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = counts.map(|(what, count)| (what.to_string(), *count)).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(many);
    all
}

impl Shown {
    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "  {name:<20}{value}");
        };
        row("messages", format!("{} ({} queries, {} responses)", self.messages, self.queries, self.responses));
        row("by TCP", self.tcp.to_string());
        row("octets", self.octets.to_string());
        row("time", format!("{:.3} s, {:.1} queries a second", self.seconds, self.queries_a_second));
        row("clients, servers", format!("{}, {}", self.clients, self.servers));
        row("different names", self.names.to_string());
        if self.unreadable > 0 {
            row("without question", self.unreadable.to_string());
        }
        let list = |all: &[(String, u64)]| {
            all.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        };
        row("types", list(&self.types));
        if !self.rcodes.is_empty() {
            row("answers", list(&self.rcodes));
        }
        row("most asked", list(&self.top_names));
        if !self.top_clients.is_empty() {
            row("most asking", list(&self.top_clients));
        }
        out
    }
}

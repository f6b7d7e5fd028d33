//! dig, kdig and drill as clients, and dnsperf as a crowd of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use super::process::output_of;
use super::wire::Over;

/// A program with which people ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    Dig,
    Kdig,
    Drill,
}

/// What a client printed: the status, and the answer section as it wrote it, without TTL and class, in lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Printed {
    pub status: String,
    /// `owner type data`, in the order of the message.
    pub records: Vec<String>,
    pub text: String,
}

impl Client {
    /// All of them.
    pub const ALL: [Client; 3] = [Client::Dig, Client::Kdig, Client::Drill];

    /// Asks `server` for `name` and `kind`; all that the program says, or why it failed.
    pub fn ask(self, server: SocketAddr, name: &str, kind: &str, over: Over) -> Result<Printed, String> {
        let (address, port) = (server.ip().to_string(), server.port().to_string());
        let at = format!("@{address}");
        let tcp = over == Over::Tcp;
        let mut command = match self {
            Client::Dig => {
                let mut command = Command::new("dig");
                command.args(["-p", &port, &at, "-q", name, "-t", kind, "+tries=1", "+timeout=15"]);
                command.arg(if tcp { "+tcp" } else { "+notcp" });
                command
            }
            Client::Kdig => {
                let mut command = Command::new("kdig");
                command.args(["-p", &port, &at, "-q", name, "-t", kind, "+retry=0", "+timeout=15"]);
                command.arg(if tcp { "+tcp" } else { "+notcp" });
                command
            }
            Client::Drill => {
                let mut command = Command::new("drill");
                command.args(["-p", &port, if tcp { "-t" } else { "-u" }, name, &at, kind]);
                command
            }
        };
        output_of(&mut command, Duration::from_secs(30)).map(read_message)
    }
}

/// Reads the message format that dig, kdig and drill have in common.
fn read_message(text: String) -> Printed {
    let mut status = String::new();
    let mut records = Vec::new();
    let mut in_answer = false;
    for line in text.lines() {
        let line = line.trim();
        let mark = ["status: ", "rcode: "].iter().find_map(|mark| line.find(mark).map(|at| at + mark.len()));
        if let (Some(at), true) = (mark, line.starts_with(";;")) {
            status = line[at..].split([',', ';']).next().unwrap_or_default().trim().to_owned();
        }
        if line.starts_with(";;") {
            in_answer = line.contains("ANSWER SECTION");
        } else if in_answer && !line.is_empty() && !line.starts_with(';') {
            let mut words = line.split_whitespace();
            let (owner, _ttl, _class) = (words.next().unwrap_or_default(), words.next(), words.next());
            let rest: Vec<&str> = words.collect();
            records.push(format!("{owner} {}", rest.join(" ")).to_lowercase());
        }
    }
    Printed { status, records, text }
}

/// What dnsperf reports.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Load {
    pub sent: usize,
    pub completed: usize,
    pub lost: usize,
    pub seconds: f64,
    pub latency_average: f64,
    pub rcodes: BTreeMap<String, usize>,
}

impl Load {
    /// Responses with this RCODE.
    pub fn count(&self, rcode: &str) -> usize {
        self.rcodes.get(rcode).copied().unwrap_or(0)
    }
}

/// Reads dnsperf's closing statistics.
pub fn read_dnsperf(text: &str) -> Load {
    let mut load = Load::default();
    for line in text.lines() {
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        let first = value.split_whitespace().next().unwrap_or_default();
        match key {
            "Queries sent" => load.sent = first.parse().unwrap_or(0),
            "Queries completed" => load.completed = first.parse().unwrap_or(0),
            "Queries lost" => load.lost = first.parse().unwrap_or(0),
            "Run time (s)" => load.seconds = first.parse().unwrap_or(0.0),
            "Average Latency (s)" => load.latency_average = first.parse().unwrap_or(0.0),
            "Response codes" => {
                for part in value.split(',') {
                    let mut words = part.split_whitespace();
                    if let (Some(name), Some(count)) = (words.next(), words.next()) {
                        load.rcodes.insert(name.to_owned(), count.parse().unwrap_or(0));
                    }
                }
            }
            _ => {}
        }
    }
    load
}

//! What a load test is to do, as one TOML file says it: streams, what is wrong with the world meanwhile, and what must
//! come out.

mod expect;
mod form;
mod read;
#[cfg(test)]
mod tests;
mod traffic;

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

pub use expect::{Expect, Measure, Order, Subject, share, time};
pub use read::{Vocabulary, not_spoken, read};

use super::packet::Form as Shape;
use super::schedule::Rate;
use crate::wire::Name;

/// The longest run.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Queries a run may send where the scenario does not say.
pub const MOST: u64 = 20_000_000;

/// A whole load test.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    pub name: String,
    /// What it shows, in a sentence or two.
    pub about: String,
    pub duration: Duration,
    /// Where all chance starts from.
    pub seed: u64,
    /// Queries the run may send; beyond, it ends.
    pub most: u64,
    /// A query sent later than this after its moment is late.
    pub late_after: Duration,
    /// Whom to ask; a resolver of its own in the small Internet where none.
    pub target: Option<SocketAddr>,
    /// Size of the small Internet's population.
    pub sites: u16,
    /// The configuration of the resolver it starts, as TOML text.
    pub resolver: Option<String>,
    pub streams: Vec<Stream>,
    pub zones: Vec<ZoneEntry>,
    pub faults: Vec<FaultEntry>,
    /// What happens to the resolver, in the order of time.
    pub events: Vec<Event>,
    pub expects: Vec<Expect>,
    /// How many times as strong its attacks are as the file says.
    pub strength: f64,
    /// The file as it was written.
    pub text: String,
}

/// What a stream stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// People who are to be served.
    Legit,
    /// Who does harm.
    Attack,
    /// Neither: load that is there anyway.
    Background,
}

impl Role {
    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Legit => "legit",
            Role::Attack => "attack",
            Role::Background => "background",
        }
    }
}

/// One kind of clients and what they do.
#[derive(Clone, PartialEq, Debug)]
pub struct Stream {
    pub name: String,
    pub role: Role,
    /// Clients, each at an address of its own; 0 draws an address of the sources for every query.
    pub clients: u32,
    pub sources: Vec<IpNet>,
    pub rate: Rate,
    /// What cannot be sent when it is due is left out, not sent late: as fast as a thread of its own sends, up to the rate.
    pub best_effort: bool,
    /// Queries come at chance moments, as from many independent people, not evenly.
    pub poisson: bool,
    /// The share of queries that go by TCP, 0.0 to 1.0.
    pub tcp: f64,
    /// A truncated answer is asked for again by TCP.
    pub follow_truncation: bool,
    /// Each client sends a DNS cookie, by UDP, with what the server gave it.
    pub cookies: bool,
    /// The waits after which a stub asks again.
    pub retry: Vec<Duration>,
    /// How long the last answer is waited for.
    pub timeout: Duration,
    pub shape: Shape,
    pub traffic: Traffic,
}

/// What a stream asks.
#[derive(Clone, PartialEq, Debug)]
pub enum Traffic {
    /// Names from a list.
    Names(Names),
    /// `zone` stands for all of `zones`; a new name below one of them each time.
    RandomSubdomain { zones: Vec<Name>, style: Style, length: (u8, u8), labels: (u8, u8), types: Vec<u16> },
    /// Names in top-level domains that do not exist.
    NxDomain { length: (u8, u8), types: Vec<u16> },
    /// `www.<new>.<zone>`: every query needs a delegation of its own.
    UniqueZone { zones: Vec<Name>, length: (u8, u8), types: Vec<u16> },
    /// Questions with large answers, from addresses of others.
    Reflection { names: Names },
    /// Packets that are no proper queries.
    Malformed { kinds: Vec<Malformed>, names: Names },
    /// OPT records with so many options.
    EdnsBomb { options: u16, names: Names },
    /// Responses (QR set), as two servers that answer each other's errors would send.
    Responses { names: Names },
    /// New names whose answers are large, to push others out of the cache.
    CacheFlush { zones: Vec<Name>, length: (u8, u8), types: Vec<u16> },
    /// Connections that are opened, and held.
    Connections { kind: Holding, hold: Duration, at_once: u32, names: Names },
}

/// How random labels look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Letters and digits, each as likely as any other.
    Uniform,
    /// Words that people use for hosts, with numbers.
    Dictionary,
    /// Several random labels, one below the other.
    Deep,
    /// Consonants and vowels in turn, as domain generation algorithms make them.
    Dga,
}

/// What is wrong with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Cut off anywhere.
    Short,
    /// Octets of chance.
    Noise,
    /// The name points at itself.
    PointerLoop,
    /// A label longer than 63 octets, or a name longer than 255.
    LongName,
    /// Counts in the header that the packet does not keep.
    Counts,
    /// An opcode nobody knows.
    Opcode,
    /// Two OPT records.
    TwoOpts,
    /// Octets behind the message.
    Trailing,
}

impl Malformed {
    /// All kinds with the words for them.
    pub const ALL: [(&'static str, Malformed); 8] = [
        ("short", Malformed::Short),
        ("noise", Malformed::Noise),
        ("pointer-loop", Malformed::PointerLoop),
        ("long-name", Malformed::LongName),
        ("counts", Malformed::Counts),
        ("opcode", Malformed::Opcode),
        ("two-opts", Malformed::TwoOpts),
        ("trailing", Malformed::Trailing),
    ];
}

/// How connections are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holding {
    /// Nothing is ever sent.
    Idle,
    /// One octet of a query a second.
    SlowWriter,
    /// Queries are sent, and the answers never read.
    SlowReader,
}

/// Where names come from.
#[derive(Clone, PartialEq, Debug)]
pub struct Names {
    pub from: NameSource,
    /// The exponent of the popularity by rank; 0 makes all equal.
    pub zipf: f64,
    /// The types asked for, in groups that are asked at once, with their weights; where the list gives no type.
    pub types: Vec<(Vec<u16>, f64)>,
    /// The share of queries for names of the list; the others are for new names below `cold`.
    pub cache_hits: f64,
    /// A zone in which every name exists, for `cache_hits`.
    pub cold: Option<Name>,
}

/// Where a list of names stands.
#[derive(Clone, PartialEq, Debug)]
pub enum NameSource {
    /// In the scenario, or in a file it names: name and type, if it says one.
    List(Vec<(Name, Option<u16>)>),
    /// The small Internet's popular sites, with the answers they must get.
    Popular,
}

/// A zone that the small Internet gets for this run.
#[derive(Clone, PartialEq, Debug)]
pub struct ZoneEntry {
    /// With `{n}` in it, there are `count` of them.
    pub name: String,
    pub count: u32,
    pub kind: &'static str,
    /// How many servers, records or links, by kind; its own measure where 0.
    pub size: u32,
    /// Records to add, as in a master file.
    pub records: String,
    /// How it is signed, in the lab's words; not at all where none.
    pub signed: Option<String>,
}

/// Something that goes wrong for a time.
#[derive(Clone, PartialEq, Debug)]
pub struct FaultEntry {
    pub place: FaultPlace,
    pub from: Duration,
    pub to: Duration,
    /// The share of UDP queries that get no answer.
    pub drop: f64,
    pub delay: Duration,
    pub jitter: Duration,
    pub behaviour: Option<&'static str>,
    /// Queries a second that each server answers; any number where 0.
    pub rate_limit: u32,
    /// What becomes of the others; silence where it is not said.
    pub beyond: Option<&'static str>,
}

/// Something that is done to the resolver at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    pub at: Duration,
    pub action: Action,
}

/// What is done to the resolver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It is killed, and started again at once.
    Restart,
    /// It reads its configuration again, to which so many local records were added.
    Reload { records: u32 },
}

impl Action {
    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        match self {
            Action::Restart => "restart",
            Action::Reload { .. } => "reload",
        }
    }
}

/// Where something goes wrong.
#[derive(Clone, PartialEq, Debug)]
pub enum FaultPlace {
    /// On all servers of a zone; `{n}` in it stands for every number.
    Zone(String),
    /// On one server, by name.
    Server(String),
    /// On every server there is.
    Everywhere,
}

impl Scenario {
    /// Makes all attacks so many times as strong: their streams' rates.
    pub fn scale_attacks(&mut self, factor: f64) {
        self.strength *= factor;
        for stream in self.streams.iter_mut().filter(|stream| stream.role == Role::Attack) {
            stream.rate = stream.rate.times(factor);
        }
    }

    /// The greatest number of queries that the streams are going to send, repetitions not counted.
    pub fn planned(&self) -> f64 {
        self.streams.iter().map(|stream| stream.rate.total(self.duration)).sum()
    }

    /// Whether the resolver has to be a process of its own: something is done to it, or its memory is measured.
    pub fn needs_own_process(&self) -> bool {
        let memory = [Measure::Memory, Measure::MemoryGrowth];
        !self.events.is_empty() || self.expects.iter().any(|expect| memory.contains(&expect.measure))
    }

    /// Whether a second is one in which the attack goes on.
    pub fn is_attacked(&self, second: usize) -> bool {
        self.streams.iter().any(|s| s.role == Role::Attack && s.rate.is_active(second))
    }

    /// Whether something is wrong on purpose in a second.
    pub fn is_faulty(&self, second: usize) -> bool {
        let (from, to) = (Duration::from_secs(second as u64), Duration::from_secs(second as u64 + 1));
        self.faults.iter().any(|fault| fault.from < to && fault.to > from)
    }
}

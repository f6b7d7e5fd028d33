//! One question on its way down the tree: minimise, ask, classify, scrub, follow, finish.
//!
//! A resolution reads from top to bottom like the algorithm of RFC 1034 §5.3.3: `answer` follows the
//! aliases, `descend` the referrals, `ask` one zone's servers, `exchange` is one packet. It awaits only
//! what `board` offers, and pays for everything from one account (`budget`).

mod aggressive;
mod answer;
mod ask;
mod board;
mod budget;
mod chain;
mod classify;
mod descend;
mod exchange;
mod failure;
mod follow;
mod leave;
mod minimise;
mod plan;
mod prime;
mod recover;
mod stale;
mod trace;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use answer::{Cached, Life, Outcome, Soa, Why, from_cache, resolve};
pub use board::{Ask, AskKey, AskTransport, Board, Counters, Keyed, LinkError, Notice, Reply, TaskId};
pub use budget::{
    MAX_ALIASES, MAX_DEPTH, MAX_OCTETS, MAX_OCTETS_TOWARD, MAX_PACKETS, MAX_PACKETS_TOWARD, MAX_REFERRALS,
    MAX_SERVER_LOOKUPS, Work,
};
pub use exchange::{Manner, Outgoing};
pub use failure::{Failure, Limit, Useless};
pub use follow::{Followed, keep_followed};
pub use plan::{Fixed, Plan};
pub use prime::keep_primed;
pub use recover::is_failing;
pub use stale::{Stale, StaleNote, StaleWhy, from_stale};
pub use trace::{TraceStep, Traced};

use crate::admission::{Books, Mode};
use crate::cache::{Cache, Reach};
use crate::clock::Now;
use crate::dnssec;
use crate::local::Zones;
use crate::servers::Servers;
use crate::wire::{Name, Question, Rtype};

/// What a resolution works with.
#[derive(Clone)]
pub struct Cx {
    pub board: board::Shared,
    pub cache: Arc<Cache>,
    pub servers: Arc<Servers>,
    /// Where it is counted what zones' servers answer.
    pub books: Books,
    pub plan: Rc<Plan>,
    /// What is answered here: nobody is asked for it, wherever an alias or a delegation leads.
    pub zones: Arc<Zones>,
}

impl Cx {
    /// The time of the event being handled.
    pub fn now(&self) -> Now {
        self.board.borrow().now()
    }

    /// What this turn may spend on cryptography.
    pub fn turn(&self) -> dnssec::Turn {
        self.board.borrow().turn.clone()
    }

    fn random(&self) -> u64 {
        self.board.borrow_mut().random()
    }

    /// A number for a zone, to remember lame servers by. A forwarder of a zone is not one of its servers.
    fn zone_hash(&self, zone: &Name, is_forward: bool) -> u64 {
        // Whoever could foretell it could choose zones that a server's account takes for one another.
        self.books.zones().number(zone.wire()) ^ u64::from(is_forward)
    }

    /// What of the names above speaks for a name.
    fn reach(&self, name: &Name, rtype: Rtype) -> Reach {
        self.plan.reach(name, rtype, self.now().unix)
    }

    fn trace(&self, work: &Work, step: impl FnOnce() -> TraceStep) {
        let mut board = self.board.borrow_mut();
        let at = board.now().mono;
        if let Some(trace) = &mut board.trace {
            trace.push(Traced { at, depth: work.depth().saturating_sub(1), step: step() });
        }
    }

    /// Notes that a question was answered without asking anybody.
    pub fn note_deduced(&self, question: &Question) {
        let mut board = self.board.borrow_mut();
        let at = board.now().mono;
        if let Some(trace) = &mut board.trace {
            let step = TraceStep::Conclude(format!("{question} follows from validated proofs in the cache (RFC 8198)"));
            trace.push(Traced { at, depth: 0, step });
        }
    }

    fn conclude(&self, work: &Work, what: impl FnOnce() -> String) {
        self.trace(work, || TraceStep::Conclude(what()));
    }

    fn begin(&self, work: &Work, question: &Question) {
        self.trace(work, || TraceStep::Begin { name: question.name.clone(), rtype: question.rtype });
    }
}

/// How much of a name a server is shown (RFC 9156).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Minimisation {
    /// One label more than the server's zone; the full name where a server stumbles over it.
    #[default]
    Relaxed,
    /// As `Relaxed`, but what a server says of a shortened name is believed.
    Strict,
    /// The full name to every server.
    Off,
}

/// A root server of the hints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Presentation format, fully qualified: `a.root-servers.net.`
    pub name: String,
    pub addresses: Vec<std::net::IpAddr>,
}

/// Servers that answer for a zone instead of those found by iteration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Presentation format, fully qualified: `corp.example.`
    pub zone: String,
    pub servers: Vec<SocketAddr>,
    /// Recursive servers (RD set, answers believed as a whole), or authoritative ones.
    pub kind: UpstreamKind,
    /// Go on with iteration where all of them fail.
    pub fallback: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpstreamKind {
    Forward,
    Stub,
}

/// How questions are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub root_hints: Vec<Hint>,
    /// Ask the root servers for their own names and addresses at start (RFC 9609).
    pub prime: bool,
    /// The port authoritative servers are asked on; other than 53 only in labs.
    pub server_port: u16,
    /// Addresses never asked, however they were learned; hints, forwarders and stub servers excepted.
    pub do_not_query: Vec<IpNet>,
    /// The UDP payload size told to servers (RFC 9715: 1232 avoids fragments).
    pub udp_payload_size: u16,
    /// Send DNS cookies to servers (RFC 7873).
    pub cookies: bool,
    /// A client has its answer, if need be SERVFAIL, before this.
    pub deadline: Duration,
    pub minimisation: Minimisation,
    /// Randomise the case of the names asked (0x20).
    pub case_randomisation: bool,
    pub ipv4: bool,
    pub ipv6: bool,
    pub upstreams: Vec<Upstream>,
    pub dnssec: Dnssec,
    pub stale: Stale,
    /// Ask servers no more than they bear, as their answers and silences show.
    pub server_quotas: Mode,
}

/// Validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dnssec {
    /// Validate, and answer SERVFAIL for what is bogus.
    pub validation: bool,
    pub anchors: dnssec::Anchors,
    pub policy: dnssec::Policy,
    /// Answer from proofs of what does not exist, and from wildcards (RFC 8198).
    pub aggressive: bool,
    /// Answer questions about which root keys are trusted (RFC 8509).
    pub sentinel: bool,
}

impl Dnssec {
    /// May data be judged otherwise by `other`?
    pub fn judges_otherwise(&self, other: &Dnssec) -> bool {
        self.validation != other.validation || self.anchors != other.anchors || self.policy != other.policy
    }
}

impl Default for Dnssec {
    fn default() -> Dnssec {
        Dnssec {
            validation: true,
            // Which ones count depends on whose root the hints are: the configuration knows.
            anchors: dnssec::Anchors::default(),
            policy: dnssec::Policy::default(),
            aggressive: true,
            sentinel: true,
        }
    }
}

/// `zones/root.hints`, in zone-file format.
pub const COMPILED_ROOT_HINTS: &str = include_str!("../../zones/root.hints");

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            root_hints: Vec::new(),
            prime: true,
            server_port: 53,
            do_not_query: Vec::new(),
            udp_payload_size: 1232,
            cookies: true,
            deadline: Duration::from_secs(8),
            minimisation: Minimisation::Relaxed,
            case_randomisation: true,
            ipv4: true,
            ipv6: true,
            upstreams: Vec::new(),
            dnssec: Dnssec::default(),
            stale: Stale::default(),
            server_quotas: Mode::Enforce,
        }
    }
}

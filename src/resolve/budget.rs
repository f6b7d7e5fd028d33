//! One account for all the work one client question causes.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use smallvec::SmallVec;

use crate::clock::Moment;
use crate::dnssec;
use crate::wire::Question;

use super::failure::{Failure, Limit};

/// Packets sent upstream for one question. BIND allows 200 in all and 50 a step, PowerDNS 50,
/// Unbound 200; a cold name of 12 CNAMEs takes some 30 (NXNSAttack, CAMP).
pub const MAX_PACKETS: u32 = 50;
/// Octets received from servers for one question (PowerDNS `max-bytesperq`).
pub const MAX_OCTETS: u32 = 100_000;
/// Name-server names looked up for one question; NXNSAttack lives on this fan-out.
pub const MAX_SERVER_LOOKUPS: u32 = 12;
/// Aliases followed: the longest chains met in the wild have about 12.
pub const MAX_ALIASES: u32 = 16;
/// Look-ups within look-ups: servers named in a zone whose servers are named in a zone …
pub const MAX_DEPTH: usize = 6;
/// Servers passed over because what they said was bogus: a secondary that fell behind, or somebody who speaks in its
/// place. Each costs a packet (Unbound starts over five times).
pub const MAX_AVOIDED: usize = 2;
/// Zone cuts on the way down to one name; ip6.arpa has at most 34 labels.
pub const MAX_REFERRALS: u32 = 36;

/// What is left for one question, shared by everything it causes.
pub struct Work {
    packets: Cell<u32>,
    octets: Cell<u32>,
    lookups: Cell<u32>,
    /// What may be computed for it.
    pub crypto: dnssec::Budget,
    /// Is the answer validated?
    pub checking: bool,
    /// The last moment at which an answer is of use.
    pub deadline: Moment,
    /// When it was begun.
    pub begun: Moment,
    /// Servers that fell silent while they were asked are asked once more at this moment: a short interruption is no
    /// failure yet.
    pub patient_until: Moment,
    avoided: RefCell<SmallVec<[SocketAddr; MAX_AVOIDED]>>,
    /// Zones in which a shortened name has shown no cut: their names are not shortened again for this question, or a chain
    /// of aliases would cost two packets a link (CAMP, USENIX Security 2024).
    unshortened: RefCell<SmallVec<[u64; 2]>>,
    /// The questions being worked on, outermost first: a question within itself is a loop.
    stack: RefCell<Vec<Question>>,
}

impl Work {
    /// A full account.
    pub fn new(deadline: Moment, limits: &dnssec::Limits, checking: bool) -> Work {
        Work {
            crypto: dnssec::Budget::new(limits),
            checking,
            packets: Cell::new(0),
            octets: Cell::new(0),
            lookups: Cell::new(0),
            deadline,
            begun: Moment::ZERO,
            patient_until: Moment::ZERO,
            avoided: RefCell::default(),
            unshortened: RefCell::default(),
            stack: RefCell::new(Vec::new()),
        }
    }

    /// What the cache must know of data for this question.
    pub fn wanted(&self) -> crate::cache::Security {
        if self.checking { crate::cache::Security::Insecure } else { crate::cache::Security::Unchecked }
    }

    /// Pays for a packet to a server.
    pub fn packet(&self) -> Result<(), Failure> {
        spend(&self.packets, 1, MAX_PACKETS, Limit::Packets)
    }

    /// Pays for octets from a server.
    pub fn octets(&self, octets: usize) -> Result<(), Failure> {
        spend(&self.octets, u32::try_from(octets).unwrap_or(u32::MAX), MAX_OCTETS, Limit::Octets)
    }

    /// Pays for looking up a name server's address.
    pub fn lookup(&self) -> Result<(), Failure> {
        spend(&self.lookups, 1, MAX_SERVER_LOOKUPS, Limit::Lookups)
    }

    /// Passes a server over from now on, if there is one and the account allows it. Is it worth asking again?
    pub fn avoid(&self, server: Option<SocketAddr>) -> bool {
        let Some(server) = server else { return false };
        let mut avoided = self.avoided.borrow_mut();
        if avoided.contains(&server) {
            // By what it said of something else, while this was on its way.
            return true;
        }
        let may = avoided.len() < MAX_AVOIDED;
        if may {
            avoided.push(server);
        }
        may
    }

    /// Is this server passed over?
    pub fn avoids(&self, server: SocketAddr) -> bool {
        self.avoided.borrow().contains(&server)
    }

    /// Names of this zone, a number, are not shortened from now on.
    pub fn leave_whole(&self, zone: u64) {
        let mut zones = self.unshortened.borrow_mut();
        if zones.len() < MAX_PACKETS as usize && !zones.contains(&zone) {
            zones.push(zone);
        }
    }

    /// Are names of this zone asked for as a whole?
    pub fn leaves_whole(&self, zone: u64) -> bool {
        self.unshortened.borrow().contains(&zone)
    }

    /// Packets sent so far.
    pub fn packets_sent(&self) -> u32 {
        self.packets.get()
    }

    /// Is a question already being worked on, further out?
    pub fn is_within(&self, question: &Question) -> bool {
        self.stack.borrow().contains(question)
    }

    /// How deep look-ups are nested.
    pub fn depth(&self) -> usize {
        self.stack.borrow().len()
    }

    /// Begins a question; it ends when the guard is dropped.
    pub fn enter(&self, question: Question) -> Result<Within<'_>, Failure> {
        if self.depth() >= MAX_DEPTH {
            return Err(Failure::limit(Limit::Depth));
        }
        self.stack.borrow_mut().push(question);
        Ok(Within(self))
    }
}

/// A question being worked on.
pub struct Within<'a>(&'a Work);

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.0.stack.borrow_mut().pop();
    }
}

fn spend(spent: &Cell<u32>, amount: u32, most: u32, limit: Limit) -> Result<(), Failure> {
    let sum = spent.get().saturating_add(amount);
    if sum > most {
        return Err(Failure::limit(limit));
    }
    spent.set(sum);
    Ok(())
}

//! One account for all the work one client question causes.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use crate::admission::{Over, Payer};
use crate::clock::Moment;
use crate::dnssec;
use crate::servers::Claim;
use crate::wire::Question;

use super::failure::{Failure, Limit};

/// Packets sent upstream for one question. BIND allows 200 in all and 50 a step, PowerDNS 50,
/// Unbound 200; a cold name of 12 CNAMEs takes some 30 (NXNSAttack, CAMP).
pub const MAX_PACKETS: u32 = 50;
/// Octets received from servers for one question (PowerDNS `max-bytesperq`).
pub const MAX_OCTETS: u32 = 100_000;
/// Packets sent for one question toward one network, and to the servers of one zone: whoever makes a question dear makes
/// others pay, and 20 is what no honest name takes of one zone (NXNSAttack, CAMP: hundreds to thousands).
pub const MAX_PACKETS_TOWARD: u32 = 20;
/// Once so many octets have come from one network, or from the servers of one zone, nothing more is asked of it for the
/// same question. One answer may be larger.
pub const MAX_OCTETS_TOWARD: u32 = 20_000;
/// What things cost the processor that are no cryptography, in nanoseconds, estimated on the safe side: a packet to
/// a server with its socket and its timer; a name looked for, in the caches and on the way down to it; a record and an octet of
/// a response, read, judged, kept and put into an answer. The whole question may cost 20 ms ([`dnssec::Limits::whole`]).
const PACKET: u32 = 20_000;
const STEP: u32 = 5_000;
const RECORD: u32 = 2_000;
const OCTET: u32 = 10;
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
    toward: RefCell<SmallVec<[Toward; 8]>>,
    /// What may be computed for it.
    pub crypto: dnssec::Budget,
    /// Is the answer validated?
    pub checking: bool,
    /// Whether others come before it where servers bear little.
    pub claim: Claim,
    /// A server was asked for it that bears no more.
    busy: Cell<bool>,
    /// Something that it led to was not asked, or would not have been if that were not only observed, since its zone is
    /// flooded: why, and whether it is observed.
    flooded: Cell<Option<(Over, bool)>>,
    /// Who pays for names of flooded zones that it leads to. None: nobody in particular asks.
    pub payer: Option<Payer>,
    /// The last moment at which an answer is of use.
    pub deadline: Moment,
    /// When it was begun.
    pub begun: Moment,
    /// Servers that fell silent while they were asked are asked once more at this moment: a short interruption is no
    /// failure yet.
    pub patient_until: Moment,
    /// The data was heard, but not validated.
    unproven: Cell<bool>,
    avoided: RefCell<SmallVec<[SocketAddr; MAX_AVOIDED]>>,
    /// Zones in which a shortened name has shown no cut: their names are not shortened again for this question, or a chain
    /// of aliases would cost two packets a link (CAMP, USENIX Security 2024).
    unshortened: RefCell<SmallVec<[u64; 2]>>,
    /// The questions being worked on, outermost first: a question within itself is a loop.
    stack: RefCell<Vec<Question>>,
}

impl Work {
    /// A full account.
    pub fn new(deadline: Moment, limits: &dnssec::Limits, turn: dnssec::Turn, checking: bool) -> Work {
        Work {
            crypto: dnssec::Budget::in_turns(limits, turn),
            checking,
            claim: Claim::First,
            busy: Cell::new(false),
            flooded: Cell::new(None),
            payer: None,
            packets: Cell::new(0),
            octets: Cell::new(0),
            lookups: Cell::new(0),
            toward: RefCell::default(),
            deadline,
            begun: Moment::ZERO,
            patient_until: Moment::ZERO,
            unproven: Cell::new(false),
            avoided: RefCell::default(),
            unshortened: RefCell::default(),
            stack: RefCell::new(Vec::new()),
        }
    }

    /// What the cache must know of data for this question.
    pub fn wanted(&self) -> crate::cache::Security {
        if self.checking { crate::cache::Security::Insecure } else { crate::cache::Security::Unchecked }
    }

    /// Notes that the data was heard, but not validated, whatever kept it from that.
    pub fn set_unproven(&self) {
        self.unproven.set(true);
    }

    /// Was the data heard, but not validated?
    pub fn is_unproven(&self) -> bool {
        self.unproven.get()
    }

    /// Notes that a server was asked that bears no more.
    pub fn note_busy(&self) {
        self.busy.set(true);
    }

    /// Was a server asked that bears no more?
    pub fn was_busy(&self) -> bool {
        self.busy.get()
    }

    /// Notes that a zone it led to is flooded, and whether that is only observed.
    pub fn note_flooded(&self, over: Over, observed: bool) {
        if !observed || self.flooded.get().is_none() {
            self.flooded.set(Some((over, observed)));
        }
    }

    /// Was a zone flooded that it led to?
    pub fn was_flooded(&self) -> Option<(Over, bool)> {
        self.flooded.get()
    }

    /// Pays for a packet to a server, toward all of these.
    pub fn packet(&self, toward: &[Whom]) -> Result<(), Failure> {
        if let Some(whom) = toward.iter().find(|whom| !self.may_ask(**whom)) {
            return Err(Failure::limit(whom.limit()));
        }
        spend(&self.packets, 1, MAX_PACKETS, Limit::Packets)?;
        self.burden(PACKET)?;
        toward.iter().for_each(|whom| self.pay(*whom, 1, 0));
        Ok(())
    }

    /// Pays for time of the processor, in nanoseconds.
    fn burden(&self, nanos: u32) -> Result<(), Failure> {
        self.crypto.burden(nanos).map_err(|_| Failure::limit(Limit::Cpu))
    }

    /// Pays for a response of so many octets and records from a server of all of these.
    pub fn response(&self, octets: usize, records: usize, toward: &[Whom]) -> Result<(), Failure> {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let octets = count(octets);
        self.burden(octets.saturating_mul(OCTET).saturating_add(count(records).saturating_mul(RECORD)))?;
        toward.iter().for_each(|whom| self.pay(*whom, 0, octets));
        spend(&self.octets, octets, MAX_OCTETS, Limit::Octets)
    }

    /// May more be asked of somebody for this question?
    pub fn may_ask(&self, whom: Whom) -> bool {
        let toward = self.toward.borrow();
        let spent = |one: &Toward| one.packets >= MAX_PACKETS_TOWARD || one.octets >= MAX_OCTETS_TOWARD;
        !toward.iter().any(|one| one.whom == whom && spent(one))
    }

    fn pay(&self, whom: Whom, packets: u32, octets: u32) {
        let mut toward = self.toward.borrow_mut();
        match toward.iter_mut().find(|one| one.whom == whom) {
            Some(one) => {
                one.packets += packets;
                one.octets = one.octets.saturating_add(octets);
            }
            // As many as there are packets, at most.
            None => toward.push(Toward { whom, packets, octets }),
        }
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

    /// How many servers are passed over: the account for that is used up where none more may be.
    pub fn second_looks(&self) -> (usize, bool) {
        let avoided = self.avoided.borrow().len();
        (avoided, avoided == MAX_AVOIDED)
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
        self.burden(STEP)?;
        self.stack.borrow_mut().push(question);
        Ok(Within(self))
    }
}

/// Who has to bear what a question causes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    /// A network by its first address: IPv4 /24, IPv6 /48, what an operator announces at least.
    Network(IpAddr),
    /// The servers of a zone, by its number.
    Zone(u64),
}

impl Whom {
    /// The network of a server. Where addresses are not of the Internet, networks say nothing of who runs a server.
    pub fn around(server: IpAddr) -> Whom {
        match server {
            IpAddr::V4(v4) if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation() => {
                Whom::Network(server)
            }
            IpAddr::V6(v6) if v6.segments()[0] & 0xe000 != 0x2000 || v6.segments()[..2] == [0x2001, 0xdb8] => {
                Whom::Network(server)
            }
            IpAddr::V4(v4) => Whom::Network((u32::from(v4) & 0xffff_ff00).to_be_bytes().into()),
            IpAddr::V6(v6) => Whom::Network((u128::from(v6) & !0 << 80).to_be_bytes().into()),
        }
    }

    fn limit(self) -> Limit {
        match self {
            Whom::Network(_) => Limit::Network,
            Whom::Zone(_) => Limit::Zone,
        }
    }
}

/// What somebody has borne.
struct Toward {
    whom: Whom,
    packets: u32,
    octets: u32,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> Work {
        Work::new(Moment::NEVER, &dnssec::Limits::default(), dnssec::Turn::default(), true)
    }

    fn network(text: &str) -> Whom {
        Whom::around(text.parse().expect("an address"))
    }

    #[test]
    fn neighbours_bear_together_and_what_is_not_of_the_internet_alone() {
        assert_eq!(network("203.0.114.7"), network("203.0.114.200"));
        assert_ne!(network("203.0.114.7"), network("203.0.115.7"));
        assert_eq!(network("2a00:1:2:3::1"), network("2a00:1:2:ffff::2"));
        assert_ne!(network("2a00:1:2::1"), network("2a00:1:3::1"));
        for (one, other) in [("127.0.0.1", "127.0.0.2"), ("10.1.1.1", "10.1.1.2"), ("fd00::1", "fd00::2")] {
            assert_ne!(network(one), network(other));
        }
    }

    #[test]
    fn a_question_costs_twenty_milliseconds_at_most_whatever_they_are_spent_on() {
        let work = work();
        let mut taken = 0;
        while work.response(1_000, 300, &[]).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 32, "610 us each");
        let sent = std::iter::repeat_with(|| work.packet(&[])).position(|sent| sent.is_err());
        assert_eq!((sent, work.packet(&[])), (Some(24), Err(Failure::Limit(Limit::Cpu))), "and 24 packets");
        let name = crate::wire::Name::parse("example").expect("a name");
        assert_eq!(work.crypto.nsec3_hash(&name, &[], 5_000), Err(dnssec::Overrun(dnssec::Account::Whole)));
        let hard = self::work();
        (0..MAX_PACKETS).for_each(|number| {
            hard.packet(&[Whom::Zone(u64::from(number))]).expect("within the account");
            hard.response(500, 12, &[]).expect("a dear question, but an honest one");
        });
    }

    #[test]
    fn nobody_bears_more_than_his_part_of_a_question() {
        let (work, here, there) = (work(), network("203.0.114.7"), network("198.18.0.1"));
        for _ in 0..MAX_PACKETS_TOWARD {
            work.packet(&[here, Whom::Zone(1)]).expect("within the account");
        }
        assert_eq!(work.packet(&[here, Whom::Zone(2)]), Err(Failure::Limit(Limit::Network)));
        assert_eq!(work.packet(&[there, Whom::Zone(1)]), Err(Failure::Limit(Limit::Zone)));
        work.packet(&[there, Whom::Zone(2)]).expect("somebody else");
        assert_eq!(work.packets_sent(), MAX_PACKETS_TOWARD + 1, "what is not sent costs nothing");
        work.response(MAX_OCTETS_TOWARD as usize, 1, &[there]).expect("one answer may be large");
        assert_eq!(work.packet(&[there]), Err(Failure::Limit(Limit::Network)));
    }
}

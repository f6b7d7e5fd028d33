//! Denial of existence: what the verified NSEC and NSEC3 records of one zone prove together (RFC 4035 §5.4, RFC 5155
//! §8, RFC 6840 §4).

mod nsec;
mod nsec3;

pub use nsec::{Nsec, Place};
pub use nsec3::Nsec3;

use super::Policy;
use super::budget::{Budget, Overrun};
use super::cause::{Cause, Why};
use super::typebits::TypeBits;
use super::verify::{Signed, Verified};
use crate::wire::{Name, Rtype};

/// What a denial comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denied {
    /// It is proven: secure.
    Proven,
    /// Proven but for unsigned delegations that the zone leaves out (opt-out): insecure, AD stays off (RFC 5155 §9.2).
    OptOut,
    /// Its hashes take more iterations than are computed: insecure (RFC 9276 §3.2).
    Unjudged(Cause),
    /// It is not proven: bogus, or the budget is spent.
    NotProven(Cause),
}

/// What the absence of a DS set at a name comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DsAbsence {
    /// A zone cut without DS: the child is insecure.
    InsecureCut,
    /// There may be an unsigned cut that the zone leaves out (opt-out): the child is insecure.
    OptOut,
    /// No zone cut at this name: the zone goes on below it, its keys count there too.
    NotACut,
    /// As [`Denied::Unjudged`]: the child is insecure.
    Unjudged(Cause),
    /// As [`Denied::NotProven`].
    NotProven(Cause),
}

/// The proofs of one zone, of one response or out of the cache.
#[derive(Debug)]
pub struct Denial<'a> {
    zone: &'a Name,
    nsec: Vec<Nsec<'a>>,
    nsec3: nsec3::Chain<'a>,
}

/// Records beyond these are passed over: a proof needs at most three.
const MAX_RECORDS: usize = 32;

/// Between finding nothing and running out.
type Step<T> = Result<T, Overrun>;

impl<'a> Denial<'a> {
    /// No proofs yet of the zone.
    pub fn new(zone: &'a Name, policy: &Policy) -> Denial<'a> {
        Denial { zone, nsec: Vec::new(), nsec3: nsec3::Chain::new(policy.max_nsec3_iterations) }
    }

    /// Adds a set that [`verify`](super::verify) passed with the keys of this zone. Sets of other types, records that
    /// do not keep to their zone, and sets made from a wildcard are passed over.
    pub fn add(&mut self, set: &Signed<'a>, verified: &Verified) {
        if verified.wildcard.is_none() {
            self.add_known(set.owner, set.rtype, set.rdatas);
        }
    }

    /// Adds a set that was verified before with the keys of this zone and was not made from a wildcard: for proofs out
    /// of the cache (RFC 8198).
    pub fn add_known(&mut self, owner: &'a Name, rtype: Rtype, rdatas: &[&'a [u8]]) {
        match (rtype, rdatas) {
            // Two NSEC records at a name contradict each other.
            (Rtype::NSEC, [rdata]) if self.nsec.len() < MAX_RECORDS => {
                self.nsec.extend(Nsec::parse(self.zone, owner, rdata));
            }
            (Rtype::NSEC3, rdatas) => {
                for rdata in rdatas.iter().take(MAX_RECORDS) {
                    if let Some(record) = Nsec3::parse(self.zone, owner, rdata) {
                        self.nsec3.add(record, MAX_RECORDS);
                    }
                }
            }
            _ => {}
        }
    }

    /// Is there no record at all?
    pub fn is_empty(&self) -> bool {
        self.nsec.is_empty() && self.nsec3.is_empty()
    }

    /// Does no such name exist, nor a wildcard that would stand for it? A record at the name itself may say so (RFC 9824).
    pub fn nxdomain(&self, name: &Name, budget: &Budget) -> Denied {
        if nsec::nxdomain(&self.nsec, self.zone, name) {
            return Denied::Proven;
        }
        self.conclude(self.nsec3.nxdomain(self.zone, name, budget), name, Rtype::NSEC)
    }

    /// Does the name, or the wildcard that stands for it, have no such set? Also for empty non-terminals.
    pub fn nodata(&self, name: &Name, rtype: Rtype, budget: &Budget) -> Denied {
        if nsec::nodata(&self.nsec, self.zone, name, rtype) {
            return Denied::Proven;
        }
        self.conclude(self.nsec3.nodata(self.zone, name, rtype, budget), name, rtype)
    }

    /// Does nothing exist between `name` and the wildcard below `encloser` that answered for it
    /// ([`Verified::wildcard`])?
    pub fn wildcard_answer(&self, name: &Name, encloser: &Name, budget: &Budget) -> Denied {
        let fits = name.is_below(encloser) && encloser.is_at_or_below(self.zone);
        let next_closer = name.suffix(encloser.label_count() + 1);
        if fits && self.nsec.iter().any(|record| record.place(&next_closer) == Place::Absent) {
            return Denied::Proven;
        }
        let outcome = if fits { self.nsec3.absent(self.zone, &next_closer, budget) } else { Ok(None) };
        self.conclude(outcome, name, Rtype::NSEC)
    }

    /// The closest encloser of a name that is proven not to exist, without opt-out: a wildcard below it, if its records
    /// are known and secure, is the answer (RFC 8198 §5.3). `None` if the name may exist.
    pub fn closest_encloser(&self, name: &Name, budget: &Budget) -> Option<Name> {
        if let Some(record) = self.nsec.iter().find(|record| record.place(name) == Place::Absent) {
            return Some(record.closest_encloser(name)).filter(|encloser| encloser.is_at_or_below(self.zone));
        }
        self.nsec3.secure_encloser(self.zone, name, budget).ok().flatten()
    }

    /// Why is there no DS set at `name`, as this zone, the parent, tells it?
    pub fn ds(&self, name: &Name, budget: &Budget) -> DsAbsence {
        if name.is_below(self.zone) {
            let verdict = self.nsec.iter().find_map(|record| match record.place(name) {
                Place::Here => ds_from_types(&record.types()),
                Place::Absent | Place::EmptyNonTerminal => Some(DsAbsence::NotACut),
                Place::Elsewhere => None,
            });
            if let Some(verdict) = verdict {
                return verdict;
            }
            match self.nsec3.ds(self.zone, name, budget) {
                Ok(Some(verdict)) => return verdict,
                Ok(None) => {}
                Err(overrun) => return DsAbsence::NotProven(self.cause(name, Rtype::DS, overrun.into())),
            }
        }
        match self.nsec3.over_limit() {
            Some(why) => DsAbsence::Unjudged(self.cause(name, Rtype::DS, why)),
            None => DsAbsence::NotProven(self.cause(name, Rtype::DS, Why::NoProof)),
        }
    }

    fn cause(&self, name: &Name, rtype: Rtype, why: Why) -> Cause {
        Cause::new(self.zone, name, rtype, why)
    }

    fn conclude(&self, outcome: Step<Option<nsec3::Absent>>, name: &Name, rtype: Rtype) -> Denied {
        match outcome {
            Ok(Some(nsec3::Absent { opt_out: false })) => Denied::Proven,
            Ok(Some(nsec3::Absent { opt_out: true })) => Denied::OptOut,
            Err(overrun) => Denied::NotProven(self.cause(name, rtype, overrun.into())),
            Ok(None) => match self.nsec3.over_limit() {
                Some(why) => Denied::Unjudged(self.cause(name, rtype, why)),
                None => Denied::NotProven(self.cause(name, rtype, Why::NoProof)),
            },
        }
    }
}

/// What the types at a name say of a cut there. The child's own record says nothing of it (RFC 4035 §5.2).
fn ds_from_types(types: &TypeBits<'_>) -> Option<DsAbsence> {
    if types.has(Rtype::DS) || types.has(Rtype::SOA) {
        return None;
    }
    Some(if types.has(Rtype::NS) { DsAbsence::InsecureCut } else { DsAbsence::NotACut })
}

/// Do the types at an existing name deny `rtype` there (RFC 6840 §4.1, 4.3)?
fn types_deny(types: &TypeBits<'_>, at_root: bool, rtype: Rtype) -> bool {
    if types.has(rtype) || types.has(Rtype::CNAME) {
        return false;
    }
    if rtype == Rtype::ANY {
        return types.is_empty();
    }
    // The parent's record speaks of DS alone, the child's of everything else; the root has no parent.
    if rtype == Rtype::DS { at_root || !types.has(Rtype::SOA) } else { !types.is_delegation() }
}

/// `*` below a name.
fn wildcard(encloser: &Name) -> Option<Name> {
    encloser.with_prefix(b"\x01*")
}

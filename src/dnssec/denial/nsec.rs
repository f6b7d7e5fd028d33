//! Proofs by NSEC (RFC 4035 §5.4).

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{types_deny, wildcard};
use crate::dnssec::canonical::canonical_order;
use crate::dnssec::typebits::TypeBits;
use crate::wire::{Name, Rtype, wire_name_len};

/// A verified NSEC record that keeps to its zone.
#[derive(Clone, Debug)]
pub struct Nsec<'a> {
    zone: &'a Name,
    owner: &'a Name,
    next: Name,
    types: TypeBits<'a>,
}

/// Where a name stands as an NSEC record sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It is the record's owner.
    Here,
    /// It does not exist.
    Absent,
    /// It has no records, but names below it have.
    EmptyNonTerminal,
    /// The record says nothing of it.
    Elsewhere,
}

impl<'a> Nsec<'a> {
    /// `None` if it is malformed, or claims a range that is not of its zone: its owner and the next name are both in
    /// the zone and in order, and only the last points back at the apex (RFC 4034 §4.1.1). A range as wide as
    /// another zone would deny that one's names (CVE-2026-13321).
    pub fn parse(zone: &'a Name, owner: &'a Name, rdata: &'a [u8]) -> Option<Nsec<'a>> {
        let (next, types) = rdata.split_at_checked(wire_name_len(rdata)?)?;
        let record = Nsec { zone, owner, next: Name::from_wire(next)?, types: TypeBits::parse(types)? };
        let inside = owner.is_at_or_below(zone) && record.next.is_at_or_below(zone);
        let ordered = record.is_last() || canonical_order(owner, &record.next) == Ordering::Less;
        // The apex is the child's side of its cut.
        let apex = owner != zone || record.types.has(Rtype::SOA);
        (inside && ordered && apex).then_some(record)
    }

    pub fn owner(&self) -> &Name {
        self.owner
    }

    pub fn next(&self) -> &Name {
        &self.next
    }

    /// The types that exist at its owner.
    pub fn types(&self) -> TypeBits<'a> {
        self.types
    }

    fn is_last(&self) -> bool {
        self.next == *self.zone
    }

    /// What it says of a name. Of names below a delegation or a DNAME it says nothing (RFC 6840 §4.1).
    pub fn place(&self, name: &Name) -> Place {
        if name == self.owner {
            return Place::Here;
        }
        if !name.is_at_or_below(self.zone) {
            return Place::Elsewhere;
        }
        let cut = self.types.is_delegation() || self.types.has(Rtype::DNAME);
        if cut && name.is_below(self.owner) {
            return Place::Elsewhere;
        }
        let after = canonical_order(self.owner, name) == Ordering::Less;
        let before = self.is_last() || canonical_order(name, &self.next) == Ordering::Less;
        match after && before {
            true if self.next.is_below(name) => Place::EmptyNonTerminal,
            true => Place::Absent,
            false => Place::Elsewhere,
        }
    }

    /// The deepest ancestor of an absent name that exists.
    pub fn closest_encloser(&self, name: &Name) -> Name {
        let shared = shared_labels(name, self.owner).max(shared_labels(name, &self.next));
        name.suffix(shared)
    }

    /// Does it say that its owner has no such set?
    pub fn denies_type(&self, rtype: Rtype) -> bool {
        types_deny(&self.types, self.owner.is_root(), rtype)
    }
}

/// How many labels two names share from the right.
fn shared_labels(a: &Name, b: &Name) -> usize {
    let left: SmallVec<[&[u8]; 16]> = a.labels().collect();
    let right: SmallVec<[&[u8]; 16]> = b.labels().collect();
    left.iter().rev().zip(right.iter().rev()).take_while(|(left, right)| left == right).count()
}

/// The record that says the name does not exist.
fn absent<'n, 'a>(records: &'n [Nsec<'a>], name: &Name) -> Option<&'n Nsec<'a>> {
    records.iter().find(|record| record.place(name) == Place::Absent)
}

pub(super) fn nxdomain(records: &[Nsec<'_>], zone: &Name, name: &Name) -> bool {
    if records.iter().any(|record| record.place(name) == Place::Here && record.types.has(Rtype::NXNAME)) {
        return true;
    }
    let Some(record) = absent(records, name) else { return false };
    let encloser = record.closest_encloser(name);
    encloser.is_at_or_below(zone) && wildcard(&encloser).is_some_and(|wildcard| absent(records, &wildcard).is_some())
}

pub(super) fn nodata(records: &[Nsec<'_>], zone: &Name, name: &Name, rtype: Rtype) -> bool {
    if let Some(record) = records.iter().find(|record| record.place(name) == Place::Here) {
        return record.denies_type(rtype);
    }
    if records.iter().any(|record| record.place(name) == Place::EmptyNonTerminal) {
        return true;
    }
    let Some(record) = absent(records, name) else { return false };
    let encloser = record.closest_encloser(name);
    let Some(wildcard) = wildcard(&encloser).filter(|_| encloser.is_at_or_below(zone)) else { return false };
    records.iter().any(|record| match record.place(&wildcard) {
        Place::Here => record.denies_type(rtype),
        // A wildcard without records of its own: it stands for names without any.
        Place::EmptyNonTerminal => true,
        Place::Absent | Place::Elsewhere => false,
    })
}

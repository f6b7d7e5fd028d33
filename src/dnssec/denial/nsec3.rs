//! Proofs by NSEC3 (RFC 5155 §8).

use super::{DsAbsence, Step, ds_from_types, types_deny, wildcard};
use crate::dnssec::budget::Budget;
use crate::dnssec::cause::Why;
use crate::dnssec::typebits::TypeBits;
use crate::wire::{Name, Rtype};

/// A verified NSEC3 record of hash algorithm 1.
#[derive(Clone, Debug)]
pub struct Nsec3<'a> {
    hash: [u8; 20],
    next: [u8; 20],
    opt_out: bool,
    iterations: u16,
    salt: &'a [u8],
    types: TypeBits<'a>,
}

impl<'a> Nsec3<'a> {
    /// `None` if it is malformed, not one label below its zone, or of a hash algorithm or with flags that nobody knows
    /// (RFC 5155 §8.1, 8.2).
    pub fn parse(zone: &Name, owner: &Name, rdata: &'a [u8]) -> Option<Nsec3<'a>> {
        let [1, flags @ (0 | 1), high, low, salt_length, rest @ ..] = rdata else { return None };
        let (salt, rest) = rest.split_at_checked(usize::from(*salt_length))?;
        let (20, rest) = rest.split_first().map(|(length, rest)| (*length, rest))? else { return None };
        let (next, types) = rest.split_first_chunk::<20>()?;
        let label = owner.strip(zone)?;
        Some(Nsec3 {
            hash: hash_of_label(label)?,
            next: *next,
            opt_out: *flags == 1,
            iterations: u16::from_be_bytes([*high, *low]),
            salt,
            types: TypeBits::parse(types)?,
        })
    }

    /// The hash that its owner name spells.
    pub fn hash(&self) -> &[u8; 20] {
        &self.hash
    }

    /// The hash of the next owner name.
    pub fn next(&self) -> &[u8; 20] {
        &self.next
    }

    /// Additional iterations.
    pub fn iterations(&self) -> u16 {
        self.iterations
    }

    pub fn salt(&self) -> &'a [u8] {
        self.salt
    }

    /// May there be unsigned delegations in its range?
    pub fn is_opt_out(&self) -> bool {
        self.opt_out
    }

    /// The types that exist at the name that was hashed.
    pub fn types(&self) -> TypeBits<'a> {
        self.types
    }

    /// Does no name of the chain have this hash?
    pub fn covers(&self, hash: &[u8; 20]) -> bool {
        if self.hash < self.next {
            self.hash < *hash && *hash < self.next
        } else {
            // The last one, back to the first.
            *hash > self.hash || *hash < self.next
        }
    }
}

/// The octets of a label of 32 base32hex digits, length octet included (RFC 5155 §3.3).
fn hash_of_label(label: &[u8]) -> Option<[u8; 20]> {
    let (32, digits) = label.split_first().map(|(length, digits)| (*length, digits))? else { return None };
    let mut hash = [0; 20];
    if digits.len() != 32 {
        return None;
    }
    for (eight, five) in digits.chunks(8).zip(hash.chunks_mut(5)) {
        let mut bits: u64 = 0;
        for digit in eight {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'v' => digit - b'a' + 10,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        five.iter_mut().zip(bits.to_be_bytes().iter().skip(3)).for_each(|(to, from)| *to = *from);
    }
    Some(hash)
}

/// A name is proven absent; if by opt-out, but for unsigned delegations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Absent {
    pub(super) opt_out: bool,
}

/// The NSEC3 records of one zone with one salt and one number of iterations (RFC 5155 §8.2): those of the first.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    limit: u16,
    records: Vec<Nsec3<'a>>,
    over_limit: Option<u16>,
}

/// The closest encloser, proven: it exists, and the name one label longer does not.
struct Encloser {
    name: Name,
    next_closer: Absent,
}

impl<'a> Chain<'a> {
    pub(super) fn new(limit: u16) -> Chain<'a> {
        Chain { limit, records: Vec::new(), over_limit: None }
    }

    pub(super) fn add(&mut self, record: Nsec3<'a>, most: usize) {
        if record.iterations > self.limit {
            self.over_limit = self.over_limit.max(Some(record.iterations));
            return;
        }
        let same = |first: &Nsec3<'_>| first.iterations == record.iterations && first.salt == record.salt;
        if self.records.len() < most && self.records.first().is_none_or(same) {
            self.records.push(record);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.over_limit.is_none()
    }

    /// Were there records with too many iterations?
    pub(super) fn over_limit(&self) -> Option<Why> {
        self.over_limit.map(|iterations| Why::Iterations { iterations, limit: self.limit })
    }

    fn hash(&self, name: &Name, budget: &Budget) -> Step<Option<[u8; 20]>> {
        let Some(first) = self.records.first() else { return Ok(None) };
        budget.nsec3_hash(name, first.salt, first.iterations).map(Some)
    }

    fn matching(&self, name: &Name, budget: &Budget) -> Step<Option<&Nsec3<'a>>> {
        let Some(hash) = self.hash(name, budget)? else { return Ok(None) };
        Ok(self.records.iter().find(|record| record.hash == hash))
    }

    fn covering(&self, name: &Name, budget: &Budget) -> Step<Option<Absent>> {
        let Some(hash) = self.hash(name, budget)? else { return Ok(None) };
        let record = self.records.iter().find(|record| record.covers(&hash));
        Ok(record.map(|record| Absent { opt_out: record.opt_out }))
    }

    /// Is this name absent?
    pub(super) fn absent(&self, zone: &Name, name: &Name, budget: &Budget) -> Step<Option<Absent>> {
        if name.is_at_or_below(zone) { self.covering(name, budget) } else { Ok(None) }
    }

    /// The closest encloser proof (RFC 5155 §8.3), from the apex down. Any ancestor that exists with an absent child
    /// on the way is the closest encloser, so the order of the search is free: downwards costs two hashes where the
    /// name is random labels under the apex, however many (CVE-2023-50868), and as many as levels exist elsewhere.
    fn closest_encloser(&self, zone: &Name, name: &Name, budget: &Budget) -> Step<Option<Encloser>> {
        if !name.is_below(zone) {
            return Ok(None);
        }
        for labels in zone.label_count()..name.label_count() {
            let ancestor = name.suffix(labels);
            let Some(record) = self.matching(&ancestor, budget)? else { continue };
            // A parent's record, or one above a DNAME, says nothing of names below.
            if record.types.is_delegation() || record.types.has(Rtype::DNAME) {
                return Ok(None);
            }
            if let Some(next_closer) = self.covering(&name.suffix(labels + 1), budget)? {
                return Ok(Some(Encloser { name: ancestor, next_closer }));
            }
        }
        Ok(None)
    }

    /// The closest encloser, if the next closer name is absent without opt-out.
    pub(super) fn secure_encloser(&self, zone: &Name, name: &Name, budget: &Budget) -> Step<Option<Name>> {
        let encloser = self.closest_encloser(zone, name, budget)?;
        Ok(encloser.filter(|encloser| !encloser.next_closer.opt_out).map(|encloser| encloser.name))
    }

    /// RFC 5155 §8.4, or a record at the name itself that says so (RFC 9824).
    pub(super) fn nxdomain(&self, zone: &Name, name: &Name, budget: &Budget) -> Step<Option<Absent>> {
        if name.is_at_or_below(zone)
            && self.records.iter().any(|record| record.types.has(Rtype::NXNAME))
            && self.matching(name, budget)?.is_some_and(|record| record.types.has(Rtype::NXNAME))
        {
            return Ok(Some(Absent { opt_out: false }));
        }
        let Some(encloser) = self.closest_encloser(zone, name, budget)? else { return Ok(None) };
        let Some(wildcard) = wildcard(&encloser.name) else { return Ok(None) };
        let none = self.covering(&wildcard, budget)?;
        Ok(none.map(|_| encloser.next_closer))
    }

    /// RFC 5155 §8.5 to 8.7.
    pub(super) fn nodata(&self, zone: &Name, name: &Name, rtype: Rtype, budget: &Budget) -> Step<Option<Absent>> {
        if !name.is_at_or_below(zone) {
            return Ok(None);
        }
        if let Some(record) = self.matching(name, budget)? {
            let denies = types_deny(&record.types, name.is_root(), rtype);
            return Ok(denies.then_some(Absent { opt_out: false }));
        }
        let Some(encloser) = self.closest_encloser(zone, name, budget)? else { return Ok(None) };
        let Some(wildcard) = wildcard(&encloser.name) else { return Ok(None) };
        if let Some(record) = self.matching(&wildcard, budget)? {
            let denies = types_deny(&record.types, false, rtype);
            return Ok(denies.then_some(encloser.next_closer));
        }
        // An unsigned delegation that is left out, or an empty non-terminal above one (errata 3441 of RFC 5155).
        Ok(Some(encloser.next_closer).filter(|next_closer| next_closer.opt_out))
    }

    /// RFC 5155 §8.6 and §8.9.
    pub(super) fn ds(&self, zone: &Name, name: &Name, budget: &Budget) -> Step<Option<DsAbsence>> {
        if let Some(record) = self.matching(name, budget)? {
            return Ok(ds_from_types(&record.types));
        }
        let encloser = self.closest_encloser(zone, name, budget)?;
        Ok(encloser.map(|encloser| match encloser.next_closer.opt_out {
            true => DsAbsence::OptOut,
            false => DsAbsence::NotACut,
        }))
    }
}

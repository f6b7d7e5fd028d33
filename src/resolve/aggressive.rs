//! Aggressive use (RFC 8198): answers to questions nobody has asked yet, from validated proofs of what does not exist and
//! from validated wildcards. Nothing is sent for them.
//!
//! What is found among the ranges is put to the same rules as proofs in a response; only what they prove is said.
//!
//! Clients that set CD get such answers too. CD asks for data whether or not it validates (RFC 4035 §3.2.2), not for data
//! that is fetched anew, and RFC 8198 makes no exception of it: these proofs validated, and who checks himself finds them
//! in the answer with their signatures. Knot Resolver does the same. Without it a flood of random names would only have
//! to set CD.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::cache::{Hashing, Proof, Ranges, Rank, RrSet, Security};
use crate::clock::Moment;
use crate::dnssec::{Budget, Denial, Denied, Limits, Nsec, Nsec3, Place, Rrsig};
use crate::wire::{Name, Rcode, Rtype, leading_name};

use super::Cx;
use super::answer::{Life, Soa};

/// SHA-1 blocks computed for a question that comes out of the cache: at most some 20 µs, less than a packet costs.
const HASH_BLOCKS: u32 = 64;
/// Names hashed for one question, the wildcard among them. A random name below an apex takes three; a zone whose names
/// nest deeper is asked (Unbound computes 8 at a time).
const MAX_HASHES: usize = 8;

/// What a question may cost that comes out of the cache.
pub(super) fn small_budget() -> Budget {
    Budget::new(&Limits { hash_blocks: HASH_BLOCKS, ..Limits::default() })
}

/// An answer that nobody gave.
pub(super) enum Deduced {
    /// NXDOMAIN or NODATA.
    Denied(Absent),
    /// What a wildcard makes of the name.
    Answer(RrSet),
    Alias(RrSet, Name),
}

/// What a negative answer is made of.
pub(super) struct Absent {
    pub rcode: Rcode,
    pub soa: Box<Soa>,
    pub proof: SmallVec<[Proof; 1]>,
}

/// What is asked, and what may be spent on it.
struct Asked<'a> {
    cx: &'a Cx,
    name: &'a Name,
    rtype: Rtype,
    age: Moment,
    crypto: &'a Budget,
}

/// Looks for what the cache proves of a question that it has no answer to.
pub(super) fn deduce(cx: &Cx, name: &Name, rtype: Rtype, age: Moment, crypto: &Budget) -> Option<Deduced> {
    if !cx.plan.deduces {
        return None;
    }
    let ranges = match rtype {
        // On the parent's side of the cut (RFC 4035 §2.4).
        Rtype::DS => cx.cache.ranges_above(&name.parent()?, age)?,
        _ => cx.cache.ranges_above(name, age)?,
    };
    // Forward zones, stub zones and what is answered here are not the public zone's to deny.
    let apart = cx.plan.fixed(name).is_some_and(|fixed| fixed.zone.is_below(ranges.zone()));
    if apart || cx.zones.lookup(name, rtype).is_some() {
        return None;
    }
    let asked = Asked { cx, name, rtype, age, crypto };
    let made = asked.by_wildcard(&ranges);
    let made = made.or_else(|| asked.absent(&ranges, asked.by_nsec(&ranges)?));
    made.or_else(|| asked.absent(&ranges, asked.by_nsec3(&ranges)?))
}

/// Proofs that may speak of a name.
type Found = SmallVec<[Proof; 1]>;

fn add(found: &mut Found, proof: Proof) {
    if !found.iter().any(|known| Arc::ptr_eq(known, &proof)) {
        found.push(proof);
    }
}

/// The set of a proof, and its one record.
fn record(proof: &Proof) -> Option<(&RrSet, &[u8])> {
    let set = proof.first()?;
    Some((set, set.first()?))
}

/// The one that ends first. As all are rounded alike, it is the one with the fewest seconds left at any time.
fn shortest(lives: impl Iterator<Item = Life>) -> Option<Life> {
    lives.min_by_key(|life| life.end())
}

impl Asked<'_> {
    /// The NSEC records that may prove something: at the name or before it, and of the wildcard that might stand for it.
    fn by_nsec(&self, ranges: &Ranges) -> Option<Found> {
        let first = ranges.nsec(self.name, self.age)?;
        let (set, rdata) = record(&first)?;
        let nsec = Nsec::parse(ranges.zone(), &set.owner, rdata)?;
        let mut found = Found::new();
        add(&mut found, Arc::clone(&first));
        match nsec.place(self.name) {
            Place::Elsewhere => return None,
            Place::Here | Place::EmptyNonTerminal => {}
            Place::Absent => {
                let wildcard = nsec.closest_encloser(self.name).with_prefix(b"\x01*")?;
                ranges.nsec(&wildcard, self.age).into_iter().for_each(|second| add(&mut found, second));
            }
        }
        Some(found)
    }

    /// The NSEC3 records that may prove something: of the deepest name that exists, of the first below it that does not,
    /// and of the wildcard. From the apex down, so that a name of many random labels costs no more than one.
    fn by_nsec3(&self, ranges: &Ranges) -> Option<Found> {
        let hashing = ranges.hashing()?;
        let look = |name: &Name| self.hashed(ranges, &hashing, name);
        let apex = ranges.zone().label_count();
        let mut encloser: Option<(Name, Proof)> = None;
        for labels in (apex..=self.name.label_count()).take(MAX_HASHES - 1) {
            let ancestor = self.name.suffix(labels);
            let (exists, proof) = look(&ancestor)?;
            if exists {
                encloser = Some((ancestor, proof));
                continue;
            }
            let (ancestor, above) = encloser?;
            let mut found = Found::new();
            add(&mut found, above);
            add(&mut found, proof);
            add(&mut found, look(&ancestor.with_prefix(b"\x01*")?)?.1);
            return Some(found);
        }
        let (_, itself) = encloser.filter(|(encloser, _)| encloser == self.name)?;
        Some(Found::from_iter([itself]))
    }

    /// The NSEC3 record that speaks of a name: does it exist?
    fn hashed(&self, ranges: &Ranges, hashing: &Hashing, name: &Name) -> Option<(bool, Proof)> {
        let hash = self.crypto.nsec3_hash(name, &hashing.salt, hashing.iterations).ok()?;
        let proof = ranges.nsec3(&hash, self.age)?;
        let (set, rdata) = record(&proof)?;
        let nsec3 = Nsec3::parse(ranges.zone(), &set.owner, rdata)?;
        let exists = *nsec3.hash() == hash;
        (exists || nsec3.covers(&hash)).then_some((exists, proof))
    }

    fn denial<'r>(&self, ranges: &'r Ranges, found: &'r Found) -> Denial<'r> {
        let mut denial = Denial::new(ranges.zone(), &self.cx.plan.dnssec.policy);
        for (set, rdata) in found.iter().filter_map(record) {
            denial.add_known(&set.owner, set.rtype, &[rdata]);
        }
        denial
    }

    /// What the proofs deny, by the rules for proofs in a response.
    fn absent(&self, ranges: &Ranges, found: Found) -> Option<Deduced> {
        let denial = self.denial(ranges, &found);
        let rcode = if denial.nodata(self.name, self.rtype, self.crypto) == Denied::Proven {
            Rcode::NOERROR
        } else if denial.nxdomain(self.name, self.crypto) == Denied::Proven {
            Rcode::NXDOMAIN
        } else {
            return None;
        };
        let set = ranges.soa(self.age)?;
        let proofs = found.iter().flat_map(|proof| proof.iter());
        let life = shortest(proofs.map(Life::from).chain([Life::from(&set)]))?;
        drop(denial);
        Some(Deduced::Denied(Absent { rcode, soa: Box::new(Soa { set, life }), proof: found }))
    }

    /// What a wildcard makes of the name. That the next closer name does not exist is all that such an answer has to prove
    /// (RFC 4035 §5.3.4, RFC 5155 §8.8): that the name above it does, the wildcard shows.
    fn by_wildcard(&self, ranges: &Ranges) -> Option<Deduced> {
        let set = self.cx.cache.wildcard_above(self.name, ranges.zone(), self.rtype, self.age)?;
        let mut signatures = set.signatures().filter_map(Rrsig::parse);
        if !signatures.any(|signature| signature.signer == *ranges.zone()) {
            return None;
        }
        let encloser = set.owner.parent()?;
        let next_closer = self.name.suffix(encloser.label_count() + 1);
        let by_hash = || Some(self.hashed(ranges, &ranges.hashing()?, &next_closer)?.1);
        let found: Found = ranges.nsec(&next_closer, self.age).into_iter().chain(by_hash()).collect();
        let made = found.into_iter().find_map(|proof| {
            let alone = Found::from_iter([proof]);
            let denied = self.denial(ranges, &alone).wildcard_answer(self.name, &encloser, self.crypto);
            (denied == Denied::Proven).then(|| self.made(&set, alone.first()?)).flatten()
        })?;
        let alias = made.rtype == Rtype::CNAME && self.rtype != Rtype::CNAME;
        Some(match made.first().and_then(leading_name).filter(|_| alias) {
            Some(target) => Deduced::Alias(made, target),
            None => Deduced::Answer(made),
        })
    }

    /// The wildcard's records at the name asked for, for as long as both they and their proof last.
    fn made(&self, wildcard: &RrSet, proof: &Proof) -> Option<RrSet> {
        let ends = shortest(proof.iter().map(Life::from))?.end();
        let ttl = u32::try_from(ends.seconds_since(wildcard.stored())).unwrap_or(u32::MAX);
        let mut made = wildcard.judged(Security::Secure, ttl).owned_by(self.name.clone());
        made.rank = Rank::Local;
        made.proof = Some(Arc::clone(proof));
        made.ttl_at(self.age)?;
        Some(made)
    }
}

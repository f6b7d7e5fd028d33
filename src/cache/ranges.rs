//! Denial ranges (RFC 8198): the validated NSEC and NSEC3 records of a zone in their order, so that the one that speaks of
//! a name is found although nobody has asked for that name before.
//!
//! A range is kept with the zone whose keys made it and is looked up there alone. A zone holds a share of the memory and
//! gives up its own ranges beyond it, so that no zone's flood costs another one its ranges.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::RrSet;
use crate::clock::Moment;
use crate::dnssec::{Nsec, Nsec3, order_key};
use crate::wire::{Name, Rtype};

/// NSEC3 records with more additional iterations are not kept: each name looked up costs as many hashes, several a
/// question, and they must stay cheaper than the packet they save. RFC 9276 §3.1 asks for none; zones signed before it
/// have up to 10.
pub const MAX_RANGE_ITERATIONS: u16 = 10;
/// Octets a range takes beside its record: its place in the order, and allocations.
const RANGE_OVERHEAD: usize = 160;
/// Ranges passed over because they were used, when room is needed: the next goes whether it was used or not.
const SECOND_CHANCES: usize = 8;
/// Hashes that begin with so many equal octets belong to a range made for one name (RFC 7129 appendix B): a real zone
/// would have 2⁶⁴ names.
const ALIKE: usize = 8;

/// One NSEC or NSEC3 set, as a proof is made of them.
pub type Proof = Arc<[RrSet]>;

/// How the names of a zone are hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hashing {
    pub salt: Arc<[u8]>,
    pub iterations: u16,
}

struct Range {
    proof: Proof,
    octets: usize,
    /// Since the hand came by last.
    used: AtomicBool,
}

/// Ranges by where they begin.
#[derive(Default)]
struct Chain {
    ranges: BTreeMap<Box<[u8]>, Range>,
    octets: usize,
    /// Where room was made last.
    hand: Box<[u8]>,
}

impl Chain {
    fn keep(&mut self, key: Box<[u8]>, set: RrSet) {
        let octets = set.weight() + key.len() + RANGE_OVERHEAD;
        self.octets += octets;
        let range = Range { proof: Arc::from([set]), octets, used: AtomicBool::new(false) };
        if let Some(before) = self.ranges.insert(key, range) {
            self.octets -= before.octets;
        }
    }

    /// Gives up one range: one that has ended, or was not used since the hand came by.
    fn give_up(&mut self, age: Moment) {
        for chances in (0..=SECOND_CHANCES).rev() {
            let after = (Bound::Excluded(&*self.hand), Bound::Unbounded);
            let next = self.ranges.range::<[u8], _>(after).next().or_else(|| self.ranges.iter().next());
            let Some((key, range)) = next else { return };
            let fresh = range.proof.iter().all(|set| set.ttl_at(age).is_some());
            let spared = chances > 0 && fresh && range.used.swap(false, Ordering::Relaxed);
            self.hand = key.clone();
            if !spared {
                break;
            }
        }
        if let Some(gone) = self.ranges.remove(&self.hand) {
            self.octets -= gone.octets;
        }
    }

    /// The fresh range that begins at `key` or last before it; before the first, the last one if `around`.
    fn at_or_before(&self, key: &[u8], around: bool, age: Moment) -> Option<Proof> {
        let before = self.ranges.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        let (_, range) = before.or_else(|| self.ranges.last_key_value().filter(|_| around))?;
        if range.proof.iter().any(|set| set.ttl_at(age).is_none()) {
            return None;
        }
        range.used.store(true, Ordering::Relaxed);
        Some(Arc::clone(&range.proof))
    }
}

#[derive(Default)]
struct Kept {
    soa: Option<RrSet>,
    nsec: Chain,
    nsec3: Chain,
    hashing: Option<Hashing>,
}

/// What is known of a zone's order.
pub struct Ranges {
    zone: Name,
    kept: RwLock<Kept>,
}

impl Ranges {
    pub(super) fn new(zone: &Name) -> Ranges {
        Ranges { zone: zone.clone(), kept: RwLock::default() }
    }

    /// The zone whose keys made them.
    pub fn zone(&self) -> &Name {
        &self.zone
    }

    fn read<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.kept.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes validated sets of the zone, at most `most` octets of them in all; those that could not be used are left out.
    pub(super) fn take<'a>(&self, sets: impl Iterator<Item = &'a RrSet>, soa: Option<&RrSet>, ttl: u32, most: usize) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(soa) = soa {
            kept.soa = Some(soa.judged(soa.security, ttl));
        }
        for set in sets {
            let Some(place) = place(&self.zone, set) else { continue };
            let set = set.judged(set.security, ttl);
            let age = set.stored();
            match place {
                Place::Named(key) => kept.nsec.keep(key, set),
                Place::Hashed(key, hashing) => {
                    // Names are looked up by one way of hashing: a zone that has a new one begins anew.
                    if kept.hashing.as_ref() != Some(&hashing) {
                        kept.nsec3 = Chain::default();
                        kept.hashing = Some(hashing);
                    }
                    kept.nsec3.keep(key, set);
                }
            }
            while kept.nsec.octets + kept.nsec3.octets > most {
                let larger = if kept.nsec.octets > kept.nsec3.octets { &mut kept.nsec } else { &mut kept.nsec3 };
                larger.give_up(age);
            }
        }
    }

    /// The SOA that negative answers go with, if it is fresh.
    pub fn soa(&self, age: Moment) -> Option<RrSet> {
        self.read(|kept| kept.soa.clone()).filter(|soa| soa.ttl_at(age).is_some())
    }

    /// The NSEC set at `name`, or the last one before it. It may say nothing of it.
    pub fn nsec(&self, name: &Name, age: Moment) -> Option<Proof> {
        self.read(|kept| match kept.nsec.ranges.is_empty() {
            true => None,
            false => kept.nsec.at_or_before(&order_key(name), false, age),
        })
    }

    /// How the zone's names are hashed, if it has NSEC3 ranges.
    pub fn hashing(&self) -> Option<Hashing> {
        self.read(|kept| kept.hashing.clone().filter(|_| !kept.nsec3.ranges.is_empty()))
    }

    /// The NSEC3 set at `hash`, or the last one before it. It may say nothing of it.
    pub fn nsec3(&self, hash: &[u8; 20], age: Moment) -> Option<Proof> {
        self.read(|kept| kept.nsec3.at_or_before(hash, true, age))
    }

    /// Ranges there are.
    pub fn len(&self) -> usize {
        self.read(|kept| kept.nsec.ranges.len() + kept.nsec3.ranges.len())
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets it takes.
    pub fn weight(&self) -> usize {
        let kept = self.read(|kept| kept.nsec.octets + kept.nsec3.octets + kept.soa.as_ref().map_or(0, |s| s.weight()));
        size_of::<Ranges>() + kept
    }
}

/// Where a set belongs.
enum Place {
    Named(Box<[u8]>),
    Hashed(Box<[u8]>, Hashing),
}

/// `None`: it is of no use for other names than the one it came with, or not to be trusted with them.
fn place(zone: &Name, set: &RrSet) -> Option<Place> {
    let mut rdatas = set.rdatas();
    let (Some(rdata), None) = (rdatas.next(), rdatas.next()) else { return None };
    match set.rtype {
        Rtype::NSEC => {
            let record = Nsec::parse(zone, &set.owner, rdata)?;
            (!is_made_for_one(record.owner(), record.next())).then(|| Place::Named(order_key(&set.owner).into()))
        }
        Rtype::NSEC3 => {
            let record = Nsec3::parse(zone, &set.owner, rdata)?;
            // Opt-out ranges may hold delegations that are left out (RFC 8198 §5.2).
            let usable = !record.is_opt_out() && record.iterations() <= MAX_RANGE_ITERATIONS;
            if !usable || record.hash() != record.next() && record.hash()[..ALIKE] == record.next()[..ALIKE] {
                return None;
            }
            let hashing = Hashing { salt: record.salt().into(), iterations: record.iterations() };
            Some(Place::Hashed(record.hash().as_slice().into(), hashing))
        }
        _ => None,
    }
}

/// Is the next name the very next there can be (RFC 9824 §3.1, 3.4): made on the spot, about its owner alone? Such records
/// come one for each name asked, and would crowd out those that cover many.
fn is_made_for_one(owner: &Name, next: &Name) -> bool {
    if next.strip(owner) == Some(b"\x01\0") {
        return true;
    }
    let (Some(first), Some(after)) = (owner.labels().next(), next.labels().next()) else { return false };
    owner.parent() == next.parent() && after.strip_suffix(b"\0") == Some(first)
}

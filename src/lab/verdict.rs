//! What a validator must make of the lab's answers, from how their zones are planned: nothing is computed from keys or
//! signatures here.

use std::cell::RefCell;
use std::collections::HashMap;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::atlas::Atlas;
use super::sign::{Denial, Fault, Flaw, ParentsWord, Plan};
use super::signing::plan_of;
use super::zone::{Key, Reply, Zone, ZoneSet};

/// NSEC3 records with more iterations prove nothing (RFC 9276 §3.2): the default of `dnssec::Policy`.
const MAX_ITERATIONS: u16 = 50;

/// What validation comes to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Checked {
    /// AD is set.
    Secure,
    /// There is no unbroken chain, and need not be one.
    Insecure,
    /// SERVFAIL with this extended error.
    Bogus(u16),
}

impl Checked {
    /// Of a whole and its parts the worst counts, of two failures the first.
    fn and(self, other: Checked) -> Checked {
        match (self, other) {
            (Checked::Bogus(_), _) => self,
            (_, Checked::Bogus(_)) => other,
            (Checked::Secure, Checked::Secure) => Checked::Secure,
            _ => Checked::Insecure,
        }
    }
}

/// The verdicts on a world's zones.
pub(super) struct Verdicts<'a> {
    atlas: &'a Atlas,
    zones: &'a ZoneSet,
    known: RefCell<HashMap<Key, Checked>>,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(atlas: &'a Atlas, zones: &'a ZoneSet) -> Verdicts<'a> {
        Verdicts { atlas, zones, known: RefCell::default() }
    }

    /// Of an answer that came together from these zones' words about these names.
    pub(super) fn of_way(&self, way: &[(&Zone, Name)], rtype: RecordType) -> Checked {
        way.iter().fold(Checked::Secure, |sum, (zone, name)| sum.and(self.of_answer(zone, name, rtype)))
    }

    fn of_answer(&self, zone: &Zone, name: &Name, rtype: RecordType) -> Checked {
        let status = self.of_zone(zone);
        let Some(plan) = plan_of(self.atlas, zone.origin()).filter(|_| status == Checked::Secure) else {
            return status;
        };
        let reply = zone.answer_signed(name, rtype, true);
        if let Some(error) = plan.flaw.and_then(|flaw| error_of(flaw, zone, name, &reply)) {
            return Checked::Bogus(error);
        }
        if is_proven_by_halves(&plan.denial, zone, name, &reply) { Checked::Insecure } else { Checked::Secure }
    }

    /// Of a zone's keys.
    fn of_zone(&self, zone: &Zone) -> Checked {
        if let Some(known) = self.known.borrow().get(&zone.origin_key) {
            return *known;
        }
        let verdict = self.find_out(zone);
        self.known.borrow_mut().insert(zone.origin_key.clone(), verdict);
        verdict
    }

    fn find_out(&self, zone: &Zone) -> Checked {
        let plan = plan_of(self.atlas, zone.origin());
        if zone.origin().is_root() {
            return plan.map_or(Checked::Insecure, of_keys);
        }
        let above =
            self.zones.find(zone.origin(), RecordType::DS).map_or(Checked::Insecure, |above| self.of_zone(above));
        match plan.filter(|_| above == Checked::Secure) {
            None if above == Checked::Secure => Checked::Insecure,
            None => above,
            Some(plan) => match plan.parent {
                ParentsWord::Nothing | ParentsWord::UnknownAlgorithm | ParentsWord::UnknownDigest => Checked::Insecure,
                // SHA-1 counts only where the policy says so (RFC 9905).
                ParentsWord::Ds(1) => Checked::Insecure,
                _ if matches!(plan.algorithm, 5 | 7) => Checked::Insecure,
                ParentsWord::WrongDigest => Checked::Bogus(9),
                ParentsWord::Ds(_) => of_keys(plan),
            },
        }
    }
}

/// Of a zone that its parent vouches for.
fn of_keys(plan: &Plan) -> Checked {
    let Some(flaw) = plan.flaw else { return Checked::Secure };
    let in_keys = matches!(flaw.fault, Fault::OtherKeys | Fault::NoKeys | Fault::NoZoneKey | Fault::RevokedKey);
    let over_keys = is_of_signatures(flaw.fault) && flaw.concerns(RecordType::DNSKEY);
    if in_keys || over_keys { Checked::Bogus(flaw.fault.error()) } else { Checked::Secure }
}

fn is_of_signatures(fault: Fault) -> bool {
    !matches!(
        fault,
        Fault::OtherKeys | Fault::NoKeys | Fault::NoZoneKey | Fault::RevokedKey | Fault::NoProof | Fault::LyingProof
    )
}

fn is_proof(record: &&Record) -> bool {
    matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3)
}

fn is_negative(reply: &Reply) -> bool {
    reply.authority.iter().any(|record| record.record_type() == RecordType::SOA)
}

/// The extended error that a flaw causes in this reply, if it does.
fn error_of(flaw: Flaw, zone: &Zone, name: &Name, reply: &Reply) -> Option<u16> {
    let has = |record: &Record| flaw.concerns(record.record_type()) && record.record_type() != RecordType::RRSIG;
    let affected = reply.answers.iter().chain(&reply.authority).find(|record| has(record));
    match flaw.fault {
        // What a DNAME renames needs no proof that it is not there.
        Fault::NoProof => {
            let renamed = reply.answers.iter().any(|record| record.record_type() == RecordType::DNAME);
            (is_negative(reply) || !(renamed || zone.has(name))).then(|| flaw.fault.error())
        }
        // A proof without a signature is none at all.
        Fault::NoSignature if affected.is_some_and(|record| is_proof(&record)) => Some(Fault::NoProof.error()),
        // Fewer labels than its zone has no name.
        Fault::TooFewLabels if affected.is_some_and(|record| record.name == *zone.origin()) => {
            Some(Fault::TooManyLabels.error())
        }
        fault if is_of_signatures(fault) => affected.map(|_| fault.error()),
        _ => None,
    }
}

/// Is it proven but for delegations left out, or by more iterations than anybody computes?
fn is_proven_by_halves(denial: &Denial, zone: &Zone, name: &Name, reply: &Reply) -> bool {
    let Denial::Nsec3 { iterations, opt_out, .. } = denial else { return false };
    if !reply.authority.iter().any(|record| is_proof(&record)) {
        return false;
    }
    let target = |record: &Record| match &record.data {
        RData::CNAME(target) => Some(target.0.clone()),
        _ => None,
    };
    let end = reply.answers.iter().rev().find_map(target).unwrap_or_else(|| name.clone());
    let told = is_negative(reply) && reply.rcode == ResponseCode::NoError && zone.has(&end);
    let left_out = zone.signed.as_ref().is_some_and(|signed| signed.leaves_out(&end));
    *iterations > MAX_ITERATIONS || *opt_out && (!told || left_out)
}

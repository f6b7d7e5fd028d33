//! Signing zones at start (RFC 4034, 4035, 5155): keys made on the spot, signatures when they are asked for, proofs of
//! what does not exist, and every way of doing it wrong.
//!
//! Independent of `dnssec`, which checks: canonical form and order are hickory-proto's here.

mod chain;
mod flaw;
mod key;
mod plan;
mod rsa;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

pub use chain::Denial;
pub use flaw::{Fault, Flaw};
pub use key::Key;
pub use plan::{ParentsWord, Plan};

use chain::Chain;

use crate::dnssec::key_tag;

/// The flags of a key that signs a zone, and of one that a parent points at besides (RFC 4034 §2.1.1).
const ZONE_KEY: u16 = 0x0100;
const ENTRY_POINT: u16 = 0x0001;
/// Of a key that is withdrawn (RFC 5011 §2.1).
const REVOKED: u16 = 0x0080;

/// A zone's keys: one that its parent points at and one that signs.
#[derive(Debug)]
pub struct Keys {
    zone: Name,
    entry: Key,
    signing: Key,
}

impl Keys {
    /// New keys of an algorithm: 5, 7, 8, 10 (with 1024 bits, few different ones), 13, 14 or 15.
    pub fn new(zone: &Name, algorithm: u8) -> Keys {
        let flags = ZONE_KEY | ENTRY_POINT;
        Keys { zone: zone.clone(), entry: Key::new(algorithm, flags), signing: Key::new(algorithm, ZONE_KEY) }
    }

    pub fn zone(&self) -> &Name {
        &self.zone
    }

    /// The key that signs the other keys.
    pub fn entry(&self) -> &Key {
        &self.entry
    }

    /// The key that signs everything else.
    pub fn signing(&self) -> &Key {
        &self.signing
    }
}

/// How a zone is signed.
#[derive(Clone, Debug)]
pub struct Signing {
    pub denial: Denial,
    /// The span in which signatures hold, in seconds since 1970.
    pub from: u32,
    pub until: u32,
    pub flaw: Option<Flaw>,
}

/// A signed zone: its records lie elsewhere, this is what signing adds.
#[derive(Debug)]
pub struct Signed {
    keys: Arc<Keys>,
    how: Signing,
    chain: Chain,
    apex: Vec<Record>,
    /// Signatures that were asked for before, by owner and type.
    made: Mutex<HashMap<(Name, u16), Vec<Record>>>,
}

impl Signed {
    /// Signs a zone of these records, of which the SOA must be one. DS records of signed children must be among them.
    pub fn new(records: &[&Record], keys: Arc<Keys>, how: Signing) -> Signed {
        let apex = apex_records(records, &keys, &how);
        let mut all = records.to_vec();
        all.extend(&apex);
        let mut chain = Chain::new(&keys.zone, &all, &how.denial, flaw::missing_types(how.flaw));
        if let Some(beyond) = flaw::beyond(how.flaw, &keys.zone) {
            chain.reach(&beyond);
        }
        Signed { keys, how, chain, apex, made: Mutex::default() }
    }

    /// The records that signing adds at the apex: DNSKEY and NSEC3PARAM.
    pub fn apex(&self) -> &[Record] {
        &self.apex
    }

    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// The DS record, digest type 1, 2 or 4, that points at the entry key.
    pub fn ds(&self, ttl: u32, digest_type: u8) -> Record {
        let key = flaw::pointed_at(self.how.flaw, &self.keys);
        opaque(&self.keys.zone, ttl, RecordType::DS, key::ds(&self.keys.zone, &key, digest_type))
    }

    /// The same as a line for a file of trust anchors.
    pub fn anchor(&self) -> String {
        let key = flaw::pointed_at(self.how.flaw, &self.keys);
        let data = key::ds(&self.keys.zone, &key, 2);
        let digest: String = data[4..].iter().map(|octet| format!("{octet:02X}")).collect();
        format!("{} IN DS {} {} 2 {digest}\n", self.keys.zone, key_tag(&key), key[3])
    }

    /// The NSEC record of a name, for who asks for it by type.
    pub fn nsec(&self, name: &Name) -> Vec<Record> {
        self.chain.nsec(name).map(|record| self.with_signatures(record)).unwrap_or_default()
    }

    /// Every NSEC or NSEC3 record of the zone.
    pub fn denials(&self) -> impl Iterator<Item = &Record> {
        self.chain.iter().filter(|_| !flaw::hides_proofs(self.how.flaw))
    }

    /// Is a name in the zone, rather than below one of its cuts or DNAMEs?
    pub fn has_say_over(&self, name: &Name) -> bool {
        self.chain.has(name)
    }

    /// Is a name left out of the proofs by opt-out?
    pub fn leaves_out(&self, name: &Name) -> bool {
        self.chain.leaves_out(name)
    }

    /// The RRSIG records over a set.
    pub fn signatures(&self, set: &[Record]) -> Vec<Record> {
        let Some(first) = set.first() else { return Vec::new() };
        let place = (first.name.to_lowercase(), u16::from(first.record_type()));
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let signatures = made.entry(place).or_insert_with(|| self.sign(set));
        let mut signatures = signatures.clone();
        signatures.iter_mut().for_each(|signature| signature.name = first.name.clone());
        signatures
    }

    /// What proves that a name exists without such a type, or that it is an empty non-terminal.
    pub fn no_data(&self, name: &Name) -> Vec<Record> {
        self.proofs(self.chain.no_data(name))
    }

    /// What proves that a name does not exist, nor a wildcard for it.
    pub fn no_name(&self, name: &Name) -> Vec<Record> {
        self.proofs(self.chain.no_name(name))
    }

    /// What proves that nothing closer than the wildcard below `encloser` stands for a name.
    pub fn no_closer(&self, name: &Name, encloser: &Name) -> Vec<Record> {
        self.proofs(self.chain.no_closer(name, encloser))
    }

    /// The same, and that the wildcard has no such type.
    pub fn no_data_of_wildcard(&self, name: &Name, encloser: &Name) -> Vec<Record> {
        self.proofs(self.chain.no_data_of_wildcard(name, encloser))
    }

    /// What proves that a zone cut has no DS set.
    pub fn no_ds(&self, cut: &Name) -> Vec<Record> {
        self.proofs(self.chain.no_ds(cut))
    }

    fn proofs(&self, mut records: Vec<&Record>) -> Vec<Record> {
        if flaw::hides_proofs(self.how.flaw) {
            return Vec::new();
        }
        let mut seen: Vec<&Name> = Vec::new();
        records.retain(|record| {
            let new = !seen.contains(&&record.name);
            seen.push(&record.name);
            new
        });
        records.into_iter().flat_map(|record| self.with_signatures(record)).collect()
    }

    fn with_signatures(&self, record: &Record) -> Vec<Record> {
        let mut records = vec![record.clone()];
        records.extend(self.signatures(std::slice::from_ref(record)));
        records
    }

    fn sign(&self, set: &[Record]) -> Vec<Record> {
        let Some(first) = set.first() else { return Vec::new() };
        let rtype = first.record_type();
        let flaw = self.how.flaw.filter(|flaw| flaw.concerns(rtype)).map(|flaw| flaw.fault);
        if flaw == Some(Fault::NoSignature) {
            return Vec::new();
        }
        let key = if rtype == RecordType::DNSKEY { &self.keys.entry } else { &self.keys.signing };
        let terms = flaw::terms(flaw, self.how.from, self.how.until, key, &self.keys.zone, &first.name);
        let mut data = terms.to_bytes(rtype, first.ttl);
        let octets = signed_octets(&data, &first.name, set, terms.labels);
        let mut signature = key.sign(&octets);
        if let Some(octet) = signature.last_mut().filter(|_| flaw == Some(Fault::BadSignature)) {
            *octet ^= 1;
        }
        if flaw == Some(Fault::KeyTrap) && rtype != RecordType::DNSKEY {
            let wrong = |number: usize| {
                let mut signature = signature.clone();
                // A wrong signature each, all below the modulus.
                signature.iter_mut().rev().take(2).zip((number as u16 + 1).to_be_bytes()).for_each(|(at, x)| *at ^= x);
                opaque(&first.name, first.ttl, RecordType::RRSIG, [data.as_slice(), &signature].concat())
            };
            return (0..flaw::TRAP_SIGNATURES).map(wrong).collect();
        }
        data.extend(signature);
        vec![opaque(&first.name, first.ttl, RecordType::RRSIG, data)]
    }
}

/// The DNSKEY set, and the parameters of NSEC3.
fn apex_records(records: &[&Record], keys: &Keys, how: &Signing) -> Vec<Record> {
    let ttl = records.iter().find(|r| r.record_type() == RecordType::SOA).map_or(3600, |soa| soa.ttl);
    let key = |data: Vec<u8>| opaque(&keys.zone, ttl, RecordType::DNSKEY, data);
    let mut added: Vec<Record> = flaw::served_keys(how.flaw, keys).into_iter().map(key).collect();
    if let Some(data) = how.denial.parameters() {
        added.push(opaque(&keys.zone, 0, RecordType::NSEC3PARAM, data));
    }
    added
}

/// A record whose data is known octet by octet.
pub fn opaque(owner: &Name, ttl: u32, rtype: RecordType, data: Vec<u8>) -> Record {
    Record::from_rdata(owner.clone(), ttl, RData::Unknown { code: rtype, rdata: NULL::with(data) })
}

/// A name uncompressed, in lower case.
pub(super) fn lower_wire(name: &Name) -> Vec<u8> {
    let mut wire = Vec::with_capacity(64);
    for label in name.iter() {
        wire.push(label.len() as u8);
        wire.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    wire.push(0);
    wire
}

/// The labels that a signature counts: not a leftmost `*` (RFC 4034 §3.1.3).
fn counted_labels(name: &Name) -> u8 {
    let star = name.iter().next() == Some(b"*".as_slice());
    (name.iter().count() - usize::from(star)) as u8
}

/// Record data in canonical form (RFC 4034 §6.2).
fn canonical_data(record: &Record) -> Vec<u8> {
    let mut octets = Vec::with_capacity(64);
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_canonical_form(true);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    // Data that was read from text or made here always fits.
    let _ = record.data.emit(&mut encoder);
    // hickory-proto has no DNAME of its own, and its data is nothing but a name.
    if record.record_type() == RecordType::DNAME {
        octets.make_ascii_lowercase();
    }
    octets
}

/// What is signed (RFC 4034 §3.1.8.1): the signature's own data, then the set in canonical form and order.
fn signed_octets(terms: &[u8], owner: &Name, set: &[Record], labels: u8) -> Vec<u8> {
    let mut data: Vec<Vec<u8>> = set.iter().map(canonical_data).collect();
    data.sort();
    data.dedup();
    let count = counted_labels(owner);
    let owner = match usize::from(count.saturating_sub(labels)) {
        0 => lower_wire(owner),
        _ => [b"\x01*".as_slice(), &lower_wire(&owner.trim_to(usize::from(labels)))].concat(),
    };
    let mut octets = terms.to_vec();
    for data in data {
        octets.extend(&owner);
        octets.extend(&terms[..2]);
        octets.extend([0, 1]);
        octets.extend(&terms[4..8]);
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(data);
    }
    octets
}

#[cfg(test)]
mod tests;

//! A zone in memory and the authoritative algorithm over it (RFC 1034 §4.3.2, RFC 4592, RFC 6672).
//!
//! hickory's in-memory store has no DNAME, lets a wildcard answer for names that exist and beyond the closest
//! encloser, and puts referrals into the answer section; a lab that is the measure for a resolver may not.

use std::collections::HashMap;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::hostile::Script;
use super::master::{self, MasterError};
use super::sign::Signed;

/// A name as a key: uncompressed wire format, lower case.
pub(super) type Key = Vec<u8>;

/// How many aliases one answer follows within a zone.
const MAX_ALIASES: usize = 16;

pub(super) fn key(name: &Name) -> Key {
    let mut key = Vec::with_capacity(64);
    for label in name.iter() {
        key.push(label.len() as u8);
        key.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    key.push(0);
    key
}

/// The offsets at which the labels of `key` begin, the root's included.
fn label_starts(key: &[u8]) -> Vec<usize> {
    let mut starts = Vec::with_capacity(8);
    let mut at = 0;
    while key[at] != 0 {
        starts.push(at);
        at += 1 + usize::from(key[at]);
    }
    starts.push(at);
    starts
}

/// All RRsets of one owner; none for an empty non-terminal.
#[derive(Clone, Default, Debug)]
pub(super) struct Node {
    pub(super) rrsets: Vec<(RecordType, Vec<Record>)>,
}

impl Node {
    pub(super) fn get(&self, rtype: RecordType) -> Option<&[Record]> {
        self.rrsets.iter().find(|(t, _)| *t == rtype).map(|(_, records)| records.as_slice())
    }
}

/// One zone.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: Name,
    pub(super) origin_key: Key,
    pub(super) nodes: HashMap<Key, Node>,
    /// For negative responses: its TTL is the smaller of its own and its last field (RFC 2308 §3).
    negative_soa: Record,
    /// What it says of names it does not have, where that is not the truth.
    pub(super) script: Option<Script>,
    /// What signing added, if it is signed.
    pub(super) signed: Option<Arc<Signed>>,
}

/// What a zone says, section by section.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply {
    pub rcode: ResponseCode,
    pub authoritative: bool,
    pub answers: Vec<Record>,
    pub authority: Vec<Record>,
    pub additional: Vec<Record>,
}

/// What one name in a zone leads to.
enum Step {
    Records(Vec<Record>),
    Alias {
        records: Vec<Record>,
        target: Name,
    },
    Referral {
        servers: Vec<Record>,
        ds: Vec<Record>,
    },
    NoData,
    NxDomain,
    TooLong(Vec<Record>),
    /// One of the others, by the wildcard below this name.
    Wildcard(Box<Step>, Name),
}

impl Zone {
    /// Reads a master file. There must be one SOA record, at `origin`.
    pub fn read(text: &str, origin: &Name) -> Result<Zone, MasterError> {
        let whole = |reason: &str| MasterError { line: 0, reason: reason.to_owned() };
        let origin_key = key(origin);
        let mut nodes: HashMap<Key, Node> = HashMap::new();
        for record in master::read(text, origin)? {
            let owner = key(&record.name);
            let cut = owner.len().checked_sub(origin_key.len()).filter(|at| owner[*at..] == origin_key);
            let cut = cut.ok_or_else(|| whole(&format!("{} lies outside the zone", record.name)))?;
            for start in label_starts(&owner).into_iter().take_while(|at| *at <= cut) {
                nodes.entry(owner[start..].to_vec()).or_default();
            }
            let node = nodes.entry(owner).or_default();
            let rtype = record.record_type();
            match node.rrsets.iter_mut().find(|(t, _)| *t == rtype) {
                Some((_, records)) => records.push(record),
                None => node.rrsets.push((rtype, vec![record])),
            }
        }
        let soas = nodes.get(&origin_key).and_then(|apex| apex.get(RecordType::SOA)).unwrap_or_default();
        let [soa] = soas else { return Err(whole("a zone has one SOA record, at its apex")) };
        let mut negative_soa = soa.clone();
        if let RData::SOA(fields) = &soa.data {
            negative_soa.ttl = soa.ttl.min(fields.minimum);
        }
        Ok(Zone { origin: origin.clone(), origin_key, nodes, negative_soa, script: None, signed: None })
    }

    /// Adds a record at a name that has others.
    pub(super) fn add(&mut self, record: Record) {
        let node = self.nodes.entry(key(&record.name)).or_default();
        let rtype = record.record_type();
        match node.rrsets.iter_mut().find(|(t, _)| *t == rtype) {
            Some((_, records)) => records.push(record),
            None => node.rrsets.push((rtype, vec![record])),
        }
    }

    /// Every record, in no order.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.nodes.values().flat_map(|node| &node.rrsets).flat_map(|(_, records)| records)
    }

    /// Is there a zone cut at this name?
    pub(super) fn has_cut(&self, name: &Name) -> bool {
        let at = key(name);
        at != self.origin_key && self.nodes.get(&at).is_some_and(|node| node.get(RecordType::NS).is_some())
    }

    /// What signing adds, all of it: for other name servers to serve.
    pub(super) fn signing_records(&self) -> Vec<Record> {
        let Some(signed) = self.signed.as_deref() else { return Vec::new() };
        let mut added = Vec::new();
        for (rtype, set) in self.nodes.values().flat_map(|node| &node.rrsets) {
            let Some(first) = set.first() else { continue };
            if matches!(rtype, RecordType::DNSKEY | RecordType::NSEC3PARAM | RecordType::DS) {
                added.extend_from_slice(set);
            }
            let of_parent = !self.has_cut(&first.name) || *rtype == RecordType::DS;
            if of_parent && signed.has_say_over(&first.name) {
                added.extend(signed.signatures(set));
            }
        }
        for proof in signed.denials() {
            added.push(proof.clone());
            added.extend(signed.signatures(std::slice::from_ref(proof)));
        }
        added
    }

    /// Makes it the signed zone that `signed` is the rest of.
    pub(super) fn sign(&mut self, signed: Signed) {
        signed.apex().iter().for_each(|record| self.add(record.clone()));
        self.signed = Some(Arc::new(signed));
    }

    /// The name of the apex.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// All owners with their RRsets, empty non-terminals included.
    pub(super) fn owners(&self) -> impl Iterator<Item = (&Key, &Node)> {
        self.nodes.iter()
    }

    /// Answers a question for a name at or below the apex, without the records of DNSSEC.
    pub fn answer(&self, qname: &Name, qtype: RecordType) -> Reply {
        self.answer_signed(qname, qtype, false)
    }

    /// The same; with signatures and proofs where the zone is signed and they are wanted (DO).
    pub fn answer_signed(&self, qname: &Name, qtype: RecordType, dnssec_ok: bool) -> Reply {
        if let Some(reply) = self.script.as_ref().and_then(|script| script.answer(qname, qtype, self)) {
            return reply;
        }
        let mut reply = Reply {
            rcode: ResponseCode::NoError,
            authoritative: true,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
        };
        let signed = self.signed.as_deref().filter(|_| dnssec_ok);
        reply.answers = self.of_signing(qname, qtype, dnssec_ok);
        if !reply.answers.is_empty() {
            return reply;
        }
        let mut name = qname.clone();
        for _ in 0..MAX_ALIASES {
            let (step, encloser) = match self.step(&name, qtype) {
                Step::Wildcard(step, encloser) => (*step, Some(encloser)),
                step => (step, None),
            };
            let star = encloser.as_ref().filter(|_| !matches!(step, Step::NoData));
            if let (Some(signed), Some(encloser)) = (signed, star) {
                reply.authority.extend(signed.no_closer(&name, encloser));
            }
            match step {
                Step::Records(records) => {
                    if qtype == RecordType::NS {
                        reply.additional = self.addresses(&records);
                    }
                    reply.answers.extend(with_signatures(signed, records, encloser.as_ref()));
                    return reply;
                }
                Step::Alias { records, target } => {
                    let seen =
                        reply.answers.iter().any(|r| r.name == target) || records.iter().any(|r| r.name == target);
                    reply.answers.extend(with_signatures(signed, records, encloser.as_ref()));
                    if seen || !self.holds(&key(&target)) {
                        return reply;
                    }
                    name = target;
                }
                Step::Referral { servers, ds } => {
                    reply.authoritative = !reply.answers.is_empty();
                    reply.additional = self.addresses(&servers);
                    self.refer(&mut reply, signed, servers, ds);
                    return reply;
                }
                Step::TooLong(records) => {
                    reply.rcode = ResponseCode::YXDomain;
                    reply.answers.extend(with_signatures(signed, records, None));
                    return reply;
                }
                negative => {
                    self.deny(&mut reply, signed, &name, &negative, encloser.as_ref());
                    return reply;
                }
            }
        }
        self.deny(&mut reply, None, &name, &Step::NoData, None);
        reply
    }

    /// What there is of NSEC or RRSIG at a name, for who asks for that.
    fn of_signing(&self, name: &Name, rtype: RecordType, dnssec_ok: bool) -> Vec<Record> {
        let node = self.nodes.get(&key(name)).filter(|_| !self.has_cut(name));
        let (Some(signed), Some(node)) = (&self.signed, node) else { return Vec::new() };
        match rtype {
            RecordType::NSEC => signed.nsec(name).into_iter().take(if dnssec_ok { 2 } else { 1 }).collect(),
            RecordType::RRSIG => node.rrsets.iter().flat_map(|(_, set)| signed.signatures(set)).collect(),
            _ => Vec::new(),
        }
    }

    fn refer(&self, reply: &mut Reply, signed: Option<&Signed>, servers: Vec<Record>, ds: Vec<Record>) {
        let cut = servers.first().map(|server| server.name.clone());
        reply.authority.extend(servers);
        if let (Some(signed), Some(cut)) = (signed, cut) {
            match ds.is_empty() {
                true => reply.authority.extend(signed.no_ds(&cut)),
                false => reply.authority.extend(with_signatures(Some(signed), ds, None)),
            }
        }
    }

    /// The SOA, and what proves that there is no such name or no such type.
    fn deny(&self, reply: &mut Reply, signed: Option<&Signed>, name: &Name, step: &Step, encloser: Option<&Name>) {
        let missing = matches!(step, Step::NxDomain);
        if missing {
            reply.rcode = ResponseCode::NXDomain;
        }
        let ttl = self.negative_soa.ttl;
        let proofs = std::mem::take(&mut reply.authority);
        reply.authority.push(self.negative_soa.clone());
        if let Some(signed) = signed {
            let soa = self.nodes.get(&self.origin_key).and_then(|apex| apex.get(RecordType::SOA)).unwrap_or_default();
            reply.authority.extend(signed.signatures(soa).into_iter().map(|mut signature| {
                signature.ttl = ttl;
                signature
            }));
            reply.authority.extend(match encloser {
                _ if missing => signed.no_name(name),
                Some(encloser) => signed.no_data_of_wildcard(name, encloser),
                None => signed.no_data(name),
            });
        }
        reply.authority.extend(proofs);
    }

    /// Whether a name is in it, empty non-terminals included.
    pub(super) fn has(&self, name: &Name) -> bool {
        self.nodes.contains_key(&key(name))
    }

    fn holds(&self, name: &[u8]) -> bool {
        label_starts(name).into_iter().any(|at| name[at..] == *self.origin_key)
    }

    /// Walks from the apex down to `name`, past cuts, DNAMEs and missing nodes.
    fn step(&self, name: &Name, qtype: RecordType) -> Step {
        let wanted = key(name);
        let starts = label_starts(&wanted);
        let apex = starts.iter().position(|at| wanted[*at..] == *self.origin_key).unwrap_or(0);
        for depth in (0..=apex).rev() {
            let here = &wanted[starts[depth]..];
            let Some(node) = self.nodes.get(here) else {
                return self.wildcard(name, qtype, &wanted[starts[depth + 1]..]);
            };
            let servers = if depth == apex { None } else { node.get(RecordType::NS) };
            match servers {
                Some(_) if depth == 0 && qtype == RecordType::DS => return at_node(node, qtype, None),
                Some(servers) => {
                    let ds = node.get(RecordType::DS).unwrap_or_default().to_vec();
                    return Step::Referral { servers: servers.to_vec(), ds };
                }
                None if depth == 0 => return at_node(node, qtype, None),
                None => {}
            }
            if let Some([dname, ..]) = node.get(RecordType::DNAME) {
                return substitute(name, dname, depth);
            }
        }
        Step::NxDomain
    }

    fn wildcard(&self, name: &Name, qtype: RecordType, encloser: &[u8]) -> Step {
        let star = [&[1, b'*'], encloser].concat();
        let Some(node) = self.nodes.get(&star) else { return Step::NxDomain };
        let labels = label_starts(encloser).len() - 1;
        Step::Wildcard(Box::new(at_node(node, qtype, Some(name))), name.trim_to(labels))
    }

    /// The addresses this zone has for name servers, glue below its cuts included.
    fn addresses(&self, servers: &[Record]) -> Vec<Record> {
        let names = servers.iter().filter_map(|r| if let RData::NS(ns) = &r.data { Some(key(&ns.0)) } else { None });
        let nodes = names.filter_map(|name| self.nodes.get(&name)).collect::<Vec<_>>();
        let of = |rtype| nodes.iter().filter_map(move |n| n.get(rtype)).flatten().cloned();
        of(RecordType::A).chain(of(RecordType::AAAA)).collect()
    }
}

/// The records, each set with its signatures; those from the wildcard below `encloser` are signed as such.
fn with_signatures(signed: Option<&Signed>, records: Vec<Record>, encloser: Option<&Name>) -> Vec<Record> {
    let Some(signed) = signed else { return records };
    let has_dname = records.iter().any(|record| record.record_type() == RecordType::DNAME);
    let star = encloser.and_then(|encloser| encloser.prepend_label("*").ok());
    let mut all = Vec::with_capacity(records.len() * 2);
    for set in records.chunk_by(|a, b| a.record_type() == b.record_type()) {
        all.extend_from_slice(set);
        // What a DNAME makes is not signed.
        if has_dname && set[0].record_type() == RecordType::CNAME {
            continue;
        }
        let signatures = match &star {
            None => signed.signatures(set),
            Some(star) => {
                let mut original = set.to_vec();
                original.iter_mut().for_each(|record| record.name = star.clone());
                signed.signatures(&original)
            }
        };
        all.extend(signatures.into_iter().map(|mut signature| {
            signature.name = set[0].name.clone();
            signature
        }));
    }
    all
}

/// The data of a node, under its own name or, from a wildcard, under `owner`.
fn at_node(node: &Node, qtype: RecordType, owner: Option<&Name>) -> Step {
    let under = |records: &[Record]| {
        let mut records = records.to_vec();
        if let Some(owner) = owner {
            records.iter_mut().for_each(|r| r.name = owner.clone());
        }
        records
    };
    if qtype == RecordType::ANY && !node.rrsets.is_empty() {
        return Step::Records(node.rrsets.iter().flat_map(|(_, records)| under(records)).collect());
    }
    if let Some(records) = node.get(qtype) {
        return Step::Records(under(records));
    }
    match node.get(RecordType::CNAME) {
        Some([Record { data: RData::CNAME(target), .. }, ..]) => {
            Step::Alias { records: under(node.get(RecordType::CNAME).unwrap_or_default()), target: target.0.clone() }
        }
        _ => Step::NoData,
    }
}

/// RFC 6672 §2.2: the first `labels` labels of `name`, below the target of `dname`.
fn substitute(name: &Name, dname: &Record, labels: usize) -> Step {
    let records = vec![dname.clone()];
    let Some(target) = dname_target(dname) else { return Step::NoData };
    let prefix = Name::from_labels(name.iter().take(labels).map(<[u8]>::to_vec));
    let Ok(mut target) = prefix.and_then(|p| p.append_domain(&target)) else { return Step::TooLong(records) };
    target.set_fqdn(true);
    let alias = Record::from_rdata(name.clone(), dname.ttl, RData::CNAME(CNAME(target.clone())));
    Step::Alias { records: vec![dname.clone(), alias], target }
}

/// The name a DNAME record points to.
pub(super) fn dname_target(dname: &Record) -> Option<Name> {
    let RData::Unknown { rdata, .. } = &dname.data else { return None };
    Name::read(&mut BinDecoder::new(&rdata.anything)).ok()
}

/// The zones of one server.
#[derive(Clone, Default, Debug)]
pub struct ZoneSet {
    zones: HashMap<Key, Arc<Zone>>,
}

impl ZoneSet {
    /// Adds a zone, replacing one of the same name.
    pub fn insert(&mut self, zone: Arc<Zone>) {
        self.zones.insert(zone.origin_key.clone(), zone);
    }

    /// The zone with this apex.
    pub fn get(&self, origin: &Name) -> Option<&Arc<Zone>> {
        self.zones.get(&key(origin))
    }

    /// All zones, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.zones.values()
    }

    /// The zone that answers for a name: the one nearest to it, for DS the one above a zone's own apex
    /// (RFC 4035 §3.1.4.1).
    pub fn find(&self, qname: &Name, qtype: RecordType) -> Option<&Arc<Zone>> {
        let wanted = key(qname);
        let mut found = label_starts(&wanted).into_iter().filter_map(|at| self.zones.get(&wanted[at..]));
        let nearest = found.next()?;
        match qtype {
            RecordType::DS if nearest.origin_key == wanted => Some(found.next().unwrap_or(nearest)),
            _ => Some(nearest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n* TXT star\nx A 192.0.2.2\n\
        a.b.ent A 192.0.2.3\nc1 CNAME c2\nc2 CNAME x\nout CNAME www.elsewhere.\nbad CNAME a.ent\nloop CNAME pool\n\
        pool CNAME loop\nd DNAME t\nwww.t A 192.0.2.4\ncut NS ns.cut\nns.cut A 192.0.2.5\ntocut CNAME w.cut\n";

    fn ask(name: &str, rtype: &str) -> Reply {
        let origin = Name::from_ascii("z.").unwrap();
        let zone = Zone::read(TEXT, &origin).unwrap();
        zone.answer(&Name::from_ascii(name).unwrap(), master::record_type(rtype).unwrap())
    }

    fn shape(name: &str, rtype: &str) -> (u16, bool, usize, usize, usize) {
        let r = ask(name, rtype);
        (u16::from(r.rcode), r.authoritative, r.answers.len(), r.authority.len(), r.additional.len())
    }

    #[test]
    fn existing_names_and_negative_answers() {
        assert_eq!(shape("x.z.", "A"), (0, true, 1, 0, 0));
        assert_eq!(shape("X.Z.", "MX"), (0, true, 0, 1, 0), "no data, SOA");
        assert_eq!(shape("ent.z.", "A"), (0, true, 0, 1, 0), "an empty non-terminal exists");
        assert_eq!(shape("c.b.ent.z.", "A"), (3, true, 0, 1, 0), "and stops the wildcard");
        assert_eq!(ask("c.b.ent.z.", "A").authority[0].ttl, 5);
        assert_eq!(shape("z.", "NS"), (0, true, 1, 0, 1));
    }

    #[test]
    fn wildcards_answer_only_below_the_closest_encloser() {
        let reply = ask("Some.Thing.z.", "TXT");
        assert_eq!(reply.answers[0].name.to_ascii(), "Some.Thing.z.");
        assert_eq!(shape("some.thing.z.", "A"), (0, true, 0, 1, 0));
        assert_eq!(shape("x.z.", "TXT"), (0, true, 0, 1, 0), "not for a name that exists");
        assert_eq!(shape("below.x.z.", "TXT"), (3, true, 0, 1, 0));
    }

    #[test]
    fn aliases_are_followed_inside_the_zone_only() {
        assert_eq!(shape("c1.z.", "A"), (0, true, 3, 0, 0));
        assert_eq!(shape("c1.z.", "CNAME"), (0, true, 1, 0, 0));
        assert_eq!(shape("out.z.", "A"), (0, true, 1, 0, 0));
        assert_eq!(shape("bad.z.", "A"), (3, true, 1, 1, 0));
        assert_eq!(shape("loop.z.", "A"), (0, true, 2, 0, 0));
        assert_eq!(shape("tocut.z.", "A"), (0, true, 1, 1, 1));
    }

    #[test]
    fn dname_redirects_what_is_below_it() {
        let reply = ask("www.d.z.", "A");
        let types: Vec<_> = reply.answers.iter().map(Record::record_type).collect();
        assert_eq!(types, [RecordType::DNAME, RecordType::CNAME, RecordType::A]);
        assert_eq!(shape("d.z.", "A"), (0, true, 0, 1, 0), "not its owner");
        assert_eq!(shape("no.d.z.", "A"), (3, true, 2, 1, 0));
    }

    #[test]
    fn referrals_carry_glue_and_no_authority_bit() {
        assert_eq!(shape("www.cut.z.", "A"), (0, false, 0, 1, 1));
        assert_eq!(shape("cut.z.", "NS"), (0, false, 0, 1, 1));
        assert_eq!(shape("cut.z.", "DS"), (0, true, 0, 1, 0), "the parent answers for DS");
    }
}

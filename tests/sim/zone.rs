//! A small authoritative implementation (RFC 1034 §4.3.2, RFC 4592, RFC 6672), independent of maeslant's own code.

use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use maeslant::lab::sign::{Plan, Signed};

use super::script::Section;
use super::text;

/// Aliases followed within one zone before giving up.
const CHAIN: usize = 20;

/// One zone's records.
#[derive(Clone, Debug)]
pub struct Zone {
    pub apex: Name,
    /// In canonical order, so a node's descendants come right after it.
    nodes: BTreeMap<Name, BTreeMap<u16, Vec<Record>>>,
    /// What signing added, if it is signed.
    pub signed: Option<Arc<Signed>>,
    /// How it is to be signed.
    pub plan: Option<Plan>,
}

type Node = BTreeMap<u16, Vec<Record>>;

/// The sections of a response, before flags and OPT.
#[derive(Clone, Debug)]
pub struct Sections {
    pub rcode: ResponseCode,
    pub authoritative: bool,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
}

impl Sections {
    pub fn empty(rcode: ResponseCode, authoritative: bool) -> Sections {
        Sections { rcode, authoritative, answers: Vec::new(), authorities: Vec::new(), additionals: Vec::new() }
    }

    /// Adds one section of another response.
    pub fn take(&mut self, section: Section, other: Sections) {
        match section {
            Section::Answer => self.answers.extend(other.answers),
            Section::Authority => self.authorities.extend(other.authorities),
            Section::Additional => self.additionals.extend(other.additionals),
        }
    }

    /// Leaves out the records of a type, and their signatures.
    pub fn strip(&mut self, rtype: RecordType) {
        let covered = u16::from(rtype).to_be_bytes();
        for section in [&mut self.answers, &mut self.authorities, &mut self.additionals] {
            section.retain(|record| match &record.data {
                RData::Unknown { rdata, .. } if record.record_type() == RecordType::RRSIG => {
                    rtype != RecordType::RRSIG && rdata.anything.get(..2) != Some(covered.as_slice())
                }
                _ => record.record_type() != rtype,
            });
        }
    }
}

/// What a zone holds for a name.
enum Found<'a> {
    /// The name is at or below this zone cut.
    Cut(&'a Name),
    /// An ancestor of the name has a DNAME.
    Dname(&'a Record),
    Node(&'a Node),
    /// The wildcard below this name stands for it.
    Wildcard(&'a Node, Name),
    /// The name exists only because something below it does.
    EmptyNonTerminal,
    Nothing,
}

impl Zone {
    /// Checks what a zone must have: everything below the apex.
    pub fn new(apex: Name, records: Vec<Record>) -> Result<Zone, String> {
        let mut zone = Zone { apex, nodes: BTreeMap::new(), signed: None, plan: None };
        zone.add(records)?;
        Ok(zone)
    }

    pub fn add(&mut self, records: Vec<Record>) -> Result<(), String> {
        for record in records {
            if !self.apex.zone_of(&record.name) {
                return Err(format!("{} is not in the zone {}", record.name, self.apex));
            }
            let rtype = u16::from(record.record_type());
            self.nodes.entry(record.name.clone()).or_default().entry(rtype).or_default().push(record);
        }
        Ok(())
    }

    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.nodes.values().flat_map(|node| node.values().flatten())
    }

    /// The NS records of a zone cut below the apex.
    pub fn cut(&self, name: &Name) -> Option<&Vec<Record>> {
        self.rrset(name, RecordType::NS).filter(|_| *name != self.apex && self.apex.zone_of(name))
    }

    /// The zone as it is served: signed, with its keys at the apex.
    pub fn sign(&mut self, signed: Signed) -> Result<(), String> {
        self.add(signed.apex().to_vec())?;
        self.signed = Some(Arc::new(signed));
        Ok(())
    }

    fn rrset(&self, name: &Name, rtype: RecordType) -> Option<&Vec<Record>> {
        self.nodes.get(name)?.get(&u16::from(rtype))
    }

    fn find(&self, name: &Name, rtype: RecordType) -> Found<'_> {
        let mut way: Vec<Name> = Vec::new();
        let mut at = name.clone();
        while at != self.apex {
            way.push(at.clone());
            at = at.base_name();
        }
        if let Some(dname) = self.rrset(&self.apex, RecordType::DNAME).filter(|_| !way.is_empty()) {
            return Found::Dname(&dname[0]);
        }
        for step in way.iter().rev() {
            let last = step == name;
            if let Some((cut, types)) = self.nodes.get_key_value(step) {
                if types.contains_key(&u16::from(RecordType::NS)) && !(last && rtype == RecordType::DS) {
                    return Found::Cut(cut);
                }
                if let Some(dname) = types.get(&u16::from(RecordType::DNAME)).filter(|_| !last) {
                    return Found::Dname(&dname[0]);
                }
            }
        }
        if let Some(node) = self.nodes.get(name) {
            return Found::Node(node);
        }
        if self.has_below(name) {
            return Found::EmptyNonTerminal;
        }
        let encloser = self.encloser(name);
        let wildcard = encloser.prepend_label("*").ok().and_then(|star| self.nodes.get(&star));
        wildcard.map_or(Found::Nothing, |node| Found::Wildcard(node, encloser))
    }

    fn has_below(&self, name: &Name) -> bool {
        self.nodes.range(name.clone()..).find(|(key, _)| *key != name).is_some_and(|(key, _)| name.zone_of(key))
    }

    /// The closest encloser of a name that does not exist.
    fn encloser(&self, name: &Name) -> Name {
        let mut encloser = name.base_name();
        while encloser != self.apex && !self.nodes.contains_key(&encloser) && !self.has_below(&encloser) {
            encloser = encloser.base_name();
        }
        encloser
    }

    fn negative(&self, sections: &mut Sections, rcode: ResponseCode) {
        sections.rcode = rcode;
        let Some(set) = self.rrset(&self.apex, RecordType::SOA) else { return };
        let RData::SOA(data) = &set[0].data else { return };
        let soa = set.iter().take(1).cloned().chain(self.signatures(set));
        sections.authorities.extend(soa.map(|mut record| {
            record.ttl = record.ttl.min(data.minimum);
            record
        }));
    }

    fn signatures(&self, set: &[Record]) -> Vec<Record> {
        self.signed.as_ref().map(|signed| signed.signatures(set)).unwrap_or_default()
    }

    fn prove(&self, sections: &mut Sections, proof: impl FnOnce(&Signed) -> Vec<Record>) {
        if let Some(signed) = &self.signed {
            sections.authorities.extend(proof(signed));
        }
    }

    fn refer(&self, sections: &mut Sections, cut: &Name) {
        match self.rrset(cut, RecordType::DS) {
            Some(ds) => sections.authorities.extend(ds.iter().cloned().chain(self.signatures(ds))),
            None => self.prove(sections, |signed| signed.no_ds(cut)),
        }
        for ns in self.rrset(cut, RecordType::NS).into_iter().flatten() {
            sections.authorities.push(ns.clone());
            if let RData::NS(target) = &ns.data {
                for rtype in [RecordType::A, RecordType::AAAA] {
                    sections.additionals.extend(self.rrset(&target.0, rtype).into_iter().flatten().cloned());
                }
            }
        }
    }
}

/// What servers with these zones answer; the records of DNSSEC only where they are wanted (RFC 4035 §3.1).
pub fn respond(zones: &[Zone], qname: &Name, qtype: RecordType, dnssec_ok: bool) -> Sections {
    let mut sections = respond_signed(zones, qname, qtype);
    if !dnssec_ok {
        let plain = |record: &Record| {
            let rtype = record.record_type();
            rtype == qtype
                || !matches!(rtype, RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3 | RecordType::DS)
        };
        sections.answers.retain(plain);
        sections.authorities.retain(plain);
    }
    sections
}

fn respond_signed(zones: &[Zone], qname: &Name, qtype: RecordType) -> Sections {
    let Some(zone) = closest(zones, qname, qtype) else { return Sections::empty(ResponseCode::Refused, false) };
    let mut sections = Sections::empty(ResponseCode::NoError, true);
    let mut name = qname.clone();
    for _ in 0..CHAIN {
        if !zone.apex.zone_of(&name) {
            return sections;
        }
        let next = match zone.find(&name, qtype) {
            Found::Cut(cut) => {
                sections.authoritative = !sections.answers.is_empty();
                zone.refer(&mut sections, cut);
                None
            }
            Found::Dname(dname) => follow_dname(zone, &mut sections, &name, dname),
            Found::Node(types) => answer(zone, &mut sections, &name, qtype, types, None),
            Found::Wildcard(types, encloser) => answer(zone, &mut sections, &name, qtype, types, Some(&encloser)),
            Found::EmptyNonTerminal => {
                zone.negative(&mut sections, ResponseCode::NoError);
                zone.prove(&mut sections, |signed| signed.no_data(&name));
                None
            }
            Found::Nothing => {
                zone.negative(&mut sections, ResponseCode::NXDomain);
                zone.prove(&mut sections, |signed| signed.no_name(&name));
                None
            }
        };
        match next {
            Some(target) => name = target,
            None => return sections,
        }
    }
    sections
}

/// The deepest zone that holds the name; DS belongs to the parent (RFC 4035 §3.1.4.1).
fn closest<'a>(zones: &'a [Zone], name: &Name, rtype: RecordType) -> Option<&'a Zone> {
    let holds = |zone: &&Zone| zone.apex.zone_of(name);
    let depth = |zone: &&Zone| zone.apex.iter().count();
    let parent_only = |zone: &&Zone| rtype != RecordType::DS || zone.apex != *name;
    let of_parent = zones.iter().filter(holds).filter(parent_only).max_by_key(depth);
    of_parent.or_else(|| zones.iter().filter(holds).max_by_key(depth))
}

/// Adds what the node has; the alias's target where the chain goes on. `encloser`: where a wildcard stands for the name.
fn answer(
    zone: &Zone,
    sections: &mut Sections,
    name: &Name,
    qtype: RecordType,
    types: &Node,
    encloser: Option<&Name>,
) -> Option<Name> {
    let mut add = |set: &Vec<Record>| {
        for mut record in set.iter().cloned().chain(zone.signatures(set)) {
            record.name = name.clone();
            sections.answers.push(record);
        }
    };
    if qtype == RecordType::ANY {
        types.values().for_each(&mut add);
        return None;
    }
    let alias = types.get(&u16::from(RecordType::CNAME));
    if let Some(set) = types.get(&u16::from(qtype)).or(alias) {
        add(set);
        if let Some(encloser) = encloser {
            zone.prove(sections, |signed| signed.no_closer(name, encloser));
        }
        return match &set[0].data {
            RData::CNAME(target) if qtype != RecordType::CNAME => Some(target.0.clone()),
            _ => None,
        };
    }
    let nsec = zone.signed.as_ref().filter(|_| qtype == RecordType::NSEC).map(|signed| signed.nsec(name));
    if let Some(nsec) = nsec.filter(|nsec| !nsec.is_empty()) {
        sections.answers.extend(nsec);
        return None;
    }
    zone.negative(sections, ResponseCode::NoError);
    zone.prove(sections, |signed| match encloser {
        Some(encloser) => signed.no_data_of_wildcard(name, encloser),
        None => signed.no_data(name),
    });
    None
}

/// The DNAME, the CNAME made from it, and the new name (RFC 6672 §3.1).
fn follow_dname(zone: &Zone, sections: &mut Sections, name: &Name, dname: &Record) -> Option<Name> {
    sections.answers.push(dname.clone());
    sections.answers.extend(zone.signatures(std::slice::from_ref(dname)));
    let RData::Unknown { rdata, .. } = &dname.data else { return None };
    let kept = name.iter().count() - dname.name.iter().count();
    let target = name_from_wire(&rdata.anything)?;
    let labels: Vec<&[u8]> = name.iter().take(kept).chain(target.iter()).collect();
    let long = labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1 > 255;
    if long {
        sections.rcode = ResponseCode::YXDomain;
        return None;
    }
    let new = Name::from_labels(labels).ok()?;
    sections.answers.push(Record::from_rdata(name.clone(), dname.ttl, RData::CNAME(CNAME(new.clone()))));
    Some(new)
}

fn name_from_wire(bytes: &[u8]) -> Option<Name> {
    let mut labels = Vec::new();
    let mut at = 0;
    while let Some(&length) = bytes.get(at).filter(|length| **length != 0) {
        labels.push(bytes.get(at + 1..at + 1 + usize::from(length))?);
        at += 1 + usize::from(length);
    }
    Name::from_labels(labels).ok()
}

/// A zone from one record a line.
pub fn zone_of(apex: &str, lines: &[&str]) -> Zone {
    let records = lines.iter().map(|line| text::record(line).expect("a record")).collect();
    Zone::new(text::name(apex).expect("a name"), records).expect("a zone")
}

#[cfg(test)]
mod checks {
    use super::*;

    fn sample() -> Vec<Zone> {
        vec![zone_of(
            "example.com.",
            &[
                "example.com. 300 SOA ns.example.com. admin.example.com. 1 2 3 4 60",
                "example.com. 300 NS ns.example.com.",
                "ns.example.com. 300 A 192.0.2.1",
                "a.b.example.com. 300 A 192.0.2.2",
                "*.wild.example.com. 300 A 192.0.2.3",
                "alias.example.com. 300 CNAME a.b.example.com.",
                "old.example.com. 300 DNAME b.example.com.",
                "sub.example.com. 300 NS ns.sub.example.com.",
                "ns.sub.example.com. 300 A 192.0.2.4",
            ],
        )]
    }

    fn ask(qname: &str, qtype: RecordType) -> Sections {
        respond(&sample(), &text::name(qname).expect("a name"), qtype, false)
    }

    #[test]
    fn the_oracle_knows_the_cases_of_rfc_1034() {
        use ResponseCode::{NXDomain, NoError, Refused};
        for (qname, qtype, rcode, aa, counts) in [
            ("ns.example.com.", RecordType::A, NoError, true, (1, 0, 0)),
            ("ns.example.com.", RecordType::TXT, NoError, true, (0, 1, 0)),
            ("b.example.com.", RecordType::A, NoError, true, (0, 1, 0)),
            ("x.wild.example.com.", RecordType::A, NoError, true, (1, 0, 0)),
            ("x.example.com.", RecordType::A, NXDomain, true, (0, 1, 0)),
            ("alias.example.com.", RecordType::A, NoError, true, (2, 0, 0)),
            ("a.old.example.com.", RecordType::A, NoError, true, (3, 0, 0)),
            ("x.old.example.com.", RecordType::A, NXDomain, true, (2, 1, 0)),
            ("www.sub.example.com.", RecordType::A, NoError, false, (0, 1, 1)),
            ("sub.example.com.", RecordType::DS, NoError, true, (0, 1, 0)),
            ("example.net.", RecordType::A, Refused, false, (0, 0, 0)),
        ] {
            let got = ask(qname, qtype);
            let got_counts = (got.answers.len(), got.authorities.len(), got.additionals.len());
            assert_eq!((got.rcode, got.authoritative, got_counts), (rcode, aa, counts), "{qname} {qtype}");
        }
    }

    #[test]
    fn a_dname_that_makes_the_name_too_long_is_yxdomain() {
        let label = "a".repeat(60);
        let long = format!("{label}.{label}.{label}.old.example.com.");
        let zone = zone_of("example.com.", &[&format!("old.example.com. 300 DNAME {label}.{label}.example.net.")]);
        let got = respond(&[zone], &text::name(&long).expect("a name"), RecordType::A, false);
        assert_eq!((got.rcode, got.answers.len()), (ResponseCode::YXDomain, 1));
    }
}

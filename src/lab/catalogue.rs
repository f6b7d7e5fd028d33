//! What to ask the small Internet, and what must come out: every name and type in the zones, and names that do not
//! exist at every level. The outcomes come from walking the zones by the map, not from asking anyone.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::atlas::Atlas;
use super::fault::Behaviour;
use super::signing::signed_zones;
use super::verdict::{Checked, Verdicts};
use super::world::{StartError, read_zones};
use super::zone::{Key, Node, Zone, ZoneSet, dname_target, key};

/// Aliases across zones that the walk follows before it calls a chain endless.
const MAX_STEPS: usize = 64;

/// Asked at every name, there or not.
const ALWAYS: [RecordType; 9] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::TXT,
    RecordType::MX,
    RecordType::NS,
    RecordType::SOA,
    RecordType::DS,
    RecordType::CNAME,
    RecordType::Unknown(65399),
];

/// What a resolver says in the end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expected {
    /// NOERROR with records of the type asked, after any aliases.
    Records,
    /// NOERROR without, after any aliases.
    NoData,
    /// NXDOMAIN, of the name or of the end of its aliases.
    NxDomain,
    /// YXDOMAIN: a DNAME made the name too long (RFC 6672 §2.2).
    YxDomain,
    /// SERVFAIL: no server of a zone on the way answers for it, or aliases never end.
    ServFail,
}

impl Expected {
    /// The RCODE a client sees.
    pub fn rcode(self) -> u8 {
        match self {
            Expected::Records | Expected::NoData => 0,
            Expected::ServFail => 2,
            Expected::NxDomain => 3,
            Expected::YxDomain => 6,
        }
    }

    /// Whether a response with this RCODE and so many answer records is what was expected.
    pub fn is_met(self, rcode: u8, answers: u16) -> bool {
        self.rcode() == rcode && (self != Expected::Records || answers > 0)
    }
}

/// A question with its outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// Presentation format, fully qualified, as the zone writes it.
    pub name: String,
    /// The type's number.
    pub rtype: u16,
    pub expected: Expected,
    /// The records of the answer section, presentation format without TTL, sorted; what a resolver adds or leaves
    /// out of the chain does not count as their difference. Empty for `ServFail`, and where it holds keys or what is
    /// made of them: those are new at each start.
    pub answer: Vec<String>,
    /// What a validator makes of it, by the default policy.
    pub checked: Checked,
    /// Why resolvers may rightly differ here.
    pub note: Option<&'static str>,
}

impl Question {
    /// What a resolver that validates says in the end.
    pub fn expected_checked(&self) -> Expected {
        if matches!(self.checked, Checked::Bogus(_)) { Expected::ServFail } else { self.expected }
    }

    /// `A`, `MX`, `TYPE65280`.
    pub fn type_name(&self) -> String {
        type_name(RecordType::from(self.rtype))
    }
}

fn type_name(rtype: RecordType) -> String {
    match rtype {
        RecordType::Unknown(code) => format!("TYPE{code}"),
        known => known.to_string(),
    }
}

/// Every question of interest about the zones of `zones/lab` (the generated population left out), sorted by name and
/// type.
pub fn catalogue() -> Result<Vec<Question>, StartError> {
    let atlas = Atlas::new(0);
    let (zones, _) = signed_zones(&atlas)?;
    let mut asked: BTreeSet<(String, u16)> = BTreeSet::new();
    let mut ask = |name: &str, rtype: RecordType| {
        asked.insert((name.to_owned(), u16::from(rtype)));
    };
    for zone in zones.iter() {
        for (owner, node) in zone.owners() {
            let name = written(owner, node);
            let here = node.rrsets.iter().map(|(rtype, _)| *rtype);
            here.chain(ALWAYS).for_each(|rtype| ask(&name, rtype));
            for derived in derive(&name, node) {
                ask(&derived, RecordType::A);
                ask(&derived, RecordType::TXT);
            }
        }
    }
    for name in ["no-such-tld.", "www.no-such-tld.", "a.b.c.d.e.f.no-such-zone.com.", "www.void.", "no-such-zone.void."]
    {
        ask(name, RecordType::A);
        ask(name, RecordType::NS);
    }
    let walk = Walk::new(&atlas, &zones);
    let verdicts = Verdicts::new(&atlas, &zones);
    let question = |(name, rtype): (String, u16)| {
        let parsed = Name::from_ascii(&name).ok()?;
        let (expected, answer, way) = walk.resolve_by(&parsed, RecordType::from(rtype));
        let note = walk.note(&parsed, expected, &answer);
        let checked = verdicts.of_way(&way, RecordType::from(rtype));
        Some(Question { note, name, rtype, expected, answer: texts(&answer), checked })
    };
    Ok(asked.into_iter().filter_map(question).collect())
}

fn texts(answer: &[Record]) -> Vec<String> {
    let of_keys = |r: &Record| matches!(r.record_type(), RecordType::DS | RecordType::DNSKEY | RecordType::NSEC3PARAM);
    if answer.iter().any(of_keys) {
        return Vec::new();
    }
    let text = |r: &Record| match dname_target(r).filter(|_| r.record_type() == RecordType::DNAME) {
        Some(target) => format!("{} DNAME {target}", r.name),
        None => format!("{} {} {}", r.name, type_name(r.record_type()), r.data),
    };
    let mut texts: Vec<String> = answer.iter().map(text).collect();
    texts.sort();
    texts
}

/// The owner as its zone writes it; an empty non-terminal in lower case.
fn written(owner: &Key, node: &Node) -> String {
    if let Some((_, records)) = node.rrsets.first() {
        return records[0].name.to_ascii();
    }
    let mut labels = Vec::new();
    let mut rest = owner.as_slice();
    while let Some((&length, tail)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, after) = tail.split_at(usize::from(length).min(tail.len()));
        labels.push(label.to_vec());
        rest = after;
    }
    let mut name = Name::from_labels(labels).unwrap_or_default();
    name.set_fqdn(true);
    name.to_ascii()
}

/// Names below a name that its zone does not write down.
fn derive(name: &str, node: &Node) -> Vec<String> {
    let base = if name == "." { "" } else { name };
    let mut below = vec![format!("no-such-name.{base}"), format!("a.b.no-such-name.{base}")];
    if let Some(rest) = name.strip_prefix("*.") {
        below.extend([format!("Any.{rest}"), format!("any.thing.{rest}"), format!("a.*.{rest}")]);
    }
    if node.get(RecordType::DNAME).is_some() {
        let long = "n".repeat(63);
        below.extend(["www.", "a.b.c.", "x.w."].map(|prefix| format!("{prefix}{name}")));
        below.push(format!("{long}.{name}"));
    }
    below.retain(|n| Name::from_ascii(n).is_ok());
    below
}

/// The tree of zones, walked as a perfect resolver would.
pub(super) struct Walk<'a> {
    atlas: &'a Atlas,
    zones: &'a ZoneSet,
    /// Zones known to be reachable or not; `None` while that is being found out.
    reachable: RefCell<HashMap<Key, Option<bool>>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(atlas: &'a Atlas, zones: &'a ZoneSet) -> Walk<'a> {
        Walk { atlas, zones, reachable: RefCell::default() }
    }

    /// The outcome, and the answer section a resolver builds.
    pub(super) fn resolve(&self, qname: &Name, qtype: RecordType) -> (Expected, Vec<Record>) {
        let (expected, answer, _) = self.resolve_by(qname, qtype);
        (expected, answer)
    }

    /// The same, and which zones were asked for which names.
    fn resolve_by(&self, qname: &Name, qtype: RecordType) -> (Expected, Vec<Record>, Vec<(&'a Zone, Name)>) {
        let mut way = Vec::new();
        let mut answer: Vec<Record> = Vec::new();
        let mut name = qname.clone();
        let mut seen = HashSet::new();
        for _ in 0..MAX_STEPS {
            if !seen.insert(key(&name)) {
                break;
            }
            let Some(zone) = self.authority(&name, qtype) else { break };
            let reply = zone.answer(&name, qtype);
            way.push((zone, name.clone()));
            let wanted = |r: &Record| r.record_type() == qtype;
            let (done, before) = (reply.answers.iter().any(wanted), reply.answers.len());
            // What the zone said of names beyond its cuts is asked again there.
            answer.extend(reply.answers);
            let outcome = match reply.rcode {
                ResponseCode::NXDomain => Some(Expected::NxDomain),
                ResponseCode::YXDomain => Some(Expected::YxDomain),
                _ if done => Some(Expected::Records),
                _ if before == 0 || reply.authority.iter().any(|r| r.record_type() == RecordType::SOA) => {
                    Some(Expected::NoData)
                }
                _ => None,
            };
            if let Some(outcome) = outcome {
                return (outcome, answer, way);
            }
            match answer.iter().rev().find_map(|r| if let RData::CNAME(c) = &r.data { Some(&c.0) } else { None }) {
                Some(target) => name = target.clone(),
                None => break,
            }
            // A loop within one zone ends at a name that is an alias already given.
            if answer.iter().any(|r| r.name == name && r.record_type() == RecordType::CNAME) {
                break;
            }
        }
        (Expected::ServFail, Vec::new(), way)
    }

    /// The zone that has the last word on a name, if it can be reached from the root.
    fn authority(&self, name: &Name, qtype: RecordType) -> Option<&'a Zone> {
        let mut zone = self.zones.get(&Name::root())?;
        loop {
            if !self.is_reachable(zone) {
                return None;
            }
            let reply = zone.answer(name, qtype);
            match reply.authority.first().filter(|r| r.record_type() == RecordType::NS && reply.answers.is_empty()) {
                Some(cut) => zone = self.zones.get(&cut.name)?,
                None => return Some(zone),
            }
        }
    }

    fn is_reachable(&self, zone: &Zone) -> bool {
        let id = zone.origin_key.clone();
        match self.reachable.borrow().get(&id) {
            Some(Some(known)) => return *known,
            Some(None) => return false, // a circle
            None => {}
        }
        self.reachable.borrow_mut().insert(id.clone(), None);
        let servers = if zone.origin().is_root() {
            zone.answer(zone.origin(), RecordType::NS)
        } else {
            match self.authority(&zone.origin().base_name(), RecordType::SOA) {
                Some(parent) => parent.answer(zone.origin(), RecordType::NS),
                None => return self.settle(id, false),
            }
        };
        let records = servers.authority.iter().chain(&servers.answers);
        let names = records.filter_map(|r| if let RData::NS(ns) = &r.data { Some(&ns.0) } else { None });
        let found = names.into_iter().any(|server| {
            let glue: Vec<IpAddr> =
                servers.additional.iter().filter(|r| r.name == *server).filter_map(|r| r.data.ip_addr()).collect();
            let addresses = if glue.is_empty() { self.addresses(server) } else { glue };
            addresses.into_iter().any(|address| self.serves(address, zone))
        });
        self.settle(id, found)
    }

    fn settle(&self, id: Key, known: bool) -> bool {
        self.reachable.borrow_mut().insert(id, Some(known));
        known
    }

    fn addresses(&self, server: &Name) -> Vec<IpAddr> {
        let of = |rtype| self.resolve(server, rtype).1;
        let records = [of(RecordType::A), of(RecordType::AAAA)].concat();
        records.iter().filter_map(|r| r.data.ip_addr()).collect()
    }

    fn serves(&self, address: IpAddr, zone: &Zone) -> bool {
        let server = self.atlas.server_at(address).filter(|s| s.fault.is_survivable());
        server.is_some_and(|s| s.zones.iter().any(|z| Name::from_ascii(z).is_ok_and(|z| z == *zone.origin())))
    }

    /// Why resolvers may differ over a name.
    fn note(&self, name: &Name, expected: Expected, answer: &[Record]) -> Option<&'static str> {
        let zone = self.zones.find(name, RecordType::A)?;
        let behaves = |b| self.atlas.servers.iter().any(|s| s.fault.behaviour == b && self.serves_any(s, zone));
        if behaves(Behaviour::WrongId) {
            return Some("the answer comes only to who turns to TCP after a wrong ID");
        }
        if behaves(Behaviour::WrongCase) {
            return Some("the answer comes only to who turns to TCP after a wrong case, or does not look at it");
        }
        if answer.iter().filter(|r| r.record_type() == RecordType::CNAME).count() >= 12 {
            return Some("twelve aliases: some resolvers, and some servers, follow fewer");
        }
        match expected {
            Expected::ServFail => Some("the way there is broken: some fail, some answer with what they have"),
            Expected::YxDomain => Some("a DNAME made the name too long"),
            _ => None,
        }
    }

    fn serves_any(&self, server: &super::Server, zone: &Zone) -> bool {
        server.zones.iter().any(|z| Name::from_ascii(z).is_ok_and(|z| z == *zone.origin()))
    }
}

/// The zones no resolver can reach, by the map: lame, silent, failing, in a circle.
pub fn unreachable_zones() -> Result<Vec<String>, StartError> {
    let atlas = Atlas::new(0);
    let zones = read_zones(&atlas)?;
    let walk = Walk::new(&atlas, &zones);
    let mut lost: Vec<String> = zones.iter().filter(|z| !walk.is_reachable(z)).map(|z| z.origin().to_ascii()).collect();
    lost.sort();
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(all: &[Question], name: &str, rtype: &str) -> (Expected, usize) {
        let rtype = u16::from(crate::lab::master::record_type(rtype).unwrap());
        let found = all.iter().find(|q| q.name.eq_ignore_ascii_case(name) && q.rtype == rtype);
        let question = found.unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        (question.expected, question.answer.len())
    }

    #[test]
    fn outcomes_are_those_a_reader_of_the_zones_expects() {
        use Expected::{NoData, NxDomain, Records, ServFail, YxDomain};
        let all = catalogue().unwrap();
        let long = format!("{}.toolong.dname.com.", "n".repeat(63));
        for (name, rtype, expected, records) in [
            ("www.ordinary.com.", "A", Records, 1),
            ("ORDINARY.com.", "SOA", Records, 1),
            ("app.ordinary.com.", "A", NoData, 0),
            ("no-such-name.ordinary.com.", "A", NxDomain, 0),
            ("no-such-tld.", "A", NxDomain, 0),
            ("c12.chain.com.", "A", Records, 13),
            ("x12.chain.com.", "A", Records, 13),
            ("a.b.c.d.e.f.g.h.hard.com.", "A", Records, 13),
            ("nx.chain.com.", "A", NxDomain, 1),
            ("nodata.chain.com.", "A", NoData, 1),
            ("self.chain.com.", "A", ServFail, 0),
            ("loop.chain.com.", "A", ServFail, 0),
            ("loop.chain.com.", "CNAME", Records, 1),
            ("dname.chain.com.", "A", Records, 4),
            ("www.oldest.dname.com.", "A", Records, 7),
            ("no-such-name.moved.org.", "A", NxDomain, 2),
            (&long, "A", YxDomain, 1),
            ("any.thing.wild.com.", "TXT", Records, 1),
            ("no-such-name.ent.wild.com.", "A", NxDomain, 0),
            ("c.d.e.f.g.h.i.j.k.ent.org.", "A", NoData, 0),
            ("www.g1.com.", "A", Records, 1),
            ("www.six.", "A", Records, 1),
            ("www.sib1.com.", "A", Records, 1),
            ("ordinary.org.", "TYPE43", Records, 0),
            ("www.circa.com.", "A", ServFail, 0),
            ("no-such-name.lame.com.", "A", ServFail, 0),
            ("no-such-zone.void.", "A", ServFail, 0),
            ("lame.com.", "DS", NoData, 0),
            ("1.3.97.145.in-addr.arpa.", "PTR", Records, 2),
        ] {
            assert_eq!(outcome_or_resolve(&all, name, rtype), (expected, records), "{name} {rtype}");
        }
        assert!(all.len() > 5_000, "{} questions", all.len());
    }

    /// Questions the catalogue does not list are resolved on the spot.
    fn outcome_or_resolve(all: &[Question], name: &str, rtype: &str) -> (Expected, usize) {
        let rtype_number = u16::from(crate::lab::master::record_type(rtype).unwrap());
        if all.iter().any(|q| q.name.eq_ignore_ascii_case(name) && q.rtype == rtype_number) {
            return outcome(all, name, rtype);
        }
        let atlas = Atlas::new(0);
        let zones = read_zones(&atlas).unwrap();
        let (expected, answer) =
            Walk::new(&atlas, &zones).resolve(&Name::from_ascii(name).unwrap(), RecordType::from(rtype_number));
        (expected, answer.len())
    }

    #[test]
    fn only_the_zones_meant_to_be_lost_are_lost() {
        let lost = ["circa.com.", "circb.com.", "refused.com.", "servfail.com.", "silent.com.", "upward.com."];
        assert_eq!(unreachable_zones().unwrap(), lost);
    }

    #[test]
    fn a_population_is_reachable_to_the_last_site() {
        let atlas = Atlas::new(60);
        let zones = read_zones(&atlas).unwrap();
        let walk = Walk::new(&atlas, &zones);
        for number in 1..=60 {
            let site = crate::lab::site(number);
            for (prefix, rtype) in [("", RecordType::A), ("www.", RecordType::A), ("api.", RecordType::AAAA)] {
                let name = Name::from_ascii(format!("{prefix}{site}")).unwrap();
                assert_eq!(walk.resolve(&name, rtype).0, Expected::Records, "{name}");
            }
        }
    }

    /// Each address a delegation or an apex gives for a server exists in the map, under a server of a name that
    /// serves the zone; but where being lame is the point.
    #[test]
    fn delegations_agree_with_the_map() {
        let atlas = Atlas::new(40);
        let zones = read_zones(&atlas).unwrap();
        let walk = Walk::new(&atlas, &zones);
        let meant = [
            "lame.com.",
            "halflame.com.",
            "halfsilent.com.",
            "nslame.net.",
            "gone.com.",
            "void.",
            "nxns.com.",
            "noaddress.com.",
            "circa.com.",
            "circb.com.",
        ];
        for zone in zones.iter() {
            for (owner, node) in zone.owners() {
                let Some(servers) = node.get(RecordType::NS) else { continue };
                let cut = &servers[0].name;
                if meant.contains(&cut.to_ascii().as_str()) {
                    continue;
                }
                let child = zones.get(cut).unwrap_or_else(|| panic!("no zone file for {cut}"));
                assert_eq!(child.origin_key, *owner);
                for ns in servers.iter().filter_map(|r| if let RData::NS(ns) = &r.data { Some(&ns.0) } else { None }) {
                    let mut addresses = walk.addresses(ns);
                    // Of zones nobody can reach, what they would say themselves.
                    addresses.extend(child.answer(ns, RecordType::A).answers.iter().filter_map(|r| r.data.ip_addr()));
                    assert!(!addresses.is_empty(), "{cut}: {ns} has no address");
                    for address in addresses {
                        let server = atlas.server_at(address).unwrap_or_else(|| panic!("{ns}: nobody at {address}"));
                        assert!(walk.serves_any(server, child), "{} does not serve {cut}", server.name);
                    }
                }
            }
        }
        for server in &atlas.servers {
            for origin in &server.zones {
                assert!(zones.get(&Name::from_ascii(origin).unwrap()).is_some(), "{}: no zone {origin}", server.name);
            }
        }
        let mut addresses: Vec<IpAddr> = atlas.servers.iter().flat_map(|s| s.addresses.clone()).collect();
        let count = addresses.len();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), count, "an address has two servers");
    }
}

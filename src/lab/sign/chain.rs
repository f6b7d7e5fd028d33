//! The NSEC or NSEC3 records of a zone, and which of them prove what (RFC 4035 §3.1.3, RFC 5155 §7.2).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use hickory_proto::rr::{Name, RData, Record, RecordType};
use ring::digest;

use super::{lower_wire, opaque};

/// How a zone proves what does not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denial {
    Nsec,
    /// With this many additional iterations; with opt-out, unsigned delegations are left out.
    Nsec3 {
        iterations: u16,
        salt: Vec<u8>,
        opt_out: bool,
    },
}

impl Denial {
    /// The data of NSEC3PARAM (RFC 5155 §4.2).
    pub(super) fn parameters(&self) -> Option<Vec<u8>> {
        match self {
            Denial::Nsec => None,
            Denial::Nsec3 { iterations, salt, .. } => Some(parameters(0, *iterations, salt)),
        }
    }
}

fn parameters(flags: u8, iterations: u16, salt: &[u8]) -> Vec<u8> {
    let [high, low] = iterations.to_be_bytes();
    [&[1, flags, high, low, salt.len() as u8], salt].concat()
}

type Hash = [u8; 20];

/// The chain of a zone.
#[derive(Debug)]
pub(super) struct Chain {
    apex: Name,
    /// Every name that exists, empty non-terminals included, down to the zone cuts.
    names: BTreeSet<Name>,
    links: Links,
}

#[derive(Debug)]
enum Links {
    Nsec(BTreeMap<Name, Record>),
    Nsec3 { iterations: u16, salt: Vec<u8>, records: BTreeMap<Hash, Record> },
}

/// The types at each name.
type Types = BTreeMap<Name, BTreeSet<u16>>;

impl Chain {
    /// `hidden`: a type that no record mentions.
    pub(super) fn new(apex: &Name, records: &[&Record], denial: &Denial, hidden: Option<RecordType>) -> Chain {
        let mut types = types_of(apex, records);
        if let Some(hidden) = hidden {
            types.values_mut().for_each(|types| {
                types.remove(&u16::from(hidden));
            });
        }
        let ttl = records.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        });
        let ttl = ttl.unwrap_or(300);
        let mut names: BTreeSet<Name> = types.keys().cloned().collect();
        names.extend(types.keys().flat_map(|name| ancestors(apex, name)));
        let links = match denial {
            Denial::Nsec => Links::Nsec(nsec(&types, ttl)),
            Denial::Nsec3 { iterations, salt, opt_out } => Links::Nsec3 {
                iterations: *iterations,
                salt: salt.clone(),
                records: nsec3(apex, types, *iterations, salt, *opt_out, ttl),
            },
        };
        Chain { apex: apex.clone(), names, links }
    }

    /// Has the last NSEC record end at another name than the apex.
    pub(super) fn reach(&mut self, end: &[u8]) {
        let Links::Nsec(records) = &mut self.links else { return };
        let apex = lower_wire(&self.apex);
        if let Some(mut last) = records.last_entry()
            && let RData::Unknown { rdata, .. } = &last.get().data
            && let Some(types) = rdata.anything.strip_prefix(&apex[..])
        {
            let data = [end, types].concat();
            let record = last.get();
            let record = opaque(&record.name.clone(), record.ttl, RecordType::NSEC, data);
            last.insert(record);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        let (plain, hashed) = match &self.links {
            Links::Nsec(records) => (Some(records.values()), None),
            Links::Nsec3 { records, .. } => (None, Some(records.values())),
        };
        plain.into_iter().flatten().chain(hashed.into_iter().flatten())
    }

    pub(super) fn has(&self, name: &Name) -> bool {
        self.names.contains(name)
    }

    /// Does a name exist that no record tells of?
    pub(super) fn leaves_out(&self, name: &Name) -> bool {
        self.is_hashed() && self.has(name) && self.at(name).is_none()
    }

    /// The NSEC record at a name.
    pub(super) fn nsec(&self, name: &Name) -> Option<&Record> {
        match &self.links {
            Links::Nsec(records) => records.get(name),
            Links::Nsec3 { .. } => None,
        }
    }

    /// The record at a name.
    fn at(&self, name: &Name) -> Option<&Record> {
        match &self.links {
            Links::Nsec(records) => records.get(name),
            Links::Nsec3 { iterations, salt, records } => records.get(&hash(name, *iterations, salt)),
        }
    }

    /// The record in whose range a name lies.
    fn over(&self, name: &Name) -> Option<&Record> {
        match &self.links {
            Links::Nsec(records) => {
                let before = records.range::<Name, _>((Bound::Unbounded, Bound::Excluded(name))).next_back();
                before.or_else(|| records.iter().next_back()).map(|(_, record)| record)
            }
            Links::Nsec3 { iterations, salt, records } => {
                let hash = hash(name, *iterations, salt);
                let before = records.range((Bound::Unbounded, Bound::Excluded(hash))).next_back();
                before.or_else(|| records.iter().next_back()).map(|(_, record)| record)
            }
        }
    }

    fn is_hashed(&self) -> bool {
        matches!(self.links, Links::Nsec3 { .. })
    }

    /// The deepest ancestor of a name that is `known`.
    fn encloser(&self, name: &Name, known: impl Fn(&Name) -> bool) -> Name {
        let mut at = name.base_name();
        while at != self.apex && !known(&at) {
            at = at.base_name();
        }
        at
    }

    pub(super) fn no_data(&self, name: &Name) -> Vec<&Record> {
        match self.at(name) {
            Some(record) => vec![record],
            None if self.is_hashed() => self.no_ds(name),
            // An empty non-terminal.
            None => self.over(name).into_iter().collect(),
        }
    }

    pub(super) fn no_name(&self, name: &Name) -> Vec<&Record> {
        // With opt-out, an empty non-terminal above nothing but unsigned delegations is left out too.
        let hashed = self.is_hashed();
        let encloser =
            self.encloser(name, |name| if hashed { self.at(name).is_some() } else { self.names.contains(name) });
        let mut records = self.no_closer(name, &encloser);
        if self.is_hashed() {
            records.extend(self.at(&encloser));
        }
        records.extend(encloser.prepend_label("*").ok().and_then(|star| self.over(&star)));
        records
    }

    pub(super) fn no_closer(&self, name: &Name, encloser: &Name) -> Vec<&Record> {
        let next_closer = if self.is_hashed() { name.trim_to(encloser.iter().count() + 1) } else { name.clone() };
        self.over(&next_closer).into_iter().collect()
    }

    pub(super) fn no_data_of_wildcard(&self, name: &Name, encloser: &Name) -> Vec<&Record> {
        let mut records = self.no_closer(name, encloser);
        if self.is_hashed() {
            records.extend(self.at(encloser));
        }
        records.extend(encloser.prepend_label("*").ok().and_then(|star| self.at(&star)));
        records
    }

    /// Of a cut that opt-out leaves out: the closest encloser that is in the chain.
    pub(super) fn no_ds(&self, cut: &Name) -> Vec<&Record> {
        if let Some(record) = self.at(cut) {
            return vec![record];
        }
        let encloser = self.encloser(cut, |name| self.at(name).is_some());
        let mut records = self.no_closer(cut, &encloser);
        records.extend(self.at(&encloser));
        records
    }
}

/// The names between a name and the apex, the apex included.
fn ancestors(apex: &Name, name: &Name) -> Vec<Name> {
    let mut found = Vec::new();
    let mut at = name.clone();
    while at != *apex {
        at = at.base_name();
        found.push(at.clone());
    }
    found
}

/// The types at each name the zone has a say over: nothing below a cut or a DNAME, and of a cut only NS and DS.
fn types_of(apex: &Name, records: &[&Record]) -> Types {
    let of = |rtype| records.iter().filter(move |record| record.record_type() == rtype).map(|record| &record.name);
    let cuts: BTreeSet<&Name> = of(RecordType::NS).filter(|name| *name != apex).collect();
    let dnames: BTreeSet<&Name> = of(RecordType::DNAME).collect();
    let mut types = Types::new();
    for record in records {
        let hidden = ancestors(apex, &record.name).iter().any(|name| cuts.contains(name) || dnames.contains(name));
        let beside = cuts.contains(&record.name)
            && !matches!(record.record_type(), RecordType::NS | RecordType::DS | RecordType::NSEC);
        if !hidden && !beside {
            types.entry(record.name.to_lowercase()).or_default().insert(u16::from(record.record_type()));
        }
    }
    types
}

fn is_delegation(types: &BTreeSet<u16>) -> bool {
    types.contains(&u16::from(RecordType::NS)) && !types.contains(&u16::from(RecordType::SOA))
}

fn nsec(types: &Types, ttl: u32) -> BTreeMap<Name, Record> {
    let next = types.keys().skip(1).chain(types.keys().take(1));
    let link = |((name, types), next): ((&Name, &BTreeSet<u16>), &Name)| {
        let mut types = types.clone();
        types.extend([u16::from(RecordType::NSEC), u16::from(RecordType::RRSIG)]);
        let data = [lower_wire(next), bit_maps(&types)].concat();
        (name.clone(), opaque(name, ttl, RecordType::NSEC, data))
    };
    types.iter().zip(next).map(link).collect()
}

fn nsec3(
    apex: &Name,
    mut types: Types,
    iterations: u16,
    salt: &[u8],
    opt_out: bool,
    ttl: u32,
) -> BTreeMap<Hash, Record> {
    let ds = u16::from(RecordType::DS);
    if opt_out {
        types.retain(|_, types| !is_delegation(types) || types.contains(&ds));
    }
    for name in types.keys().flat_map(|name| ancestors(apex, name)).collect::<Vec<_>>() {
        types.entry(name).or_default();
    }
    let hashed: BTreeMap<Hash, BTreeSet<u16>> =
        types.into_iter().map(|(name, types)| (hash(&name, iterations, salt), types)).collect();
    let next: Vec<Hash> = hashed.keys().skip(1).chain(hashed.keys().take(1)).copied().collect();
    let link = |((hash, mut types), next): ((Hash, BTreeSet<u16>), Hash)| {
        // A delegation without DS has nothing that is signed.
        if !types.is_empty() && (!is_delegation(&types) || types.contains(&ds)) {
            types.insert(u16::from(RecordType::RRSIG));
        }
        let mut data = parameters(u8::from(opt_out), iterations, salt);
        data.push(20);
        data.extend(next);
        data.extend(bit_maps(&types));
        let label = data_encoding::BASE32HEX_NOPAD.encode(&hash).to_lowercase();
        let owner = apex.prepend_label(label).unwrap_or_else(|_| apex.clone());
        (hash, opaque(&owner, ttl, RecordType::NSEC3, data))
    };
    hashed.into_iter().zip(next).map(link).collect()
}

/// RFC 5155 §5.
fn hash(name: &Name, iterations: u16, salt: &[u8]) -> Hash {
    let mut octets = [lower_wire(name).as_slice(), salt].concat();
    let mut hash = Hash::default();
    for _ in 0..=iterations {
        hash.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &octets).as_ref());
        octets = [hash.as_slice(), salt].concat();
    }
    hash
}

/// RFC 4034 §4.1.2.
fn bit_maps(types: &BTreeSet<u16>) -> Vec<u8> {
    let mut windows: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    for rtype in types {
        let [window, bit] = rtype.to_be_bytes();
        let map = windows.entry(window).or_default();
        map.resize(map.len().max(usize::from(bit / 8) + 1), 0);
        map[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
    }
    windows.into_iter().flat_map(|(window, map)| [vec![window, map.len() as u8], map].concat()).collect()
}

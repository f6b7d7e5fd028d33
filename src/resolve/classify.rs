//! What a response means for what was asked (RFC 1034 §5.3.3, RFC 2308), with everything scrubbed
//! that its sender has no say over.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use crate::cache::{DsWord, NameServer, Rank, RrSet, Security};
use crate::clock::Moment;
use crate::wire::{CLASS_IN, Flags, Message, Name, Rcode, Record, Rtype, leading_name, soa_minimum};

/// Links of an alias chain followed within one message.
const MAX_LINKS: usize = 16;
/// Name servers of a zone that are kept; a referral of 1,500 is an attack (CVE-2022-3204).
const MAX_NAME_SERVERS: usize = 32;
/// Addresses kept of one name server.
const MAX_GLUE: usize = 8;
/// Records in an answer; with more of them it is refused whole, as all of a set are needed or none (RFC 2181 §5;
/// CVE-2024-1737: BIND allows 100 in a set by default).
const MAX_RECORDS: usize = 256;
/// A negative answer without an SOA is kept this long: RFC 2308 §5 has no TTL for it, and asking
/// again at once helps nobody.
const NO_SOA_TTL: u32 = 5;

/// A negative answer as it was received.
#[derive(Clone, Debug)]
pub(super) struct NegativeReading {
    pub rcode: Rcode,
    pub soa: Option<RrSet>,
    /// What proves it, once it has been judged.
    pub proof: Vec<RrSet>,
    pub security: Security,
    pub ttl: u32,
}

/// The name servers of a zone, as received.
#[derive(Clone, Debug)]
pub(super) struct ServersReading {
    pub zone: Name,
    pub servers: Vec<NameServer>,
    /// The parent's word on whether the zone is signed.
    pub ds: Option<DsWord>,
    pub ttl: u32,
}

/// What a response means.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    /// The records asked for, behind the aliases that lead to them.
    Answer(Vec<RrSet>),
    /// Aliases that lead to a name not answered here; what is known of that name, where it is.
    Alias {
        sets: Vec<RrSet>,
        target: Name,
        negative: Option<NegativeReading>,
    },
    /// A DNAME makes a name longer than names can be (RFC 6672 §2.2).
    TooLong(Vec<RrSet>),
    Negative(NegativeReading),
    Referral(ServersReading),
    /// It does not serve the zone.
    Lame,
    /// It answers from a cache rather than from the zone: usable where nobody else is.
    Recursive(Box<Reading>),
    /// It could not, or would not.
    Error(Rcode),
    /// More records than are kept.
    Excessive,
}

/// The circumstances of a response.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The zone the server was asked as a server of.
    pub zone: &'a Name,
    pub name: &'a Name,
    pub rtype: Rtype,
    /// A forwarder: it answers for the whole tree.
    pub forwarded: bool,
    pub age: Moment,
}

/// Reads a response.
pub(super) fn classify(message: &Message, asked: Asked<'_>) -> Reading {
    let rcode = message.rcode();
    if !matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN | Rcode::YXDOMAIN) {
        return Reading::Error(rcode);
    }
    if message.answers().len() > MAX_RECORDS {
        return Reading::Excessive;
    }
    let authoritative = message.flags.has(Flags::AA);
    let reading = read_sections(message, asked, rcode);
    let from_cache = !authoritative && message.flags.has(Flags::RA) && !asked.forwarded;
    match reading {
        Reading::Answer(_) | Reading::Alias { .. } | Reading::Negative(_) if from_cache => {
            Reading::Recursive(Box::new(reading))
        }
        other => other,
    }
}

fn read_sections(message: &Message, asked: Asked<'_>, rcode: Rcode) -> Reading {
    let mut sets = Vec::new();
    let mut at = asked.name.clone();
    let mut seen = HashSet::new();
    let rank = if message.flags.has(Flags::AA) || asked.forwarded { Rank::AuthoritativeAnswer } else { Rank::Answer };
    while sets.len() < MAX_LINKS && (asked.forwarded || at.is_at_or_below(asked.zone)) {
        if asked.rtype == Rtype::ANY {
            let found = gather_all(message, &at, rank, asked.age);
            if !found.is_empty() {
                sets.extend(found);
                return Reading::Answer(sets);
            }
        } else if let Some(set) = gather(message, message.answers(), &at, asked.rtype, rank, asked.age) {
            sets.push(set);
            return Reading::Answer(sets);
        }
        match follow(message, &at, asked, rank) {
            Link::None => break,
            Link::TooLong(dname) => {
                sets.push(dname);
                return Reading::TooLong(sets);
            }
            Link::To(links, target) => {
                let made = links.len() > 1;
                sets.extend(links);
                // The CNAME that a DNAME makes is what was asked for (RFC 6672 §3.2).
                if made && asked.rtype == Rtype::CNAME {
                    return Reading::Answer(sets);
                }
                seen.insert(std::mem::replace(&mut at, target));
                if seen.contains(&at) {
                    break;
                }
            }
        }
    }
    if sets.is_empty() {
        return read_empty(message, asked, rcode);
    }
    let negative = (asked.forwarded || at.is_at_or_below(asked.zone))
        .then(|| find_soa(message, asked, &at).map(|soa| negative(rcode, Some(soa))))
        .flatten();
    Reading::Alias { sets, target: at, negative }
}

/// A response without an answer: negative, a referral, or no business of its sender.
fn read_empty(message: &Message, asked: Asked<'_>, rcode: Rcode) -> Reading {
    let soa = find_soa(message, asked, asked.name);
    if rcode == Rcode::NXDOMAIN || soa.is_some() {
        let rcode = if rcode == Rcode::NXDOMAIN { rcode } else { Rcode::NOERROR };
        return Reading::Negative(negative(rcode, soa));
    }
    let authoritative = message.flags.has(Flags::AA);
    let mut upward = false;
    let mut own = false;
    for record in message.authorities().iter().filter(|r| r.rtype == Rtype::NS && r.class == CLASS_IN) {
        if !asked.name.is_at_or_below(&record.owner) {
            // A referral to somewhere else: as useless as one upwards.
            upward |= !authoritative;
            continue;
        }
        if record.owner.is_below(asked.zone) {
            // A parent that knows no DS answers with a referral to the zone asked about: no DS there.
            if asked.rtype == Rtype::DS && record.owner == *asked.name {
                return Reading::Negative(negative(Rcode::NOERROR, None));
            }
            return match read_servers(message, &record.owner, asked) {
                Some(servers) => Reading::Referral(servers),
                None => Reading::Lame,
            };
        }
        own |= record.owner == *asked.zone;
        upward |= record.owner != *asked.zone;
    }
    if asked.forwarded || authoritative && !upward || !own && !upward && !message.flags.has(Flags::RA) {
        return Reading::Negative(negative(Rcode::NOERROR, None));
    }
    Reading::Lame
}

fn negative(rcode: Rcode, soa: Option<RrSet>) -> NegativeReading {
    let minimum = soa.as_ref().and_then(|soa| soa.rdatas().next().and_then(soa_minimum));
    let ttl = match (&soa, minimum) {
        (Some(soa), Some(minimum)) => soa.ttl.min(minimum),
        _ => NO_SOA_TTL,
    };
    NegativeReading { rcode, soa, proof: Vec::new(), security: Security::Unchecked, ttl }
}

/// The SOA of the zone that has, or has not, `name`.
fn find_soa(message: &Message, asked: Asked<'_>, name: &Name) -> Option<RrSet> {
    let owner = message.authorities().iter().find(|record| {
        record.rtype == Rtype::SOA
            && record.class == CLASS_IN
            && name.is_at_or_below(&record.owner)
            && (asked.forwarded || record.owner.is_at_or_below(asked.zone))
    })?;
    gather(message, message.authorities(), &owner.owner, Rtype::SOA, Rank::Authority, asked.age)
}

/// The name servers in the authority section for `zone`, with the glue the sender may give.
fn read_servers(message: &Message, zone: &Name, asked: Asked<'_>) -> Option<ServersReading> {
    let mut servers: Vec<NameServer> = Vec::new();
    let mut ttl = u32::MAX;
    let records = message.authorities().iter().chain(message.answers());
    for record in records.filter(|r| r.rtype == Rtype::NS && r.class == CLASS_IN && r.owner == *zone) {
        let Some(name) = leading_name(message.rdata(record)) else { continue };
        ttl = ttl.min(record.ttl);
        if servers.len() < MAX_NAME_SERVERS && !servers.iter().any(|server| server.name == name) {
            servers.push(NameServer { name, glue: SmallVec::new() });
        }
    }
    if servers.is_empty() {
        return None;
    }
    // In-domain and sibling glue: the sender serves the zone that both are in.
    for record in message.additionals().iter().filter(|record| record.owner.is_at_or_below(asked.zone)) {
        let Some(address) = address_of(message, record) else { continue };
        if let Some(server) = servers.iter_mut().find(|server| server.name == record.owner)
            && server.glue.len() < MAX_GLUE
            && !server.glue.contains(&address)
        {
            server.glue.push(address);
        }
    }
    let ds = zone.is_below(asked.zone).then(|| ds_word(message, zone, asked)).flatten();
    Some(ServersReading { zone: zone.clone(), servers, ds, ttl })
}

/// NSEC and NSEC3 sets kept of one response: a proof needs three (CVE-2023-50868 sends many).
const MAX_PROOFS: usize = 8;

/// The signed NSEC and NSEC3 sets in the authority section, of the zone that was asked or below.
pub(super) fn proofs(message: &Message, asked: Asked<'_>) -> Vec<RrSet> {
    let mut sets: Vec<RrSet> = Vec::new();
    for record in message.authorities() {
        let known = || sets.iter().any(|set| set.rtype == record.rtype && set.owner == record.owner);
        let wanted = matches!(record.rtype, Rtype::NSEC | Rtype::NSEC3);
        let within = asked.forwarded || record.owner.is_at_or_below(asked.zone);
        if !wanted || !within || sets.len() == MAX_PROOFS || known() {
            continue;
        }
        let set = gather(message, message.authorities(), &record.owner, record.rtype, Rank::Authority, asked.age);
        sets.extend(set.filter(|set| set.signatures().next().is_some()));
    }
    sets
}

fn ds_word(message: &Message, zone: &Name, asked: Asked<'_>) -> Option<DsWord> {
    let ds = gather(message, message.authorities(), zone, Rtype::DS, Rank::Authority, asked.age);
    let proof = if ds.is_none() { proofs(message, asked) } else { Vec::new() };
    (ds.is_some() || !proof.is_empty()).then_some(DsWord { ds, proof })
}

/// The zone's own name servers, where an authoritative response carries them.
pub(super) fn own_servers(message: &Message, asked: Asked<'_>) -> Option<ServersReading> {
    if !message.flags.has(Flags::AA) || asked.forwarded {
        return None;
    }
    read_servers(message, asked.zone, asked)
}

fn address_of(message: &Message, record: &Record) -> Option<IpAddr> {
    if record.class != CLASS_IN {
        return None;
    }
    let rdata = message.rdata(record);
    match record.rtype {
        Rtype::A => Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(rdata).ok()?))),
        Rtype::AAAA => Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(rdata).ok()?))),
        _ => None,
    }
}

/// The addresses in an RRset of A or AAAA records.
pub(super) fn addresses(set: &RrSet) -> impl Iterator<Item = IpAddr> + '_ {
    set.rdatas().filter_map(|rdata| match rdata.len() {
        4 => Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(rdata).ok()?))),
        16 => Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(rdata).ok()?))),
        _ => None,
    })
}

fn gather(message: &Message, section: &[Record], owner: &Name, rtype: Rtype, rank: Rank, age: Moment) -> Option<RrSet> {
    let matching = || {
        section
            .iter()
            .filter(move |record| record.rtype == rtype && record.class == CLASS_IN && record.owner == *owner)
            .take(MAX_RECORDS)
    };
    // RFC 2181 §5.2: TTLs within an RRset that differ count as the smallest.
    let ttl = matching().map(|record| record.ttl).min()?;
    // RFC 2181 §10.1: an alias is single.
    let most = if matches!(rtype, Rtype::CNAME | Rtype::DNAME | Rtype::SOA) { 1 } else { MAX_RECORDS };
    let data = matching().take(most).map(|record| message.rdata(record));
    let signatures = section
        .iter()
        .filter(|record| record.rtype == Rtype::RRSIG && record.owner == *owner)
        .map(|record| message.rdata(record))
        .filter(|rdata| rdata.first_chunk() == Some(&rtype.0.to_be_bytes()))
        .take(MAX_RECORDS);
    Some(RrSet::new(owner.clone(), rtype, ttl, rank, age, data).with_signatures(signatures))
}

fn gather_all(message: &Message, owner: &Name, rank: Rank, age: Moment) -> Vec<RrSet> {
    let mut types: Vec<Rtype> = Vec::new();
    for record in message.answers().iter().filter(|record| record.owner == *owner && !record.rtype.is_meta()) {
        if !types.contains(&record.rtype) && types.len() < 64 {
            types.push(record.rtype);
        }
    }
    types
        .into_iter()
        .filter(|&rtype| rtype != Rtype::RRSIG)
        .filter_map(|rtype| gather(message, message.answers(), owner, rtype, rank, age))
        .collect()
}

enum Link {
    None,
    To(Vec<RrSet>, Name),
    TooLong(RrSet),
}

/// The alias at `at`, if there is one: a CNAME, or a DNAME above it with the CNAME it makes.
fn follow(message: &Message, at: &Name, asked: Asked<'_>, rank: Rank) -> Link {
    // A DNAME comes first: the CNAME beside it is only what it makes (RFC 6672 §3.1).
    let above = message.answers().iter().find(|record| {
        record.rtype == Rtype::DNAME
            && record.class == CLASS_IN
            && at.is_below(&record.owner)
            && (asked.forwarded || record.owner.is_at_or_below(asked.zone))
    });
    if let Some(record) = above
        && let Some(dname) = gather(message, message.answers(), &record.owner, Rtype::DNAME, rank, asked.age)
    {
        return follow_dname(dname, at);
    }
    let Some(cname) = gather(message, message.answers(), at, Rtype::CNAME, rank, asked.age) else { return Link::None };
    match cname.first().and_then(leading_name) {
        Some(target) => Link::To(vec![cname], target),
        None => Link::None,
    }
}

fn follow_dname(dname: RrSet, at: &Name) -> Link {
    match synthesise(&dname, at) {
        Some((cname, target)) => Link::To(vec![dname, cname], target),
        None => Link::TooLong(dname),
    }
}

/// The CNAME that a DNAME makes of a name below it (RFC 6672 §3.1); `None` if it would be too long.
pub(super) fn synthesise(dname: &RrSet, at: &Name) -> Option<(RrSet, Name)> {
    let wire = dname.rdatas().next()?;
    let prefix = at.strip(&dname.owner)?;
    let target = leading_name(wire)?.with_prefix(prefix)?;
    let mut data = prefix.to_vec();
    data.extend_from_slice(wire);
    let cname = RrSet::new(at.clone(), Rtype::CNAME, dname.ttl, Rank::Local, dname.stored(), [data.as_slice()]);
    Some((cname, target))
}

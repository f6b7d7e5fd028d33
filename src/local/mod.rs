//! Answers known beforehand: special-use names, empty zones, the operator's own records.
//!
//! Everything lives in one tree of labels, walked from the root down: a name under a busy top-level
//! domain is found not to be local after one step, and a miss allocates nothing.
//!
//! The rules, most specific first:
//! - An operator's record owns its name: that name answers every type from here (NODATA for types that
//!   were not given), whatever the Internet or a special-use zone says. Names beside, above and below
//!   it are untouched. Outside special-use zones, DS and DNSKEY are still asked in the Internet: they
//!   speak of the zone, not of the name, and without them names beside could not be validated.
//! - `*.x` answers for names below `x` that no closer operator's name lies above (RFC 4592 §3.3.1).
//! - A CNAME is returned alone, for any type but its own too; its target is for the caller to follow.
//! - What [`Zones::open`] names is resolved normally, inside special-use zones as well.
//! - Special-use zones answer as their documents say, see `special.rs`.

mod operator;
mod special;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::Arc;

use crate::wire::{Name, Rcode, Rtype};
use special::Nature;
use tree::{Rr, Step, Tree, Zone};

/// What is answered without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Answer special-use names (RFC 6761, 7686, 8375, 9476) and the empty reverse zones
    /// (RFC 6303) here, so that they never leak.
    pub special_use: bool,
    /// The operator's own records, in presentation format: `"printer.home.arpa. 300 IN A 192.168.1.9"`. Shared, as there
    /// may be a million.
    pub records: Arc<Vec<String>>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { special_use: true, records: Arc::default() }
    }
}

/// A response in full, but for the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// NOERROR (with or without records) or NXDOMAIN.
    pub rcode: Rcode,
    /// The answer section. A lone CNAME for another type asked is to be followed by the caller.
    pub answer: Vec<LocalRecord>,
    /// The authority section: the SOA record of a negative response (RFC 2308 §3).
    pub authority: Vec<LocalRecord>,
    /// Whether the AA bit belongs in the response. What is held here is answered with authority.
    pub authoritative: bool,
}

/// A record of class IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalRecord {
    pub owner: Name,
    pub rtype: Rtype,
    /// Seconds.
    pub ttl: u32,
    /// Uncompressed wire form.
    pub rdata: Box<[u8]>,
}

/// How long NODATA beside an operator's record may be cached, in seconds: short, so that a record the
/// operator adds is soon seen.
const OPERATOR_NEGATIVE_TTL: u32 = 300;

/// All that is answered here.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    tree: Tree,
}

impl Zones {
    /// Checks the operator's records and lays out the tree. The error has a line for every bad record,
    /// each with the record's text and what is wrong with it.
    pub fn new(policy: &Policy) -> Result<Zones, String> {
        let mut tree = Tree::default();
        if policy.special_use {
            special::plant(&mut tree)?;
        }
        operator::plant(&mut tree, &policy.records)?;
        Ok(Zones { tree })
    }

    /// Lets `zone` and all below it be resolved normally where a special-use zone at or above it would
    /// answer: for the operator's forward and stub zones. Opening a name above a special-use zone, the
    /// root for one, leaves that special-use zone closed, as the more specific of the two. The
    /// operator's records stay.
    pub fn open(&mut self, zone: &Name) {
        self.tree.node_mut(zone).open();
    }

    /// The answer known beforehand, or `None`: resolve normally.
    pub fn lookup(&self, name: &Name, rtype: Rtype) -> Option<Answer> {
        let found = self.tree.walk(name);
        let zone = found.zone;
        if found.whole && !found.node.rrs.is_empty() {
            return answer_from(&found.node.rrs, name, rtype, zone);
        }
        if !found.whole
            && let Some(wildcard) = found.node.wildcard()
        {
            return answer_from(&wildcard.rrs, name, rtype, zone);
        }
        let step = zone?;
        // A name with names below it exists (RFC 8020 §2), though nothing may be said of it.
        let exists = found.whole && !found.node.children.is_empty();
        match step.zone.nature {
            Nature::Loopback => answer_from(&step.zone.everywhere, name, rtype, zone),
            Nature::Barren => Some(step.negative(name, Rcode::NOERROR)),
            Nature::Empty | Nature::Absent if exists => Some(step.negative(name, Rcode::NOERROR)),
            Nature::Empty | Nature::Absent => Some(step.negative(name, Rcode::NXDOMAIN)),
        }
    }
}

impl Step<'_> {
    fn negative(self, name: &Name, rcode: Rcode) -> Answer {
        let soa = self.zone.soa.at(&name.suffix(self.depth));
        Answer { rcode, answer: Vec::new(), authority: vec![soa], authoritative: true }
    }
}

impl Rr {
    fn at(&self, owner: &Name) -> LocalRecord {
        LocalRecord { owner: owner.clone(), rtype: self.rtype, ttl: self.ttl, rdata: self.rdata.clone() }
    }
}

/// What a name that exists answers, whose records are `rrs`.
fn answer_from(rrs: &[Rr], name: &Name, rtype: Rtype, zone: Option<Step<'_>>) -> Option<Answer> {
    let alias = rrs.iter().any(|rr| rr.rtype == Rtype::CNAME);
    // One RRset says as much to who asks for any, and reflects less (RFC 8482 §4.1).
    let wanted = if rtype == Rtype::ANY { rrs.first().map_or(rtype, |rr| rr.rtype) } else { rtype };
    let answer: Vec<LocalRecord> = rrs.iter().filter(|rr| alias || rr.rtype == wanted).map(|rr| rr.at(name)).collect();
    if !answer.is_empty() {
        return Some(Answer { rcode: Rcode::NOERROR, answer, authority: Vec::new(), authoritative: true });
    }
    match zone {
        // The DS record set lies on the parent's side (RFC 4035 §3.1.4.1), which is public: these zones
        // have an insecure delegation there, so that validators know not to expect signatures
        // (RFC 8375 §4 and §7, RFC 6303 §7). Nothing leaks but the zone's own well-known name.
        Some(step) if rtype == Rtype::DS && step.zone.nature.is_delegated() && step.depth == name.label_count() => None,
        Some(step) => Some(step.negative(name, Rcode::NOERROR)),
        None if rtype == Rtype::DS || rtype == Rtype::DNSKEY => None,
        None => {
            let own = rrs.iter().find(|rr| rr.rtype == Rtype::SOA);
            let soa = own.map_or_else(|| Zone::made_up_soa(name, OPERATOR_NEGATIVE_TTL), Rr::as_negative);
            let authority = vec![soa.at(name)];
            Some(Answer { rcode: Rcode::NOERROR, answer: Vec::new(), authority, authoritative: true })
        }
    }
}

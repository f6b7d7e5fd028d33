//! The tree of labels in which local answers are found.

use std::collections::BTreeMap;

use super::special::Nature;
use crate::wire::{MAX_NAME, Name, Rtype, soa_minimum};

/// A record without its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rr {
    pub rtype: Rtype,
    pub ttl: u32,
    pub rdata: Box<[u8]>,
    /// Written by the operator, and not by a special-use zone.
    pub operators: bool,
}

impl Rr {
    /// This SOA record as it stands in a negative response: its TTL is at most the zone's negative
    /// caching TTL, the last number in it (RFC 2308 §3).
    pub fn as_negative(&self) -> Rr {
        Rr { ttl: self.ttl.min(soa_minimum(&self.rdata).unwrap_or(0)), ..self.clone() }
    }
}

/// A special-use zone.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub nature: Nature,
    /// As it stands in negative responses.
    pub soa: Rr,
    /// The records of every name in a [`Nature::Loopback`] zone.
    pub everywhere: Vec<Rr>,
}

impl Zone {
    /// The SOA record of RFC 6303 §3 for the zone `apex`, with `ttl` for its own and for negative caching.
    pub fn made_up_soa(apex: &Name, ttl: u32) -> Rr {
        let mut rdata = apex.wire().to_vec();
        rdata.extend_from_slice(b"\x06nobody\x07invalid\0");
        // Serial, refresh, retry, expire, negative caching TTL.
        for number in [1, 3600, 1200, 604_800, ttl] {
            rdata.extend_from_slice(&u32::to_be_bytes(number));
        }
        Rr { rtype: Rtype::SOA, ttl, rdata: rdata.into_boxed_slice(), operators: false }
    }
}

/// A name and what is below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// By the label to the left, lower-cased.
    pub children: BTreeMap<Box<[u8]>, Node>,
    pub rrs: Vec<Rr>,
    /// The zone whose apex this is.
    pub zone: Option<Box<Zone>>,
    /// From here down no special-use zone answers.
    pub open: bool,
}

impl Node {
    /// The records of `*` right below.
    pub fn wildcard(&self) -> Option<&Node> {
        self.children.get(&b"*"[..]).filter(|node| !node.rrs.is_empty())
    }

    /// Ends every special-use zone from here down, but for those with an apex below.
    pub fn open(&mut self) {
        self.open = true;
        self.forget_built_in();
    }

    fn forget_built_in(&mut self) {
        self.rrs.retain(|rr| rr.operators);
        for child in self.children.values_mut().filter(|child| child.zone.is_none()) {
            child.forget_built_in();
        }
    }
}

/// The special-use zone a name is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub zone: &'a Zone,
    /// How many labels the apex has.
    pub depth: usize,
}

/// How far a name is in the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    /// The closest encloser: the longest suffix of the name that is in the tree.
    pub node: &'a Node,
    /// It is the name itself.
    pub whole: bool,
    pub zone: Option<Step<'a>>,
}

/// All names with local answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    root: Node,
}

impl Tree {
    /// Walks from the root toward `name`, as far as the tree goes. Allocates nothing.
    pub fn walk(&self, name: &Name) -> Found<'_> {
        let wire = name.wire();
        // Where each label starts, from the left: they are 127 at most.
        let mut starts = [0u8; MAX_NAME / 2];
        let (mut count, mut next) = (0, 0);
        for (start, label) in starts.iter_mut().zip(name.labels()) {
            *start = next;
            // Within 255 octets, as the name is.
            next = next.wrapping_add(label.len() as u8 + 1);
            count += 1;
        }
        let mut found = Found { node: &self.root, whole: true, zone: None };
        for (above, start) in starts.iter().take(count).rev().map(|start| usize::from(*start)).enumerate() {
            let length = wire.get(start).copied().map_or(0, usize::from);
            let label = wire.get(start + 1..=start + length).unwrap_or_default();
            let Some(child) = found.node.children.get(label) else {
                found.whole = false;
                break;
            };
            found.node = child;
            if let Some(zone) = &child.zone {
                found.zone = Some(Step { zone, depth: above + 1 });
            }
            if child.open {
                found.zone = None;
            }
        }
        found
    }

    /// The place of `name`, made if need be.
    pub fn node_mut(&mut self, name: &Name) -> &mut Node {
        let labels: Vec<&[u8]> = name.labels().collect();
        let mut node = &mut self.root;
        for label in labels.into_iter().rev() {
            node = node.children.entry(label.into()).or_default();
        }
        node
    }
}

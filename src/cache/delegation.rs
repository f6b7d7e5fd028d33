//! Zone cuts: who serves a zone, as its parent says and as it says itself.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::RrSet;
use crate::clock::Moment;
use crate::wire::Name;

/// A name server of a zone, with the addresses that came along with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    pub name: Name,
    /// Glue: in-domain and sibling addresses of the referral, used for nothing but asking this zone.
    pub glue: SmallVec<[IpAddr; 2]>,
}

/// What a parent says of a zone's DS set, as it came with the referral: not validated yet.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DsWord {
    pub ds: Option<RrSet>,
    /// What is said to prove that there is none.
    pub proof: Vec<RrSet>,
}

/// The name servers of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    pub zone: Name,
    /// As the parent says.
    pub parent: Arc<[NameServer]>,
    /// As the zone itself says, where it has been heard and differs; asked first.
    pub child: Option<Arc<[NameServer]>>,
    /// The parent's word on whether the zone is signed.
    pub ds: Option<Arc<DsWord>>,
    /// When the parent said so.
    pub stored: Moment,
    /// Until when the parent's word holds; the zone's own word does not prolong it, so that a
    /// zone taken away is gone (the ghost domains of NDSS 2012).
    pub expires: Moment,
    /// Until when the child's word holds.
    pub child_expires: Moment,
}

impl Delegation {
    /// The name servers to ask first.
    pub fn servers(&self, age: Moment) -> &Arc<[NameServer]> {
        match &self.child {
            Some(child) if self.child_expires > age => child,
            _ => &self.parent,
        }
    }

    /// The parent's name servers, where others are asked first.
    pub fn fallback(&self, age: Moment) -> Option<&Arc<[NameServer]>> {
        match &self.child {
            Some(_) if self.child_expires > age => Some(&self.parent),
            _ => None,
        }
    }

    /// Octets it takes.
    pub fn weight(&self) -> usize {
        let of = |servers: &[NameServer]| {
            servers
                .iter()
                .map(|s| {
                    size_of::<NameServer>()
                        + s.name.wire().len().saturating_sub(40)
                        + 17 * s.glue.len().saturating_sub(2)
                })
                .sum::<usize>()
        };
        let ds = self.ds.as_ref().map_or(0, |word| word.ds.iter().chain(&word.proof).map(RrSet::weight).sum());
        ds + size_of::<Delegation>() + of(&self.parent) + self.child.as_deref().map_or(0, of) + 32
    }
}

//! A set of records as it is kept: one owner, one type, the data in one allocation.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::wire::{Name, Rtype};

/// How far data is trusted (RFC 2181 §5.4.1); later ones replace earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rank {
    /// From the authority section of an authoritative answer.
    Authority,
    /// From the answer section of a response without AA.
    Answer,
    /// From the answer section of an authoritative answer.
    AuthoritativeAnswer,
    /// Known beforehand: synthesised or the operator's own.
    Local,
}

/// What validation made of data (RFC 4035 §4.3). Bogus data is not kept but as a failure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Security {
    /// Not validated: for the resolver's own use, and for clients that validate themselves.
    #[default]
    Unchecked,
    /// Proven to be unsigned, or without a trust anchor.
    Insecure,
    /// A chain of signatures leads to it from a trust anchor.
    Secure,
}

/// Records of one owner and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RrSet {
    pub owner: Name,
    pub rtype: Rtype,
    /// Seconds it lives from `stored`.
    pub ttl: u32,
    pub rank: Rank,
    pub security: Security,
    /// What proves that no closer name exists, where a wildcard answered.
    pub proof: Option<Arc<[RrSet]>>,
    stored: Moment,
    data: Packed,
    signatures: Packed,
}

/// A list of octet strings, each behind its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Packed(Box<[u8]>);

impl Packed {
    fn new<'a>(items: impl Iterator<Item = &'a [u8]>) -> Packed {
        let mut bytes = Vec::new();
        for item in items {
            let Ok(length) = u16::try_from(item.len()) else { continue };
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(item);
        }
        Packed(bytes.into_boxed_slice())
    }

    fn iter(&self) -> PackedIter<'_> {
        PackedIter(&self.0)
    }
}

#[derive(Clone)]
struct PackedIter<'a>(&'a [u8]);

impl<'a> Iterator for PackedIter<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (item, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        Some(item)
    }
}

impl RrSet {
    /// A set received at `stored`; data that occurs twice is kept once (RFC 2181 §5).
    pub fn new<'a>(
        owner: Name,
        rtype: Rtype,
        ttl: u32,
        rank: Rank,
        stored: Moment,
        data: impl IntoIterator<Item = &'a [u8]>,
    ) -> RrSet {
        let mut items: Vec<&[u8]> = Vec::new();
        for item in data {
            if items.len() > 64 || !items.contains(&item) {
                items.push(item);
            }
        }
        RrSet {
            owner,
            rtype,
            ttl,
            rank,
            security: Security::Unchecked,
            proof: None,
            stored,
            data: Packed::new(items.into_iter()),
            signatures: Packed::default(),
        }
    }

    /// With the RRSIG data that covers it.
    pub fn with_signatures<'a>(mut self, signatures: impl IntoIterator<Item = &'a [u8]>) -> RrSet {
        self.signatures = Packed::new(signatures.into_iter());
        self
    }

    /// The same records, kept no longer than `ttl` seconds, with what validation made of them.
    pub fn judged(&self, security: Security, ttl: u32) -> RrSet {
        RrSet { security, ttl: self.ttl.min(ttl), ..self.clone() }
    }

    /// The same records at another name, without a proof: a wildcard and what it makes.
    pub fn owned_by(self, owner: Name) -> RrSet {
        RrSet { owner, proof: None, ..self }
    }

    /// The same records, with their proof, living `ttl` seconds from `age`: for the answer of a set whose time is over.
    pub fn revived(&self, age: Moment, ttl: u32) -> RrSet {
        let proof = self.proof.as_deref().map(|sets| sets.iter().map(|set| set.revived(age, ttl)).collect());
        RrSet { stored: age, ttl, proof, ..self.clone() }
    }

    /// When its time is over.
    pub fn end(&self) -> Moment {
        self.stored + Duration::from_secs(u64::from(self.ttl))
    }

    /// The data of each record, names uncompressed.
    pub fn rdatas(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.data.iter()
    }

    /// The data of the first record.
    pub fn first(&self) -> Option<&[u8]> {
        self.data.iter().next()
    }

    /// The data of each RRSIG over it.
    pub fn signatures(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.signatures.iter()
    }

    /// When it was received.
    pub fn stored(&self) -> Moment {
        self.stored
    }

    /// Seconds left; `None` once it has expired.
    pub fn ttl_at(&self, age: Moment) -> Option<u32> {
        let gone = u32::try_from(age.seconds_since(self.stored)).unwrap_or(u32::MAX);
        self.ttl.checked_sub(gone).filter(|&left| left > 0)
    }

    /// Seconds left, zero once it has expired.
    pub fn ttl_left(&self, age: Moment) -> u32 {
        self.ttl_at(age).unwrap_or(0)
    }

    /// Has it come into the last tenth of its life?
    pub fn is_ripe(&self, age: Moment) -> bool {
        self.ttl >= 10 && self.ttl_left(age) < self.ttl / 10
    }

    /// Octets it takes, its own record included.
    pub fn weight(&self) -> usize {
        let name = self.owner.wire().len();
        let proof = self.proof.as_deref().map_or(0, |sets| sets.iter().map(RrSet::weight).sum());
        proof + size_of::<RrSet>() + self.data.0.len() + self.signatures.0.len() + if name > 40 { name } else { 0 }
    }
}

//! A set of records: one owner, one type, the data in one allocation that copies share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Moment;
use crate::wire::{Name, Rtype};

/// What the allocator and the count of copies take beside octets.
const SHARED: usize = 16;

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

/// Records of one owner and type. A copy shares their data.
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
    pub(super) stored: Moment,
    pub(super) records: Records,
}

/// Octets from one place to another.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    pub from: u32,
    pub to: u32,
}

impl Span {
    pub fn of<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        octets.get(self.from as usize..self.to as usize).unwrap_or(&[])
    }
}

/// The data of records and of the signatures over them, in one piece of memory.
#[derive(Clone)]
pub(super) struct Records {
    pub octets: triomphe::Arc<[u8]>,
    pub data: Span,
    pub signatures: Span,
    /// The data is that of one record, and no list.
    pub lone: bool,
}

impl Records {
    fn new<'d, 's>(data: impl Iterator<Item = &'d [u8]>, signatures: impl Iterator<Item = &'s [u8]>) -> Records {
        let mut octets: SmallVec<[u8; 512]> = SmallVec::new();
        list(data, &mut octets);
        let end = octets.len() as u32;
        list(signatures, &mut octets);
        let signatures = Span { from: end, to: octets.len() as u32 };
        Records { octets: triomphe::Arc::from(&octets[..]), data: Span { from: 0, to: end }, signatures, lone: false }
    }

    fn data(&self) -> Items<'_> {
        Items { rest: self.data.of(&self.octets), lone: self.lone }
    }

    fn signatures(&self) -> Items<'_> {
        Items { rest: self.signatures.of(&self.octets), lone: false }
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Records) -> bool {
        self.data().eq(other.data()) && self.signatures().eq(other.signatures())
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.data()).entries(self.signatures()).finish()
    }
}

/// Writes octet strings, each behind its length. None of a message is longer than a length can say.
pub(super) fn list<'a, const N: usize>(items: impl Iterator<Item = &'a [u8]>, octets: &mut SmallVec<[u8; N]>) {
    for item in items {
        let Ok(length) = u16::try_from(item.len()) else { continue };
        octets.extend_from_slice(&length.to_be_bytes());
        octets.extend_from_slice(item);
    }
}

/// A list of octet strings, each behind its length; or one alone.
#[derive(Clone)]
struct Items<'a> {
    rest: &'a [u8],
    lone: bool,
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.lone {
            self.lone = false;
            return Some(std::mem::take(&mut self.rest));
        }
        let (length, rest) = self.rest.split_first_chunk()?;
        let (item, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.rest = rest;
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
            records: Records::new(items.into_iter(), std::iter::empty()),
        }
    }

    /// With the RRSIG data that covers it.
    pub fn with_signatures<'a>(mut self, signatures: impl IntoIterator<Item = &'a [u8]>) -> RrSet {
        let mut signatures = signatures.into_iter().peekable();
        if signatures.peek().is_some() || self.signatures().next().is_some() {
            self.records = Records::new(self.records.data(), signatures);
        }
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
        self.records.data()
    }

    /// The data of the first record.
    pub fn first(&self) -> Option<&[u8]> {
        self.records.data().next()
    }

    /// The data of each RRSIG over it.
    pub fn signatures(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.records.signatures()
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
        let records =
            self.records.data.of(&self.records.octets).len() + self.records.signatures.of(&self.records.octets).len();
        proof + size_of::<RrSet>() + SHARED + records + if name > 40 { name } else { 0 }
    }
}

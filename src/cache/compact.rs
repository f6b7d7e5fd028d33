//! An RRset as the cache keeps it: owner, type and records in one piece of memory.

use smallvec::SmallVec;
use triomphe::Arc;

use super::rrset::{Records, Span, list};
use super::{Rank, RrSet, Security};
use crate::clock::Moment;
use crate::wire::{Name, Rtype};

/// Octets before the owner's: when it was stored (8), its TTL (4), marks (1), its type (2), the length of the owner (1).
const HEAD: usize = 16;
/// Octets that are counted in front of them, and the allocator's before those; it gives out pieces of so many, and none
/// smaller than twice that.
const COUNT: usize = 8;
const ALLOCATOR: usize = 8;
const PIECE: usize = 16;

/// Marks: rank (2 bits), security (2 bits), and what the records look like.
const LONE: u8 = 1 << 4;
const PROVEN: u8 = 1 << 5;

/// An RRset in one piece.
#[derive(Clone)]
pub(super) struct Compact(Arc<[u8]>);

impl Compact {
    pub fn new(set: &RrSet) -> Compact {
        let mut octets: SmallVec<[u8; 512]> = SmallVec::new();
        write_head(set, &mut octets);
        match marks(set) & LONE {
            0 => write_records(set, &mut octets),
            _ => octets.extend_from_slice(set.first().unwrap_or(&[])),
        }
        for set in set.proof.as_deref().unwrap_or(&[]) {
            write_head(set, &mut octets);
            write_records(set, &mut octets);
        }
        Compact(Arc::from(&octets[..]))
    }

    /// Is it of the owner and type that were looked for, and not of others whose key is the same?
    pub fn is_of(&self, owner: &[u8], rtype: Rtype) -> bool {
        let mut reader = self.reader();
        reader.head().is_some_and(|head| head.rtype == rtype && head.owner == owner)
    }

    fn reader(&self) -> Reader<'_> {
        Reader { octets: &self.0, at: 0 }
    }

    #[inline]
    fn head(&self) -> Head<'_> {
        self.reader().head().unwrap_or(Head::NOTHING)
    }

    pub fn rank(&self) -> Rank {
        self.head().rank
    }

    pub fn security(&self) -> Security {
        self.head().security
    }

    pub fn stored(&self) -> Moment {
        self.head().stored
    }

    /// Is it fresh, and has validation made at least `security` of it?
    pub fn serves(&self, security: Security, age: Moment) -> bool {
        let head = self.head();
        head.security >= security && age.seconds_since(head.stored) < u64::from(head.ttl)
    }

    /// Has its time not come yet?
    pub fn is_fresh(&self, age: Moment) -> bool {
        self.serves(Security::Unchecked, age)
    }

    /// Octets it takes of the allocator.
    pub fn octets(&self) -> usize {
        (self.0.len() + COUNT + ALLOCATOR).next_multiple_of(PIECE).max(2 * PIECE)
    }

    /// The set; none only if this is no whole one.
    pub fn set(&self) -> Option<RrSet> {
        self.set_of(Name::from_wire(self.head().owner)?)
    }

    /// The set, whose owner is known.
    pub fn set_of(&self, owner: Name) -> Option<RrSet> {
        let mut reader = self.reader();
        let head = reader.head()?;
        let lone = head.marks & LONE != 0;
        let (data, signatures) = match lone {
            false => reader.records()?,
            true => (Span { from: reader.at as u32, to: self.0.len() as u32 }, Span::default()),
        };
        let proven = head.marks & PROVEN != 0;
        let proof = proven.then(|| std::iter::from_fn(|| self.proof(&mut reader)).collect());
        Some(head.set(owner, proof, Records { octets: Arc::clone(&self.0), data, signatures, lone }))
    }

    /// The next set of the proof.
    fn proof(&self, reader: &mut Reader<'_>) -> Option<RrSet> {
        let head = reader.head()?;
        let owner = Name::from_wire(head.owner)?;
        let (data, signatures) = reader.records()?;
        Some(head.set(owner, None, Records { octets: Arc::clone(&self.0), data, signatures, lone: false }))
    }
}

/// One record without a signature, without a proof: an address, an alias.
fn marks(set: &RrSet) -> u8 {
    let mut rdatas = set.rdatas();
    let one = rdatas.next().is_some() && rdatas.next().is_none();
    let lone = one && set.signatures().next().is_none() && set.proof.is_none();
    set.rank as u8
        | (set.security as u8) << 2
        | if lone { LONE } else { 0 }
        | if set.proof.is_some() { PROVEN } else { 0 }
}

fn write_head(set: &RrSet, octets: &mut SmallVec<[u8; 512]>) {
    octets.extend_from_slice(&set.stored.as_nanos().to_le_bytes());
    octets.extend_from_slice(&set.ttl.to_le_bytes());
    octets.push(marks(set));
    octets.extend_from_slice(&set.rtype.0.to_le_bytes());
    // No name is longer than 255 octets.
    octets.push(set.owner.wire().len() as u8);
    octets.extend_from_slice(set.owner.wire());
}

fn write_records(set: &RrSet, octets: &mut SmallVec<[u8; 512]>) {
    write_list(set.rdatas(), octets);
    write_list(set.signatures(), octets);
}

/// A list behind its length.
fn write_list<'a>(items: impl Iterator<Item = &'a [u8]>, octets: &mut SmallVec<[u8; 512]>) {
    let at = octets.len();
    octets.extend_from_slice(&[0; 4]);
    list(items, octets);
    let length = (octets.len() - at - 4) as u32;
    if let Some(before) = octets.get_mut(at..at + 4) {
        before.copy_from_slice(&length.to_le_bytes());
    }
}

struct Head<'a> {
    owner: &'a [u8],
    rtype: Rtype,
    stored: Moment,
    ttl: u32,
    marks: u8,
    rank: Rank,
    security: Security,
}

impl Head<'_> {
    /// What is never fresh.
    const NOTHING: Head<'static> = Head {
        owner: &[],
        rtype: Rtype(0),
        stored: Moment::ZERO,
        ttl: 0,
        marks: 0,
        rank: Rank::Authority,
        security: Security::Unchecked,
    };

    fn set(self, owner: Name, proof: Option<std::sync::Arc<[RrSet]>>, records: Records) -> RrSet {
        let Head { rtype, stored, ttl, rank, security, .. } = self;
        RrSet { owner, rtype, ttl, rank, security, proof, stored, records }
    }
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.octets.get(self.at..self.at + length)?;
        self.at += length;
        Some(taken)
    }

    #[inline]
    fn head(&mut self) -> Option<Head<'a>> {
        let head: &[u8; HEAD] = self.take(HEAD)?.first_chunk()?;
        let &[a, b, c, d, e, f, g, h, i, j, k, l, marks, m, n, length] = head;
        let owner = self.take(usize::from(length))?;
        let rank = match marks & 3 {
            0 => Rank::Authority,
            1 => Rank::Answer,
            2 => Rank::AuthoritativeAnswer,
            _ => Rank::Local,
        };
        let security = match marks >> 2 & 3 {
            0 => Security::Unchecked,
            1 => Security::Insecure,
            _ => Security::Secure,
        };
        let stored = Moment::from_nanos(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        let ttl = u32::from_le_bytes([i, j, k, l]);
        Some(Head { owner, rtype: Rtype(u16::from_le_bytes([m, n])), stored, ttl, marks, rank, security })
    }

    fn records(&mut self) -> Option<(Span, Span)> {
        Some((self.list()?, self.list()?))
    }

    fn list(&mut self) -> Option<Span> {
        let length = u32::from_le_bytes(*self.take(4)?.first_chunk()?);
        let from = self.at as u32;
        self.take(length as usize)?;
        Some(Span { from, to: from + length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    fn back(set: &RrSet) -> RrSet {
        Compact::new(set).set().expect("whole")
    }

    #[test]
    fn what_is_kept_is_what_was_given() {
        let stored = Moment::from_nanos(1_234_567_890_123);
        let long = vec![7u8; 700];
        let all: [&[&[u8]]; 5] =
            [&[], &[&[192, 0, 2, 1]], &[&[]], &[&[1, 2, 3, 4], &[5, 6, 7, 8], &[]], &[&long, &[1]]];
        for data in all {
            for signatures in all {
                for rank in [Rank::Authority, Rank::Answer, Rank::AuthoritativeAnswer, Rank::Local] {
                    for security in [Security::Unchecked, Security::Insecure, Security::Secure] {
                        let set = RrSet::new(name("a.example"), Rtype::A, 300, rank, stored, data.iter().copied());
                        let set = set.with_signatures(signatures.iter().copied());
                        let mut set = set.judged(security, 200);
                        assert_eq!(back(&set), set);
                        set.proof = Some([set.clone(), set.clone().owned_by(name("b.example"))].into());
                        assert_eq!(back(&set), set);
                        // And once more from what shares the memory of the first.
                        assert_eq!(back(&back(&set)), set);
                    }
                }
            }
        }
    }

    #[test]
    fn a_key_shared_by_chance_is_noticed() {
        let set = RrSet::new(name("a.example"), Rtype::A, 300, Rank::Answer, Moment::ZERO, [[1u8].as_slice()]);
        let kept = Compact::new(&set);
        assert!(kept.is_of(name("a.example").wire(), Rtype::A));
        assert!(!kept.is_of(name("b.example").wire(), Rtype::A));
        assert!(!kept.is_of(name("a.example").wire(), Rtype::AAAA));
    }

    #[test]
    fn an_address_takes_the_smallest_piece_that_holds_it() {
        let set = RrSet::new(name("a.example"), Rtype::A, 300, Rank::Answer, Moment::ZERO, [[192, 0, 2, 1].as_slice()]);
        assert_eq!(Compact::new(&set).octets(), 48);
    }
}

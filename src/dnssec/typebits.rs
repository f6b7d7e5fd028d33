//! The type bit maps of NSEC and NSEC3 (RFC 4034 §4.1.2).

use crate::wire::Rtype;

/// The types that exist at a name, in wire form, known to be well-formed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeBits<'a>(&'a [u8]);

impl<'a> TypeBits<'a> {
    /// `None` unless the windows ascend and each has 1 to 32 octets. No window at all is well-formed.
    pub fn parse(octets: &'a [u8]) -> Option<TypeBits<'a>> {
        let mut rest = octets;
        let mut before: Option<u8> = None;
        while let [window, length, tail @ ..] = rest {
            if before.is_some_and(|before| before >= *window) || !(1..=32).contains(length) {
                return None;
            }
            before = Some(*window);
            rest = tail.get(usize::from(*length)..)?;
        }
        rest.is_empty().then_some(TypeBits(octets))
    }

    /// Are there no sets at all, as at an empty non-terminal?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is there such a set?
    pub fn has(&self, rtype: Rtype) -> bool {
        let [window, bit] = rtype.0.to_be_bytes();
        let mut rest = self.0;
        while let [number, length, tail @ ..] = rest {
            let Some((map, after)) = tail.split_at_checked(usize::from(*length)) else { return false };
            if *number == window {
                return map.get(usize::from(bit / 8)).is_some_and(|octet| octet & (0x80 >> (bit % 8)) != 0);
            }
            rest = after;
        }
        false
    }

    /// Is it the parent's side of a zone cut: NS without SOA (RFC 6840 §4.1)?
    pub fn is_delegation(&self) -> bool {
        self.has(Rtype::NS) && !self.has(Rtype::SOA)
    }
}

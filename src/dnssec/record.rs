//! DNSKEY, DS and RRSIG data, read in place (RFC 4034).

use crate::wire::{Name, Rtype, wire_name_len};

/// The data of a DNSKEY record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dnskey<'a> {
    pub flags: u16,
    pub protocol: u8,
    pub algorithm: u8,
    pub key: &'a [u8],
    /// All of it.
    pub rdata: &'a [u8],
}

impl<'a> Dnskey<'a> {
    /// It signs a zone (RFC 4034 §2.1.1).
    pub const ZONE: u16 = 0x0100;
    /// It is withdrawn (RFC 5011 §2.1).
    pub const REVOKE: u16 = 0x0080;
    /// A parent may point at it.
    pub const SEP: u16 = 0x0001;
    /// The longest that is looked at: an RSA key with 4096 bits in both its numbers (RFC 3110 §2).
    pub const MAX: usize = 4 + 3 + 512 + 512;

    pub fn parse(rdata: &'a [u8]) -> Option<Dnskey<'a>> {
        let [high, low, protocol, algorithm, key @ ..] = rdata else { return None };
        let known =
            Dnskey { flags: u16::from_be_bytes([*high, *low]), protocol: *protocol, algorithm: *algorithm, key, rdata };
        (rdata.len() <= Self::MAX).then_some(known)
    }

    /// Does it sign zones, by its flag and protocol field?
    pub fn is_zone_key(&self) -> bool {
        self.flags & Self::ZONE != 0 && self.protocol == 3
    }

    pub fn is_revoked(&self) -> bool {
        self.flags & Self::REVOKE != 0
    }

    pub fn is_entry_point(&self) -> bool {
        self.flags & Self::SEP != 0
    }

    pub fn tag(&self) -> u16 {
        key_tag(self.rdata)
    }
}

/// The key tag of DNSKEY data (RFC 4034 appendix B).
pub fn key_tag(rdata: &[u8]) -> u16 {
    if let [_, _, _, 1, .., high, low, _] = rdata {
        return u16::from_be_bytes([*high, *low]);
    }
    let sum = rdata.chunks(2).fold(0u32, |sum, pair| {
        let high = pair.first().copied().unwrap_or(0);
        let low = pair.get(1).copied().unwrap_or(0);
        sum.wrapping_add(u32::from(u16::from_be_bytes([high, low])))
    });
    ((sum + (sum >> 16)) & 0xffff) as u16
}

/// The data of a DS record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ds<'a> {
    pub tag: u16,
    pub algorithm: u8,
    pub digest_type: u8,
    pub digest: &'a [u8],
}

impl<'a> Ds<'a> {
    pub fn parse(rdata: &'a [u8]) -> Option<Ds<'a>> {
        let [high, low, algorithm, digest_type, digest @ ..] = rdata else { return None };
        let tag = u16::from_be_bytes([*high, *low]);
        Some(Ds { tag, algorithm: *algorithm, digest_type: *digest_type, digest })
    }
}

/// The data of an RRSIG record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rrsig<'a> {
    pub covered: Rtype,
    pub algorithm: u8,
    pub labels: u8,
    pub original_ttl: u32,
    /// In seconds since 1970, modulo 2^32.
    pub expiration: u32,
    /// As `expiration`.
    pub inception: u32,
    pub tag: u16,
    pub signer: Name,
    pub signature: &'a [u8],
    /// The octets before the signer's name, as they are signed.
    pub fixed: &'a [u8],
}

impl<'a> Rrsig<'a> {
    pub fn parse(rdata: &'a [u8]) -> Option<Rrsig<'a>> {
        let (fixed, rest) = rdata.split_first_chunk::<18>()?;
        let (signer, signature) = rest.split_at_checked(wire_name_len(rest)?)?;
        let word = |at: usize| -> u32 {
            fixed.get(at..at + 4).and_then(|four| four.first_chunk()).map_or(0, |four| u32::from_be_bytes(*four))
        };
        Some(Rrsig {
            covered: Rtype(u16::from_be_bytes([fixed[0], fixed[1]])),
            algorithm: fixed[2],
            labels: fixed[3],
            original_ttl: word(4),
            expiration: word(8),
            inception: word(12),
            tag: u16::from_be_bytes([fixed[16], fixed[17]]),
            signer: Name::from_wire(signer)?,
            signature,
            fixed,
        })
    }
}

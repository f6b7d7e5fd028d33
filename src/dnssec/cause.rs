//! Why something is bogus, or not validated at all: exact, in words and as an extended DNS error (RFC 8914).

use std::fmt;
use std::sync::Arc;

use super::budget::{Account, Overrun};
use crate::wire::{Name, Rtype};

/// Why validation ended as it did. Small and cheap to copy, so that it can be kept with what it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cause {
    about: Arc<About>,
    pub why: Why,
}

#[derive(PartialEq, Eq, Debug)]
struct About {
    zone: Name,
    name: Name,
    rtype: Rtype,
}

/// What was wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// Signatures or DS records of this algorithm do not count.
    UnsupportedAlgorithm(u8),
    /// DS records of this digest type do not count.
    UnsupportedDigest(u8),
    /// An RSA key below `min_rsa_bits`, or beyond what RFC 3110 allows.
    KeySize { tag: u16, bits: usize },
    /// The signature ended this many seconds ago.
    Expired { tag: u16, by: u32 },
    /// The signature begins this many seconds from now.
    NotYetValid { tag: u16, by: u32 },
    /// The signature ends this many seconds before it begins.
    ExpiresBeforeInception { tag: u16, by: u32 },
    /// The signature names a key that the zone has not.
    NoKey { tag: u16, algorithm: u8 },
    /// No key of the zone is one that its parent or an anchor vouches for.
    NoTrustedKey { tag: u16, algorithm: u8 },
    /// There is no signature.
    NoSignature,
    /// The key's flags or protocol say that it signs no zone.
    NoZoneKey { tag: u16 },
    /// The key is revoked (RFC 5011).
    Revoked { tag: u16 },
    /// The signature does not fit the data.
    BadSignature { tag: u16, algorithm: u8 },
    /// The signature was made for another zone.
    WrongSigner { signer: Box<Name> },
    /// The signature's labels field does not fit the name.
    WrongLabels { tag: u16 },
    /// A signature, key or DS record that is none.
    Malformed,
    /// Nothing proves that it does not exist.
    NoProof,
    /// A proof whose hashes take more iterations than are computed.
    Iterations { iterations: u16, limit: u16 },
    /// The question has spent its budget.
    Overrun(Account),
}

/// INFO-CODEs of RFC 8914 §4.
mod code {
    pub const UNSUPPORTED_DNSKEY_ALGORITHM: u16 = 1;
    pub const UNSUPPORTED_DS_DIGEST_TYPE: u16 = 2;
    pub const DNSSEC_INDETERMINATE: u16 = 5;
    pub const DNSSEC_BOGUS: u16 = 6;
    pub const SIGNATURE_EXPIRED: u16 = 7;
    pub const SIGNATURE_NOT_YET_VALID: u16 = 8;
    pub const DNSKEY_MISSING: u16 = 9;
    pub const RRSIGS_MISSING: u16 = 10;
    pub const NO_ZONE_KEY_BIT_SET: u16 = 11;
    pub const NSEC_MISSING: u16 = 12;
    pub const SIGNATURE_EXPIRED_BEFORE_VALID: u16 = 25;
    pub const UNSUPPORTED_NSEC3_ITERATIONS: u16 = 27;
}

impl Cause {
    /// What was wrong with `name` and `rtype`, which `zone` was to prove.
    pub fn new(zone: &Name, name: &Name, rtype: Rtype, why: Why) -> Cause {
        Cause { about: Arc::new(About { zone: zone.clone(), name: name.clone(), rtype }), why }
    }

    /// The zone whose keys were to prove it.
    pub fn zone(&self) -> &Name {
        &self.about.zone
    }

    /// The owner of the RRset, or the name of the question, that it is about.
    pub fn name(&self) -> &Name {
        &self.about.name
    }

    /// The type of that.
    pub fn rtype(&self) -> Rtype {
        self.about.rtype
    }

    /// The INFO-CODE of the extended DNS error (RFC 8914 §4).
    pub fn ede(&self) -> u16 {
        match self.why {
            Why::UnsupportedAlgorithm(_) | Why::KeySize { .. } => code::UNSUPPORTED_DNSKEY_ALGORITHM,
            Why::UnsupportedDigest(_) => code::UNSUPPORTED_DS_DIGEST_TYPE,
            Why::Overrun(_) => code::DNSSEC_INDETERMINATE,
            Why::Expired { .. } => code::SIGNATURE_EXPIRED,
            Why::NotYetValid { .. } => code::SIGNATURE_NOT_YET_VALID,
            Why::ExpiresBeforeInception { .. } => code::SIGNATURE_EXPIRED_BEFORE_VALID,
            Why::NoKey { .. } | Why::NoTrustedKey { .. } => code::DNSKEY_MISSING,
            Why::NoSignature => code::RRSIGS_MISSING,
            Why::NoZoneKey { .. } => code::NO_ZONE_KEY_BIT_SET,
            Why::NoProof => code::NSEC_MISSING,
            Why::Iterations { .. } => code::UNSUPPORTED_NSEC3_ITERATIONS,
            Why::Revoked { .. }
            | Why::BadSignature { .. }
            | Why::WrongSigner { .. }
            | Why::WrongLabels { .. }
            | Why::Malformed => code::DNSSEC_BOGUS,
        }
    }

    /// The account that was overdrawn, if that is what happened.
    pub fn overrun(&self) -> Option<Account> {
        match self.why {
            Why::Overrun(account) => Some(account),
            _ => None,
        }
    }

    /// By how many seconds the clock or the signature is off, if time is what is wrong: positive if the signature is
    /// too old, negative if it is not yet valid.
    pub fn seconds_off(&self) -> Option<i64> {
        match self.why {
            Why::Expired { by, .. } => Some(i64::from(by)),
            Why::NotYetValid { by, .. } => Some(-i64::from(by)),
            _ => None,
        }
    }
}

impl From<Overrun> for Why {
    fn from(overrun: Overrun) -> Why {
        Why::Overrun(overrun.0)
    }
}

impl Why {
    /// How far the check came before it failed: of several signatures the one that came farthest is told of.
    pub(super) fn depth(&self) -> u8 {
        match self {
            Why::Overrun(_) => 9,
            Why::BadSignature { .. } => 8,
            Why::Expired { .. } | Why::NotYetValid { .. } => 7,
            Why::ExpiresBeforeInception { .. } => 6,
            Why::KeySize { .. } | Why::Revoked { .. } | Why::NoZoneKey { .. } => 5,
            Why::NoKey { .. } | Why::NoTrustedKey { .. } => 4,
            Why::UnsupportedAlgorithm(_) | Why::UnsupportedDigest(_) => 3,
            Why::WrongLabels { .. } => 2,
            Why::WrongSigner { .. } => 1,
            Why::Malformed | Why::NoSignature | Why::NoProof | Why::Iterations { .. } => 0,
        }
    }
}

/// Seconds in the largest unit that leaves a number above one.
struct Span(u32);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..=119 => write!(f, "{} s", self.0),
            120..=7_199 => write!(f, "{} min", self.0 / 60),
            7_200..=172_799 => write!(f, "{} h", self.0 / 3_600),
            _ => write!(f, "{} days", self.0 / 86_400),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zone {}, {} {}: {}", self.zone(), self.name(), self.rtype(), self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::UnsupportedAlgorithm(number) => write!(f, "algorithm {number} does not count"),
            Why::UnsupportedDigest(number) => write!(f, "DS digest type {number} does not count"),
            Why::KeySize { tag, bits } => write!(f, "key {tag} has an unsupported size, {bits} bits"),
            Why::Expired { tag, by } => write!(f, "signature by key {tag} expired {} ago", Span(*by)),
            Why::NotYetValid { tag, by } => write!(f, "signature by key {tag} is valid only in {}", Span(*by)),
            Why::ExpiresBeforeInception { tag, by } => {
                write!(f, "signature by key {tag} ends {} before it begins", Span(*by))
            }
            Why::NoKey { tag, algorithm } => write!(f, "the zone has no key {tag} of algorithm {algorithm}"),
            Why::NoTrustedKey { tag, algorithm } => {
                write!(f, "no DNSKEY matches what is trusted: key {tag} of algorithm {algorithm}")
            }
            Why::NoSignature => f.write_str("not signed"),
            Why::NoZoneKey { tag } => write!(f, "key {tag} is not a zone key"),
            Why::Revoked { tag } => write!(f, "key {tag} is revoked"),
            Why::BadSignature { tag, algorithm } => {
                write!(f, "signature by key {tag} of algorithm {algorithm} does not fit")
            }
            Why::WrongSigner { signer } => write!(f, "signed by {signer}"),
            Why::WrongLabels { tag } => write!(f, "signature by key {tag} is for a name of other length"),
            Why::Malformed => f.write_str("malformed DNSSEC record"),
            Why::NoProof => f.write_str("no proof that it does not exist"),
            Why::Iterations { iterations, limit } => {
                write!(f, "NSEC3 with {iterations} iterations, at most {limit} count")
            }
            Why::Overrun(account) => write!(f, "too many {account} for one question"),
        }
    }
}

//! DNSSEC validation (RFC 4033 to 4035, 5155, 6840): signatures, keys, denial of existence, trust anchors. Pure rules
//! over borrowed records; building the chain of trust is resolution's work.
//!
//! From the root down: [`Anchors::closest`] says where trust begins; [`support`] whether a DS set can be followed at
//! all; [`establish`] turns a DNSKEY set and what is trusted of it into [`Keys`]; [`verify`] checks one RRset against
//! them; a [`Denial`] collects the verified NSEC and NSEC3 records of a response and says what they prove. All of it is
//! paid from one [`Budget`] a client question.

mod anchors;
mod budget;
mod canonical;
mod cause;
mod crypto;
mod denial;
mod keys;
mod record;
mod rollover;
mod sentinel;
mod typebits;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

pub use anchors::{Anchor, AnchorError, Anchors, NegativeAnchor, Start};
pub use budget::{Account, Budget, Limits, Overrun, Spent, Turn};
pub use canonical::{canonical_order, order_key};
pub use cause::{Cause, Why};
pub use denial::{Denial, Denied, DsAbsence, Nsec, Nsec3, Place};
pub use keys::{Entry, Keys, Support, Trust, Trusted, entry, establish, support};
pub use record::{Dnskey, Ds, Rrsig, key_tag};
pub use rollover::{KeyState, Observation, Rollover, Tracked, Transition};
pub use sentinel::Sentinel;
pub use typebits::TypeBits;
pub use verify::{Check, Signed, Verified, holds, verify};

/// What to make of SHA-1, in signatures (algorithms 5 and 7) and in DS digests (digest type 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sha1 {
    /// Check them like any other.
    Validate,
    /// As if unknown: what nothing else secures is insecure. RFC 9905 §2 asks it of operators; forging by chosen
    /// prefix costs less than a machine's month.
    #[default]
    Insecure,
}

/// Which signatures and proofs count, and how much work a question may cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// RSA keys with a shorter modulus are not used, in bits: 512 to 4096. 1024 is what zones still use for
    /// zone-signing keys; 512 bits are factored for the price of a meal.
    pub min_rsa_bits: u16,
    pub sha1: Sha1,
    /// NSEC3 records with more additional iterations prove nothing and leave the answer insecure (RFC 9276 §3.2).
    /// 50 as in BIND, Knot Resolver and PowerDNS (Unbound: 150); signed top-level domains use 0 to 10.
    pub max_nsec3_iterations: u16,
    pub limits: Limits,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { min_rsa_bits: 1024, sha1: Sha1::default(), max_nsec3_iterations: 50, limits: Limits::default() }
    }
}

//! The cryptography: signatures, digests, NSEC3 hashes. Nothing else names a cryptographic crate.

use num_bigint::BigUint;
use ring::{digest, signature};

use super::{Policy, Sha1};

/// Algorithm numbers (the IANA registry "DNS Security Algorithm Numbers").
pub mod algorithm {
    pub const RSASHA1: u8 = 5;
    pub const RSASHA1_NSEC3_SHA1: u8 = 7;
    pub const RSASHA256: u8 = 8;
    pub const RSASHA512: u8 = 10;
    pub const ECDSAP256SHA256: u8 = 13;
    pub const ECDSAP384SHA384: u8 = 14;
    pub const ED25519: u8 = 15;
}

/// DS digest types (RFC 4034, 4509, 6605).
pub mod digest_type {
    pub const SHA1: u8 = 1;
    pub const SHA256: u8 = 2;
    pub const SHA384: u8 = 4;
}

/// The longest modulus of an RSA key, in bits (RFC 3110 §2).
const MAX_RSA_BITS: usize = 4096;
/// The longest exponent, in octets. Real ones are 3 and 65537; the cost of a check grows with it, up to 4096 bits in
/// RFC 3110. BIND stops at 35 bits.
const MAX_EXPONENT: usize = 8;
/// What ring takes: 33 bits, and a modulus of at least 1024.
const RING_EXPONENT_BITS: u32 = 33;
const RING_MODULUS_OCTETS: usize = 128;

/// Do signatures of this algorithm count?
pub fn algorithm_counts(number: u8, policy: &Policy) -> bool {
    use algorithm::{ECDSAP256SHA256, ECDSAP384SHA384, ED25519, RSASHA1, RSASHA1_NSEC3_SHA1, RSASHA256, RSASHA512};
    match number {
        RSASHA1 | RSASHA1_NSEC3_SHA1 => policy.sha1 == Sha1::Validate,
        RSASHA256 | RSASHA512 | ECDSAP256SHA256 | ECDSAP384SHA384 | ED25519 => true,
        // RSA/MD5 must not be validated (RFC 6725, 9905); DSA and GOST (RFC 9906) are not implemented, nor is Ed448:
        // the one well-kept crate, ed448-goldilocks, has signatures in pre-releases only (0.14.0-pre.15).
        _ => false,
    }
}

/// Does the size of its keys vary?
pub fn is_rsa(number: u8) -> bool {
    use algorithm::{RSASHA1, RSASHA1_NSEC3_SHA1, RSASHA256, RSASHA512};
    matches!(number, RSASHA1 | RSASHA1_NSEC3_SHA1 | RSASHA256 | RSASHA512)
}

/// Do DS records with this digest count?
pub fn digest_counts(kind: u8, policy: &Policy) -> bool {
    match kind {
        digest_type::SHA1 => policy.sha1 == Sha1::Validate,
        digest_type::SHA256 | digest_type::SHA384 => true,
        _ => false,
    }
}

/// A public key, taken apart for checking.
#[derive(Clone, Debug)]
pub struct PublicKey(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Rsa { hash: RsaHash, modulus: Box<[u8]>, exponent: Box<[u8]> },
    P256([u8; 65]),
    P384([u8; 97]),
    Ed25519([u8; 32]),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RsaHash {
    Sha1,
    Sha256,
    Sha512,
}

impl PublicKey {
    /// From the public key field of a DNSKEY. `None` if it is none of its algorithm.
    pub fn parse(number: u8, field: &[u8]) -> Option<PublicKey> {
        let kind = match number {
            algorithm::RSASHA1 | algorithm::RSASHA1_NSEC3_SHA1 => rsa(field, RsaHash::Sha1)?,
            algorithm::RSASHA256 => rsa(field, RsaHash::Sha256)?,
            algorithm::RSASHA512 => rsa(field, RsaHash::Sha512)?,
            algorithm::ECDSAP256SHA256 => Kind::P256(point(field)?),
            algorithm::ECDSAP384SHA384 => Kind::P384(point(field)?),
            algorithm::ED25519 => Kind::Ed25519(field.try_into().ok()?),
            _ => return None,
        };
        Some(PublicKey(kind))
    }

    /// The length of an RSA modulus in bits; `None` of other keys.
    pub fn rsa_bits(&self) -> Option<usize> {
        match &self.0 {
            Kind::Rsa { modulus, .. } => Some(bits(modulus)),
            _ => None,
        }
    }

    /// Units of work that a check over a message of this many octets counts, one for 0.1 ms or less.
    pub fn cost(&self, message: usize) -> u32 {
        let key = match &self.0 {
            Kind::Rsa { modulus, .. } if !self.fits_ring() => 1 + u32::try_from(modulus.len() / 64).unwrap_or(8),
            Kind::Rsa { modulus, .. } if modulus.len() > 256 => 2,
            // Measured: 14 times P-256.
            Kind::P384(_) => 14,
            Kind::Rsa { .. } | Kind::P256(_) | Kind::Ed25519(_) => 1,
        };
        // Hashing 16 KiB takes 13 to 40 µs.
        key + u32::try_from(message / 16_384).unwrap_or(u32::MAX - key)
    }

    /// Is `signature` one of `message` by this key?
    pub fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        let (scheme, key): (&dyn signature::VerificationAlgorithm, &[u8]) = match &self.0 {
            Kind::Rsa { hash, modulus, exponent } if self.fits_ring() => {
                let scheme = match hash {
                    RsaHash::Sha1 => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
                    RsaHash::Sha256 => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
                    RsaHash::Sha512 => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
                };
                let key = signature::RsaPublicKeyComponents { n: modulus, e: exponent };
                return key.verify(scheme, message, signature).is_ok();
            }
            Kind::Rsa { hash, modulus, exponent } => {
                return rsa_holds(*hash, modulus, exponent, message, signature);
            }
            Kind::P256(point) => (&signature::ECDSA_P256_SHA256_FIXED, point),
            Kind::P384(point) => (&signature::ECDSA_P384_SHA384_FIXED, point),
            Kind::Ed25519(key) => (&signature::ED25519, key),
        };
        signature::UnparsedPublicKey::new(scheme, key).verify(message, signature).is_ok()
    }

    fn fits_ring(&self) -> bool {
        match &self.0 {
            Kind::Rsa { modulus, exponent, .. } => {
                modulus.len() >= RING_MODULUS_OCTETS && bits(exponent) <= RING_EXPONENT_BITS as usize
            }
            _ => true,
        }
    }
}

/// RFC 3110 §2: the length of the exponent in one or three octets, the exponent, the modulus.
fn rsa(field: &[u8], hash: RsaHash) -> Option<Kind> {
    let (length, rest) = match field {
        [0, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [length, rest @ ..] => (usize::from(*length), rest),
        [] => return None,
    };
    let (exponent, modulus) = rest.split_at_checked(length)?;
    let (exponent, modulus) = (without_zeros(exponent), without_zeros(modulus));
    let odd = |number: &[u8]| number.last().is_some_and(|octet| octet & 1 == 1);
    // An exponent of 1 is no signature at all.
    let sound = odd(exponent) && odd(modulus) && exponent != [1];
    let sized = exponent.len() <= MAX_EXPONENT && (512..=MAX_RSA_BITS).contains(&bits(modulus));
    (sound && sized).then(|| Kind::Rsa { hash, modulus: modulus.into(), exponent: exponent.into() })
}

/// An uncompressed point: RFC 6605 §4 leaves out the octet that says so.
fn point<const N: usize>(field: &[u8]) -> Option<[u8; N]> {
    let mut point = [0; N];
    let (form, rest) = point.split_first_mut()?;
    *form = 4;
    if field.len() != rest.len() {
        return None;
    }
    rest.copy_from_slice(field);
    Some(point)
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    number.get(zeros..).unwrap_or(&[])
}

fn bits(number: &[u8]) -> usize {
    let number = without_zeros(number);
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

/// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2.2) by comparing with the one encoding that is right.
fn rsa_holds(hash: RsaHash, modulus: &[u8], exponent: &[u8], message: &[u8], signature: &[u8]) -> bool {
    const SHA1: &[u8] = b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";
    const SHA256: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    const SHA512: &[u8] = b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40";
    let (prefix, scheme) = match hash {
        RsaHash::Sha1 => (SHA1, &digest::SHA1_FOR_LEGACY_USE_ONLY),
        RsaHash::Sha256 => (SHA256, &digest::SHA256),
        RsaHash::Sha512 => (SHA512, &digest::SHA512),
    };
    if signature.len() != modulus.len() {
        return false;
    }
    let hashed = digest::digest(scheme, message);
    let Some(padding) = modulus.len().checked_sub(prefix.len() + hashed.as_ref().len() + 3).filter(|n| *n >= 8) else {
        return false;
    };
    let mut expected = Vec::with_capacity(modulus.len());
    expected.extend_from_slice(&[0, 1]);
    expected.resize(2 + padding, 0xff);
    expected.push(0);
    expected.extend_from_slice(prefix);
    expected.extend_from_slice(hashed.as_ref());
    let modulus = BigUint::from_bytes_be(modulus);
    let signature = BigUint::from_bytes_be(signature);
    signature < modulus
        && signature.modpow(&BigUint::from_bytes_be(exponent), &modulus) == BigUint::from_bytes_be(&expected)
}

/// Is `expected` the digest of this type over the two parts?
pub fn digest_matches(kind: u8, owner: &[u8], rdata: &[u8], expected: &[u8]) -> bool {
    let scheme = match kind {
        digest_type::SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        digest_type::SHA256 => &digest::SHA256,
        digest_type::SHA384 => &digest::SHA384,
        _ => return false,
    };
    let mut context = digest::Context::new(scheme);
    context.update(owner);
    context.update(rdata);
    context.finish().as_ref() == expected
}

/// The length of a DS digest of this type, in octets; `None` of unknown types.
pub fn digest_length(kind: u8) -> Option<usize> {
    match kind {
        digest_type::SHA1 => Some(20),
        digest_type::SHA256 => Some(32),
        digest_type::SHA384 => Some(48),
        _ => None,
    }
}

/// SHA-1 blocks that an NSEC3 hash takes.
pub fn nsec3_blocks(name: usize, salt: usize, iterations: u16) -> u32 {
    // Padding takes at least nine octets of the last block.
    let blocks = |octets: usize| u32::try_from((octets + 9).div_ceil(64)).unwrap_or(u32::MAX);
    blocks(name + salt).saturating_add(u32::from(iterations).saturating_mul(blocks(20 + salt)))
}

/// RFC 5155 §5, hash algorithm 1.
pub fn nsec3_hash(name: &[u8], salt: &[u8], iterations: u16) -> [u8; 20] {
    let mut octets = Vec::with_capacity(name.len().max(20) + salt.len());
    let mut hash = [0; 20];
    let once = |input: &[u8], octets: &mut Vec<u8>, hash: &mut [u8; 20]| {
        octets.clear();
        octets.extend_from_slice(input);
        octets.extend_from_slice(salt);
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, octets);
        hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    };
    once(name, &mut octets, &mut hash);
    for _ in 0..iterations {
        let before = hash;
        once(&before, &mut octets, &mut hash);
    }
    hash
}

/// The first eight octets of the SHA-256 digest, to recognise text that was damaged.
pub fn fingerprint(text: &[u8]) -> u64 {
    let digest = digest::digest(&digest::SHA256, text);
    digest.as_ref().first_chunk().map_or(0, |octets| u64::from_be_bytes(*octets))
}

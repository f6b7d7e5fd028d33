//! RSA pairs of 1024 bits (RFC 3110, 5702): ring makes none, and signs with none so small.

use std::sync::OnceLock;

use num_bigint::BigUint;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

/// The modulus, in octets.
const MODULUS: usize = 128;
const EXPONENT: u32 = 65_537;

/// A modulus and a secret exponent.
#[derive(Debug)]
pub(super) struct RsaPair {
    modulus: BigUint,
    secret: BigUint,
}

/// One of two pairs, made once a run.
pub(super) fn pair(entry: bool) -> &'static RsaPair {
    static PAIRS: [OnceLock<RsaPair>; 2] = [OnceLock::new(), OnceLock::new()];
    PAIRS[usize::from(entry)].get_or_init(make)
}

fn make() -> RsaPair {
    let one = BigUint::from(1u8);
    let exponent = BigUint::from(EXPONENT);
    loop {
        let (p, q) = (prime(), prime());
        let order = (&p - &one) * (&q - &one);
        if let Some(secret) = exponent.modinv(&order).filter(|_| p != q) {
            return RsaPair { modulus: p * q, secret };
        }
    }
}

/// A number that Fermat's test takes for a prime, its two highest bits set.
fn prime() -> BigUint {
    let mut octets = [0u8; MODULUS / 2];
    SystemRandom::new().fill(&mut octets).expect("randomness");
    octets[0] |= 0xc0;
    octets[MODULUS / 2 - 1] |= 1;
    let mut candidate = BigUint::from_bytes_be(&octets);
    let two = BigUint::from(2u8);
    loop {
        let small = (3u32..2_000).step_by(2).any(|divisor| &candidate % divisor == BigUint::ZERO);
        if !small && two.modpow(&(&candidate - 1u8), &candidate) == BigUint::from(1u8) {
            return candidate;
        }
        candidate += 2u8;
    }
}

impl RsaPair {
    /// The public key field (RFC 3110 §2).
    pub(super) fn public(&self) -> Vec<u8> {
        [&[3, 1, 0, 1], self.modulus.to_bytes_be().as_slice()].concat()
    }

    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2.1) with the hash of a DNSSEC algorithm, the DER prefixes written out.
    pub(super) fn sign(&self, algorithm: u8, message: &[u8]) -> Vec<u8> {
        const SHA1: &[u8] = b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";
        const SHA256: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
        const SHA512: &[u8] = b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40";
        let (scheme, prefix) = match algorithm {
            8 => (&digest::SHA256, SHA256),
            10 => (&digest::SHA512, SHA512),
            _ => (&digest::SHA1_FOR_LEGACY_USE_ONLY, SHA1),
        };
        let tail = [prefix, digest::digest(scheme, message).as_ref()].concat();
        let mut encoded = vec![0, 1];
        encoded.resize(MODULUS - tail.len() - 1, 0xff);
        encoded.push(0);
        encoded.extend(tail);
        let signed = BigUint::from_bytes_be(&encoded).modpow(&self.secret, &self.modulus).to_bytes_be();
        [vec![0; MODULUS - signed.len()], signed].concat()
    }
}

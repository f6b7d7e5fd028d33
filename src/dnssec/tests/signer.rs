//! Keys made on the spot, and what they sign.

use std::sync::OnceLock;

use num_bigint::BigUint;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};

use super::{NOW, Set, name};
use crate::dnssec::canonical::{canonical_set, counted_labels, signed_octets};
use crate::dnssec::{Keys, Policy, Rrsig, Trust, Trusted, establish, key_tag};
use crate::wire::{Name, Rtype};

/// A key pair and its DNSKEY data.
pub struct Key {
    pub rdata: Vec<u8>,
    secret: Secret,
}

enum Secret {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(&'static RsaPair),
}

struct RsaPair {
    modulus: BigUint,
    secret: BigUint,
}

/// What a signature says beside its data; `None` is what fits.
#[derive(Clone, Default)]
pub struct Spec {
    pub from: Option<u32>,
    pub until: Option<u32>,
    pub labels: Option<u8>,
    pub ttl: Option<u32>,
    pub tag: Option<u16>,
    pub algorithm: Option<u8>,
    pub covered: Option<Rtype>,
}

impl Key {
    /// A new key of algorithm 13, 14 or 15, or one of few of algorithm 5, 7, 8 or 10.
    pub fn new(algorithm: u8, flags: u16) -> Key {
        Key::with_bits(algorithm, flags, 1024)
    }

    pub fn with_bits(algorithm: u8, flags: u16, bits: u32) -> Key {
        let random = SystemRandom::new();
        let (secret, public) = match algorithm {
            13 | 14 => {
                let scheme =
                    if algorithm == 13 { &ECDSA_P256_SHA256_FIXED_SIGNING } else { &ECDSA_P384_SHA384_FIXED_SIGNING };
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &random).expect("a key");
                let pair = EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).expect("a key");
                let public = pair.public_key().as_ref()[1..].to_vec();
                (Secret::Ecdsa(pair), public)
            }
            15 => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
                let public = pair.public_key().as_ref().to_vec();
                (Secret::Ed25519(pair), public)
            }
            _ => {
                let pair = rsa_pair(bits);
                (Secret::Rsa(pair), [&[3, 1, 0, 1], pair.modulus.to_bytes_be().as_slice()].concat())
            }
        };
        let [high, low] = flags.to_be_bytes();
        Key { rdata: [&[high, low, 3, algorithm], public.as_slice()].concat(), secret }
    }

    pub fn algorithm(&self) -> u8 {
        self.rdata[3]
    }

    pub fn tag(&self) -> u16 {
        key_tag(&self.rdata)
    }

    /// The same key with other flags.
    pub fn flagged(self, flags: u16) -> Key {
        let mut rdata = self.rdata;
        rdata[..2].copy_from_slice(&flags.to_be_bytes());
        Key { rdata, ..self }
    }

    /// DS data that points at it.
    pub fn ds(&self, zone: &str, digest_type: u8) -> Vec<u8> {
        let scheme = match digest_type {
            1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            2 => &digest::SHA256,
            _ => &digest::SHA384,
        };
        let [high, low] = self.tag().to_be_bytes();
        let input = [name(zone).wire(), self.rdata.as_slice()].concat();
        [&[high, low, self.algorithm(), digest_type], digest::digest(scheme, &input).as_ref()].concat()
    }

    /// Adds a signature over the set, for `zone`.
    pub fn sign(&self, set: &mut Set, zone: &str) {
        self.sign_as(set, zone, &Spec::default());
    }

    pub fn sign_as(&self, set: &mut Set, zone: &str, spec: &Spec) {
        let signature = self.signature(set, zone, spec);
        set.signatures.push(signature);
    }

    pub fn signature(&self, set: &Set, zone: &str, spec: &Spec) -> Vec<u8> {
        let now = u32::try_from(NOW.0).expect("before 2106");
        let labels = u8::try_from(counted_labels(&set.owner)).expect("at most 127");
        let mut rdata = Vec::new();
        rdata.extend_from_slice(&spec.covered.unwrap_or(set.rtype).0.to_be_bytes());
        rdata.push(spec.algorithm.unwrap_or(self.algorithm()));
        rdata.push(spec.labels.unwrap_or(labels));
        rdata.extend_from_slice(&spec.ttl.unwrap_or(set.ttl).to_be_bytes());
        rdata.extend_from_slice(&spec.until.unwrap_or(now + 86_400).to_be_bytes());
        rdata.extend_from_slice(&spec.from.unwrap_or(now - 3_600).to_be_bytes());
        rdata.extend_from_slice(&spec.tag.unwrap_or(self.tag()).to_be_bytes());
        rdata.extend_from_slice(name(zone).wire());
        let rdatas: Vec<&[u8]> = set.rdatas.iter().map(Vec::as_slice).collect();
        let canonical = canonical_set(set.rtype, &rdatas);
        let parsed = Rrsig::parse(&rdata).expect("an RRSIG");
        let octets = signed_octets(&parsed, &set.owner, set.rtype, &canonical).unwrap_or_default();
        let signature = self.raw(&octets);
        [rdata, signature].concat()
    }

    /// The modulus of an RSA key.
    pub fn modulus(&self) -> Option<&BigUint> {
        match &self.secret {
            Secret::Rsa(pair) => Some(&pair.modulus),
            _ => None,
        }
    }

    fn raw(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Secret::Rsa(pair) => pair.sign(self.algorithm(), message),
        }
    }
}

impl RsaPair {
    /// RFC 8017 §8.2.1, with the DER prefixes written out.
    fn sign(&self, algorithm: u8, message: &[u8]) -> Vec<u8> {
        let (scheme, prefix): (_, &[u8]) = match algorithm {
            8 => {
                (&digest::SHA256, &[0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20])
            }
            10 => {
                (&digest::SHA512, &[0x30, 0x51, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 0x40])
            }
            _ => {
                (&digest::SHA1_FOR_LEGACY_USE_ONLY, &[0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 0x14])
            }
        };
        let length = self.modulus.to_bytes_be().len();
        let tail = [prefix, digest::digest(scheme, message).as_ref()].concat();
        let mut encoded = vec![0, 1];
        encoded.resize(length - tail.len() - 1, 0xff);
        encoded.push(0);
        encoded.extend_from_slice(&tail);
        let signed = BigUint::from_bytes_be(&encoded).modpow(&self.secret, &self.modulus).to_bytes_be();
        [vec![0; length - signed.len()], signed].concat()
    }
}

/// One pair a size, made once a run from fixed seeds.
fn rsa_pair(bits: u32) -> &'static RsaPair {
    static SMALL: OnceLock<RsaPair> = OnceLock::new();
    static LARGE: OnceLock<RsaPair> = OnceLock::new();
    match bits {
        512 => SMALL.get_or_init(|| make_rsa(512)),
        _ => LARGE.get_or_init(|| make_rsa(1024)),
    }
}

fn make_rsa(bits: u32) -> RsaPair {
    let mut seed = 0x9e37_79b9_7f4a_7c15 ^ u64::from(bits);
    let one = BigUint::from(1u8);
    let exponent = BigUint::from(65_537u32);
    loop {
        let (p, q) = (prime(bits / 2, &mut seed), prime(bits / 2, &mut seed));
        let order = (&p - &one) * (&q - &one);
        if let Some(secret) = exponent.modinv(&order) {
            return RsaPair { modulus: p * q, secret };
        }
    }
}

/// A number that Fermat's test takes for a prime, its two highest bits set.
fn prime(bits: u32, seed: &mut u64) -> BigUint {
    let mut octets = vec![0u8; (bits / 8) as usize];
    for octet in &mut octets {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *octet = seed.to_be_bytes()[0];
    }
    octets[0] |= 0xc0;
    let last = octets.len() - 1;
    octets[last] |= 1;
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

/// A zone with a key-signing and a zone-signing key.
pub struct Zone {
    pub name: &'static str,
    pub ksk: Key,
    pub zsk: Key,
}

impl Zone {
    pub fn new(name: &'static str, algorithm: u8) -> Zone {
        Zone { name, ksk: Key::new(algorithm, 257), zsk: Key::new(algorithm, 256) }
    }

    pub fn origin(&self) -> Name {
        name(self.name)
    }

    /// Its DNSKEY set, signed by the key-signing key.
    pub fn dnskeys(&self) -> Set {
        let mut set = Set::new(self.name, Rtype::DNSKEY, vec![self.ksk.rdata.clone(), self.zsk.rdata.clone()]);
        self.ksk.sign(&mut set, self.name);
        set
    }

    /// Its keys as a validator has them.
    pub fn keys(&self, policy: &Policy) -> Keys {
        let ds = self.ksk.ds(self.name, 2);
        let trusted = Trusted { ds: &[&ds], dnskeys: &[] };
        match self.dnskeys().signed(|set| establish(set, trusted, policy, NOW, &super::budget())) {
            Ok(Trust::Secure(keys, _)) => keys,
            other => panic!("the keys of {}: {other:?}", self.name),
        }
    }
}

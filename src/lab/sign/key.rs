//! One key pair.

use hickory_proto::rr::Name;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};

use super::lower_wire;
use super::rsa::{self, RsaPair};
use crate::dnssec::key_tag;

/// A key pair with its DNSKEY data.
#[derive(Debug)]
pub struct Key {
    data: Vec<u8>,
    secret: Secret,
}

#[derive(Debug)]
enum Secret {
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
    Rsa(&'static RsaPair),
}

impl Key {
    /// A new pair; of RSA one that others may have too, since making one takes long.
    ///
    /// # Panics
    ///
    /// Where the operating system has no randomness.
    pub fn new(algorithm: u8, flags: u16) -> Key {
        let random = SystemRandom::new();
        let (secret, public) = match algorithm {
            13 | 14 => {
                let scheme =
                    if algorithm == 13 { &ECDSA_P256_SHA256_FIXED_SIGNING } else { &ECDSA_P384_SHA384_FIXED_SIGNING };
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &random).expect("randomness");
                let pair = EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).expect("a pair made just now");
                // The first octet says that the point is not compressed (RFC 6605 §4 leaves it out).
                let public = pair.public_key().as_ref()[1..].to_vec();
                (Secret::Ecdsa(Box::new(pair)), public)
            }
            15 => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).expect("randomness");
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a pair made just now");
                let public = pair.public_key().as_ref().to_vec();
                (Secret::Ed25519(Box::new(pair)), public)
            }
            _ => {
                let pair = rsa::pair(flags & super::ENTRY_POINT != 0);
                (Secret::Rsa(pair), pair.public())
            }
        };
        let [high, low] = flags.to_be_bytes();
        Key { data: [&[high, low, 3, algorithm], public.as_slice()].concat(), secret }
    }

    /// The DNSKEY data.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The DNSKEY data with other flags.
    pub(super) fn data_flagged(&self, flags: u16) -> Vec<u8> {
        [&flags.to_be_bytes(), &self.data[2..]].concat()
    }

    pub fn flags(&self) -> u16 {
        u16::from_be_bytes([self.data[0], self.data[1]])
    }

    pub fn algorithm(&self) -> u8 {
        self.data[3]
    }

    pub fn tag(&self) -> u16 {
        key_tag(&self.data)
    }

    /// The signature field over these octets.
    ///
    /// # Panics
    ///
    /// Where the operating system has no randomness.
    pub fn sign(&self, octets: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Ecdsa(pair) => pair.sign(&SystemRandom::new(), octets).expect("randomness").as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.sign(octets).as_ref().to_vec(),
            Secret::Rsa(pair) => pair.sign(self.algorithm(), octets),
        }
    }
}

/// DS data that points at a key (RFC 4034 §5.1).
pub(super) fn ds(zone: &Name, key: &[u8], digest_type: u8) -> Vec<u8> {
    let scheme = match digest_type {
        1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        4 => &digest::SHA384,
        _ => &digest::SHA256,
    };
    let [high, low] = key_tag(key).to_be_bytes();
    let input = [lower_wire(zone).as_slice(), key].concat();
    [&[high, low, key[3], digest_type], digest::digest(scheme, &input).as_ref()].concat()
}

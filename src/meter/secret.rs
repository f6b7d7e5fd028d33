//! Hashing with a secret key, so that nobody can choose where in a table a key falls.

use siphasher::sip::SipHasher13;

/// A hash of a key that a sender may have chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hash(pub u64);

/// The key of all hashes of one process.
#[derive(Clone)]
pub struct Secret(SipHasher13);

impl Secret {
    /// From the first 16 octets of a seed.
    pub fn new(seed: &[u8; 32]) -> Secret {
        let word = |at: usize| seed[at..at + 8].iter().fold(0u64, |word, octet| word << 8 | u64::from(*octet));
        Secret(SipHasher13::new_with_keys(word(0), word(8)))
    }

    /// Of two words: a kind of key and a short key.
    #[inline]
    pub fn pair(&self, kind: u64, key: u64) -> Hash {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&kind.to_le_bytes());
        octets[8..].copy_from_slice(&key.to_le_bytes());
        Hash(self.0.hash(&octets))
    }

    /// Of 56 bits of kind and key together in one word.
    #[inline]
    pub fn word(&self, word: u64) -> Hash {
        Hash(self.0.hash(&word.to_le_bytes()))
    }

    /// Of a kind of key and a long key.
    pub fn octets(&self, kind: u64, key: &[u8]) -> Hash {
        let Hash(inner) = Hash(self.0.hash(key));
        self.pair(kind, inner)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

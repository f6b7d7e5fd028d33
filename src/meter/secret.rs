//! Hashing with a secret key, so that nobody can choose where in a table a key falls.

use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::wire::{MAX_NAME, last_word, lowered_word};

/// Words of the longest name: 255 octets in words of eight, the last of which overlap; its length, and what kind it is.
const WORDS: usize = MAX_NAME / 8 + 3;

/// A hash of a key that a sender may have chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Hash(pub u64);

/// The key of all hashes of one process.
///
/// Short keys, addresses above all, are hashed by multiplication and shift with secret multipliers (Dietzfelbinger 1996): any two
/// keys fall together with a probability of 2⁻⁶⁴, whatever they are, as long as the multipliers are not known, and
/// nothing that is sent tells of them. That is 2 ns where SipHash takes ten, and every packet needs five. Names are hashed in
/// the same way, with a multiplier for each of their words (multilinear hashing, Lemire and Kaser 2014); other octets of any
/// length by SipHash.
#[derive(Clone)]
pub struct Secret {
    long: SipHasher13,
    factors: [u128; 3],
    term: u128,
    words: Arc<[u128; WORDS]>,
}

impl Secret {
    /// From a seed; what is drawn from it tells nothing of it.
    pub fn new(seed: &[u8; 32]) -> Secret {
        let key = |at: usize| {
            let half = |at: usize| seed[at..at + 8].iter().fold(0u64, |word, octet| word << 8 | u64::from(*octet));
            SipHasher13::new_with_keys(half(at), half(at + 8))
        };
        let (long, drawn) = (key(0), key(16));
        let word = |number: u8| u128::from(drawn.hash(&[number, 0])) << 64 | u128::from(drawn.hash(&[number, 1]));
        let words = Arc::new(std::array::from_fn(|at| word(u8::try_from(at + 5).unwrap_or(u8::MAX))));
        Secret { long, factors: [word(1), word(2), word(3)], term: word(4), words }
    }

    /// Of one word.
    #[inline]
    pub fn word(&self, word: u64) -> Hash {
        self.sum([word, 0, 0])
    }

    /// Of two words.
    #[inline]
    pub fn pair(&self, first: u64, second: u64) -> Hash {
        self.sum([first, second, 0])
    }

    /// Of three words.
    #[inline]
    pub fn triple(&self, first: u64, second: u64, third: u64) -> Hash {
        self.sum([first, second, third])
    }

    #[inline]
    fn sum(&self, words: [u64; 3]) -> Hash {
        let product = |at: usize| self.factors[at].wrapping_mul(u128::from(words[at]));
        let sum = self.term.wrapping_add(product(0)).wrapping_add(product(1)).wrapping_add(product(2));
        Hash((sum >> 64) as u64)
    }

    /// Of a name in wire form, whatever its case, and what kind of key it is.
    #[inline]
    pub fn name(&self, kind: u64, name: &[u8]) -> Hash {
        let times = |factor: &u128, word: u64| factor.wrapping_mul(u128::from(word));
        let ([first, second, third], factors) = self.words.split_first_chunk().unwrap_or((&[0; 3], &[]));
        // With the length, no two names have the same words.
        let mut sum = times(first, kind).wrapping_add(times(second, name.len() as u64));
        sum = sum.wrapping_add(times(third, lowered_word(last_word(name))));
        for (word, factor) in name.as_chunks::<8>().0.iter().zip(factors) {
            sum = sum.wrapping_add(times(factor, lowered_word(u64::from_le_bytes(*word))));
        }
        // Of names that are numbered, sums are too even to count by: the last step takes that away (Steele et al. 2014).
        let sum = (sum >> 64) as u64;
        let sum = (sum ^ sum >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Hash(sum ^ sum >> 32)
    }

    /// Of any octets, and what kind of key they are.
    pub fn octets(&self, kind: u64, key: &[u8]) -> Hash {
        self.pair(kind, self.long.hash(key))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_spread_over_all_bits() {
        let secret = Secret::new(&[5; 32]);
        // 2¹⁶ neighbours thrown into 2¹⁶ places leave 1/e of them empty, wherever in the hash the place is read.
        for shift in [0, 8, 24, 40, 48] {
            let mut places = vec![false; 1 << 16];
            for key in 0..1u64 << 16 {
                places[(secret.word(0x0a00_0000 | key).0 >> shift) as usize & 0xffff] = true;
            }
            let filled = places.iter().filter(|filled| **filled).count();
            assert!((30_000..=1 << 16).contains(&filled), "{filled} from bit {shift} on");
        }
    }

    #[test]
    fn names_that_differ_have_other_hashes_and_case_makes_no_difference() {
        let secret = Secret::new(&[5; 32]);
        let mut seen = std::collections::HashSet::new();
        for length in 0..=MAX_NAME {
            let name = vec![b'a'; length];
            for kind in 0..16 {
                assert!(seen.insert(secret.name(kind, &name)), "{length} octets, kind {kind}");
            }
            for kind in [1 << 32, 1 << 40, u64::MAX] {
                assert!(seen.insert(secret.name(kind, &name)), "{length} octets, kind {kind}");
            }
            let mut other = name.clone();
            for at in 0..length {
                other[at] = b'A';
                assert_eq!(secret.name(0, &other), secret.name(0, &name));
                other[at] = b'b';
                assert!(seen.insert(secret.name(0, &other)), "{length} octets, another at {at}");
                other[at] = b'a';
            }
        }
        assert_ne!(Secret::new(&[6; 32]).name(0, b"a"), secret.name(0, b"a"));
    }

    #[test]
    fn other_seeds_and_other_kinds_are_other_hashes() {
        let (one, two) = (Secret::new(&[5; 32]), Secret::new(&[6; 32]));
        assert_ne!(one.word(1), two.word(1));
        assert_ne!(one.pair(1, 2), one.pair(2, 1));
        assert_ne!(one.octets(1, b"a"), one.octets(2, b"a"));
        assert_ne!(one.triple(1, 2, 3), one.triple(3, 2, 1));
        assert_ne!(one.octets(1, b"a"), two.octets(1, b"a"));
    }
}

//! What names of a zone have in common: `shop17` and `shop4` are one pattern, `shop#`. Where names of a pattern keep leading
//! somewhere, a new one of it is likely to exist, whoever asks.

use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Moment;
use crate::meter::{Hash, Points, Secret};
use crate::pack::{Fields, Pack, Passage};

/// So many new names of a pattern must have been found lately.
const LEARNED: u32 = 3;
/// For one that was in vain, so many must have been found: a flood of names of a learned pattern is none of its kind.
const FOUND_FOR_ONE_IN_VAIN: u32 = 2;
/// What was found, and what was in vain, halves after so long.
const FOUND_FOR: Duration = Duration::from_secs(2 * 24 * 3600);
const IN_VAIN_FOR: Duration = Duration::from_secs(3600);

/// The patterns of all zones, in a fixed memory.
#[derive(Debug)]
pub(super) struct Patterns {
    found: Points,
    in_vain: Points,
}

impl Patterns {
    /// Octets for each pattern.
    pub const OCTETS: usize = 8;

    /// Room for so many.
    pub fn new(count: usize) -> Patterns {
        Patterns { found: Points::new(count, FOUND_FOR), in_vain: Points::new(count, IN_VAIN_FOR) }
    }

    /// Has a pattern been learned?
    pub fn has(&self, pattern: Hash, now: Moment) -> bool {
        let found = self.found.of(pattern, now);
        found >= LEARNED && self.in_vain.of(pattern, now) * FOUND_FOR_ONE_IN_VAIN <= found
    }

    /// A name of a pattern that was never seen before exists, or does not.
    pub fn note(&self, pattern: Hash, exists: bool, now: Moment) {
        if exists { &self.found } else { &self.in_vain }.add(pattern, now);
    }

    /// Writes what has been found, part 0, and what was in vain, part 1: without that, a flood of names of a learned
    /// pattern would have it back by a restart.
    pub fn save(&self, now: Moment, put: &mut dyn FnMut(u8, &Pack)) {
        self.found.save(now, &mut |pack| put(0, pack));
        self.in_vain.save(now, &mut |pack| put(1, pack));
    }

    /// How many kinds of records there are.
    pub const PARTS: u8 = 2;

    /// Takes a record in again.
    pub fn load(&self, part: u8, record: Fields<'_>, now: Moment, passage: &Passage) -> Option<()> {
        match part {
            0 => self.found.load(record, now, passage),
            1 => self.in_vain.load(record, now, passage),
            _ => None,
        }
    }
}

/// The pattern of a name in lower-case wire form, below a zone that is `zone` octets of it: its labels with every number in
/// them taken for any other. `None`: there is no number in it.
pub(super) fn pattern(secret: &Secret, kind: u64, name: &[u8], zone: usize) -> Option<Hash> {
    let below = name.get(..name.len().checked_sub(zone)?)?;
    let mut shape: SmallVec<[u8; 255]> = SmallVec::new();
    let (mut numbers, mut at) = (false, 0);
    while let Some(length) = below.get(at).copied().map(usize::from) {
        // No letter, so that labels do not run together.
        shape.push(b'.');
        for octet in below.get(at + 1..=at + length)? {
            let digit = octet.is_ascii_digit();
            numbers |= digit;
            if !(digit && shape.last() == Some(&b'#')) {
                shape.push(if digit { b'#' } else { *octet });
            }
        }
        at += length + 1;
    }
    shape.extend_from_slice(name.get(name.len() - zone..)?);
    numbers.then(|| secret.octets(kind, &shape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Now, UnixTime};
    use crate::wire::Name;

    #[test]
    fn names_that_differ_in_numbers_only_are_one_pattern() {
        let secret = Secret::new(&[7; 32]);
        let of = |text: &str| {
            let name = Name::parse(text).expect(text);
            pattern(&secret, 1, name.wire(), Name::parse("bank.com").expect("a name").wire().len())
        };
        assert!(of("shop1.bank.com").is_some());
        for same in ["shop17.bank.com", "shop0004.bank.com"] {
            assert_eq!(of("shop1.bank.com"), of(same), "{same}");
        }
        for other in ["shop.bank.com", "shop1a.bank.com", "shops1.bank.com", "www.shop1.bank.com", "s1hop.bank.com"] {
            assert_ne!(of("shop1.bank.com"), of(other), "{other}");
        }
        assert_eq!(of("a1.b2.bank.com"), of("a11.b20.bank.com"));
        assert_eq!((of("www.bank.com"), of("bank.com")), (None, None));
    }

    #[test]
    fn a_restart_gives_no_pattern_back_that_a_flood_has_used_up() {
        let (before, after) = (Patterns::new(1 << 10), Patterns::new(1 << 10));
        let (learned, flooded) = (Secret::new(&[7; 32]).word(3), Secret::new(&[7; 32]).word(4));
        let at = Moment::from_nanos(1_000_000_000_000);
        let now = Now { mono: at, age: at, unix: UnixTime(0) };
        for _ in 0..20 {
            before.note(learned, true, at);
            before.note(flooded, true, at);
            before.note(flooded, false, at);
        }
        let passage = Passage::new(now, now, Duration::from_secs(60));
        before.save(at, &mut |part, pack| {
            after.load(part, Fields::of(pack.octets()), at, &passage).expect("the same size");
        });
        assert_eq!((after.has(learned, at), after.has(flooded, at)), (true, false));
        assert_eq!(after.load(Patterns::PARTS, Fields::of(&[]), at, &passage), None);
    }

    #[test]
    fn a_pattern_is_learned_by_what_is_found_and_lost_by_what_is_not() {
        let (patterns, key) = (Patterns::new(1 << 10), Secret::new(&[7; 32]).word(3));
        let now = Moment::from_nanos(1_000_000_000_000);
        let has = |exists: bool, times: u32| {
            (0..times).for_each(|_| patterns.note(key, exists, now));
            patterns.has(key, now)
        };
        assert_eq!([has(true, 2), has(true, 1), has(false, 1), has(false, 1)], [false, true, true, false]);
        assert!(has(true, 1), "four found, two in vain");
        assert!(!has(false, 200), "a flood");
        assert!(patterns.has(key, now + IN_VAIN_FOR * 9), "is forgotten sooner");
    }
}

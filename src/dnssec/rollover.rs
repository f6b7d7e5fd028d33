//! Trust anchors that follow their zone's keys (RFC 5011): a value that changes when a DNSKEY set is seen.

use std::fmt::{self, Write as _};

use data_encoding::BASE64;

use super::Policy;
use super::anchors::{Anchor, AnchorError, dnskey};
use super::budget::Budget;
use super::cause::{Cause, Why};
use super::crypto::{PublicKey, digest_matches, fingerprint};
use super::keys::{Keys, Trust, establish};
use super::record::{Dnskey, Ds, Rrsig, key_tag};
use super::verify::{Signed, Verified, verify};
use crate::clock::UnixTime;
use crate::wire::{Name, Rtype};

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
/// How long a new key must be seen before it counts, and how long a revoked one is told of (RFC 5011 §2.4.1, 2.4.2).
const HOLD_DOWN: u64 = 30 * DAY;
/// Keys tracked of one zone: the root has had three at a time.
const MAX_KEYS: usize = 16;

/// Where a key stands (RFC 5011 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// Seen, not yet trusted.
    AddPend,
    Valid,
    /// Trusted, and not in the last set that was seen.
    Missing,
    /// Withdrawn by its zone, for good.
    Revoked,
    /// Withdrawn more than 30 days ago. Kept, so that an old file of anchors does not bring it back.
    Removed,
}

const STATES: [(KeyState, &str); 5] = [
    (KeyState::AddPend, "pending"),
    (KeyState::Valid, "valid"),
    (KeyState::Missing, "missing"),
    (KeyState::Revoked, "revoked"),
    (KeyState::Removed, "removed"),
];

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = STATES.iter().find(|(state, _)| state == self).map_or("", |(_, word)| *word);
        f.write_str(word)
    }
}

/// A key of the zone, as it is without the REVOKE flag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tracked {
    /// DNSKEY data.
    pub rdata: Vec<u8>,
    pub state: KeyState,
    /// When it came into this state.
    pub since: UnixTime,
    /// When a pending key may be trusted, a revoked one removed; otherwise as `since`.
    pub until: UnixTime,
}

impl Tracked {
    pub fn tag(&self) -> u16 {
        key_tag(&self.rdata)
    }
}

/// A key that changed its state; `from` and `to` are `None` where RFC 5011 says Start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transition {
    pub tag: u16,
    pub from: Option<KeyState>,
    pub to: Option<KeyState>,
}

/// What seeing a DNSKEY set led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    /// If any: write the state to its file before acting on it.
    pub transitions: Vec<Transition>,
    /// Whether the set was validated by what is trusted after them.
    pub outcome: Result<(), Cause>,
}

/// The keys of one zone over time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rollover {
    /// What the operator, or the program, trusted at first.
    seed: Anchor,
    keys: Vec<Tracked>,
    next_query: UnixTime,
}

impl Rollover {
    /// Begins with an anchor: its keys are valid as soon as the zone shows them.
    pub fn new(seed: Anchor) -> Rollover {
        Rollover { seed, keys: Vec::new(), next_query: UnixTime(0) }
    }

    pub fn zone(&self) -> &Name {
        &self.seed.zone
    }

    pub fn keys(&self) -> &[Tracked] {
        &self.keys
    }

    /// When the zone's DNSKEY set is to be asked for again (RFC 5011 §2.3).
    pub fn next_query(&self) -> UnixTime {
        self.next_query
    }

    /// What is trusted now: valid and missing keys, and what was trusted at first unless its zone withdrew it. Without
    /// any, the zone has no anchor any more (RFC 5011 §5).
    pub fn anchor(&self) -> Anchor {
        let trusted = |key: &&Tracked| matches!(key.state, KeyState::Valid | KeyState::Missing);
        let gone = |key: &&Tracked| matches!(key.state, KeyState::Revoked | KeyState::Removed);
        let mut dnskeys: Vec<Vec<u8>> = self.keys.iter().filter(trusted).map(|key| key.rdata.clone()).collect();
        let withdrawn: Vec<&Tracked> = self.keys.iter().filter(gone).collect();
        for seed in &self.seed.dnskeys {
            if !dnskeys.contains(seed) && !withdrawn.iter().any(|key| key.rdata == *seed) {
                dnskeys.push(seed.clone());
            }
        }
        let kept = |ds: &&Vec<u8>| !withdrawn.iter().any(|key| vouches(self.zone(), ds, &key.rdata));
        let ds = self.seed.ds.iter().filter(kept).cloned().collect();
        Anchor { zone: self.zone().clone(), ds, dnskeys }
    }

    /// Takes in a DNSKEY set of the zone.
    pub fn observe(&mut self, set: &Signed<'_>, policy: &Policy, now: UnixTime, budget: &Budget) -> Observation {
        let mut transitions = Vec::new();
        let outcome = self
            .revoke(set, policy, now, budget, &mut transitions)
            .and_then(|()| self.anchor().with_trusted(|trusted| establish(set, trusted, policy, now, budget)))
            .and_then(|trust| match trust {
                Trust::Secure(_, verified) => Ok(verified),
                Trust::Insecure(cause) => Err(cause),
            });
        match &outcome {
            Ok(verified) => {
                self.follow(set, verified, now, &mut transitions);
                self.next_query = UnixTime(now.0 + interval(set, now, 2, 15 * DAY));
            }
            Err(_) => self.next_query = UnixTime(now.0 + interval(set, now, 10, DAY)),
        }
        Observation { transitions, outcome: outcome.map(|_| ()) }
    }

    /// Asking for the set failed: when to try again.
    pub fn failed(&mut self, now: UnixTime) {
        self.next_query = UnixTime(now.0 + HOUR);
    }

    /// A key that is known, has REVOKE set and signed the set itself is withdrawn (RFC 5011 §2.1), whatever else
    /// signs.
    fn revoke(
        &mut self,
        set: &Signed<'_>,
        policy: &Policy,
        now: UnixTime,
        budget: &Budget,
        transitions: &mut Vec<Transition>,
    ) -> Result<(), Cause> {
        for key in set.rdatas.iter().filter_map(|rdata| Dnskey::parse(rdata)) {
            if !(key.is_revoked() && key.is_zone_key()) {
                continue;
            }
            let plain = without_revoke(key.rdata);
            let known = self.keys.iter().position(|known| known.rdata == plain);
            let from = known.and_then(|at| self.keys.get(at)).map(|known| known.state);
            let trusted = matches!(from, Some(KeyState::Valid | KeyState::Missing))
                || from.is_none() && self.seed_vouches(&plain);
            if !trusted || !signed_by_revoked(set, key.rdata, policy, now, budget)? {
                continue;
            }
            transitions.push(Transition { tag: key_tag(&plain), from, to: Some(KeyState::Revoked) });
            let until = UnixTime(now.0 + HOLD_DOWN);
            let revoked = Tracked { rdata: plain, state: KeyState::Revoked, since: now, until };
            match known.and_then(|at| self.keys.get_mut(at)) {
                Some(known) => *known = revoked,
                None => self.keys.push(revoked),
            }
        }
        Ok(())
    }

    /// The table of RFC 5011 §4.2, for a set that was validated.
    fn follow(&mut self, set: &Signed<'_>, verified: &Verified, now: UnixTime, transitions: &mut Vec<Transition>) {
        // A key that nothing can be checked with is not worth waiting for.
        let usable = |key: &Dnskey<'_>| PublicKey::parse(key.algorithm, key.key).is_some();
        let entry = |key: &Dnskey<'_>| key.is_zone_key() && key.is_entry_point() && !key.is_revoked() && usable(key);
        let present: Vec<Dnskey<'_>> =
            set.rdatas.iter().filter_map(|rdata| Dnskey::parse(rdata)).filter(entry).collect();
        self.keys.retain_mut(|known| {
            let here = present.iter().any(|key| key.rdata == known.rdata);
            let from = known.state;
            let to = match (from, here) {
                (KeyState::AddPend, false) => None,
                (KeyState::AddPend, true) if now >= known.until => Some(KeyState::Valid),
                (KeyState::Valid, false) => Some(KeyState::Missing),
                (KeyState::Missing, true) => Some(KeyState::Valid),
                (KeyState::Revoked, _) if now >= known.until => Some(KeyState::Removed),
                _ => return true,
            };
            transitions.push(Transition { tag: known.tag(), from: Some(from), to });
            if let Some(to) = to {
                (known.state, known.since, known.until) = (to, now, now);
            }
            to.is_some()
        });
        for key in present {
            if self.keys.len() >= MAX_KEYS || self.keys.iter().any(|known| known.rdata == key.rdata) {
                continue;
            }
            // At least until the set that showed it first is gone from all caches (RFC 5011 §2.4.1).
            let wait = HOLD_DOWN.max(u64::from(verified.ttl_cap));
            let (state, until) = match self.seed_vouches(key.rdata) {
                true => (KeyState::Valid, now),
                false => (KeyState::AddPend, UnixTime(now.0 + wait)),
            };
            transitions.push(Transition { tag: key.tag(), from: None, to: Some(state) });
            self.keys.push(Tracked { rdata: key.rdata.to_vec(), state, since: now, until });
        }
    }

    fn seed_vouches(&self, rdata: &[u8]) -> bool {
        self.seed.dnskeys.iter().any(|seed| seed == rdata)
            || self.seed.ds.iter().any(|ds| vouches(self.zone(), ds, rdata))
    }
}

/// Does a DS record point at this key?
fn vouches(zone: &Name, ds: &[u8], rdata: &[u8]) -> bool {
    Ds::parse(ds).is_some_and(|ds| {
        let algorithm = rdata.get(3).is_some_and(|number| *number == ds.algorithm);
        algorithm && ds.tag == key_tag(rdata) && digest_matches(ds.digest_type, zone.wire(), rdata, ds.digest)
    })
}

fn without_revoke(rdata: &[u8]) -> Vec<u8> {
    let mut plain = rdata.to_vec();
    if let Some(low) = plain.get_mut(1) {
        *low &= !(Dnskey::REVOKE as u8);
    }
    plain
}

/// Did this key, revoked, sign the set it is in?
fn signed_by_revoked(
    set: &Signed<'_>,
    rdata: &[u8],
    policy: &Policy,
    now: UnixTime,
    budget: &Budget,
) -> Result<bool, Cause> {
    let keys = Keys::revoked(set.owner, rdata, policy);
    match verify(set, &keys, now, budget) {
        Ok(_) => Ok(true),
        Err(cause) if matches!(cause.why, Why::Overrun(_)) => Err(cause),
        Err(_) => Ok(false),
    }
}

/// Seconds until the set is asked for again: a part of its original TTL and of what is left of its signatures, at least
/// an hour (RFC 5011 §2.3).
fn interval(set: &Signed<'_>, now: UnixTime, part: u64, most: u64) -> u64 {
    let mut shortest = u64::from(set.ttl);
    for signature in set.signatures.iter().filter_map(|rdata| Rrsig::parse(rdata)) {
        if signature.covered == Rtype::DNSKEY {
            let left = signature.expiration.wrapping_sub((now.0 & 0xffff_ffff) as u32).cast_signed().max(0);
            shortest = shortest.max(u64::from(signature.original_ttl)).min(u64::from(left.unsigned_abs()));
        }
    }
    (shortest / part).min(most).max(HOUR)
}

const TITLE: &str = "; trust anchors learned by RFC 5011; do not edit while the resolver runs";

impl Rollover {
    /// As text, whole and recognisable as whole.
    pub fn to_text(&self) -> String {
        let mut text = format!("{TITLE}\nzone {}\nnext {}\n", self.zone(), self.next_query.0);
        for key in &self.keys {
            if let Some(parsed) = Dnskey::parse(&key.rdata) {
                let (state, since, until) = (key.state, key.since.0, key.until.0);
                let (flags, protocol, algorithm) = (parsed.flags, parsed.protocol, parsed.algorithm);
                let public = BASE64.encode(parsed.key);
                let _ = writeln!(text, "key {state} {since} {until} {flags} {protocol} {algorithm} {public}");
            }
        }
        let sum = fingerprint(text.as_bytes());
        let _ = writeln!(text, "end {sum:016x}");
        text
    }

    /// From such text, with `seed` as what was trusted at first. Damaged text is refused.
    pub fn from_text(text: &str, seed: Anchor) -> Result<Rollover, AnchorError> {
        let error = |line: usize, message: &str| AnchorError { line, message: message.to_owned() };
        let mut rollover = Rollover::new(seed);
        let (mut zone, mut sealed, mut read, mut last) = (false, false, 0, 0);
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            last = number;
            if sealed {
                return Err(error(number, "there is more after the end"));
            }
            let mut words = line.split_whitespace();
            match words.next() {
                Some("zone") => {
                    let name = words.next().and_then(|word| Name::parse(word).ok());
                    if name.as_ref() != Some(rollover.zone()) {
                        return Err(error(number, "it is not about this zone"));
                    }
                    zone = true;
                }
                Some("next") => rollover.next_query = seconds(words.next(), number)?,
                Some("key") => rollover.keys.push(tracked(words, number)?),
                Some("end") => {
                    let sum = fingerprint(text.get(..read).unwrap_or("").as_bytes());
                    if words.next() != Some(&format!("{sum:016x}")) || !line.ends_with('\n') {
                        return Err(error(number, "the sum does not fit: the text was changed or cut"));
                    }
                    sealed = true;
                }
                Some(word) if word.starts_with(';') => {}
                _ => return Err(error(number, "expected zone, next, key or end")),
            }
            read += line.len();
        }
        match (zone, sealed) {
            (true, true) => Ok(rollover),
            (_, false) => Err(error(last + 1, "the end is missing: the text was cut")),
            (false, true) => Err(error(last, "no zone in it")),
        }
    }
}

fn seconds(word: Option<&str>, line: usize) -> Result<UnixTime, AnchorError> {
    let parsed = word.and_then(|word| word.parse().ok()).map(UnixTime);
    parsed.ok_or_else(|| AnchorError { line, message: "expected seconds since 1970".to_owned() })
}

fn tracked<'t>(mut words: impl Iterator<Item = &'t str>, line: usize) -> Result<Tracked, AnchorError> {
    let error = |message: String| AnchorError { line, message };
    let word = words.next().unwrap_or("");
    let state = STATES.iter().find(|(_, known)| *known == word).map(|(state, _)| *state);
    let state = state.ok_or_else(|| error(format!("`{}` is no state of a key", word.escape_debug())))?;
    let since = seconds(words.next(), line)?;
    let until = seconds(words.next(), line)?;
    let rdata = dnskey(words).map_err(error)?;
    Ok(Tracked { rdata, state, since, until })
}

//! From what is trusted of a zone to its keys (RFC 4035 §5.2, RFC 4509, RFC 6840 §5).

use super::budget::{Account, Budget};
use super::cause::{Cause, Why};
use super::crypto::{PublicKey, algorithm_counts, digest_counts, digest_length, digest_matches, is_rsa};
use super::record::{Dnskey, Ds};
use super::verify::{Signed, Verified, verify};
use super::{Policy, Sha1};
use crate::clock::UnixTime;
use crate::wire::{Name, Rtype};

/// The validated keys of a zone, ready for use.
#[derive(Clone, Debug)]
pub struct Keys {
    zone: Name,
    keys: Vec<Prepared>,
    unusable: Vec<Unusable>,
}

#[derive(Clone, Debug)]
struct Prepared {
    tag: u16,
    algorithm: u8,
    public: PublicKey,
}

/// A key that signs nothing here, kept so that the reason can be told.
#[derive(Clone, Debug)]
struct Unusable {
    tag: u16,
    algorithm: u8,
    why: Why,
}

/// Keys of this many octets in all are kept to tell why they are not used.
const MAX_UNUSABLE: usize = 8;

impl Keys {
    /// Takes those of `rdatas` that may sign.
    fn new<'a>(zone: &Name, rdatas: impl Iterator<Item = &'a [u8]>, policy: &Policy) -> Keys {
        let mut keys = Keys { zone: zone.clone(), keys: Vec::new(), unusable: Vec::new() };
        for key in rdatas.filter_map(Dnskey::parse) {
            let (tag, algorithm) = (key.tag(), key.algorithm);
            match prepare(&key, policy) {
                Ok(public) => keys.keys.push(Prepared { tag, algorithm, public }),
                Err(why) if keys.unusable.len() < MAX_UNUSABLE => keys.unusable.push(Unusable { tag, algorithm, why }),
                Err(_) => {}
            }
        }
        keys
    }

    /// The one revoked key, good for nothing but proving that its owner revoked it (RFC 5011 §2.1).
    pub(super) fn revoked(zone: &Name, rdata: &[u8], policy: &Policy) -> Keys {
        let mut keys = Keys { zone: zone.clone(), keys: Vec::new(), unusable: Vec::new() };
        if let Some(key) = Dnskey::parse(rdata).filter(|key| key.is_zone_key() && key.is_revoked())
            && algorithm_counts(key.algorithm, policy)
            && let Some(public) = PublicKey::parse(key.algorithm, key.key)
        {
            keys.keys.push(Prepared { tag: key.tag(), algorithm: key.algorithm, public });
        }
        keys
    }

    /// These keys, trusted without a signature: what published examples of single signatures need.
    #[cfg(test)]
    pub(super) fn trusted(zone: &Name, rdatas: &[&[u8]], policy: &Policy) -> Keys {
        Keys::new(zone, rdatas.iter().copied(), policy)
    }

    pub fn zone(&self) -> &Name {
        &self.zone
    }

    /// How many keys may sign.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// May no key sign?
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Tag and algorithm of each key that may sign.
    pub fn tags(&self) -> impl Iterator<Item = (u16, u8)> {
        self.keys.iter().map(|key| (key.tag, key.algorithm))
    }

    /// Octets it takes.
    pub fn weight(&self) -> usize {
        size_of::<Keys>() + self.zone.wire().len() + self.keys.len() * (size_of::<Prepared>() + 280)
    }

    pub(super) fn with(&self, tag: u16, algorithm: u8) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(move |key| key.tag == tag && key.algorithm == algorithm).map(|key| &key.public)
    }

    /// Why no key with this tag and algorithm may sign.
    pub(super) fn why_not(&self, tag: u16, algorithm: u8) -> Why {
        let known = self.unusable.iter().find(|key| key.tag == tag && key.algorithm == algorithm);
        known.map_or(Why::NoKey { tag, algorithm }, |key| key.why.clone())
    }
}

/// The key, if its zone may sign with it.
fn prepare(key: &Dnskey<'_>, policy: &Policy) -> Result<PublicKey, Why> {
    let tag = key.tag();
    if !key.is_zone_key() {
        return Err(Why::NoZoneKey { tag });
    }
    if key.is_revoked() {
        return Err(Why::Revoked { tag });
    }
    if !algorithm_counts(key.algorithm, policy) {
        return Err(Why::UnsupportedAlgorithm(key.algorithm));
    }
    let public = PublicKey::parse(key.algorithm, key.key).ok_or_else(|| match is_rsa(key.algorithm) {
        true => Why::KeySize { tag, bits: key.key.len() * 8 },
        false => Why::Malformed,
    })?;
    match public.rsa_bits() {
        Some(bits) if bits < usize::from(policy.min_rsa_bits) => Err(Why::KeySize { tag, bits }),
        _ => Ok(public),
    }
}

/// What is trusted of a zone: DS data that its parent signed or an operator wrote, DNSKEY data that an operator wrote.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trusted<'a> {
    pub ds: &'a [&'a [u8]],
    pub dnskeys: &'a [&'a [u8]],
}

/// What a DS set promises of a zone, before its keys are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Support {
    /// The zone can be validated.
    Followable,
    /// Nothing of it counts: the zone is insecure (RFC 4035 §5.2, RFC 6840 §5.2).
    Insecure(Cause),
}

/// Can any of what is trusted of `zone` be used? If not, the zone is insecure without asking for its keys.
pub fn support(zone: &Name, trusted: Trusted<'_>, policy: &Policy) -> Support {
    if trusted.dnskeys.iter().filter_map(|key| Dnskey::parse(key)).any(|key| algorithm_counts(key.algorithm, policy)) {
        return Support::Followable;
    }
    let mut why = Why::Malformed;
    for ds in trusted.ds.iter().filter_map(|ds| Ds::parse(ds)) {
        if !algorithm_counts(ds.algorithm, policy) {
            why = Why::UnsupportedAlgorithm(ds.algorithm);
        } else if digest_counts(ds.digest_type, policy) {
            return Support::Followable;
        } else if !matches!(why, Why::UnsupportedAlgorithm(_)) {
            why = Why::UnsupportedDigest(ds.digest_type);
        }
    }
    if let (Why::Malformed, Some(key)) = (&why, trusted.dnskeys.iter().find_map(|key| Dnskey::parse(key))) {
        why = Why::UnsupportedAlgorithm(key.algorithm);
    }
    Support::Insecure(Cause::new(zone, zone, Rtype::DS, why))
}

/// What became of a zone's DNSKEY set.
#[derive(Clone, Debug)]
pub enum Trust {
    /// These keys sign the zone.
    Secure(Keys, Verified),
    /// No algorithm, digest or key size of what is trusted counts here: the zone is as if unsigned.
    Insecure(Cause),
}

/// What a DNSKEY set holds of that which is trusted.
#[derive(Clone, Debug)]
pub enum Entry {
    /// One of these keys, which what is trusted vouches for, must have signed the set.
    Keys(Keys),
    /// As [`Trust::Insecure`].
    Insecure(Cause),
}

/// The keys of `set`, a DNSKEY set, that `trusted` vouches for. An error is bogus.
pub fn entry(set: &Signed<'_>, trusted: Trusted<'_>, policy: &Policy, budget: &Budget) -> Result<Entry, Cause> {
    let zone = set.owner;
    if let Support::Insecure(cause) = support(zone, trusted, policy) {
        return Ok(Entry::Insecure(cause));
    }
    let matched = match_keys(set, trusted, policy, budget).map_err(|why| Cause::new(zone, zone, Rtype::DNSKEY, why))?;
    let entry = Keys::new(zone, matched.keys.iter().copied(), policy);
    if entry.is_empty() { refuse(zone, &entry, &matched).map(Entry::Insecure) } else { Ok(Entry::Keys(entry)) }
}

impl Trust {
    /// The keys of `set`, which `verified` says holds by a key of its [`entry`].
    pub fn of(set: &Signed<'_>, verified: Verified, policy: &Policy) -> Trust {
        Trust::Secure(Keys::new(set.owner, set.rdatas.iter().copied(), policy), verified)
    }
}

/// Establishes the keys of the zone that `set`, a DNSKEY set, belongs to: a key that `trusted` vouches for has signed
/// the set. An error is bogus.
pub fn establish(
    set: &Signed<'_>,
    trusted: Trusted<'_>,
    policy: &Policy,
    now: UnixTime,
    budget: &Budget,
) -> Result<Trust, Cause> {
    match entry(set, trusted, policy, budget)? {
        Entry::Insecure(cause) => Ok(Trust::Insecure(cause)),
        Entry::Keys(entry) => verify(set, &entry, now, budget).map(|verified| Trust::of(set, verified, policy)),
    }
}

/// No trusted key may sign. Insecure if the parent vouches for nothing but keys of a size that does not count, and all
/// of them are here: one that was left out of the set may have been a better one.
fn refuse(zone: &Name, entry: &Keys, matched: &Matched<'_>) -> Result<Cause, Cause> {
    let cause = |why| Cause::new(zone, zone, Rtype::DNSKEY, why);
    let sized = |key: &Unusable| matches!(key.why, Why::KeySize { .. });
    let Some(key) = entry.unusable.iter().max_by_key(|key| !sized(key)) else {
        let (tag, algorithm) = matched.missing.unwrap_or_default();
        return Err(cause(Why::NoTrustedKey { tag, algorithm }));
    };
    match matched.missing {
        None if sized(key) => Ok(cause(key.why.clone())),
        Some((tag, algorithm)) if sized(key) => Err(cause(Why::NoTrustedKey { tag, algorithm })),
        _ => Err(cause(key.why.clone())),
    }
}

/// The DS records that count: SHA-1 only where the set has nothing better (RFC 4509 §3).
fn usable<'a>(ds: &'a [&'a [u8]], policy: &Policy) -> impl Iterator<Item = Ds<'a>> {
    let policy = *policy;
    let counts = move |ds: &Ds<'_>| {
        algorithm_counts(ds.algorithm, &policy)
            && digest_counts(ds.digest_type, &policy)
            && digest_length(ds.digest_type) == Some(ds.digest.len())
    };
    let better = policy.sha1 == Sha1::Validate
        && ds.iter().filter_map(|ds| Ds::parse(ds)).any(|ds| counts(&ds) && ds.digest_type != 1);
    ds.iter().filter_map(|ds| Ds::parse(ds)).filter(move |ds| counts(ds) && !(better && ds.digest_type == 1))
}

/// What of that which is trusted is in the set.
#[derive(Default)]
struct Matched<'s> {
    /// DNSKEY data, each once.
    keys: Vec<&'s [u8]>,
    /// Tag and algorithm of one that is trusted and not in the set.
    missing: Option<(u16, u8)>,
}

impl<'s> Matched<'s> {
    fn note(&mut self, found: Option<&'s [u8]>, tag: u16, algorithm: u8) {
        match found {
            Some(rdata) if !self.keys.contains(&rdata) => self.keys.push(rdata),
            Some(_) => {}
            None => self.missing = self.missing.or(Some((tag, algorithm))),
        }
    }
}

/// The keys of the set that what is trusted vouches for.
fn match_keys<'s>(
    set: &Signed<'s>,
    trusted: Trusted<'_>,
    policy: &Policy,
    budget: &Budget,
) -> Result<Matched<'s>, Why> {
    let tagged: Vec<(u16, Dnskey<'s>)> =
        set.rdatas.iter().filter_map(|rdata| Dnskey::parse(rdata)).map(|key| (key.tag(), key)).collect();
    let mut matched = Matched::default();
    for key in trusted.dnskeys.iter().filter_map(|key| Dnskey::parse(key)) {
        let found = tagged.iter().map(|(_, here)| here.rdata).find(|here| *here == key.rdata);
        if algorithm_counts(key.algorithm, policy) {
            matched.note(found, key.tag(), key.algorithm);
        }
    }
    for ds in usable(trusted.ds, policy) {
        let candidates = tagged.iter().filter(|(tag, key)| *tag == ds.tag && key.algorithm == ds.algorithm);
        let mut found = None;
        for (before, (_, key)) in (0u32..).zip(candidates) {
            if before >= budget.limits().keys_per_tag {
                return Err(Why::Overrun(Account::KeyTagCollisions));
            }
            budget.pay_digest()?;
            if digest_matches(ds.digest_type, set.owner.wire(), key.rdata, ds.digest) {
                found = Some(key.rdata);
                break;
            }
        }
        matched.note(found, ds.tag, ds.algorithm);
    }
    Ok(matched)
}

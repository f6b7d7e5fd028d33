//! One RRset against the keys of its zone (RFC 4035 §5.3).

use std::borrow::Cow;
use std::task::{Poll, ready};

use super::budget::{Account, Budget};
use super::canonical::{canonical_set, counted_labels, signed_octets};
use super::cause::{Cause, Why};
use super::crypto::PublicKey;
use super::keys::Keys;
use super::record::Rrsig;
use crate::clock::UnixTime;
use crate::wire::{Name, Rtype};

/// A borrowed RRset of class IN with the signatures over it.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub owner: &'a Name,
    pub rtype: Rtype,
    /// As received, in seconds: the smaller of the set's and its signatures'.
    pub ttl: u32,
    /// The data of each record, uncompressed, in its own case.
    pub rdatas: &'a [&'a [u8]],
    /// The data of each RRSIG of the same owner that covers `rtype`; others are passed over.
    pub signatures: &'a [&'a [u8]],
}

/// What a signature that holds says of its set. Only [`verify`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::manual_non_exhaustive, reason = "it is sealed against this crate, not against others")]
pub struct Verified {
    /// The longest the set may be kept, in seconds (RFC 4035 §5.3.3).
    pub ttl_cap: u32,
    /// When the signature ends.
    pub expires: UnixTime,
    /// The set was made from a wildcard: its closest encloser, the name below which the `*` stands. The response must
    /// then prove that nothing closer exists ([`Denial::wildcard_answer`](super::Denial::wildcard_answer)).
    pub wildcard: Option<Name>,
    /// The key that signed it, and its algorithm.
    pub tag: u16,
    pub algorithm: u8,
    sealed: (),
}

/// Checks the signatures over `set` until one holds: any one valid path suffices (RFC 6840 §5.11). Expects `keys` to
/// be those of the zone the set is in; of a DS set, those of the parent. All at once, whatever the turns of others.
pub fn verify(set: &Signed<'_>, keys: &Keys, now: UnixTime, budget: &Budget) -> Result<Verified, Cause> {
    let mut check = Check::new(set, keys, now, budget);
    loop {
        if let Poll::Ready(outcome) = check.go_on() {
            return outcome;
        }
        budget.take_turn();
    }
}

/// The same, a turn at a time ([`Turn`](super::Turn)).
pub struct Check<'a, 's> {
    set: &'a Signed<'s>,
    keys: &'a Keys,
    now: UnixTime,
    budget: &'a Budget,
    canonical: Option<Vec<Cow<'s, [u8]>>>,
    /// Signatures that came as far as a key.
    tried: u32,
    worst: Option<Why>,
    /// The signature that is next, the keys tried for it, and what it is over.
    next: usize,
    keys_tried: u32,
    octets: Option<Vec<u8>>,
}

impl<'a, 's> Check<'a, 's> {
    /// Nothing checked yet.
    pub fn new(set: &'a Signed<'s>, keys: &'a Keys, now: UnixTime, budget: &'a Budget) -> Check<'a, 's> {
        Check { set, keys, now, budget, canonical: None, tried: 0, worst: None, next: 0, keys_tried: 0, octets: None }
    }

    /// Goes on until it is decided or the turn is spent.
    pub fn go_on(&mut self) -> Poll<Result<Verified, Cause>> {
        let (set, zone) = (self.set, self.keys.zone());
        let fail = |why| Poll::Ready(Err(Cause::new(zone, set.owner, set.rtype, why)));
        // A DS set at the apex would be the child's word about itself.
        let in_zone = if set.rtype == Rtype::DS { set.owner.is_below(zone) } else { set.owner.is_at_or_below(zone) };
        if !in_zone {
            return fail(Why::WrongSigner { signer: Box::new(zone.clone()) });
        }
        while let Some(rdata) = set.signatures.get(self.next) {
            let outcome = match Rrsig::parse(rdata) {
                Some(signature) if signature.covered != set.rtype => None,
                Some(signature) => Some(ready!(self.signature(&signature))),
                None => Some(Err(Why::Malformed)),
            };
            match outcome {
                Some(Ok(verified)) => return Poll::Ready(Ok(verified)),
                Some(Err(why @ Why::Overrun(_))) => return fail(why),
                Some(Err(why)) if self.worst.as_ref().is_none_or(|worst| worst.depth() <= why.depth()) => {
                    self.worst = Some(why);
                }
                Some(Err(_)) | None => {}
            }
            self.next += 1;
            self.keys_tried = 0;
            self.octets = None;
        }
        fail(self.worst.take().unwrap_or(Why::NoSignature))
    }

    /// The cheap checks first: nothing is computed for a signature that cannot count.
    fn signature(&mut self, signature: &Rrsig<'_>) -> Poll<Result<Verified, Why>> {
        let tag = signature.tag;
        let zone = self.keys.zone();
        if signature.signer != *zone {
            return Poll::Ready(Err(Why::WrongSigner { signer: Box::new(signature.signer.clone()) }));
        }
        let labels = usize::from(signature.labels);
        let counted = counted_labels(self.set.owner);
        if labels > counted || labels < zone.label_count() {
            return Poll::Ready(Err(Why::WrongLabels { tag }));
        }
        let left = match in_time(signature, self.now) {
            Ok(left) => left,
            Err(why) => return Poll::Ready(Err(why)),
        };
        let wildcard = (labels < counted).then(|| self.set.owner.suffix(labels));
        let verified = Verified {
            ttl_cap: self.set.ttl.min(signature.original_ttl).min(left),
            expires: UnixTime(self.now.0.saturating_add(u64::from(left))),
            wildcard,
            tag,
            algorithm: signature.algorithm,
            sealed: (),
        };
        self.by_any_key(signature).map_ok(|()| verified)
    }

    /// Does it hold by one of the keys with its tag and algorithm?
    fn by_any_key(&mut self, signature: &Rrsig<'_>) -> Poll<Result<(), Why>> {
        let (tag, algorithm) = (signature.tag, signature.algorithm);
        let keys = self.keys;
        for key in keys.with(tag, algorithm).skip(self.keys_tried as usize) {
            match self.by_key(signature, key) {
                Ok(Some(true)) => return Poll::Ready(Ok(())),
                Ok(Some(false)) => self.keys_tried += 1,
                Ok(None) => return Poll::Pending,
                Err(why) => return Poll::Ready(Err(why)),
            }
        }
        Poll::Ready(Err(match self.octets {
            Some(_) => Why::BadSignature { tag, algorithm },
            None => keys.why_not(tag, algorithm),
        }))
    }

    /// Does it hold by this key? `None`: not in this turn.
    fn by_key(&mut self, signature: &Rrsig<'_>, key: &PublicKey) -> Result<Option<bool>, Why> {
        let (budget, limits) = (self.budget, self.budget.limits());
        if self.keys_tried >= limits.keys_per_tag {
            return Err(Why::Overrun(Account::KeyTagCollisions));
        }
        if self.octets.is_none() {
            self.tried += 1;
            if self.tried > limits.per_set {
                return Err(Why::Overrun(Account::SignaturesOfOneSet));
            }
            self.octets = self.octets(signature);
        }
        let octets = self.octets.as_deref().ok_or(Why::WrongLabels { tag: signature.tag })?;
        let units = key.cost(octets.len());
        if !budget.has_turn(units) {
            return Ok(None);
        }
        if self.keys_tried > 0 {
            budget.pay_collision()?;
        }
        budget.pay_signature(units)?;
        let holds = key.holds(octets, signature.signature);
        if !holds {
            budget.note_failure(units);
        }
        Ok(Some(holds))
    }

    fn octets(&mut self, signature: &Rrsig<'_>) -> Option<Vec<u8>> {
        let set = self.set;
        let canonical = self.canonical.get_or_insert_with(|| canonical_set(set.rtype, set.rdatas));
        signed_octets(signature, set.owner, set.rtype, canonical)
    }
}

/// Is `now` within the time of a signature, given as RRSIG data?
pub fn holds(signature: &[u8], now: UnixTime) -> bool {
    Rrsig::parse(signature).is_some_and(|signature| in_time(&signature, now).is_ok())
}

/// Seconds left to the signature, if it is valid at `now`. Times are serial numbers (RFC 4034 §3.1.5).
fn in_time(signature: &Rrsig<'_>, now: UnixTime) -> Result<u32, Why> {
    let tag = signature.tag;
    let now = (now.0 & 0xffff_ffff) as u32;
    // How far `a` is after `b`, negative if it is before.
    let after = |a: u32, b: u32| a.wrapping_sub(b).cast_signed();
    let span = after(signature.expiration, signature.inception);
    if span < 0 {
        return Err(Why::ExpiresBeforeInception { tag, by: span.unsigned_abs() });
    }
    let since = after(now, signature.inception);
    if since < 0 {
        return Err(Why::NotYetValid { tag, by: since.unsigned_abs() });
    }
    let left = after(signature.expiration, now);
    if left < 0 { Err(Why::Expired { tag, by: left.unsigned_abs() }) } else { Ok(left.unsigned_abs()) }
}

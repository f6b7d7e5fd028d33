//! Every way of signing a zone wrong, one at a time.

use std::str::FromStr;

use hickory_proto::rr::{Name, RecordType};

use super::{ENTRY_POINT, Key, Keys, REVOKED, ZONE_KEY, counted_labels, lower_wire};
use crate::dnssec::key_tag;

/// A day, in seconds.
const DAY: u32 = 86_400;

/// What is wrong with a signed zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Signatures ended a day ago.
    Expired,
    /// Signatures begin in a day.
    NotYetValid,
    /// Signatures end before they begin.
    ExpiresBeforeInception,
    /// A bit of each signature is wrong.
    BadSignature,
    /// Signatures say that the parent made them.
    WrongSigner,
    /// Signatures count a label too many.
    TooManyLabels,
    /// Signatures count a label too few, as if made from a wildcard.
    TooFewLabels,
    /// Signatures name a key that the zone has not.
    WrongTag,
    /// There are no signatures.
    NoSignature,
    /// The keys served are not those that the parent points at.
    OtherKeys,
    /// There is no DNSKEY set.
    NoKeys,
    /// The key that the parent points at is not marked as a zone's.
    NoZoneKey,
    /// The key that the parent points at is revoked.
    RevokedKey,
    /// Nothing proves what does not exist.
    NoProof,
    /// The types of a set are missing from the proofs: they deny what is there.
    LyingProof,
}

/// The words for each, as zone lists have them.
const WORDS: [(&str, Fault); 15] = [
    ("expired", Fault::Expired),
    ("not-yet-valid", Fault::NotYetValid),
    ("expires-before-inception", Fault::ExpiresBeforeInception),
    ("bad-signature", Fault::BadSignature),
    ("wrong-signer", Fault::WrongSigner),
    ("too-many-labels", Fault::TooManyLabels),
    ("too-few-labels", Fault::TooFewLabels),
    ("wrong-tag", Fault::WrongTag),
    ("no-signature", Fault::NoSignature),
    ("other-keys", Fault::OtherKeys),
    ("no-keys", Fault::NoKeys),
    ("no-zone-key", Fault::NoZoneKey),
    ("revoked-key", Fault::RevokedKey),
    ("no-proof", Fault::NoProof),
    ("lying-proof", Fault::LyingProof),
];

/// A fault, in the sets of one type or of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flaw {
    pub fault: Fault,
    pub only: Option<RecordType>,
}

impl Fault {
    /// The extended error that tells of it exactly (RFC 8914 §4).
    pub fn error(self) -> u16 {
        match self {
            Fault::Expired => 7,
            Fault::NotYetValid => 8,
            Fault::WrongTag | Fault::OtherKeys | Fault::NoKeys => 9,
            // The parent has no such key.
            Fault::WrongSigner => 9,
            Fault::NoSignature => 10,
            Fault::NoZoneKey => 11,
            // The name is not the wildcard's: a proof is missing.
            Fault::TooFewLabels | Fault::NoProof | Fault::LyingProof => 12,
            Fault::ExpiresBeforeInception => 25,
            Fault::BadSignature | Fault::TooManyLabels | Fault::RevokedKey => 6,
        }
    }
}

impl Flaw {
    /// Are sets of this type affected?
    pub fn concerns(self, rtype: RecordType) -> bool {
        self.only.is_none_or(|only| only == rtype)
    }
}

impl FromStr for Flaw {
    type Err = String;

    /// `expired`, or `expired:NSEC`.
    fn from_str(text: &str) -> Result<Flaw, String> {
        let (word, only) = text.split_once(':').map_or((text, None), |(word, only)| (word, Some(only)));
        let known = WORDS.iter().find(|(known, _)| *known == word);
        let (_, fault) = known.ok_or_else(|| format!("there is no flaw `{word}`"))?;
        let only = only.map(|only| only.parse().map_err(|_| format!("`{only}` is no type"))).transpose()?;
        Ok(Flaw { fault: *fault, only })
    }
}

/// What a signature says beside its data.
pub(super) struct Terms {
    algorithm: u8,
    pub labels: u8,
    from: u32,
    until: u32,
    tag: u16,
    signer: Name,
}

impl Terms {
    /// RRSIG data up to the signature (RFC 4034 §3.1).
    pub fn to_bytes(&self, rtype: RecordType, ttl: u32) -> Vec<u8> {
        let mut bytes = u16::from(rtype).to_be_bytes().to_vec();
        bytes.extend([self.algorithm, self.labels]);
        for number in [ttl, self.until, self.from] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.tag.to_be_bytes());
        bytes.extend(lower_wire(&self.signer));
        bytes
    }
}

/// What the signature of `owner` by `key` says, with this fault.
pub(super) fn terms(fault: Option<Fault>, from: u32, until: u32, key: &Key, zone: &Name, owner: &Name) -> Terms {
    let labels = counted_labels(owner);
    let mut terms = Terms { algorithm: key.algorithm(), labels, from, until, tag: key.tag(), signer: zone.clone() };
    let middle = from + (until - from) / 2;
    match fault {
        Some(Fault::Expired) => (terms.from, terms.until) = (from - 30 * DAY, middle - DAY),
        Some(Fault::NotYetValid) => (terms.from, terms.until) = (middle + DAY, until + 30 * DAY),
        Some(Fault::ExpiresBeforeInception) => (terms.from, terms.until) = (until, from),
        Some(Fault::WrongSigner) => terms.signer = zone.base_name(),
        Some(Fault::TooManyLabels) => terms.labels += 1,
        Some(Fault::TooFewLabels) => terms.labels = labels.saturating_sub(1),
        Some(Fault::WrongTag) => terms.tag = !key.tag(),
        Some(Fault::RevokedKey) if key.flags() & ENTRY_POINT != 0 => {
            terms.tag = key_tag(&key.data_flagged(key.flags() | REVOKED));
        }
        Some(Fault::NoZoneKey) if key.flags() & ENTRY_POINT != 0 => {
            terms.tag = key_tag(&key.data_flagged(key.flags() & !ZONE_KEY));
        }
        _ => {}
    }
    terms
}

/// The data of the key that the parent points at.
pub(super) fn pointed_at(flaw: Option<Flaw>, keys: &Keys) -> Vec<u8> {
    match flaw.map(|flaw| flaw.fault) {
        Some(Fault::NoZoneKey) => keys.entry().data_flagged(keys.entry().flags() & !ZONE_KEY),
        Some(Fault::RevokedKey) => keys.entry().data_flagged(keys.entry().flags() | REVOKED),
        _ => keys.entry().data().to_vec(),
    }
}

/// The DNSKEY data that is served.
pub(super) fn served_keys(flaw: Option<Flaw>, keys: &Keys) -> Vec<Vec<u8>> {
    match flaw.map(|flaw| flaw.fault) {
        Some(Fault::NoKeys) => Vec::new(),
        Some(Fault::OtherKeys) => {
            let other = Keys::new(keys.zone(), keys.entry().algorithm());
            [other.entry(), other.signing()].map(|key| key.data().to_vec()).to_vec()
        }
        _ => vec![pointed_at(flaw, keys), keys.signing().data().to_vec()],
    }
}

/// The type that the proofs do not mention.
pub(super) fn missing_types(flaw: Option<Flaw>) -> Option<RecordType> {
    flaw.filter(|flaw| flaw.fault == Fault::LyingProof).and_then(|flaw| flaw.only)
}

pub(super) fn hides_proofs(flaw: Option<Flaw>) -> bool {
    flaw.is_some_and(|flaw| flaw.fault == Fault::NoProof)
}

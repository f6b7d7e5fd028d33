//! Every way of signing a zone wrong, one at a time.

use std::str::FromStr;

use hickory_proto::rr::{Name, RecordType};

use super::{ENTRY_POINT, Key, Keys, REVOKED, ZONE_KEY, counted_labels, lower_wire};
use crate::dnssec::key_tag;

/// Keys and signatures of a key trap: as many as fit into one message each, with RSA of 1024 bits.
const TRAP_KEYS: usize = 300;
pub(super) const TRAP_SIGNATURES: usize = 250;
/// Where the modulus begins in the data of an RSA key with an exponent of three octets (RFC 3110 §2).
const MODULUS: usize = 8;
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
    /// Hundreds of keys have the tag of the one that signs, and hundreds of signatures by it are wrong (CVE-2023-50387).
    KeyTrap,
    /// The last NSEC record reaches beyond the zone, over its neighbours.
    BroadProof,
}

/// The words for each, as zone lists have them.
const WORDS: [(&str, Fault); 17] = [
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
    ("key-trap", Fault::KeyTrap),
    ("broad-proof", Fault::BroadProof),
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
            Fault::KeyTrap => 6,
            Fault::BroadProof => 12,
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
        Some(Fault::KeyTrap) => {
            let signing = keys.signing().data();
            let trap = (1..=TRAP_KEYS).map(|turn| turned(signing, turn));
            [keys.entry().data().to_vec(), signing.to_vec()].into_iter().chain(trap).collect()
        }
        _ => vec![pointed_at(flaw, keys), keys.signing().data().to_vec()],
    }
}

/// Another key with the same tag. The tag is a sum of pairs of octets, whatever their order (RFC 4034 appendix B): those of
/// the modulus change places, but for the first and the last, so that it keeps its size and stays odd.
fn turned(key: &[u8], turn: usize) -> Vec<u8> {
    let mut key = key.to_vec();
    let end = key.len().saturating_sub(2) & !1;
    let Some(middle) = key.get_mut(MODULUS + 2..end) else { return key };
    let pairs = middle.len() / 2;
    if pairs > 1 {
        // Every turn and, beyond a full one, every exchange of the first pair with another one.
        middle.rotate_left(2 * (turn % pairs));
        let other = 2 * (turn / pairs % pairs);
        if other > 0 {
            (0..2).for_each(|octet| middle.swap(octet, other + octet));
        }
    }
    key
}

/// The end of the last NSEC record: a name far behind the zone's, at its parent.
pub(super) fn beyond(flaw: Option<Flaw>, apex: &Name) -> Option<Vec<u8>> {
    let broad = flaw.is_some_and(|flaw| flaw.fault == Fault::BroadProof);
    broad.then(|| [b"\x08zzzzzzzz".as_slice(), &lower_wire(&apex.base_name())].concat())
}

/// The type that the proofs do not mention.
pub(super) fn missing_types(flaw: Option<Flaw>) -> Option<RecordType> {
    flaw.filter(|flaw| flaw.fault == Fault::LyingProof).and_then(|flaw| flaw.only)
}

pub(super) fn hides_proofs(flaw: Option<Flaw>) -> bool {
    flaw.is_some_and(|flaw| flaw.fault == Fault::NoProof)
}

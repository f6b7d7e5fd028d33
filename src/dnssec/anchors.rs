//! Trust anchors: where trust begins, and where an operator has suspended it (RFC 7646).

use std::fmt;

use data_encoding::{BASE64, HEXUPPER_PERMISSIVE};

use super::crypto::{PublicKey, digest_length};
use super::keys::Trusted;
use super::record::{Dnskey, key_tag};
use crate::clock::UnixTime;
use crate::wire::{Name, Rtype};

/// The root's anchors as compiled in.
const ROOT: &str = include_str!("../../zones/root.anchors");

/// What is trusted of one zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchor {
    pub zone: Name,
    /// DS data.
    pub ds: Vec<Vec<u8>>,
    /// DNSKEY data.
    pub dnskeys: Vec<Vec<u8>>,
}

impl Anchor {
    /// The tag of each key that is trusted.
    pub fn tags(&self) -> impl Iterator<Item = u16> {
        let ds = self.ds.iter().filter_map(|ds| ds.first_chunk().map(|tag| u16::from_be_bytes(*tag)));
        ds.chain(self.dnskeys.iter().map(|key| key_tag(key)))
    }

    /// Calls `work` with what is trusted.
    pub fn with_trusted<R>(&self, work: impl FnOnce(Trusted<'_>) -> R) -> R {
        let ds: Vec<&[u8]> = self.ds.iter().map(Vec::as_slice).collect();
        let dnskeys: Vec<&[u8]> = self.dnskeys.iter().map(Vec::as_slice).collect();
        work(Trusted { ds: &ds, dnskeys: &dnskeys })
    }
}

/// Below this zone nothing is validated until then (RFC 7646).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NegativeAnchor {
    pub zone: Name,
    pub until: UnixTime,
}

/// Where the chain of trust to a name begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start<'a> {
    /// At this anchor.
    Anchor(&'a Anchor),
    /// Nowhere, for now: the operator says so.
    Suspended(&'a NegativeAnchor),
    /// Nowhere: no anchor is at or above it.
    Nowhere,
}

/// All trust anchors, at most one a zone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Anchors {
    anchors: Vec<Anchor>,
    negative: Vec<NegativeAnchor>,
}

/// What is wrong with a file of trust anchors, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnchorError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for AnchorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for AnchorError {}

impl Anchors {
    /// The root's, as compiled in.
    pub fn built_in() -> Anchors {
        Anchors::parse(ROOT).unwrap_or_default()
    }

    /// Reads DS and DNSKEY records in the form of a zone file, of the root or of islands of trust; all errors at once.
    pub fn parse(text: &str) -> Result<Anchors, Vec<AnchorError>> {
        let mut anchors = Anchors::default();
        let mut errors = Vec::new();
        for entry in entries(text) {
            match entry.and_then(|entry| entry.record()) {
                Ok((zone, rtype, rdata)) => anchors.trust(zone, rtype, rdata),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() && anchors.anchors.is_empty() {
            errors.push(AnchorError { line: 1, message: "no DS and no DNSKEY record in it".to_owned() });
        }
        if errors.is_empty() { Ok(anchors) } else { Err(errors) }
    }

    fn trust(&mut self, zone: Name, rtype: Rtype, rdata: Vec<u8>) {
        let at = self.anchors.iter().position(|anchor| anchor.zone == zone).unwrap_or_else(|| {
            self.anchors.push(Anchor { zone, ds: Vec::new(), dnskeys: Vec::new() });
            self.anchors.len() - 1
        });
        let Some(anchor) = self.anchors.get_mut(at) else { return };
        let list = if rtype == Rtype::DS { &mut anchor.ds } else { &mut anchor.dnskeys };
        if !list.contains(&rdata) {
            list.push(rdata);
        }
    }

    /// Suspends validation below zones.
    pub fn with_negative(mut self, negative: Vec<NegativeAnchor>) -> Anchors {
        self.negative = negative;
        self
    }

    /// The zones below which validation is suspended.
    pub fn negative(&self) -> &[NegativeAnchor] {
        &self.negative
    }

    /// In place of what was trusted of this anchor's zone: what RFC 5011 has learned. One without keys is withdrawn.
    pub fn replace(&mut self, anchor: Anchor) {
        self.anchors.retain(|known| known.zone != anchor.zone);
        if !(anchor.ds.is_empty() && anchor.dnskeys.is_empty()) {
            self.anchors.push(anchor);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.anchors.iter()
    }

    /// The anchor of exactly this zone.
    pub fn of(&self, zone: &Name) -> Option<&Anchor> {
        self.anchors.iter().find(|anchor| anchor.zone == *zone)
    }

    /// The closest anchor at or above `name`. A negative one in force counts unless an anchor is closer still (RFC 7646
    /// §2).
    pub fn closest(&self, name: &Name, now: UnixTime) -> Start<'_> {
        let anchors = self.anchors.iter().filter(|anchor| name.is_at_or_below(&anchor.zone));
        let anchor = anchors.max_by_key(|anchor| anchor.zone.label_count());
        let negative = self.negative.iter().filter(|n| n.until > now && name.is_at_or_below(&n.zone));
        let negative = negative.max_by_key(|negative| negative.zone.label_count());
        match (anchor, negative) {
            (Some(anchor), Some(negative)) if anchor.zone.is_below(&negative.zone) => Start::Anchor(anchor),
            (_, Some(negative)) => Start::Suspended(negative),
            (Some(anchor), None) => Start::Anchor(anchor),
            (None, None) => Start::Nowhere,
        }
    }
}

/// A record as it stands in the text: its words, and the line that it begins at.
struct Entry<'t> {
    line: usize,
    words: Vec<&'t str>,
}

/// The records of a text, without comments, parentheses undone.
fn entries(text: &str) -> Vec<Result<Entry<'_>, AnchorError>> {
    let mut found = Vec::new();
    let mut open: Option<usize> = None;
    let mut words: Vec<&str> = Vec::new();
    let mut begin = 0;
    for (number, line) in (1..).zip(text.lines()) {
        if words.is_empty() && open.is_none() {
            begin = number;
        }
        let blank = line.starts_with([' ', '\t']) && open.is_none();
        let line = line.split(';').next().unwrap_or("");
        if blank && !line.trim().is_empty() {
            let message = "a record begins with its zone, in the first column".to_owned();
            found.push(Err(AnchorError { line: number, message }));
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find(['(', ')']) {
            let (before, after) = rest.split_at(at);
            words.extend(before.split_whitespace());
            open = if after.starts_with('(') { Some(number) } else { None };
            rest = after.get(1..).unwrap_or("");
        }
        words.extend(rest.split_whitespace());
        if open.is_none() && !words.is_empty() {
            found.push(Ok(Entry { line: begin, words: std::mem::take(&mut words) }));
        }
    }
    if let Some(line) = open {
        found.push(Err(AnchorError { line, message: "a parenthesis is not closed".to_owned() }));
    }
    found
}

impl Entry<'_> {
    fn record(&self) -> Result<(Name, Rtype, Vec<u8>), AnchorError> {
        self.read().map_err(|message| AnchorError { line: self.line, message })
    }

    fn read(&self) -> Result<(Name, Rtype, Vec<u8>), String> {
        let mut words = self.words.iter().copied();
        let owner = words.next().unwrap_or("");
        let zone = Name::parse(owner).map_err(|error| format!("`{}`: {error}", owner.escape_debug()))?;
        let (mut ttl, mut class) = (false, false);
        let kind = loop {
            let word = words.next().ok_or("expected ZONE DS … or ZONE DNSKEY …")?;
            // TTL and class stand in any order, each at most once (RFC 1035 §5.1).
            if !ttl && word.parse::<u32>().is_ok() {
                ttl = true;
            } else if !class && word.eq_ignore_ascii_case("IN") {
                class = true;
            } else {
                break word;
            }
        };
        match Rtype::parse(kind) {
            Some(Rtype::DS) => Ok((zone, Rtype::DS, ds(words)?)),
            Some(Rtype::DNSKEY) => Ok((zone, Rtype::DNSKEY, dnskey(words)?)),
            _ => Err(format!("`{}`: only DS and DNSKEY records are trust anchors", kind.escape_debug())),
        }
    }
}

fn number<T: std::str::FromStr>(word: Option<&str>, what: &str) -> Result<T, String> {
    let word = word.ok_or_else(|| format!("the {what} is missing"))?;
    word.parse().map_err(|_| format!("`{}` is no {what}", word.escape_debug()))
}

/// An algorithm by its number or its mnemonic (RFC 4034 §5.3, the IANA registry).
fn algorithm(word: Option<&str>) -> Result<u8, String> {
    const MNEMONICS: [(&str, u8); 13] = [
        ("RSAMD5", 1),
        ("DH", 2),
        ("DSA", 3),
        ("RSASHA1", 5),
        ("DSA-NSEC3-SHA1", 6),
        ("RSASHA1-NSEC3-SHA1", 7),
        ("RSASHA256", 8),
        ("RSASHA512", 10),
        ("ECC-GOST", 12),
        ("ECDSAP256SHA256", 13),
        ("ECDSAP384SHA384", 14),
        ("ED25519", 15),
        ("ED448", 16),
    ];
    let named = MNEMONICS.iter().find(|(name, _)| word.is_some_and(|word| word.eq_ignore_ascii_case(name)));
    named.map_or_else(|| number(word, "algorithm"), |&(_, algorithm)| Ok(algorithm))
}

fn ds<'t>(mut words: impl Iterator<Item = &'t str>) -> Result<Vec<u8>, String> {
    let tag: u16 = number(words.next(), "key tag")?;
    let algorithm = algorithm(words.next())?;
    let kind: u8 = number(words.next(), "digest type")?;
    let text: String = words.collect();
    let digest = HEXUPPER_PERMISSIVE.decode(text.as_bytes()).map_err(|error| format!("the digest: {error}"))?;
    match digest_length(kind) {
        Some(length) if length != digest.len() => {
            return Err(format!("a digest of type {kind} has {length} octets, here are {}", digest.len()));
        }
        None if digest.is_empty() => return Err("the digest is missing".to_owned()),
        _ => {}
    }
    let [high, low] = tag.to_be_bytes();
    Ok([&[high, low, algorithm, kind], digest.as_slice()].concat())
}

/// Flags, protocol, algorithm and key of a DNSKEY record in text.
pub(super) fn dnskey<'t>(mut words: impl Iterator<Item = &'t str>) -> Result<Vec<u8>, String> {
    let flags: u16 = number(words.next(), "flags field")?;
    let protocol: u8 = number(words.next(), "protocol number")?;
    let algorithm = algorithm(words.next())?;
    let text: String = words.collect();
    let key = BASE64.decode(text.as_bytes()).map_err(|error| format!("the key: {error}"))?;
    if flags & Dnskey::ZONE == 0 || protocol != 3 {
        return Err("a zone key has the flag 256 and protocol 3".to_owned());
    }
    if flags & Dnskey::REVOKE != 0 {
        return Err("the key is revoked".to_owned());
    }
    let known = matches!(algorithm, 5 | 7 | 8 | 10 | 13 | 14 | 15);
    if key.is_empty() || known && PublicKey::parse(algorithm, &key).is_none() {
        return Err(format!("it is no key of algorithm {algorithm}"));
    }
    let [high, low] = flags.to_be_bytes();
    Ok([&[high, low, protocol, algorithm], key.as_slice()].concat())
}

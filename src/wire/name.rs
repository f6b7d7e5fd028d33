//! Domain names in lower-case wire form.

use std::fmt;

use smallvec::SmallVec;

/// The longest name, in octets with the root label (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label, in octets (RFC 1035 §2.3.4).
pub const MAX_LABEL: usize = 63;

/// A domain name, lower-cased, in uncompressed wire form: short ones live inline.
///
/// Comparison is of octets, which for lower-cased names is the comparison of RFC 4343.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(SmallVec<[u8; 40]>);

impl Clone for Name {
    /// In one piece: what `SmallVec` derives goes octet by octet.
    fn clone(&self) -> Name {
        Name(SmallVec::from_slice(&self.0))
    }
}

/// Why a text is not a domain name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameError {
    Empty,
    EmptyLabel,
    LabelTooLong,
    NameTooLong,
    BadEscape,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::Empty => "a name has at least a dot",
            NameError::EmptyLabel => "two dots in a row: a label is empty",
            NameError::LabelTooLong => "a label is longer than 63 octets",
            NameError::NameTooLong => "the name is longer than 255 octets",
            NameError::BadEscape => "an escape is \\DDD (000 to 255) or \\ and one character",
        })
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// The root.
    pub fn root() -> Name {
        Name(SmallVec::from_slice(&[0]))
    }

    /// From uncompressed wire form in any case. `None` unless it is exactly one whole name.
    pub fn from_wire(wire: &[u8]) -> Option<Name> {
        if wire_name_len(wire)? != wire.len() {
            return None;
        }
        let mut bytes: SmallVec<[u8; 40]> = SmallVec::from_slice(wire);
        bytes.make_ascii_lowercase();
        Some(Name(bytes))
    }

    /// From presentation format, with or without the final dot, always absolute (RFC 1035 §5.1 escapes).
    pub fn parse(text: &str) -> Result<Name, NameError> {
        if text == "." {
            return Ok(Name::root());
        }
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let mut bytes: SmallVec<[u8; 40]> = SmallVec::new();
        let mut label: SmallVec<[u8; 64]> = SmallVec::new();
        let text = text.as_bytes();
        let mut at = 0;
        while let Some(&c) = text.get(at) {
            at += 1;
            match c {
                b'.' => flush(&mut label, &mut bytes)?,
                b'\\' => {
                    let (octet, used) = escape(text.get(at..).unwrap_or(&[]))?;
                    label.push(octet);
                    at += used;
                }
                c => label.push(c),
            }
        }
        if !label.is_empty() {
            flush(&mut label, &mut bytes)?;
        }
        bytes.push(0);
        if bytes.len() > MAX_NAME {
            return Err(NameError::NameTooLong);
        }
        bytes.make_ascii_lowercase();
        Ok(Name(bytes))
    }

    /// The octets, the root label included.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Is this the root?
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// How many labels, the root label not counted.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// The labels from left to right, without the root label.
    pub fn labels(&self) -> Labels<'_> {
        Labels(&self.0)
    }

    /// Without its leftmost label; `None` of the root.
    pub fn parent(&self) -> Option<Name> {
        let first = usize::from(*self.0.first()?);
        if first == 0 { None } else { Some(Name(SmallVec::from_slice(self.0.get(first + 1..)?))) }
    }

    /// The rightmost `count` labels.
    pub fn suffix(&self, count: usize) -> Name {
        let skip = self.label_count().saturating_sub(count);
        let mut rest: &[u8] = &self.0;
        for _ in 0..skip {
            let first = usize::from(rest.first().copied().unwrap_or(0));
            rest = rest.get(first + 1..).unwrap_or(&[0]);
        }
        Name(SmallVec::from_slice(rest))
    }

    /// Is this name at or below `other`?
    pub fn is_at_or_below(&self, other: &Name) -> bool {
        self.strip(other).is_some()
    }

    /// Is this name below `other`, and not `other` itself?
    pub fn is_below(&self, other: &Name) -> bool {
        self.0.len() > other.0.len() && self.is_at_or_below(other)
    }

    /// The octets of the labels left of `suffix`; `None` if this is not at or below it.
    pub fn strip(&self, suffix: &Name) -> Option<&[u8]> {
        let cut = self.0.len().checked_sub(suffix.0.len())?;
        if self.0.get(cut..)? != suffix.0.as_slice() {
            return None;
        }
        let mut at = 0;
        while at < cut {
            at += usize::from(*self.0.get(at)?) + 1;
        }
        if at == cut { self.0.get(..cut) } else { None }
    }

    /// `labels` (wire form without a root label, any case) in front of this name; `None` if too long.
    pub fn with_prefix(&self, labels: &[u8]) -> Option<Name> {
        if labels.len() + self.0.len() > MAX_NAME {
            return None;
        }
        let mut bytes: SmallVec<[u8; 40]> = SmallVec::from_slice(labels);
        bytes.make_ascii_lowercase();
        bytes.extend_from_slice(&self.0);
        Some(Name(bytes))
    }

    /// Is the leftmost label `*`?
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(&[1, b'*'])
    }
}

fn flush(label: &mut SmallVec<[u8; 64]>, bytes: &mut SmallVec<[u8; 40]>) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    if label.len() > MAX_LABEL {
        return Err(NameError::LabelTooLong);
    }
    bytes.push(u8::try_from(label.len()).map_err(|_| NameError::LabelTooLong)?);
    bytes.extend_from_slice(label);
    label.clear();
    Ok(())
}

/// The octet that an escape stands for, and how long the escape is without its backslash (RFC 1035 §5.1).
pub(super) fn escape(text: &[u8]) -> Result<(u8, usize), NameError> {
    match *text {
        [a, b, c, ..] if a.is_ascii_digit() => {
            if !b.is_ascii_digit() || !c.is_ascii_digit() {
                return Err(NameError::BadEscape);
            }
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            Ok((u8::try_from(value).map_err(|_| NameError::BadEscape)?, 3))
        }
        [c, ..] if !c.is_ascii_digit() => Ok((c, 1)),
        _ => Err(NameError::BadEscape),
    }
}

/// A name in wire form, as it came, in lower case: questions in random case (0x20) are about the same name. Nothing is
/// allocated.
pub fn lowered(wire: &[u8]) -> SmallVec<[u8; MAX_NAME]> {
    let mut lower = SmallVec::from_slice(wire);
    lower.make_ascii_lowercase();
    lower
}

/// ASCII letters of a word of eight octets in lower case: each octet by itself, without a branch.
#[inline]
pub fn lowered_word(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * ONES);
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let beyond_z = low + (0x7f - b'Z' as u64) * ONES;
    let upper = (from_a ^ beyond_z) & !word & (0x80 * ONES);
    word | upper >> 2
}

/// The last eight octets of a name as a word, or all of it if it is shorter.
#[inline]
pub fn last_word(wire: &[u8]) -> u64 {
    match wire.last_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => wire.iter().fold(0, |word, octet| word << 8 | u64::from(*octet)),
    }
}

/// The length of the uncompressed name at the start of `wire`, its root label included.
pub fn wire_name_len(wire: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = usize::from(*wire.get(at)?);
        if label > MAX_LABEL {
            return None;
        }
        at += label + 1;
        if at > MAX_NAME {
            return None;
        }
        if label == 0 {
            return Some(at);
        }
    }
}

/// The labels of a name from left to right.
#[derive(Clone)]
pub struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.0.first()?);
        if length == 0 {
            return None;
        }
        let label = self.0.get(1..=length)?;
        self.0 = self.0.get(length + 1..)?;
        Some(label)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_wire_name(&self.0, f)
    }
}

/// Writes a name, given in uncompressed wire form in any case, in printable ASCII (RFC 1035 §5.1).
pub(super) fn show_wire_name(wire: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    if wire.len() <= 1 {
        return out.write_str(".");
    }
    for label in Labels(wire) {
        for &octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'@' | b'$' | b'(' | b')' => write!(out, "\\{}", char::from(octet))?,
                0x21..=0x7e => out.write_char(char::from(octet))?,
                _ => write!(out, "\\{octet:03}")?,
            }
        }
        out.write_char('.')?;
    }
    Ok(())
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    #[test]
    fn presentation_round_trips() {
        for text in [".", "a.", "www.example.com.", "a\\.b.example.", "\\000\\255.x."] {
            assert_eq!(name(text).to_string(), text);
        }
        assert_eq!(name("WwW.Example"), name("www.example."));
    }

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        assert_eq!(Name::parse(""), Err(NameError::Empty));
        assert_eq!(Name::parse("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(&"x".repeat(64)), Err(NameError::LabelTooLong));
        assert_eq!(Name::parse(&"abcdefg.".repeat(32)), Err(NameError::NameTooLong));
        assert_eq!(Name::parse("a\\25"), Err(NameError::BadEscape));
        assert_eq!(Name::parse("a\\256"), Err(NameError::BadEscape));
    }

    #[test]
    fn below_counts_labels_not_octets() {
        assert!(name("www.example.com").is_below(&name("example.com")));
        assert!(!name("wwwexample.com").is_at_or_below(&name("example.com")));
        assert!(name("example.com").is_at_or_below(&name("example.com")));
        assert!(!name("example.com").is_below(&name("example.com")));
        assert!(name("example.com").is_below(&Name::root()));
        // The octets of "com" inside a label are not the zone "com".
        assert!(!Name::from_wire(b"\x05a\x03com\0").expect("a name").is_at_or_below(&name("com")));
    }

    #[test]
    fn suffixes_and_parents() {
        let deep = name("a.b.c.d");
        assert_eq!(deep.suffix(2), name("c.d"));
        assert_eq!(deep.suffix(0), Name::root());
        assert_eq!(deep.suffix(9), deep);
        assert_eq!(deep.parent(), Some(name("b.c.d")));
        assert_eq!(Name::root().parent(), None);
        assert_eq!(deep.strip(&name("c.d")), Some(&b"\x01a\x01b"[..]));
    }

    #[test]
    fn words_are_lowered_octet_by_octet() {
        for octet in 0..=255u8 {
            for at in 0..8 {
                let mut octets = *b"aZ[@{\xc1\x7f\0";
                octets[at] = octet;
                let expected = u64::from_le_bytes(octets.map(|octet| octet.to_ascii_lowercase()));
                assert_eq!(lowered_word(u64::from_le_bytes(octets)), expected, "{octet} at {at}");
            }
        }
    }
}

//! A bounded walk over a message: nothing a sender writes makes it do more work than its length warrants.

use super::name::{MAX_LABEL, MAX_NAME};

/// Compression pointers followed within one name. Real names need two or three; chains are made
/// to cost (CVE-2026-19630, CVE-2026-96405).
pub const MAX_HOPS: usize = 16;
/// Pointers followed before any record is read; each record allows [`HOPS_PER_RECORD`] more.
const HOPS_AT_START: usize = 128;
/// An owner name and two names in the data, each by one pointer, with one to spare.
const HOPS_PER_RECORD: usize = 4;

/// What is wrong with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// It ends before what it announces.
    Short,
    /// A label type other than a plain label or a pointer.
    LabelType,
    /// A name of more than 255 octets.
    NameTooLong,
    /// A pointer that does not point backwards.
    PointerForward,
    /// More than [`MAX_HOPS`] pointers in a name, or too many in the message.
    PointerWork,
    /// More records announced than the octets can hold.
    Counts,
    /// A question section that has not exactly one question.
    Questions,
    /// More than one OPT record, or one that is not at the root.
    Opt,
    /// More options than anybody needs.
    OptionCount,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ParseError::Short => "it ends too soon",
            ParseError::LabelType => "a label has an unknown type",
            ParseError::NameTooLong => "a name is longer than 255 octets",
            ParseError::PointerForward => "a compression pointer does not point backwards",
            ParseError::PointerWork => "too many compression pointers",
            ParseError::Counts => "more records are announced than fit",
            ParseError::Questions => "it has not exactly one question",
            ParseError::Opt => "its OPT record is wrong",
            ParseError::OptionCount => "it has too many EDNS options",
        })
    }
}

impl std::error::Error for ParseError {}

/// A place in a message, and the work still allowed.
pub struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    hops_left: usize,
}

impl<'a> Reader<'a> {
    /// Starts at offset `at`.
    pub fn new(message: &'a [u8], at: usize) -> Reader<'a> {
        Reader { message, at, hops_left: HOPS_AT_START }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn remaining(&self) -> usize {
        self.message.len().saturating_sub(self.at)
    }

    /// Called once a record: its share of pointers.
    pub fn begin_record(&mut self) {
        self.hops_left += HOPS_PER_RECORD;
    }

    pub fn u8(&mut self) -> Result<u8, ParseError> {
        let value = *self.message.get(self.at).ok_or(ParseError::Short)?;
        self.at += 1;
        Ok(value)
    }

    pub fn u16(&mut self) -> Result<u16, ParseError> {
        let bytes = self.bytes(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub fn u32(&mut self) -> Result<u32, ParseError> {
        let bytes = self.bytes(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], ParseError> {
        let end = self.at.checked_add(count).ok_or(ParseError::Short)?;
        let bytes = self.message.get(self.at..end).ok_or(ParseError::Short)?;
        self.at = end;
        Ok(bytes)
    }

    /// Reads a name, following pointers, and appends it uncompressed to `out` in its own case.
    /// Returns its length there.
    pub fn name(&mut self, out: &mut Vec<u8>) -> Result<usize, ParseError> {
        let start = out.len();
        let mut at = self.at;
        let mut end = None;
        let mut lowest = self.at;
        let mut hops = 0;
        loop {
            let length = *self.message.get(at).ok_or(ParseError::Short)?;
            match length {
                0 => {
                    out.push(0);
                    self.at = end.unwrap_or(at + 1);
                    return Ok(out.len() - start);
                }
                1..=0x3f => {
                    let label = self.message.get(at..at + 1 + usize::from(length)).ok_or(ParseError::Short)?;
                    debug_assert!(label.len() <= MAX_LABEL + 1);
                    if out.len() - start + label.len() + 1 > MAX_NAME {
                        return Err(ParseError::NameTooLong);
                    }
                    out.extend_from_slice(label);
                    at += label.len();
                }
                0xc0..=0xff => {
                    let low = *self.message.get(at + 1).ok_or(ParseError::Short)?;
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    end.get_or_insert(at + 2);
                    hops += 1;
                    if target >= lowest {
                        return Err(ParseError::PointerForward);
                    }
                    if hops > MAX_HOPS || self.hops_left == 0 {
                        return Err(ParseError::PointerWork);
                    }
                    self.hops_left -= 1;
                    lowest = target;
                    at = target;
                }
                _ => return Err(ParseError::LabelType),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8], at: usize) -> Result<Vec<u8>, ParseError> {
        let mut out = Vec::new();
        Reader::new(message, at).name(&mut out).map(|_| out)
    }

    #[test]
    fn pointers_are_followed_backwards_only() {
        assert_eq!(read(b"\x01a\0\x01b\xc0\0", 3), Ok(b"\x01b\x01a\0".to_vec()));
        assert_eq!(read(b"\xc0\0", 0), Err(ParseError::PointerForward));
        assert_eq!(read(b"\xc0\x02\x01a\0", 0), Err(ParseError::PointerForward));
        assert_eq!(read(b"\x01a\xc0\0", 0), Err(ParseError::PointerForward));
    }

    #[test]
    fn a_staircase_of_pointers_is_refused() {
        let mut message = b"\x01a\0".to_vec();
        for step in 0..40u8 {
            let target = if step == 0 { 0 } else { 3 + (step - 1) * 2 };
            message.extend_from_slice(&[0xc0, target]);
        }
        assert!(read(&message, 3 + 15 * 2).is_ok());
        assert_eq!(read(&message, 3 + 16 * 2), Err(ParseError::PointerWork));
    }

    #[test]
    fn a_name_past_255_octets_is_refused() {
        let mut message = Vec::new();
        for _ in 0..5 {
            message.push(63);
            message.extend_from_slice(&[b'x'; 63]);
        }
        message.push(0);
        assert_eq!(read(&message, 0), Err(ParseError::NameTooLong));
    }

    #[test]
    fn truncation_anywhere_is_short() {
        let whole = b"\x03www\x07example\x03com\0";
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut], 0), Err(ParseError::Short));
        }
    }
}

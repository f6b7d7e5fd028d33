//! A server's response, read in one bounded walk: names lower-cased and uncompressed, data in one buffer.

use std::ops::Range;

use smallvec::SmallVec;

use super::name::Name;
use super::read::{ParseError, Reader};
use super::types::{Flags, Rcode, Rtype, option};

/// The octets of a header.
pub const HEADER: usize = 12;
/// The smallest record: root owner, type, class, TTL, no data.
const SMALLEST_RECORD: usize = 11;
/// EDNS options read in one packet; the whole registry has fewer (CVE-2026-41292, CVE-2026-42944).
pub const MAX_OPTIONS: usize = 64;

/// One record of a message; its data is in [`Message::rdata`].
#[derive(Clone, Debug)]
pub struct Record {
    pub owner: Name,
    pub rtype: Rtype,
    pub class: u16,
    pub ttl: u32,
    rdata: Range<u32>,
}

/// What an OPT record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edns {
    pub udp_payload_size: u16,
    pub extended_rcode: u8,
    pub version: u8,
    pub dnssec_ok: bool,
    /// The COOKIE option's octets.
    pub cookie: Option<SmallVec<[u8; 40]>>,
    /// The first extended error's INFO-CODE, and its text as far as it is one (RFC 8914 §2).
    pub extended_error: Option<(u16, String)>,
}

/// A whole message.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: u16,
    pub flags: Flags,
    /// The name in the question in the sender's case, uncompressed; empty without a question.
    pub question_name: SmallVec<[u8; 64]>,
    pub question_type: Rtype,
    pub question_class: u16,
    records: Vec<Record>,
    answers: usize,
    authorities: usize,
    data: Vec<u8>,
    pub edns: Option<Edns>,
    /// Records left out because their data cannot be what their type says.
    pub skipped: u16,
}

/// The shape of record data that holds names, so that they can be uncompressed (RFC 3597 §4).
enum Part {
    Name,
    Octets(usize),
    /// A character string with its length octet.
    Text,
    Rest,
}

fn layout(rtype: Rtype) -> &'static [Part] {
    use Part::{Name, Octets, Rest, Text};
    match rtype.0 {
        // NS MD MF CNAME MB MG MR PTR DNAME
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 39 => &[Name],
        6 => &[Name, Name, Octets(20)],
        // MINFO RP
        14 | 17 => &[Name, Name],
        // MX AFSDB RT KX
        15 | 18 | 21 | 36 => &[Octets(2), Name],
        // SIG RRSIG
        24 | 46 => &[Octets(18), Name, Rest],
        26 => &[Octets(2), Name, Name],
        // NXT NSEC
        30 | 47 => &[Name, Rest],
        33 => &[Octets(6), Name],
        35 => &[Octets(4), Text, Text, Text, Name],
        1 => &[Octets(4)],
        28 => &[Octets(16)],
        _ => &[Rest],
    }
}

impl Message {
    /// Reads a whole packet.
    pub fn parse(packet: &[u8]) -> Result<Message, ParseError> {
        let mut reader = Reader::new(packet, 0);
        let id = reader.u16()?;
        let flags = Flags(reader.u16()?);
        let questions = reader.u16()?;
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?].map(usize::from);
        if counts.iter().sum::<usize>() * SMALLEST_RECORD > reader.remaining() {
            return Err(ParseError::Counts);
        }
        if questions > 1 {
            return Err(ParseError::Questions);
        }
        let mut message = Message {
            id,
            flags,
            question_name: SmallVec::new(),
            question_type: Rtype(0),
            question_class: 0,
            records: Vec::with_capacity(counts.iter().sum()),
            answers: 0,
            authorities: 0,
            data: Vec::with_capacity(packet.len() + packet.len() / 2),
            edns: None,
            skipped: 0,
        };
        if questions == 1 {
            reader.name(&mut message.data)?;
            message.question_name = SmallVec::from_slice(&message.data);
            message.data.clear();
            message.question_type = Rtype(reader.u16()?);
            message.question_class = reader.u16()?;
        }
        for (section, &count) in counts.iter().enumerate() {
            for _ in 0..count {
                message.read_record(&mut reader, packet, section == 2)?;
            }
            match section {
                0 => message.answers = message.records.len(),
                1 => message.authorities = message.records.len(),
                _ => {}
            }
        }
        Ok(message)
    }

    fn read_record(&mut self, reader: &mut Reader<'_>, packet: &[u8], additional: bool) -> Result<(), ParseError> {
        reader.begin_record();
        let start = self.data.len();
        reader.name(&mut self.data)?;
        let owner = self.data.get(start..).and_then(Name::from_wire).ok_or(ParseError::Short)?;
        self.data.truncate(start);
        let rtype = Rtype(reader.u16()?);
        let class = reader.u16()?;
        let ttl = reader.u32()?;
        let length = usize::from(reader.u16()?);
        if length > reader.remaining() {
            return Err(ParseError::Short);
        }
        if rtype == Rtype::OPT {
            let options = reader.bytes(length)?;
            if !additional || self.edns.is_some() || !owner.is_root() {
                return Err(ParseError::Opt);
            }
            self.edns = Some(read_edns(class, ttl, options)?);
            return Ok(());
        }
        let end = reader.position() + length;
        let whole = self.read_data(reader, packet.get(..end).unwrap_or(packet), rtype, end)?;
        if !whole {
            self.data.truncate(start);
            self.skipped = self.skipped.saturating_add(1);
            reader.bytes(end - reader.position())?;
            return Ok(());
        }
        // RFC 2181 §8: a TTL with the highest bit set counts as zero.
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        let rdata = place(start)?..place(self.data.len())?;
        self.records.push(Record { owner, rtype, class, ttl, rdata });
        Ok(())
    }

    /// Appends the data of one record, uncompressed. `false`: it cannot be data of this type.
    fn read_data(
        &mut self,
        reader: &mut Reader<'_>,
        packet: &[u8],
        rtype: Rtype,
        end: usize,
    ) -> Result<bool, ParseError> {
        for part in layout(rtype) {
            let left = end - reader.position();
            match part {
                Part::Name => {
                    if left == 0 {
                        return Ok(false);
                    }
                    // The name itself must end within the data, its pointers may lead anywhere before.
                    reader.name(&mut self.data)?;
                    if reader.position() > end {
                        return Err(ParseError::Short);
                    }
                }
                Part::Octets(count) => {
                    if left < *count {
                        return Ok(false);
                    }
                    self.data.extend_from_slice(reader.bytes(*count)?);
                }
                Part::Text => {
                    let Some(&length) = packet.get(reader.position()) else { return Ok(false) };
                    if left < usize::from(length) + 1 {
                        return Ok(false);
                    }
                    self.data.extend_from_slice(reader.bytes(usize::from(length) + 1)?);
                }
                Part::Rest => self.data.extend_from_slice(reader.bytes(left)?),
            }
        }
        Ok(reader.position() == end)
    }

    /// The whole RCODE, the extended bits included.
    pub fn rcode(&self) -> Rcode {
        let high = self.edns.as_ref().map_or(0, |edns| u16::from(edns.extended_rcode) << 4);
        Rcode(high | self.flags.rcode())
    }

    pub fn answers(&self) -> &[Record] {
        self.records.get(..self.answers).unwrap_or(&[])
    }

    pub fn authorities(&self) -> &[Record] {
        self.records.get(self.answers..self.authorities).unwrap_or(&[])
    }

    pub fn additionals(&self) -> &[Record] {
        self.records.get(self.authorities..).unwrap_or(&[])
    }

    /// The data of one of this message's records, names in it uncompressed and in the sender's case.
    pub fn rdata(&self, record: &Record) -> &[u8] {
        self.data.get(record.rdata.start as usize..record.rdata.end as usize).unwrap_or(&[])
    }

    /// The question's name; `None` without a question.
    pub fn question(&self) -> Option<Name> {
        Name::from_wire(&self.question_name)
    }
}

fn place(at: usize) -> Result<u32, ParseError> {
    u32::try_from(at).map_err(|_| ParseError::Counts)
}

fn read_edns(class: u16, ttl: u32, options: &[u8]) -> Result<Edns, ParseError> {
    let [extended_rcode, version, high, _] = ttl.to_be_bytes();
    let mut edns =
        Edns { udp_payload_size: class, extended_rcode, version, dnssec_ok: high & 0x80 != 0, ..Edns::default() };
    for_each_option(options, |code, value| match code {
        // The first counts (RFC 7873 §5.2).
        option::COOKIE if edns.cookie.is_none() => edns.cookie = Some(SmallVec::from_slice(value)),
        option::EDE if edns.extended_error.is_none() => {
            edns.extended_error = value
                .split_first_chunk()
                .map(|(code, text)| (u16::from_be_bytes(*code), String::from_utf8_lossy(text).into_owned()));
        }
        _ => {}
    })?;
    Ok(edns)
}

/// Walks the options of an OPT record, at most [`MAX_OPTIONS`] of them.
pub fn for_each_option<'a>(mut options: &'a [u8], mut each: impl FnMut(u16, &'a [u8])) -> Result<(), ParseError> {
    for _ in 0..MAX_OPTIONS {
        let [a, b, c, d, rest @ ..] = options else {
            return if options.is_empty() { Ok(()) } else { Err(ParseError::Opt) };
        };
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let value = rest.get(..length).ok_or(ParseError::Opt)?;
        each(u16::from_be_bytes([*a, *b]), value);
        options = rest.get(length..).unwrap_or(&[]);
    }
    if options.is_empty() { Ok(()) } else { Err(ParseError::OptionCount) }
}

/// The name at the start of record data that begins with one (NS, CNAME, PTR, DNAME, SOA).
pub fn leading_name(rdata: &[u8]) -> Option<Name> {
    Name::from_wire(rdata.get(..super::name::wire_name_len(rdata)?)?)
}

/// The MINIMUM field of SOA data: the last 32 bits.
pub fn soa_minimum(rdata: &[u8]) -> Option<u32> {
    rdata.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response with one question `a. A` and the given record octets in the answer section.
    fn packet(answers: u16, records: &[u8]) -> Vec<u8> {
        let mut packet = vec![0, 1, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet[6..8].copy_from_slice(&answers.to_be_bytes());
        packet.extend_from_slice(b"\x01a\0\0\x01\0\x01");
        packet.extend_from_slice(records);
        packet
    }

    #[test]
    fn names_in_data_are_uncompressed() {
        let message =
            Message::parse(&packet(1, b"\xc0\x0c\0\x0f\0\x01\0\0\0\x05\0\x06\0\x0a\x01M\xc0\x0c")).expect("fine");
        let record = &message.answers()[0];
        assert_eq!((record.rtype, record.ttl), (Rtype::MX, 5));
        assert_eq!(message.rdata(record), b"\0\x0a\x01M\x01a\0");
    }

    #[test]
    fn a_record_without_data_is_skipped_and_the_rest_read() {
        let records = b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\0\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\x01\x02\x03\x04";
        let message = Message::parse(&packet(2, records)).expect("fine");
        assert_eq!((message.answers().len(), message.skipped), (1, 1));
    }

    #[test]
    fn counts_beyond_the_octets_are_refused_before_any_work() {
        assert_eq!(Message::parse(&packet(9, b"")).err(), Some(ParseError::Counts));
    }

    #[test]
    fn a_negative_ttl_counts_as_zero() {
        let message =
            Message::parse(&packet(1, b"\xc0\x0c\0\x01\0\x01\xff\0\0\x05\0\x04\x01\x02\x03\x04")).expect("fine");
        assert_eq!(message.answers()[0].ttl, 0);
    }

    #[test]
    fn option_lists_end() {
        let many: Vec<u8> = std::iter::repeat_n([0, 99, 0, 0], MAX_OPTIONS + 1).flatten().collect();
        assert_eq!(for_each_option(&many, |_, _| {}), Err(ParseError::OptionCount));
        assert_eq!(for_each_option(&[0, 1, 0, 9], |_, _| {}), Err(ParseError::Opt));
    }
}

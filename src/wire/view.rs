//! A client's query, read in place without an allocation.

use super::message::{HEADER, for_each_option};
use super::name::wire_name_len;
use super::read::{ParseError, Reader};
use super::types::{CLASS_IN, Flags, Rcode, Rtype, option};

/// A query with exactly one question; or with none and a COOKIE option, which asks for a cookie (RFC 7873 §5.4).
#[derive(Clone, Copy, Debug)]
pub struct QueryView<'a> {
    pub id: u16,
    pub flags: Flags,
    /// The question as it stands in the packet: name (any case), type, class. Empty where only a cookie is asked for.
    pub question: &'a [u8],
    pub rtype: Rtype,
    pub class: u16,
    pub edns: Option<EdnsView<'a>>,
}

/// What a client's OPT record says.
#[derive(Clone, Copy, Debug, Default)]
pub struct EdnsView<'a> {
    pub udp_payload_size: u16,
    pub version: u8,
    pub dnssec_ok: bool,
    pub nsid: bool,
    pub keepalive: bool,
    pub cookie: Option<&'a [u8]>,
}

/// Why a packet is not a query that can be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not even a header: silence.
    NoHeader,
    /// A response: silence, always.
    Response,
    /// Answer with this RCODE and the header alone.
    Reject(Rcode, ParseError),
    /// An OPCODE other than QUERY: NOTIMP.
    Opcode,
}

impl<'a> QueryView<'a> {
    /// Reads a packet from a client.
    pub fn parse(packet: &'a [u8]) -> Result<QueryView<'a>, Unreadable> {
        let Some(header) = packet.first_chunk::<HEADER>() else { return Err(Unreadable::NoHeader) };
        let id = u16::from_be_bytes([header[0], header[1]]);
        let flags = Flags(u16::from_be_bytes([header[2], header[3]]));
        if flags.has(Flags::QR) {
            return Err(Unreadable::Response);
        }
        if flags.opcode() != 0 {
            return Err(Unreadable::Opcode);
        }
        let formerr = |error| Unreadable::Reject(Rcode::FORMERR, error);
        let asks = header[4..6] == [0, 1];
        if !asks && header[4..6] != [0, 0] {
            return Err(formerr(ParseError::Questions));
        }
        // A query has no answers; the SOA of an IXFR (RFC 1995) is the only authority ever sent.
        if header[6..8] != [0, 0] || header[8] != 0 || header[9] > 1 {
            return Err(formerr(ParseError::Counts));
        }
        let rest = packet.get(HEADER..).unwrap_or(&[]);
        let mut view = QueryView { id, flags, question: &[], rtype: Rtype(0), class: CLASS_IN, edns: None };
        if asks {
            // A pointer in the question could only point into the header: plain labels only.
            let name = wire_name_len(rest).ok_or(formerr(ParseError::Short))?;
            view.question = rest.get(..name + 4).ok_or(formerr(ParseError::Short))?;
            let [.., a, b, c, d] = view.question else { return Err(formerr(ParseError::Short)) };
            (view.rtype, view.class) = (Rtype(u16::from_be_bytes([*a, *b])), u16::from_be_bytes([*c, *d]));
        }
        let records = u16::from_be_bytes([header[8], header[9]]) + u16::from_be_bytes([header[10], header[11]]);
        if records > 0 {
            view.read_records(packet, HEADER + view.question.len(), records).map_err(formerr)?;
        }
        if !asks && view.edns.is_none_or(|edns| edns.cookie.is_none()) {
            return Err(formerr(ParseError::Questions));
        }
        Ok(view)
    }

    fn read_records(&mut self, packet: &'a [u8], at: usize, records: u16) -> Result<(), ParseError> {
        // OPT, TSIG, SIG(0), an IXFR's SOA: nobody needs more.
        if records > 4 {
            return Err(ParseError::Counts);
        }
        let mut reader = Reader::new(packet, at);
        for _ in 0..records {
            let root = packet.get(reader.position()) == Some(&0);
            skip_name(&mut reader)?;
            let rtype = Rtype(reader.u16()?);
            let class = reader.u16()?;
            let ttl = reader.u32()?;
            let length = usize::from(reader.u16()?);
            let data = reader.bytes(length)?;
            if rtype != Rtype::OPT {
                continue;
            }
            if self.edns.is_some() || !root {
                return Err(ParseError::Opt);
            }
            let [_, version, high, _] = ttl.to_be_bytes();
            let mut edns =
                EdnsView { udp_payload_size: class, version, dnssec_ok: high & 0x80 != 0, ..EdnsView::default() };
            for_each_option(data, |code, value| match code {
                option::NSID => edns.nsid = true,
                option::TCP_KEEPALIVE => edns.keepalive = true,
                // The first counts (RFC 7873 §5.2).
                option::COOKIE if edns.cookie.is_none() => edns.cookie = Some(value),
                _ => {}
            })?;
            self.edns = Some(edns);
        }
        Ok(())
    }

    /// The name of the question in the client's case.
    pub fn name(&self) -> &'a [u8] {
        self.question.get(..self.question.len().saturating_sub(4)).unwrap_or(&[0])
    }

    /// Is the DO bit set (RFC 3225)?
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

/// Steps over a name without following its pointer.
fn skip_name(reader: &mut Reader<'_>) -> Result<(), ParseError> {
    loop {
        match reader.u8()? {
            0 => return Ok(()),
            length @ 1..=0x3f => {
                reader.bytes(usize::from(length))?;
            }
            0xc0..=0xff => {
                reader.u8()?;
                return Ok(());
            }
            _ => return Err(ParseError::LabelType),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] =
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03WwW\x02nl\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\x80\0\0\x04\0\x03\0\0";

    #[test]
    fn a_query_is_read_in_place() {
        let view = QueryView::parse(QUERY).expect("a query");
        assert_eq!((view.id, view.rtype, view.class), (0x1234, Rtype::A, 1));
        assert_eq!(view.name(), b"\x03WwW\x02nl\0");
        let edns = view.edns.expect("OPT");
        assert!(edns.dnssec_ok && edns.nsid && edns.udp_payload_size == 1232);
    }

    #[test]
    fn responses_and_scraps_are_told_apart() {
        assert_eq!(QueryView::parse(&QUERY[..11]).err(), Some(Unreadable::NoHeader));
        let mut response = QUERY.to_vec();
        response[2] |= 0x80;
        assert_eq!(QueryView::parse(&response).err(), Some(Unreadable::Response));
        let mut notify = QUERY.to_vec();
        notify[2] |= 0x20;
        assert_eq!(QueryView::parse(&notify).err(), Some(Unreadable::Opcode));
    }

    #[test]
    fn the_first_of_two_cookies_counts() {
        let mut packet = QUERY.to_vec();
        packet.truncate(packet.len() - 6);
        packet.extend_from_slice(b"\0\x18\0\x0a\0\x08FIRSTONE\0\x0a\0\x08another1");
        let edns = QueryView::parse(&packet).expect("a query").edns.expect("OPT");
        assert_eq!(edns.cookie, Some(&b"FIRSTONE"[..]));
    }

    #[test]
    fn no_question_is_a_query_only_with_a_cookie() {
        let mut packet = b"\x12\x34\x01\0\0\0\0\0\0\0\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08clientck".to_vec();
        let view = QueryView::parse(&packet).expect("a query for a cookie");
        assert_eq!((view.question, view.name()), (&b""[..], &b""[..]));
        packet[24] = 12;
        let none = Err(Unreadable::Reject(Rcode::FORMERR, ParseError::Questions));
        assert_eq!(QueryView::parse(&packet).map(|_| ()), none);
        assert_eq!(QueryView::parse(b"\x12\x34\x01\0\0\0\0\0\0\0\0\0").map(|_| ()), none);
    }

    #[test]
    fn every_truncation_is_a_format_error() {
        for cut in HEADER..QUERY.len() {
            assert!(matches!(QueryView::parse(&QUERY[..cut]), Err(Unreadable::Reject(Rcode::FORMERR, _))), "at {cut}");
        }
    }

    #[test]
    fn two_opt_records_are_a_format_error() {
        let mut packet = QUERY.to_vec();
        packet[11] = 2;
        packet.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0\0");
        assert_eq!(QueryView::parse(&packet).err(), Some(Unreadable::Reject(Rcode::FORMERR, ParseError::Opt)));
    }
}

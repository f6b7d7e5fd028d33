//! Queries as they are sent and responses as they are judged.

use std::net::IpAddr;

/// The EDE codes of stale answers: Stale Answer and Stale NXDOMAIN Answer (RFC 8914 §4.4, §4.20).
const STALE: [u16; 2] = [3, 19];
/// The OPT record and its EDE option (RFC 6891 §6.1.1, RFC 8914 §2).
const OPT: u16 = 41;
const EDE: u16 = 15;
const COOKIE: u16 = 10;
/// BADCOOKIE (RFC 7873 §8).
pub const BADCOOKIE: u16 = 23;
/// Octets of a DNS header.
pub const HEADER: usize = 12;

/// What queries carry besides their question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Form {
    /// The UDP payload size told in an OPT record; none without EDNS.
    pub edns: Option<u16>,
    /// DNSSEC OK.
    pub dnssec: bool,
    /// Recursion desired.
    pub recursion: bool,
}

impl Default for Form {
    fn default() -> Form {
        Form { edns: Some(1232), dnssec: false, recursion: true }
    }
}

/// Writes a query over `out`, with ID 0.
pub fn write_query(out: &mut Vec<u8>, name: &[u8], rtype: u16, form: Form) {
    out.clear();
    out.extend_from_slice(&[0, 0, u8::from(form.recursion), 0, 0, 1, 0, 0, 0, 0, 0, u8::from(form.edns.is_some())]);
    out.extend_from_slice(name);
    out.extend_from_slice(&rtype.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    if let Some(payload) = form.edns {
        let [high, low] = payload.to_be_bytes();
        out.extend_from_slice(&[0, 0, OPT as u8, high, low, 0, 0, if form.dnssec { 0x80 } else { 0 }, 0, 0, 0]);
    }
}

/// A fingerprint of a message's first question, in any case of its letters; 0 where there is none to read.
pub fn question_print(packet: &[u8]) -> u32 {
    let Some(end) = question_end(packet) else { return 0 };
    let mut hash = 0x811c_9dc5u32;
    for octet in &packet[HEADER..end] {
        hash = (hash ^ u32::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0193);
    }
    hash.max(1)
}

/// Where the first question ends; none where there is none, or it is no plain name.
fn question_end(packet: &[u8]) -> Option<usize> {
    if packet.get(4..6)? == [0, 0] {
        return None;
    }
    let mut at = HEADER;
    loop {
        let length = usize::from(*packet.get(at)?);
        if length > 63 || at > HEADER + 255 {
            return None;
        }
        at += length + 1;
        if length == 0 {
            break;
        }
    }
    (at + 4 <= packet.len()).then_some(at + 4)
}

/// What a response says, as far as clients care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    pub id: u16,
    /// The RCODE with its upper bits from the OPT record.
    pub rcode: u16,
    pub truncated: bool,
    /// It carries an EDE of a stale answer.
    pub stale: bool,
    /// Records in the answer section, as the header counts them.
    pub answers: u16,
    /// [`question_print`]; 0 without a question.
    pub question: u32,
}

fn word(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]))
}

/// Reads a response; none if it is none. What is broken behind the header counts as absent.
pub fn read_response(packet: &[u8]) -> Option<Seen> {
    if packet.len() < HEADER || packet[2] & 0x80 == 0 {
        return None;
    }
    let mut seen = Seen {
        id: word(packet, 0)?,
        rcode: u16::from(packet[3] & 0x0f),
        truncated: packet[2] & 0x02 != 0,
        stale: false,
        answers: word(packet, 6)?,
        question: question_print(packet),
    };
    walk(packet, |rtype, class_and_ttl, data, _| {
        if rtype == OPT {
            seen.rcode |= u16::from(class_and_ttl[2]) << 4;
            seen.stale |= has_stale(data);
        }
    });
    Some(seen)
}

/// The UDP payload size and the DO bit of a message's OPT record; none without one (RFC 6891 §6.1.2, RFC 3225 §3).
pub fn offered(packet: &[u8]) -> Option<(u16, bool)> {
    let mut found = None;
    walk(packet, |rtype, class_and_ttl, _, _| {
        if rtype == OPT {
            found = word(class_and_ttl, 0).map(|payload| (payload, class_and_ttl[4] & 0x80 != 0));
        }
    });
    found
}

/// The value of a message's cookie option (RFC 7873 §4); none without one.
pub fn cookie(packet: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    walk(packet, |rtype, _, data, _| {
        if rtype == OPT {
            found = found.or_else(|| options(data).find(|(code, _)| *code == COOKIE).map(|(_, value)| value));
        }
    });
    found
}

fn has_stale(data: &[u8]) -> bool {
    options(data).any(|(code, value)| code == EDE && word(value, 0).is_some_and(|info| STALE.contains(&info)))
}

/// The options in an OPT record's data, up to one that is cut short.
fn options(mut data: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (code, length) = (word(data, 0)?, word(data, 2)?);
        let end = 4 + usize::from(length);
        let value = data.get(4..end)?;
        data = data.get(end..)?;
        Some((code, value))
    })
}

/// Calls `each` with type, class and TTL, data and section (0 answer, 1 authority, 2 additional) of every record that can
/// be read.
fn walk<'a>(packet: &'a [u8], mut each: impl FnMut(u16, &'a [u8], &'a [u8], usize)) -> Option<()> {
    let mut at = question_end(packet).unwrap_or(HEADER);
    for section in 0..3 {
        for _ in 0..word(packet, 6 + 2 * section)? {
            loop {
                match *packet.get(at)? {
                    0 => break at += 1,
                    length @ 1..=63 => at += usize::from(length) + 1,
                    0xc0.. => break at += 2,
                    _ => return None,
                }
            }
            let rtype = word(packet, at)?;
            let length = usize::from(word(packet, at + 8)?);
            let data = packet.get(at + 10..at + 10 + length)?;
            each(rtype, &packet[at + 2..at + 8], data, section);
            at += 10 + length;
        }
    }
    Some(())
}

/// The addresses in the answer section, sorted.
pub fn addresses(packet: &[u8]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    walk(packet, |rtype, _, data, section| match (section, rtype) {
        (0, 1) => found.extend(<[u8; 4]>::try_from(data).map(IpAddr::from)),
        (0, 28) => found.extend(<[u8; 16]>::try_from(data).map(IpAddr::from)),
        _ => {}
    });
    found.sort_unstable();
    found
}

/// What is known beforehand of the answer to a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    pub rcode: u16,
    /// There must be records in the answer section.
    pub records: bool,
    /// The addresses it must have, sorted; not looked at where empty.
    pub addresses: Vec<IpAddr>,
}

impl Known {
    /// Whether a response is the right one.
    pub fn is_met(&self, seen: &Seen, packet: &[u8]) -> bool {
        seen.rcode == self.rcode
            && (!self.records || seen.answers > 0)
            && (self.addresses.is_empty() || addresses(packet) == self.addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x03www\x07example\x00";

    fn response() -> Vec<u8> {
        let mut packet = Vec::new();
        write_query(&mut packet, NAME, 1, Form::default());
        packet[2] |= 0x80;
        packet[7] = 1;
        let option = packet.split_off(packet.len() - 11);
        packet.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\xc0\0\x02\x01");
        packet.extend_from_slice(&option[..9]);
        packet.extend_from_slice(&[0, 6, 0, 15, 0, 2, 0, 3]);
        packet
    }

    #[test]
    fn a_response_is_read_with_its_extended_error() {
        let packet = response();
        let seen = read_response(&packet).unwrap();
        assert_eq!((seen.rcode, seen.answers, seen.stale, seen.truncated), (0, 1, true, false));
        let mut query = Vec::new();
        write_query(&mut query, b"\x03WWW\x07eXample\x00", 1, Form { edns: None, ..Form::default() });
        assert_eq!(seen.question, question_print(&query), "whatever the case");
        assert!(read_response(&query).is_none(), "a query is no response");
        assert_eq!(addresses(&packet), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        let known = Known { rcode: 0, records: true, addresses: addresses(&packet) };
        assert!(known.is_met(&seen, &packet));
        assert!(!Known { rcode: 3, ..known }.is_met(&seen, &packet));
    }

    #[test]
    fn what_is_cut_short_anywhere_is_survived() {
        let packet = response();
        for length in 0..packet.len() {
            let _ = read_response(&packet[..length]);
            let _ = addresses(&packet[..length]);
        }
    }
}

//! Records without people in them: addresses and names are replaced so that the same stay the same, and what lies
//! together stays together.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use siphasher::sip::SipHasher24;

use super::Message;
use crate::load::packet::HEADER;
use crate::wire::wire_name_len;

/// Labels from the right that stay readable: the top-level domain and the one below it.
const KEPT_LABELS: usize = 2;
/// Where addresses are written as names (RFC 1035 §3.5, RFC 3596 §2.5).
const REVERSE: [(&[u8], Reverse); 2] =
    [(b"\x07in-addr\x04arpa\0", Reverse::Decimal), (b"\x03ip6\x04arpa\0", Reverse::Nibbles)];
/// The longest name in wire format (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 255;
/// Compression pointers followed in one name; more are a loop.
const MOST_JUMPS: usize = 64;

const A: u16 = 1;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const OPT: u16 = 41;
/// SIG(0), TKEY and TSIG name the key of whoever sent them (RFC 2931, RFC 2930, RFC 8945).
const SIGNED_BY: [u16; 3] = [24, 249, 250];
/// EDE's option, of which the code is kept, and padding (RFC 8914 §2, RFC 7830).
const EDE: u16 = 15;
const PADDING: u16 = 12;

/// How an address is written in a reverse name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reverse {
    Decimal,
    Nibbles,
}

/// Replaces addresses, and names if wanted, by a secret key. Without the key it cannot be undone; with the same key two
/// records fit together.
#[derive(Clone, Copy)]
pub struct Mask {
    key: [u8; 16],
    names: bool,
}

/// A record of a message.
struct Record {
    start: usize,
    data: usize,
    end: usize,
    rtype: u16,
    /// 0 answer, 1 authority, 2 additional.
    section: usize,
}

impl Mask {
    /// With a key. `names` replaces the labels of names too, but for the last two.
    pub fn new(key: [u8; 16], names: bool) -> Mask {
        Mask { key, names }
    }

    /// Replaces what is in a message.
    ///
    /// Addresses are replaced at both ends, in reverse names, and in answers that tell a client its own. Of EDNS options
    /// the codes of extended errors are kept alone; records that sign a message go, as they name a key, and text is
    /// blanked, as some servers tell in it who asks. Where names are replaced, in answers to reverse names, and in other
    /// messages than queries, what follows the question goes, but for the OPT record; and from whatever cannot be read
    /// on, everything.
    pub fn apply(&self, message: &mut Message) {
        let client = message.client.map(|client| client.ip());
        let ends = [&mut message.client, &mut message.server];
        for end in ends.into_iter().flatten() {
            *end = SocketAddr::new(self.address(end.ip()), end.port());
        }
        message.packet = self.packet(&message.packet, client);
    }

    /// An address in place of another: those that shared a prefix share one of the same length (as Crypto-PAn does, J.
    /// Xu et al., 2002).
    pub fn address(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(v4) => {
                let masked = self.prefix_preserving(u128::from(u32::from(v4)) << 96, 32, 4);
                IpAddr::V4(Ipv4Addr::from((masked >> 96) as u32))
            }
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(self.prefix_preserving(u128::from(v6), 128, 6))),
        }
    }

    /// Each bit is turned, or not, by a secret function of the bits before it.
    fn prefix_preserving(&self, address: u128, bits: u32, family: u8) -> u128 {
        let mut out = address;
        for bit in 0..bits {
            let before = if bit == 0 { 0 } else { address >> (128 - bit) << (128 - bit) };
            let mut hasher = SipHasher24::new_with_key(&self.key);
            hasher.write(&before.to_be_bytes());
            hasher.write(&[family, bit as u8]);
            out ^= u128::from(hasher.finish() & 1) << (127 - bit);
        }
        out
    }

    /// A message in place of another, as far as that one can be read.
    fn packet(&self, packet: &[u8], client: Option<IpAddr>) -> Vec<u8> {
        let Some(header) = packet.get(..HEADER) else { return packet.to_vec() };
        let mut out = header.to_vec();
        out[6..12].fill(0);
        let asked = u16::from_be_bytes([packet[4], packet[5]]);
        // Only queries and their responses: an UPDATE is all about its client.
        let mut bare = self.names || packet[2] & 0x78 != 0;
        let mut at = HEADER;
        if asked > 0 {
            let rest = &packet[HEADER..];
            let Some(length) = wire_name_len(rest).filter(|length| rest.len() >= length + 4) else { return out };
            let (name, reverse) = self.name(&rest[..length]);
            bare |= reverse;
            at += length + 4;
            out.extend_from_slice(&name);
            out.extend_from_slice(&packet[at - 4..at]);
            out[4..6].copy_from_slice(&[0, 1]);
        }
        if asked > 1 {
            return out;
        }
        let records = records(packet, at, bare);
        for (index, record) in records.iter().enumerate() {
            let last = bare || index + 1 == records.len();
            match record.rtype {
                OPT => emptied(packet, record, last, &mut out),
                _ if bare => continue,
                _ => self.copy(packet, record, client, &mut out),
            }
            let count = 6 + 2 * record.section;
            let counted = u16::from_be_bytes([out[count], out[count + 1]]).saturating_add(1);
            out[count..count + 2].copy_from_slice(&counted.to_be_bytes());
            if bare {
                break;
            }
        }
        out
    }

    /// Adds a record, of the same length so that names which point into it still do.
    fn copy(&self, packet: &[u8], record: &Record, client: Option<IpAddr>, out: &mut Vec<u8>) {
        out.extend_from_slice(&packet[record.start..record.data]);
        let data = &packet[record.data..record.end];
        let address = match record.rtype {
            A => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            AAAA => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
            _ => None,
        };
        match (address.filter(|address| Some(*address) == client).map(|own| self.address(own)), record.rtype) {
            (Some(IpAddr::V4(masked)), _) => out.extend_from_slice(&masked.octets()),
            (Some(IpAddr::V6(masked)), _) => out.extend_from_slice(&masked.octets()),
            (None, TXT) => blank(data, out),
            (None, _) => out.extend_from_slice(data),
        }
    }

    /// A name in place of another, in wire format, and whether it is a reverse one. Labels keep their lengths, but for
    /// the numbers of an address.
    fn name(&self, wire: &[u8]) -> (Vec<u8>, bool) {
        let starts = label_starts(wire);
        let Some((place, how)) = reverse(wire, &starts) else {
            if !self.names {
                return (wire.to_vec(), false);
            }
            let masked = starts.len().saturating_sub(KEPT_LABELS);
            let kept = starts.get(masked).copied().unwrap_or(wire.len() - 1);
            let mut out = Vec::with_capacity(wire.len());
            starts[..masked].iter().for_each(|at| self.letters(label(wire, *at), &mut out));
            out.extend_from_slice(&wire[kept..]);
            return (out, false);
        };
        let (numbers, most) = match how {
            Reverse::Decimal => (decimals(wire, &starts[..place]), 4),
            Reverse::Nibbles => (nibbles(wire, &starts[..place]), 32),
        };
        let (bits, family) = if how == Reverse::Decimal { (8, 4) } else { (4, 6) };
        let address = numbers
            .iter()
            .enumerate()
            .fold(0u128, |sum, (index, number)| sum | u128::from(*number) << (128 - bits * (index as u32 + 1)));
        let masked = self.prefix_preserving(address, bits * most, family);
        let mut changed = Vec::new();
        for index in (0..numbers.len() as u32).rev() {
            let number = (masked >> (128 - bits * (index + 1))) & ((1 << bits) - 1);
            let text = if how == Reverse::Decimal { number.to_string() } else { format!("{number:x}") };
            changed.push(text.len() as u8);
            changed.extend_from_slice(text.as_bytes());
        }
        changed.extend_from_slice(&wire[starts[place]..]);
        // Labels before the address: services (RFC 6763 §11) stay, parts of networks (RFC 2317) do not.
        let mut before = Vec::new();
        for at in &starts[..place - numbers.len()] {
            let label = label(wire, *at);
            if self.names || label.iter().any(u8::is_ascii_digit) {
                self.letters(label, &mut before);
            } else {
                before.push(label.len() as u8);
                before.extend_from_slice(label);
            }
        }
        if before.len() + changed.len() <= LONGEST_NAME {
            before.extend_from_slice(&changed);
            changed = before;
        }
        (changed, true)
    }

    /// Adds a label of letters, the same for the same.
    fn letters(&self, label: &[u8], out: &mut Vec<u8>) {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&label.to_ascii_lowercase());
        let mut state = hasher.finish() | 1;
        out.push(label.len() as u8);
        for _ in label {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            out.push(b'a' + ((state >> 33) % 26) as u8);
        }
    }
}

fn label_starts(name: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (Vec::new(), 0);
    while let Some(&length) = name.get(at).filter(|length| **length > 0) {
        starts.push(at);
        at += usize::from(length) + 1;
    }
    starts
}

/// The label at a place of a name that has been read.
fn label(name: &[u8], at: usize) -> &[u8] {
    &name[at + 1..at + 1 + usize::from(name[at])]
}

/// Which label the zone of reverse names begins with, where the name is below one.
fn reverse(wire: &[u8], starts: &[usize]) -> Option<(usize, Reverse)> {
    let place = starts.len().checked_sub(2)?;
    let zone = REVERSE.iter().find(|(zone, _)| wire[starts[place]..].eq_ignore_ascii_case(zone))?;
    Some((place, zone.1))
}

/// The octets of an address, most significant first, as far as labels are such.
fn decimals(wire: &[u8], starts: &[usize]) -> Vec<u8> {
    let octet = |at: &usize| {
        let label = label(wire, *at);
        let plain = label == b"0" || label.first().is_some_and(|first| (b'1'..=b'9').contains(first));
        if plain { std::str::from_utf8(label).ok()?.parse::<u8>().ok() } else { None }
    };
    starts.iter().rev().map_while(octet).take(4).collect()
}

fn nibbles(wire: &[u8], starts: &[usize]) -> Vec<u8> {
    let nibble = |at: &usize| match label(wire, *at) {
        [digit] => char::from(*digit).to_digit(16).map(|digit| digit as u8),
        _ => None,
    };
    starts.iter().rev().map_while(nibble).take(32).collect()
}

fn word(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]))
}

/// The records from `at` on, up to the first that cannot be read; unless it is for OPT alone (`bare`), up to the first
/// that signs the message or has a reverse name, too.
fn records(packet: &[u8], mut at: usize, bare: bool) -> Vec<Record> {
    let mut found = Vec::new();
    for section in 0..3 {
        for _ in 0..word(packet, 6 + 2 * section).unwrap_or(0) {
            let Some(record) = record(packet, at, section, bare) else { return found };
            at = record.end;
            found.push(record);
        }
    }
    found
}

fn record(packet: &[u8], start: usize, section: usize, bare: bool) -> Option<Record> {
    let (owner, at) = expanded(packet, start)?;
    let rtype = word(packet, at)?;
    let data = at + 10;
    let end = data + usize::from(word(packet, at + 8)?);
    packet.get(data..end)?;
    // Where types have a name in their data: NS, CNAME, SOA, PTR and DNAME; MX; SRV.
    let target = match rtype {
        2 | 5 | 6 | 12 | 39 => Some(data),
        15 => Some(data + 2),
        33 => Some(data + 6),
        _ => None,
    };
    let target = match target {
        Some(at) => Some(expanded(packet, at).filter(|(_, after)| *after <= end)?.0),
        None => None,
    };
    let is_reverse = |name: &Vec<u8>| reverse(name, &label_starts(name)).is_some();
    let hidden = SIGNED_BY.contains(&rtype) || is_reverse(&owner) || target.as_ref().is_some_and(is_reverse);
    (bare || !hidden).then_some(Record { start, data, end, rtype, section })
}

/// The name at `at` without compression, and where it ends.
fn expanded(packet: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let (mut name, mut end, mut jumps) = (Vec::new(), None, 0);
    loop {
        match *packet.get(at)? {
            0 => {
                name.push(0);
                return Some((name, end.unwrap_or(at + 1)));
            }
            length @ 1..=63 => {
                let next = at + 1 + usize::from(length);
                name.extend_from_slice(packet.get(at..next)?);
                at = next;
            }
            0xc0.. => {
                end = end.or(Some(at + 2));
                at = usize::from(word(packet, at)? & 0x3fff);
                jumps += 1;
            }
            _ => return None,
        }
        if jumps > MOST_JUMPS || name.len() >= LONGEST_NAME {
            return None;
        }
    }
}

/// Adds an OPT record with the codes of its extended errors alone; padded to its length unless it is the last.
fn emptied(packet: &[u8], record: &Record, last: bool, out: &mut Vec<u8>) {
    let data = &packet[record.data..record.end];
    let (mut kept, mut at) = (Vec::new(), 0);
    while let (Some(code), Some(length)) = (word(data, at), word(data, at + 2)) {
        if let (EDE, Some(info)) = (code, data.get(at + 4..at + 6).filter(|_| length >= 2)) {
            kept.extend_from_slice(&[0, EDE as u8, 0, 2, info[0], info[1]]);
        }
        at += 4 + usize::from(length);
    }
    let room = data.len().saturating_sub(kept.len());
    if !last && room > 0 {
        if room < 4 {
            kept.clear();
        }
        let padding = (data.len() - kept.len()).saturating_sub(4) as u16;
        kept.extend_from_slice(&PADDING.to_be_bytes());
        kept.extend_from_slice(&padding.to_be_bytes());
        kept.resize(data.len(), 0);
    }
    out.extend_from_slice(&packet[record.start..record.data - 2]);
    out.extend_from_slice(&(kept.len() as u16).to_be_bytes());
    out.extend_from_slice(&kept);
}

/// Adds the strings of a TXT record with nothing in them.
fn blank(data: &[u8], out: &mut Vec<u8>) {
    let mut left = 0;
    for octet in data {
        if left == 0 {
            left = *octet;
            out.push(left);
        } else {
            left -= 1;
            out.push(b'x');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::packet::{Form, write_query};
    use crate::wire::Name;

    fn common(a: IpAddr, b: IpAddr) -> u32 {
        match (a, b) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
            _ => 0,
        }
    }

    #[test]
    fn prefixes_shared_before_are_shared_after_and_no_others() {
        let mask = Mask::new([7; 16], false);
        let addresses: Vec<IpAddr> =
            ["192.0.2.1", "192.0.2.2", "192.0.3.1", "10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8:1::1"]
                .map(|text| text.parse().unwrap())
                .to_vec();
        for a in &addresses {
            assert_eq!(mask.address(*a), mask.address(*a));
            assert_ne!(Mask::new([8; 16], false).address(*a), mask.address(*a));
            for b in addresses.iter().filter(|b| b.is_ipv4() == a.is_ipv4()) {
                assert_eq!(common(*a, *b), common(mask.address(*a), mask.address(*b)), "{a} {b}");
            }
        }
    }

    #[test]
    fn names_keep_their_shape_and_their_last_two_labels() {
        let mask = Mask::new([7; 16], true);
        let masked = |name: &str| {
            let mut packet = Vec::new();
            write_query(&mut packet, Name::parse(name).unwrap().wire(), 1, Form::default());
            packet.truncate(packet.len() - 1);
            packet.push(4);
            packet.extend_from_slice(&[0, 8, 0, 0]);
            let mut message = Message { at: Default::default(), client: None, server: None, tcp: false, packet };
            mask.apply(&mut message);
            assert_eq!(message.packet.len(), 12 + name.len() + 1 + 4 + 11, "no options are left");
            super::super::lines::question(&message.packet).unwrap().0.to_string()
        };
        let (one, two) = (masked("alice.mail.example.com."), masked("bob.mail.example.com."));
        assert!(one.ends_with(".example.com.") && !one.contains("alice"));
        assert_eq!(one.len(), "alice.mail.example.com.".len());
        assert_eq!(one.split('.').nth(1), two.split('.').nth(1), "the same label stays the same");
    }

    /// A message of one question and records, given as (owner, type, data), in the additional section.
    fn message(name: &str, rtype: u16, flags: u8, additional: &[(&[u8], u16, &[u8])]) -> Message {
        let mut packet = vec![0, 7, flags, 0, 0, 1, 0, 0, 0, 0, 0, additional.len() as u8];
        packet.extend_from_slice(Name::parse(name).unwrap().wire());
        packet.extend_from_slice(&[&rtype.to_be_bytes()[..], &[0, 1]].concat());
        for (owner, rtype, data) in additional {
            packet.extend_from_slice(owner);
            packet.extend_from_slice(&[&rtype.to_be_bytes()[..], &[4, 208, 0, 0, 128, 0]].concat());
            packet.extend_from_slice(&(data.len() as u16).to_be_bytes());
            packet.extend_from_slice(data);
        }
        let client = Some("192.0.77.9:4000".parse().unwrap());
        Message { at: Default::default(), client, server: None, tcp: false, packet }
    }

    fn holds(packet: &[u8], what: &[u8]) -> bool {
        packet.windows(what.len()).any(|window| window == what)
    }

    #[test]
    fn nothing_that_tells_of_a_client_is_left_in_a_message() {
        let mask = Mask::new([7; 16], false);
        let ecs: &[u8] = &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 77];
        let cookie: &[u8] = &[0, 10, 0, 8, b'C', b'O', b'O', b'K', b'I', b'E', b'0', b'1'];
        let ede: &[u8] = &[0, 15, 0, 8, 0, 3, b'S', b'E', b'C', b'R', b'E', b'T'];
        let options = [ecs, cookie, ede, &[0xff, 0xf0, 0, 4, b'U', b'S', b'E', b'R']].concat();
        let opt: (&[u8], u16, &[u8]) = (&[0], OPT, &options);
        let tsig: (&[u8], u16, &[u8]) = (b"\x08alicekey\0", 250, b"MAC");
        let own: (&[u8], u16, &[u8]) = (&[0xc0, 12], A, &[192, 0, 77, 9]);
        let other: (&[u8], u16, &[u8]) = (&[0xc0, 12], A, &[198, 51, 100, 1]);
        let text: (&[u8], u16, &[u8]) = (&[0xc0, 12], TXT, b"\x0c192.0.77.0/24");
        for additional in [&[opt][..], &[opt, tsig], &[opt, own, text], &[own, text, opt], &[opt, other, tsig]] {
            for flags in [1, 0x81] {
                let mut seen = message("www.example.com.", 1, flags, additional);
                seen.packet.extend_from_slice(b"TRAILER");
                mask.apply(&mut seen);
                let secrets: [&[u8]; 8] =
                    [&[192, 0, 77], b"COOKIE", b"SECRET", b"USER", b"alicekey", b"MAC", b"192.0.77", b"TRAILER"];
                for secret in secrets {
                    assert!(!holds(&seen.packet, secret), "{additional:?}: {:?} in {:?}", secret, seen.packet);
                }
                let wanted = additional.iter().filter(|(_, rtype, _)| *rtype != 250).count();
                assert_eq!(records(&seen.packet, 12 + 17 + 4, false).len(), wanted, "{additional:?}");
                assert!(crate::load::packet::read_response(&seen.packet).is_none_or(|seen| seen.stale), "EDE is kept");
                assert_eq!(holds(&seen.packet, &[198, 51, 100, 1]), additional.contains(&other));
            }
        }
        // An UPDATE, a query that cannot be read, and one of which the second record cannot be.
        for mut seen in [
            message("example.com.", 6, 0x28, &[(b"\x05alice\0", A, &[192, 0, 77, 9])]),
            message("example.com.", 1, 1, &[(&[0xc0], OPT, ecs)]),
            message("example.com.", 1, 1, &[(&[0xc0, 0xff], A, &[1, 2, 3, 4]), (&[0], OPT, ecs)]),
        ] {
            mask.apply(&mut seen);
            assert!(seen.packet.len() <= 12 + 13 + 4 && seen.packet[6..12] == [0; 6], "{:?}", seen.packet);
        }
        let mut seen = message("example.com.", 1, 1, &[]);
        seen.packet[12] = 0xff;
        mask.apply(&mut seen);
        assert_eq!(seen.packet.len(), 12);
    }

    #[test]
    fn reverse_names_are_replaced_as_addresses_are() {
        for names in [false, true] {
            let mask = Mask::new([7; 16], names);
            let masked = |name: &str| {
                let ptr: (&[u8], u16, &[u8]) = (&[0xc0, 12], 12, b"\x05alice\x07example\0");
                let mut seen = message(name, 12, 0x81, &[ptr, (&[0], OPT, &[])]);
                mask.apply(&mut seen);
                assert!(!holds(&seen.packet, b"alice"));
                assert_eq!(seen.packet[10..12], [0, 1], "its OPT record is kept");
                super::super::lines::question(&seen.packet).unwrap().0.to_string()
            };
            let IpAddr::V4(v4) = mask.address("192.0.77.9".parse().unwrap()) else { panic!() };
            let [a, b, c, d] = v4.octets();
            assert_eq!(masked("9.77.0.192.in-addr.arpa."), format!("{d}.{c}.{b}.{a}.in-addr.arpa."));
            assert_eq!(masked("0.192.IN-ADDR.arpa."), format!("{b}.{a}.in-addr.arpa."));
            assert!(masked("128-25.77.0.192.in-addr.arpa.").ends_with(&format!(".{c}.{b}.{a}.in-addr.arpa.")));
            assert!(!masked("128-25.77.0.192.in-addr.arpa.").contains("128-25"));
            assert_eq!(masked("in-addr.arpa."), "in-addr.arpa.");
            let IpAddr::V6(v6) = mask.address("2001:db8::1".parse().unwrap()) else { panic!() };
            let nibbles: Vec<String> =
                v6.octets().iter().flat_map(|o| [o >> 4, o & 15]).rev().map(|n| format!("{n:x}")).collect();
            let name = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa.", "0.".repeat(23));
            assert_eq!(masked(&name), nibbles.join(".") + ".ip6.arpa.");
        }
    }
}

//! Record data field by field: what each type consists of, and how it is written (RFC 1035 §5.1, and each type's own).
//!
//! What comes from the network may be hostile: nothing but printable ASCII leaves here.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::{show_wire_name, wire_name_len};
use super::types::Rtype;

/// A part of record data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Name,
    U8,
    U16,
    U32,
    V4,
    V6,
    /// A character-string (RFC 1035 §3.3).
    Text,
    /// One character-string or more.
    Texts,
    /// A tag of letters and digits, with its length (RFC 8659 §4.1).
    Tag,
    /// The rest, as one quoted text.
    Quoted,
    /// The rest, in hexadecimal digits.
    Hex,
    /// The rest, in hexadecimal digits after `0x` (RFC 1706).
    Hex0x,
    /// The rest, in base 64.
    Base64,
    /// Hexadecimal digits with their length, `-` for none (RFC 5155 §3.3).
    Salt,
    /// Base 32 digits with their length (RFC 5155 §3.3).
    Hash,
    /// A record type.
    Type,
    /// The rest, a bit map of types (RFC 4034 §4.1.2).
    Types,
    /// A moment (RFC 4034 §3.2).
    Time,
    /// The rest in pairs of digits, with dashes between them (RFC 7043).
    Dashes,
    /// Eight octets in groups of four digits (RFC 6742).
    Groups,
    /// The rest, parameters of a service (RFC 9460 §2.1).
    Params,
}

/// What the data of a type consists of; `None` where only the generic form of RFC 3597 is known here.
pub(super) fn fields(rtype: Rtype) -> Option<&'static [Field]> {
    use Field::*;
    Some(match rtype.0 {
        1 => &[V4],
        2..=5 | 7..=9 | 12 | 23 | 39 => &[Name],
        6 => &[Name, Name, U32, U32, U32, U32, U32],
        13 => &[Text, Text],
        14 | 17 | 58 => &[Name, Name],
        15 | 18 | 21 | 36 | 107 => &[U16, Name],
        16 | 20 | 56 | 99 | 258 | 261 | 262 => &[Texts],
        19 => &[Text],
        22 => &[Hex0x],
        24 | 46 => &[Type, U8, U8, U32, Time, Time, U16, Name, Base64],
        25 | 48 | 57 | 60 => &[U16, U8, U8, Base64],
        26 => &[U16, Name, Name],
        27 => &[Text, Text, Text],
        28 => &[V6],
        33 => &[U16, U16, U16, Name],
        35 => &[U16, U16, Text, Text, Text, Name],
        37 => &[U16, U16, U8, Base64],
        43 | 59 | 32_768 | 32_769 => &[U16, U8, U8, Hex],
        44 => &[U8, U8, Hex],
        47 => &[Name, Types],
        49 | 61 => &[Base64],
        50 => &[U8, U8, U16, Salt, Hash, Types],
        51 => &[U8, U8, U16, Salt],
        52 | 53 => &[U8, U8, U8, Hex],
        62 => &[U32, U16, Types],
        63 => &[U32, U8, U8, Hex],
        64 | 65 => &[U16, Name, Params],
        104 | 106 => &[U16, Groups],
        105 => &[U16, V4],
        108 | 109 => &[Dashes],
        256 => &[U16, U16, Quoted],
        257 => &[U8, Tag, Quoted],
        _ => return None,
    })
}

/// Record data in presentation format; the generic form of RFC 3597 §5 where the type is not known, or the data does not
/// fit it.
pub fn show_rdata(rtype: Rtype, rdata: &[u8]) -> String {
    fields(rtype).and_then(|fields| show(fields, rdata)).unwrap_or_else(|| {
        let digits = hex(rdata);
        format!("\\# {} {digits}", rdata.len()).trim_end().to_owned()
    })
}

/// Whether `rdata` can be data of this type, as far as it is known here.
pub(super) fn fits(rtype: Rtype, rdata: &[u8]) -> bool {
    fields(rtype).is_none_or(|fields| show(fields, rdata).is_some())
}

fn show(fields: &[Field], rdata: &[u8]) -> Option<String> {
    let mut rest = Rest(rdata);
    let mut out = String::new();
    for field in fields {
        if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
        show_field(*field, &mut rest, &mut out)?;
    }
    rest.0.is_empty().then(|| out.trim_end().to_owned())
}

fn show_field(field: Field, rest: &mut Rest<'_>, out: &mut String) -> Option<()> {
    match field {
        Field::Name => {
            let length = wire_name_len(rest.0)?;
            show_wire_name(rest.take(length)?, out).ok()?;
        }
        Field::U8 => write!(out, "{}", rest.number(1)?).ok()?,
        Field::U16 => write!(out, "{}", rest.number(2)?).ok()?,
        Field::U32 => write!(out, "{}", rest.number(4)?).ok()?,
        Field::Type => write!(out, "{}", Rtype(u16::try_from(rest.number(2)?).ok()?)).ok()?,
        Field::V4 => write!(out, "{}", Ipv4Addr::from(<[u8; 4]>::try_from(rest.take(4)?).ok()?)).ok()?,
        Field::V6 => write!(out, "{}", Ipv6Addr::from(<[u8; 16]>::try_from(rest.take(16)?).ok()?)).ok()?,
        Field::Text => quote(rest.counted()?, out),
        Field::Texts => {
            quote(rest.counted()?, out);
            while !rest.0.is_empty() {
                out.push(' ');
                quote(rest.counted()?, out);
            }
        }
        Field::Tag => {
            let tag = rest.counted().filter(|tag| !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric))?;
            out.extend(tag.iter().map(|octet| char::from(*octet)));
        }
        Field::Quoted => quote(rest.all(), out),
        Field::Hex => out.push_str(&hex(rest.some()?)),
        Field::Hex0x => write!(out, "0x{}", hex(rest.some()?)).ok()?,
        Field::Base64 => out.push_str(&base64(rest.some()?)),
        Field::Salt => match rest.counted()? {
            [] => out.push('-'),
            salt => out.push_str(&hex(salt)),
        },
        Field::Hash => out.push_str(&base32(rest.counted().filter(|hash| !hash.is_empty())?)),
        Field::Types => show_types(rest.all(), out)?,
        Field::Time => show_time(rest.number(4)?, out),
        Field::Dashes => {
            let digits: Vec<String> = rest.some()?.iter().map(|octet| format!("{octet:02x}")).collect();
            out.push_str(&digits.join("-"));
        }
        Field::Groups => {
            let groups: Vec<String> = rest.take(8)?.chunks(2).map(hex).collect();
            out.push_str(&groups.join(":"));
        }
        Field::Params => show_params(rest, out)?,
    }
    Some(())
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, octets: usize) -> Option<u32> {
        Some(self.take(octets)?.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
    }

    /// Octets after their count.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.number(1)? as usize;
        self.take(count)
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The rest, if there is one.
    fn some(&mut self) -> Option<&'a [u8]> {
        Some(self.all()).filter(|rest| !rest.is_empty())
    }
}

/// A character-string in quotes.
fn quote(text: &[u8], out: &mut String) {
    out.push('"');
    for &octet in text {
        match octet {
            b'"' | b'\\' => out.extend(['\\', char::from(octet)]),
            b' '..=b'~' => out.push(char::from(octet)),
            _ => {
                let _ = write!(out, "\\{octet:03}");
            }
        }
    }
    out.push('"');
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// `octets` in digits of `bits` bits each, out of `alphabet`.
fn digits(octets: &[u8], bits: u32, alphabet: &[u8]) -> String {
    let (mut held, mut count) = (0u32, 0);
    let mut text = String::new();
    let mut push = |value: u32| text.extend(alphabet.get(value as usize).map(|digit| char::from(*digit)));
    let mask = (1 << bits) - 1;
    for octet in octets {
        held = (held << 8 | u32::from(*octet)) & 0xffff;
        count += 8;
        while count >= bits {
            count -= bits;
            push(held >> count & mask);
        }
    }
    if count > 0 {
        push(held << (bits - count) & mask);
    }
    text
}

/// RFC 4648 §4.
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = digits(octets, 6, ALPHABET);
    text.extend(std::iter::repeat_n('=', (3 - octets.len() % 3) % 3));
    text
}

/// RFC 4648 §7, without padding.
fn base32(octets: &[u8]) -> String {
    digits(octets, 5, b"0123456789ABCDEFGHIJKLMNOPQRSTUV")
}

fn show_types(octets: &[u8], out: &mut String) -> Option<()> {
    let mut rest = Rest(octets);
    let mut before = None;
    let mut names = Vec::new();
    while !rest.0.is_empty() {
        let window = rest.number(1)?;
        let map = rest.counted().filter(|map| (1..=32).contains(&map.len()))?;
        if before.is_some_and(|before| before >= window) {
            return None;
        }
        before = Some(window);
        for (at, octet) in (0u32..).zip(map) {
            let set = (0..8).filter(|bit| octet & (0x80 >> bit) != 0);
            names.extend(set.filter_map(|bit| u16::try_from(window << 8 | at << 3 | bit).ok()).map(Rtype));
        }
    }
    let names: Vec<String> = names.iter().map(Rtype::to_string).collect();
    out.push_str(&names.join(" "));
    Some(())
}

/// A second of the years 1970 to 2106, as YYYYMMDDHHmmSS.
fn show_time(seconds: u32, out: &mut String) {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u32| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u32::from(leap(year)) {
        days -= 365 + u32::from(leap(year));
        year += 1;
    }
    let february = 28 + u32::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = write!(out, "{year}{month:02}{:02}{hour:02}{minute:02}{second:02}", days + 1);
}

/// Parameters of a service, in ascending order.
fn show_params(rest: &mut Rest<'_>, out: &mut String) -> Option<()> {
    let mut before = None;
    let mut shown = Vec::new();
    while !rest.0.is_empty() {
        let key = rest.number(2)?;
        let length = rest.number(2)? as usize;
        let value = rest.take(length)?;
        if before.is_some_and(|before| before >= key) {
            return None;
        }
        before = Some(key);
        shown.push(show_param(key, value)?);
    }
    out.push_str(&shown.join(" "));
    Some(())
}

fn show_param(key: u32, value: &[u8]) -> Option<String> {
    let keys = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];
    let name = |key: u32| keys.get(key as usize).map_or_else(|| format!("key{key}"), |name| (*name).to_owned());
    let mut rest = Rest(value);
    let mut items = Vec::new();
    match key {
        0 => {
            while !rest.0.is_empty() {
                items.push(name(rest.number(2)?));
            }
        }
        // A comma within a protocol's name would need escapes within escapes: the generic form tells it apart.
        1 => {
            while !rest.0.is_empty() {
                let plain = |octet: &u8| octet.is_ascii_graphic() && !b"\",\\();".contains(octet);
                let protocol = rest.counted().filter(|text| !text.is_empty() && text.iter().all(plain))?;
                items.push(protocol.iter().map(|octet| char::from(*octet)).collect());
            }
        }
        2 | 8 if value.is_empty() => return Some(name(key)),
        3 if value.len() == 2 => items.push(rest.number(2)?.to_string()),
        4 => {
            while !rest.0.is_empty() {
                items.push(Ipv4Addr::from(<[u8; 4]>::try_from(rest.take(4)?).ok()?).to_string());
            }
        }
        5 => items.push(base64(value)),
        6 => {
            while !rest.0.is_empty() {
                items.push(Ipv6Addr::from(<[u8; 16]>::try_from(rest.take(16)?).ok()?).to_string());
            }
        }
        _ => {
            let mut text = format!("{}=", name(key));
            quote(value, &mut text);
            return Some(text);
        }
    }
    Some(format!("{}={}", name(key), items.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(rtype: &str, rdata: &[u8]) -> String {
        show_rdata(Rtype::parse(rtype).expect(rtype), rdata)
    }

    #[test]
    fn hostile_texts_are_escaped_in_decimal_and_kept_apart() {
        let text = shown("TXT", b"\x03a b\x03c\"d\x00\x09\x1b[31mRED\x07");
        assert_eq!(text, r#""a b" "c\"d" "" "\027[31mRED\007""#);
        assert_eq!(shown("CNAME", b"\x04\x1b[2J\x01.\x00"), r"\027[2J.\..");
        let naptr = shown("NAPTR", b"\0\x01\0\x02\x01u\x02\x1b]\x03!^!\x00");
        assert_eq!(naptr, r#"1 2 "u" "\027]" "!^!" ."#);
        assert_eq!(shown("CAA", b"\x00\x05issue\x07"), r#"0 issue "\007""#);
    }

    #[test]
    fn each_kind_of_field_is_written_as_its_rfc_says() {
        for (rtype, rdata, text) in [
            ("AAAA", &b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"[..], "2001:db8::1"),
            ("EUI48", b"\x00\x00\x5e\0\x53\x2a", "00-00-5e-00-53-2a"),
            ("NSAP", b"\x47\x00", "0x4700"),
            ("URI", b"\0\x0a\0\x01ftp://a/", "10 1 \"ftp://a/\""),
            ("NSEC", b"\x01a\0\0\x06\x62\x01\0\0\0\x03\x01\x01\x40", "a. A NS SOA MX RRSIG NSEC CAA"),
            ("NSEC3PARAM", b"\x01\0\0\x0a\x02\xaa\xbb", "1 0 10 aabb"),
            ("NSEC3", b"\x01\x01\0\0\0\x05\x00\x44\x32\x14\xc7\0\x01\x40", "1 1 0 - 01234567 A"),
            ("DS", b"\x30\x39\x0d\x02\xab\xcd", "12345 13 2 abcd"),
            ("DNSKEY", b"\x01\x01\x03\x0d\xff\xee\xdd\xcc", "257 3 13 /+7dzA=="),
            ("HTTPS", b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x03\0\x02\x01\xbb", "1 . alpn=h2,h3 port=443"),
            ("L64", b"\0\x0a\x20\x01\x0d\xb8\x11\x40\x10\0", "10 2001:0db8:1140:1000"),
            ("TYPE65280", b"\x0a\0", "\\# 2 0a00"),
            ("A", b"\x0a", "\\# 1 0a"),
            ("TXT", b"", "\\# 0"),
        ] {
            assert_eq!(shown(rtype, rdata), text, "{rtype}");
        }
        let rrsig = b"\0\x01\x0d\x02\0\0\x0e\x10\x65\xe0\x7f\x80\xff\xff\xff\xff\0\x07\0abc";
        assert_eq!(shown("RRSIG", rrsig), "A 13 2 3600 20240229125840 21060207062815 7 . YWJj");
    }

    proptest! {
        #[test]
        fn nothing_but_printable_ascii_is_written(rtype in 0u16..300, rdata in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = show_rdata(Rtype(rtype), &rdata);
            prop_assert!(text.bytes().all(|octet| (0x20..=0x7e).contains(&octet)), "{}", text);
        }
    }
}

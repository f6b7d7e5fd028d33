//! Records in presentation format (RFC 1035 §5, RFC 3597 §5), read from what people wrote. hickory-proto reads the few
//! types whose data is a little language of its own.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name as HickoryName;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use hickory_proto::serialize::txt::Parser;

use super::name::{Name, escape};
use super::rdata::{Field, fields, fits};
use super::types::Rtype;

/// A record that does not say how long it holds, holds an hour, in seconds.
const USUAL_TTL: u32 = 3600;

/// A record as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRecord {
    pub owner: Name,
    pub rtype: Rtype,
    pub ttl: u32,
    /// Uncompressed wire form.
    pub rdata: Vec<u8>,
}

/// Reads one record in presentation format; names are absolute, and without a TTL it gets an hour.
pub fn parse_record(text: &str) -> Result<TextRecord, String> {
    let all = words(text)?;
    let mut rest = all.iter().copied();
    let owner = name(rest.next().ok_or("no record in it")?)?;
    let (mut ttl, mut class) = (None, false);
    let kind = loop {
        let word = rest.next().ok_or("expected name, TTL, type, data")?;
        let is_class = ["IN", "CH", "HS", "CS"].iter().any(|class| word.text.eq_ignore_ascii_case(class));
        if ttl.is_none() && word.text.starts_with(|c: char| c.is_ascii_digit()) {
            ttl = Some(seconds(word.text)?);
        } else if is_class && !class {
            class = true;
        } else {
            break word.text;
        }
    };
    let rtype = Rtype::parse(kind).ok_or_else(|| format!("`{}` is not a record type", kind.escape_debug()))?;
    let data: Vec<Word<'_>> = rest.collect();
    let rdata = match (data.first(), fields(rtype)) {
        (Some(Word { text: "\\#", quoted: false }), _) => generic(rtype, data.get(1..).unwrap_or(&[]))?,
        (_, Some(fields)) if fields.iter().all(is_read_here) => read_fields(fields, &data)?,
        (_, Some(_)) => through_hickory(text)?,
        (_, None) => {
            return Err(format!("the data of {rtype} is written \\# LENGTH HEXADECIMAL DIGITS here (RFC 3597 §5)"));
        }
    };
    Ok(TextRecord { owner, rtype, ttl: ttl.unwrap_or(USUAL_TTL), rdata })
}

/// One word of a record, its escapes untouched.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    quoted: bool,
}

/// The words of one record, without comments and parentheses.
fn words(text: &str) -> Result<Vec<Word<'_>>, String> {
    let mut words = Vec::new();
    let mut depth = 0u32;
    let mut ended = false;
    let mut at = 0;
    let octets = text.as_bytes();
    while let Some(&octet) = octets.get(at) {
        let start = at;
        at += 1;
        match octet {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1).ok_or("a parenthesis is closed that was not opened")?,
            b';' => at += octets.iter().skip(at).take_while(|octet| **octet != b'\n').count(),
            b'\n' => ended |= depth == 0 && !words.is_empty(),
            octet if octet.is_ascii_whitespace() => {}
            _ if ended => return Err("more than one record in it".to_owned()),
            _ => {
                let quoted = octet == b'"';
                at = end_of_word(octets, if quoted { at } else { start }, quoted).ok_or("a quote is not closed")?;
                let word = if quoted { start + 1..at } else { start..at };
                words.push(Word { text: text.get(word).unwrap_or_default(), quoted });
                at += usize::from(quoted);
            }
        }
    }
    if depth > 0 { Err("a parenthesis is not closed".to_owned()) } else { Ok(words) }
}

/// Where the word that begins at `at` ends; `None` if it is quoted and does not.
fn end_of_word(octets: &[u8], mut at: usize, quoted: bool) -> Option<usize> {
    while let Some(&octet) = octets.get(at) {
        match octet {
            b'\\' => at += 1,
            b'"' if quoted => return Some(at),
            b'"' | b'(' | b')' | b';' if !quoted => return Some(at),
            octet if !quoted && octet.is_ascii_whitespace() => return Some(at),
            _ => {}
        }
        at += 1;
    }
    if quoted { None } else { Some(octets.len()) }
}

fn name(word: Word<'_>) -> Result<Name, String> {
    if word.text == "@" {
        return Ok(Name::root());
    }
    if !word.text.is_ascii() {
        return Err(format!("`{}`: names are written in ASCII (xn--…)", word.text.escape_debug()));
    }
    Name::parse(word.text).map_err(|error| format!("`{}`: {error}", word.text.escape_debug()))
}

/// Seconds, as a number or with units: `300`, `1h30m`.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{}` is not a number of seconds", text.escape_debug());
    let (mut sum, mut number) = (0u32, None::<u32>);
    for octet in text.bytes() {
        if octet.is_ascii_digit() {
            let shifted = number.unwrap_or(0).checked_mul(10);
            number = Some(shifted.and_then(|n| n.checked_add(u32::from(octet - b'0'))).ok_or_else(wrong)?);
            continue;
        }
        let unit = match octet.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return Err(wrong()),
        };
        let span = number.take().and_then(|number| number.checked_mul(unit));
        sum = span.and_then(|span| sum.checked_add(span)).ok_or_else(wrong)?;
    }
    sum.checked_add(number.unwrap_or(0)).filter(|_| !text.is_empty()).ok_or_else(wrong)
}

/// The octets of a character-string, or of an unquoted word.
fn octets(word: Word<'_>) -> Result<Vec<u8>, String> {
    let mut rest = word.text.as_bytes();
    let mut octets = Vec::new();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet == b'\\' {
            let (octet, used) = escape(rest).map_err(|error| error.to_string())?;
            octets.push(octet);
            rest = rest.get(used..).unwrap_or_default();
        } else {
            octets.push(octet);
        }
    }
    Ok(octets)
}

/// The generic form: a count, and as many octets in hexadecimal digits.
fn generic(rtype: Rtype, data: &[Word<'_>]) -> Result<Vec<u8>, String> {
    let (length, digits) = data.split_first().ok_or("expected the length after \\#")?;
    let length: u16 = length.text.parse().map_err(|_| "expected the length after \\#, in octets")?;
    let rdata = unhex(&joined(digits))?;
    if rdata.len() != usize::from(length) {
        return Err(format!("{length} octets announced after \\#, {} written", rdata.len()));
    }
    if !fits(rtype, &rdata) {
        return Err(format!("these octets cannot be the data of {rtype}"));
    }
    Ok(rdata)
}

fn is_read_here(field: &Field) -> bool {
    use Field::*;
    !matches!(field, Hex0x | Salt | Hash | Types | Time | Dashes | Groups | Params)
}

/// The data of a type of which every field is read here.
fn read_fields(fields: &[Field], data: &[Word<'_>]) -> Result<Vec<u8>, String> {
    let mut rest = data;
    let mut rdata = Vec::new();
    for field in fields {
        let taken = match field {
            Field::Texts | Field::Hex | Field::Base64 => rest.len(),
            _ => 1,
        };
        let (words, after) = rest.split_at_checked(taken).filter(|_| !rest.is_empty()).ok_or("a value is missing")?;
        rest = after;
        read_field(*field, words, &mut rdata)?;
    }
    match rest.first() {
        None => u16::try_from(rdata.len()).map(|_| rdata).map_err(|_| "longer than 65535 octets".to_owned()),
        Some(more) => Err(format!("`{}` is one value too many", more.text.escape_debug())),
    }
}

fn read_field(field: Field, words: &[Word<'_>], rdata: &mut Vec<u8>) -> Result<(), String> {
    let Some(&word) = words.first() else { return Err("a value is missing".to_owned()) };
    let text = word.text;
    let wrong = |what: &str| format!("`{}` is not {what}", text.escape_debug());
    match field {
        Field::Name => rdata.extend_from_slice(name(word)?.wire()),
        Field::U8 => rdata.push(text.parse().map_err(|_| wrong("a number from 0 to 255"))?),
        Field::U16 => {
            rdata.extend_from_slice(&text.parse::<u16>().map_err(|_| wrong("a number from 0 to 65535"))?.to_be_bytes());
        }
        Field::U32 => rdata.extend_from_slice(&seconds(text).map_err(|_| wrong("a number"))?.to_be_bytes()),
        Field::V4 => {
            rdata.extend_from_slice(&text.parse::<Ipv4Addr>().map_err(|error| error.to_string())?.octets());
        }
        Field::V6 => {
            rdata.extend_from_slice(&text.parse::<Ipv6Addr>().map_err(|error| error.to_string())?.octets());
        }
        Field::Type => rdata.extend_from_slice(&Rtype::parse(text).ok_or_else(|| wrong("a type"))?.0.to_be_bytes()),
        Field::Text | Field::Tag | Field::Texts => {
            for word in words {
                let text = octets(*word)?;
                rdata.push(u8::try_from(text.len()).map_err(|_| "a text is longer than 255 octets")?);
                rdata.extend_from_slice(&text);
            }
        }
        Field::Quoted => rdata.append(&mut octets(word)?),
        Field::Hex => rdata.append(&mut unhex(&joined(words))?),
        Field::Base64 => rdata.append(&mut unbase64(&joined(words)).ok_or_else(|| wrong("base 64"))?),
        Field::Hex0x
        | Field::Salt
        | Field::Hash
        | Field::Types
        | Field::Time
        | Field::Dashes
        | Field::Groups
        | Field::Params => return Err(wrong("read here")),
    }
    Ok(())
}

fn joined(words: &[Word<'_>]) -> String {
    words.iter().map(|word| word.text).collect()
}

fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("`{}` is not pairs of hexadecimal digits", digits.escape_debug());
    let values: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    let values = values.filter(|values| values.len().is_multiple_of(2)).ok_or_else(wrong)?;
    values
        .chunks(2)
        .map(|pair| u8::try_from(pair.iter().fold(0, |n, digit| n << 4 | digit)).map_err(|_| wrong()))
        .collect()
}

/// RFC 4648 §4.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut held, mut count) = (0u32, 0);
    let mut octets = Vec::new();
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((held >> count & 0xff) as u8);
        }
    }
    Some(octets)
}

/// The data of a record of a type that hickory-proto reads.
fn through_hickory(text: &str) -> Result<Vec<u8>, String> {
    let zone = format!("$TTL {USUAL_TTL}\n{text}\n");
    let (_, sets) = Parser::new(zone, None, Some(HickoryName::root())).parse().map_err(|error| error.to_string())?;
    let mut records = sets.values().flat_map(|set| set.records_without_rrsigs());
    let (Some(record), None) = (records.next(), records.next()) else {
        return Err(
            "it cannot be read here; its data may be written \\# LENGTH HEXADECIMAL DIGITS (RFC 3597 §5)".into()
        );
    };
    let mut rdata = Vec::new();
    let mut encoder = BinEncoder::new(&mut rdata);
    encoder.set_canonical_form(false);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    record.data.emit(&mut encoder).map_err(|error| error.to_string())?;
    Ok(rdata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::show_rdata;
    use proptest::prelude::*;

    fn read(text: &str) -> TextRecord {
        parse_record(text).expect(text)
    }

    #[test]
    fn records_are_read_with_escapes_quotes_and_parentheses() {
        let record = read(r#"a\.b.Example. 1h IN TXT ( "a b" plain "c\"d\027" "" ) ; and so on"#);
        assert_eq!((record.owner.wire(), record.ttl), (&b"\x03a.b\x07example\0"[..], 3600));
        assert_eq!(record.rdata, b"\x03a b\x05plain\x04c\"d\x1b\0");
        assert_eq!(read(r"x. CNAME \027\255.").rdata, b"\x02\x1b\xff\0");
        assert_eq!(read("x. IN 60 SOA a. b. 1 2h 3 4 5").rdata.len(), 26);
    }

    #[test]
    fn any_type_is_read_in_the_generic_form() {
        let record = read(r"x. TYPE65280 \# 4 0a00 0001");
        assert_eq!((record.rtype, record.rdata), (Rtype(65_280), vec![10, 0, 0, 1]));
        assert_eq!(read(r"x. A \# 4 0a000001").rdata, read("x. A 10.0.0.1").rdata);
        assert_eq!(read(r"x. TYPE65280 \# 0").rdata, b"");
        for (text, why) in [
            (r"x. TYPE65280 \# 5 0a000001", "5 octets announced"),
            (r"x. TYPE65280 \# 1 0", "pairs of hexadecimal"),
            (r"x. TYPE65280 \#", "length"),
            (r"x. A \# 3 0a0000", "cannot be the data of A"),
            ("x. LOC 52 N 4 E 0m", "RFC 3597"),
            ("x. TYPE65280 10.0.0.1", "RFC 3597"),
            ("x. A 10.0.0.1 10.0.0.2", "one value too many"),
            ("x. MX 10", "missing"),
            ("x. TXT \"open", "not closed"),
        ] {
            let error = parse_record(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    /// Data of a type, made out of dice.
    fn data(fields: &[Field], dice: &[u8]) -> Vec<u8> {
        let mut dice = dice.iter().copied().cycle();
        let mut roll = |count: usize| dice.by_ref().take(count).collect::<Vec<u8>>();
        let mut rdata = Vec::new();
        for field in fields {
            match field {
                Field::Name => {
                    for octet in [3, 1] {
                        rdata.push(octet);
                        rdata.extend(roll(usize::from(octet)).iter().map(u8::to_ascii_lowercase));
                    }
                    rdata.push(0);
                }
                Field::U8 => rdata.append(&mut roll(1)),
                Field::U16 | Field::Type => rdata.append(&mut roll(2)),
                Field::U32 | Field::V4 => rdata.append(&mut roll(4)),
                Field::V6 => rdata.append(&mut roll(16)),
                Field::Tag => rdata.extend_from_slice(b"\x05issue"),
                Field::Text | Field::Texts => {
                    let length = roll(1)[0] % 40;
                    let text = roll(usize::from(length));
                    rdata.push(u8::try_from(text.len()).expect("short"));
                    rdata.extend_from_slice(&text);
                }
                _ => rdata.append(&mut roll(9)),
            }
        }
        rdata
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number in 1u16..300, dice in proptest::collection::vec(any::<u8>(), 1..60)) {
            let rtype = Rtype(number);
            let fields = fields(rtype).filter(|fields| fields.iter().all(is_read_here));
            let rdata = fields.map_or_else(|| dice.clone(), |fields| data(fields, &dice));
            let shown = show_rdata(rtype, &rdata);
            let known = fields.is_some() || super::fields(rtype).is_none();
            prop_assert!(fields.is_none() || !shown.starts_with("\\#"), "{}", shown);
            if known {
                let text = format!("x. {rtype} {shown}");
                prop_assert_eq!(parse_record(&text).map(|record| record.rdata), Ok(rdata), "{}", text);
            }
        }
    }
}

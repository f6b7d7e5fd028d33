//! Master files (RFC 1035 §5): text to records, with the case of names kept and any type in the generic form of
//! RFC 3597.
//!
//! hickory's own zone parser lower-cases names and reads neither DNAME nor `TYPEnnn`; here it is asked only for the
//! record data of types without relative names.

use std::str::FromStr;

use hickory_proto::rr::rdata::{CNAME, MX, NS, NULL, PTR, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

/// What is wrong with a master file, and in which line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MasterError {
    /// Counted from 1: the line where the entry begins.
    pub line: usize,
    pub reason: String,
}

impl std::fmt::Display for MasterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for MasterError {}

/// One word of an entry, escapes untouched.
struct Word {
    text: String,
    quoted: bool,
}

/// One entry: a directive or a record, parentheses resolved.
struct Entry {
    line: usize,
    /// The line began with a blank: the owner is that of the entry before.
    same_owner: bool,
    words: Vec<Word>,
}

/// Reads all records of a master file; names without a final dot lie below `origin`.
pub fn read(text: &str, origin: &Name) -> Result<Vec<Record>, MasterError> {
    let mut reader = Reader { origin: origin.clone(), ttl: None, owner: None };
    let mut records = Vec::new();
    for entry in entries(text)? {
        let line = entry.line;
        if let Some(record) = reader.entry(entry).map_err(|reason| MasterError { line, reason })? {
            records.push(record);
        }
    }
    Ok(records)
}

struct Reader {
    origin: Name,
    ttl: Option<u32>,
    owner: Option<Name>,
}

impl Reader {
    fn entry(&mut self, entry: Entry) -> Result<Option<Record>, String> {
        let mut words = entry.words.iter().peekable();
        if !entry.same_owner {
            let Some(first) = words.next() else { return Ok(None) };
            match first.text.as_str() {
                "$ORIGIN" => {
                    self.origin = self.name(&words.next().ok_or("$ORIGIN without a name")?.text)?;
                    return Ok(None);
                }
                "$TTL" => {
                    let ttl = &words.next().ok_or("$TTL without a number")?.text;
                    self.ttl = Some(ttl.parse().map_err(|_| format!("not a TTL: {ttl}"))?);
                    return Ok(None);
                }
                other if other.starts_with('$') => return Err(format!("unknown directive {other}")),
                owner => self.owner = Some(self.name(owner)?),
            }
        }
        let mut ttl = self.ttl;
        while let Some(word) = words.peek() {
            if let Ok(number) = word.text.parse() {
                ttl = Some(number);
            } else if !word.text.eq_ignore_ascii_case("IN") {
                break;
            }
            words.next();
        }
        let rtype = record_type(&words.next().ok_or("no type")?.text)?;
        let owner = self.owner.clone().ok_or("no owner")?;
        let rdata = self.rdata(rtype, &words.collect::<Vec<_>>())?;
        Ok(Some(Record::from_rdata(owner, ttl.ok_or("no TTL")?, rdata)))
    }

    fn name(&self, text: &str) -> Result<Name, String> {
        if text == "@" {
            return Ok(self.origin.clone());
        }
        let mut name = Name::from_ascii(text).map_err(|e| format!("not a name: {text}: {e}"))?;
        if !text.ends_with('.') {
            name = name.append_domain(&self.origin).map_err(|e| format!("name too long: {text}: {e}"))?;
        }
        name.set_fqdn(true);
        Ok(name)
    }

    fn rdata(&self, rtype: RecordType, words: &[&Word]) -> Result<RData, String> {
        let word = |i: usize| words.get(i).map(|w| w.text.as_str()).ok_or_else(|| format!("{rtype}: too few fields"));
        let number = |i: usize| {
            let text = word(i)?;
            text.parse::<u32>().map_err(|_| format!("{rtype}: not a number: {text}"))
        };
        let short = |i: usize| u16::try_from(number(i)?).map_err(|_| format!("{rtype}: number over 65535"));
        if word(0)? == "\\#" {
            return generic(rtype, usize::from(short(1)?), &words[2..]);
        }
        Ok(match rtype {
            RecordType::CNAME => RData::CNAME(CNAME(self.name(word(0)?)?)),
            RecordType::NS => RData::NS(NS(self.name(word(0)?)?)),
            RecordType::PTR => RData::PTR(PTR(self.name(word(0)?)?)),
            RecordType::MX => RData::MX(MX::new(short(0)?, self.name(word(1)?)?)),
            RecordType::SRV => RData::SRV(SRV::new(short(0)?, short(1)?, short(2)?, self.name(word(3)?)?)),
            RecordType::SOA => {
                let time = |i| i32::try_from(number(i)?).map_err(|_| format!("{rtype}: time over 2^31"));
                let (mname, rname) = (self.name(word(0)?)?, self.name(word(1)?)?);
                RData::SOA(SOA::new(mname, rname, number(2)?, time(3)?, time(4)?, time(5)?, number(6)?))
            }
            RecordType::DNAME => {
                let target = self.name(word(0)?)?.to_bytes().map_err(|e| e.to_string())?;
                RData::Unknown { code: rtype, rdata: NULL::with(target) }
            }
            _ => {
                let quote = |w: &&Word| if w.quoted { format!("\"{}\"", w.text) } else { w.text.clone() };
                let text = words.iter().map(quote).collect::<Vec<_>>().join(" ");
                RData::try_from_str(rtype, &text).map_err(|e| format!("{rtype}: {e}"))?
            }
        })
    }
}

/// `A`, `TXT`, …, or `TYPE65280` (RFC 3597 §5).
pub(super) fn record_type(text: &str) -> Result<RecordType, String> {
    let upper = text.to_ascii_uppercase();
    match upper.strip_prefix("TYPE").and_then(|n| n.parse::<u16>().ok()) {
        Some(code) => Ok(RecordType::from(code)),
        None => RecordType::from_str(&upper).map_err(|_| format!("unknown type {text}")),
    }
}

/// Record data in the generic form (RFC 3597 §5); of a known type it becomes what that type is.
fn generic(rtype: RecordType, length: usize, words: &[&Word]) -> Result<RData, String> {
    let digits: Vec<u32> = words.iter().flat_map(|w| w.text.chars()).filter_map(|c| c.to_digit(16)).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    if bytes.len() != length {
        return Err(format!("{rtype}: {} octets given, {length} announced", bytes.len()));
    }
    match (rtype, <[u8; 4]>::try_from(bytes.as_slice())) {
        (RecordType::A, Ok(octets)) => Ok(RData::A(std::net::Ipv4Addr::from(octets).into())),
        _ if bytes.is_empty() => Ok(RData::Unknown { code: rtype, rdata: NULL::new() }),
        _ => Ok(RData::Unknown { code: rtype, rdata: NULL::with(bytes) }),
    }
}

fn entries(text: &str) -> Result<Vec<Entry>, MasterError> {
    let mut entries = Vec::new();
    let mut open: Option<Entry> = None;
    let mut depth = 0usize;
    for (number, line) in text.lines().enumerate() {
        let entry = open.get_or_insert_with(|| Entry {
            line: number + 1,
            same_owner: line.starts_with([' ', '\t']),
            words: Vec::new(),
        });
        let failed = |reason: &str| MasterError { line: number + 1, reason: reason.to_owned() };
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                ';' => break,
                '(' => depth += 1,
                ')' => depth = depth.checked_sub(1).ok_or_else(|| failed("unmatched )"))?,
                '"' => {
                    let mut text = String::new();
                    loop {
                        match chars.next().ok_or_else(|| failed("unclosed quote"))? {
                            '"' => break,
                            '\\' => text.extend(['\\', chars.next().ok_or_else(|| failed("unclosed quote"))?]),
                            other => text.push(other),
                        }
                    }
                    entry.words.push(Word { text, quoted: true });
                }
                c if c.is_whitespace() => {}
                c => {
                    let mut text = String::from(c);
                    while let Some(next) = chars.next_if(|n| !n.is_whitespace() && !";()\"".contains(*n)) {
                        text.push(next);
                    }
                    entry.words.push(Word { text, quoted: false });
                }
            }
        }
        if depth == 0 {
            entries.extend(open.take().filter(|e| !e.words.is_empty()));
        }
    }
    match open {
        Some(entry) => Err(MasterError { line: entry.line, reason: "unmatched (".to_owned() }),
        None => Ok(entries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> String {
        let origin = Name::from_ascii("Zone.nl.").unwrap();
        let records = read(text, &origin).unwrap();
        records.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn names_keep_their_case_and_relative_ones_are_completed() {
        assert_eq!(one("$TTL 60\nWwW IN CNAME x.Y"), "WwW.Zone.nl. 60 IN CNAME x.Y.Zone.nl.");
        assert_eq!(one("@ 5 IN NS @"), "Zone.nl. 5 IN NS Zone.nl.");
        assert_eq!(one("$ORIGIN sub.nl.\na IN 7 A 192.0.2.1\n  8 A 192.0.2.2\n").lines().count(), 2);
    }

    #[test]
    fn parentheses_comments_and_quotes() {
        let soa = "@ 60 SOA a. b. ( 1 ; serial\n 2 3\n 4 5 )";
        assert_eq!(one(soa), "Zone.nl. 60 IN SOA a. b. 1 2 3 4 5");
        let origin = Name::root();
        let records = read("t. 60 TXT \"a; (b) \\\" c\" d", &origin).unwrap();
        let RData::TXT(txt) = &records[0].data else { panic!("not a TXT record") };
        assert_eq!(txt.txt_data[0].as_ref(), b"a; (b) \" c");
        assert_eq!(txt.txt_data[1].as_ref(), b"d");
    }

    #[test]
    fn the_generic_form_carries_any_type() {
        let origin = Name::root();
        let read_one = |text| read(text, &origin).unwrap().remove(0);
        assert_eq!(read_one("a. 1 TYPE65280 \\# 4 0a00 0001").record_type(), RecordType::Unknown(65280));
        assert_eq!(read_one("a. 1 TYPE1 \\# 4 c0000201").data, RData::A("192.0.2.1".parse().unwrap()));
        assert_eq!(read_one("a. 1 DNAME b.c.").record_type(), RecordType::DNAME);
    }

    #[test]
    fn errors_name_their_line() {
        let origin = Name::root();
        let line = |text| read(text, &origin).unwrap_err().line;
        assert_eq!(line("a. 1 A 192.0.2.1\nb. 1 A not-an-address"), 2);
        assert_eq!(line("\na. 1 WHAT x"), 2);
        assert_eq!(line("a. 1 TYPE65280 \\# 3 0a"), 1);
        assert_eq!(line("a. 1 SOA ( a. b."), 1);
        assert_eq!(line("a. A 192.0.2.1"), 1);
    }
}

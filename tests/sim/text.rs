//! Names, records, times and codes in presentation format, strict: every name ends with a dot.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// What an expectation says of a TTL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ttl {
    Exactly(u32),
    /// `~300`: 298 to 301, for records that aged a little while other packets were on their way, and for parts of
    /// seconds that may be rounded either way.
    About(u32),
    /// `<=300`
    AtMost(u32),
    /// `*`
    Any,
}

impl Ttl {
    pub fn matches(self, ttl: u32) -> bool {
        match self {
            Ttl::Exactly(wanted) => ttl == wanted,
            Ttl::About(wanted) => ttl <= wanted + 1 && ttl + 2 >= wanted,
            Ttl::AtMost(limit) => ttl <= limit,
            Ttl::Any => true,
        }
    }
}

/// One record an answer must have; `data` is none where any will do.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: Name,
    pub ttl: Ttl,
    pub class: DNSClass,
    pub rtype: RecordType,
    pub data: Option<RData>,
}

impl Wanted {
    pub fn matches(&self, record: &Record) -> bool {
        self.name == record.name
            && self.class == record.dns_class
            && self.rtype == record.record_type()
            && self.ttl.matches(record.ttl)
            && self.data.as_ref().is_none_or(|data| *data == record.data)
    }
}

pub fn name(text: &str) -> Result<Name, String> {
    if !text.ends_with('.') {
        return Err(format!("the name `{text}` does not end with a dot"));
    }
    let labels = labels(text).ok_or_else(|| format!("`{text}` is no name"))?;
    Name::from_labels(labels.iter().map(Vec::as_slice)).map_err(|error| format!("`{text}` is no name: {error}"))
}

/// The labels with their escapes undone (RFC 1035 §5.1): hickory-proto knows none for most octets.
fn labels(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut labels = vec![Vec::new()];
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let (octet, after) = match (first, more) {
            (b'.', _) => {
                labels.push(Vec::new());
                rest = more;
                continue;
            }
            (b'\\', [a @ b'0'..=b'9', b, c, after @ ..]) => {
                let digits = [*a, *b, *c];
                (std::str::from_utf8(&digits).ok()?.parse().ok()?, after)
            }
            (b'\\', [plain, after @ ..]) => (*plain, after),
            (plain, after) => (*plain, after),
        };
        labels.last_mut()?.push(octet);
        rest = after;
    }
    // After the final dot comes the root; the root alone has two.
    labels.pop();
    if text == "." {
        labels.clear();
    }
    (!labels.iter().any(Vec::is_empty)).then_some(labels)
}

pub fn record_type(text: &str) -> Result<RecordType, String> {
    if let Some(number) = text.strip_prefix("TYPE") {
        return number.parse().map(|code: u16| RecordType::from(code)).map_err(|_| format!("`{text}` is no type"));
    }
    text.parse().map_err(|_| format!("`{text}` is no type"))
}

/// The type as RFC 3597 §5 writes it where it has no name of its own.
pub fn show_type(rtype: RecordType) -> String {
    match rtype {
        RecordType::Unknown(code) => format!("TYPE{code}"),
        known => known.to_string(),
    }
}

pub fn response_code(text: &str) -> Result<ResponseCode, String> {
    Ok(match text {
        "NOERROR" => ResponseCode::NoError,
        "FORMERR" => ResponseCode::FormErr,
        "SERVFAIL" => ResponseCode::ServFail,
        "NXDOMAIN" => ResponseCode::NXDomain,
        "NOTIMP" => ResponseCode::NotImp,
        "REFUSED" => ResponseCode::Refused,
        "YXDOMAIN" => ResponseCode::YXDomain,
        "NOTAUTH" => ResponseCode::NotAuth,
        // 16, which hickory-proto reads back as BADSIG (RFC 6895 §2.3 gives both names).
        "BADVERS" => ResponseCode::BADSIG,
        "BADCOOKIE" => ResponseCode::BADCOOKIE,
        other => return Err(format!("`{other}` is no RCODE")),
    })
}

pub fn show_response_code(code: ResponseCode) -> String {
    let known = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "NOTAUTH", "BADVERS"];
    let found = known.iter().chain(&["BADCOOKIE"]).find(|text| response_code(text) == Ok(code));
    found.map_or_else(|| format!("RCODE{}", u16::from(code)), ToString::to_string)
}

/// `20ms`, `1.5s`, `3m`, `2h`, `1d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| format!("`{text}` is no time: write `20ms`, `3s`"))?;
    let unit = match &text[digits..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(format!("`{text}` is no time: the unit is us, ms, s, m, h or d")),
    };
    Ok(Duration::from_secs_f64(number * unit))
}

pub fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).ok_or_else(|| format!("`{c}` in `{text}` is no hexadecimal digit")))
        .collect::<Result<_, _>>()?;
    if !digits.len().is_multiple_of(2) {
        return Err(format!("`{text}` has an odd number of digits"));
    }
    Ok(digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

/// `NAME TTL [CLASS] TYPE RDATA`.
pub fn record(text: &str) -> Result<Record, String> {
    let wanted = wanted(text)?;
    let Ttl::Exactly(ttl) = wanted.ttl else { return Err(format!("`{text}` needs a TTL")) };
    let data = wanted.data.ok_or_else(|| format!("`{text}` needs data"))?;
    let mut record = Record::from_rdata(wanted.name, ttl, data);
    record.dns_class = wanted.class;
    Ok(record)
}

/// As [`record`], but the TTL may be `~300`, `<=300` or `*`, and the data `*`.
pub fn wanted(text: &str) -> Result<Wanted, String> {
    let mut rest = text.trim();
    let name = name(word(&mut rest))?;
    let ttl = ttl(word(&mut rest)).map_err(|what| format!("in `{text}`: {what}"))?;
    let mut next = word(&mut rest);
    let mut class = DNSClass::IN;
    if let Some(given) = match next {
        "IN" => Some(DNSClass::IN),
        "CH" => Some(DNSClass::CH),
        _ => None,
    } {
        class = given;
        next = word(&mut rest);
    }
    let rtype = record_type(next).map_err(|what| format!("in `{text}`: {what}"))?;
    let data = if rest == "*" { None } else { Some(data(rtype, rest).map_err(|what| format!("in `{text}`: {what}"))?) };
    Ok(Wanted { name, ttl, class, rtype, data })
}

fn ttl(text: &str) -> Result<Ttl, String> {
    let number = |digits: &str| digits.parse::<u32>().map_err(|_| format!("`{text}` is no TTL"));
    if text == "*" {
        Ok(Ttl::Any)
    } else if let Some(digits) = text.strip_prefix('~') {
        Ok(Ttl::About(number(digits)?))
    } else if let Some(digits) = text.strip_prefix("<=") {
        Ok(Ttl::AtMost(number(digits)?))
    } else {
        Ok(Ttl::Exactly(number(text)?))
    }
}

/// Takes the first word off `rest`.
pub fn word<'a>(rest: &mut &'a str) -> &'a str {
    let text = rest.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    *rest = text[end..].trim();
    &text[..end]
}

fn data(rtype: RecordType, text: &str) -> Result<RData, String> {
    if let Some(generic) = text.strip_prefix("\\#") {
        return generic_data(rtype, generic.trim());
    }
    match rtype {
        RecordType::DNAME => Ok(opaque(rtype, wire(&name(text)?))),
        RecordType::DS => {
            let mut rest = text;
            let mut number = || word(&mut rest).parse::<u16>().map_err(|_| format!("`{text}` is no DS data"));
            let (tag, algorithm, digest) = (number()?, number()?, number()?);
            let mut bytes = tag.to_be_bytes().to_vec();
            bytes.extend([algorithm as u8, digest as u8]);
            bytes.extend(hex(rest)?);
            Ok(opaque(rtype, bytes))
        }
        RecordType::NS | RecordType::CNAME | RecordType::PTR if !text.ends_with('.') => {
            Err(format!("the name `{text}` does not end with a dot"))
        }
        _ => RData::try_from_str(rtype, text).map_err(|error| error.to_string()),
    }
}

/// `\# LENGTH HEX` (RFC 3597 §5).
fn generic_data(rtype: RecordType, text: &str) -> Result<RData, String> {
    let mut rest = text;
    let length: usize = word(&mut rest).parse().map_err(|_| format!("`\\# {text}` has no length"))?;
    let bytes = hex(rest)?;
    if bytes.len() != length {
        return Err(format!("`\\# {text}` has {} octets, not {length}", bytes.len()));
    }
    Ok(opaque(rtype, bytes))
}

fn opaque(rtype: RecordType, bytes: Vec<u8>) -> RData {
    if bytes.is_empty() {
        // RDLENGTH 0, in the words of hickory-proto.
        return RData::Update0(rtype);
    }
    RData::Unknown { code: rtype, rdata: NULL::with(bytes) }
}

/// The name uncompressed.
pub fn wire(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.iter() {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

pub fn show_record(record: &Record) -> String {
    let data = match &record.data {
        RData::Unknown { rdata, .. } => {
            let digits: String = rdata.anything.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\\# {} {digits}", rdata.anything.len())
        }
        RData::Update0(_) => "\\# 0".to_string(),
        data => data.to_string(),
    };
    format!("{} {} {} {} {data}", record.name, record.ttl, record.dns_class, show_type(record.record_type()))
}

#[test]
fn a_record_without_a_final_dot_is_an_error() {
    assert!(record("www.example.com 300 A 192.0.2.1").is_err());
    assert!(record("www.example.com. 300 CNAME example.com").is_err());
    assert!(record("www.example.com. A 192.0.2.1").is_err());
}

#[test]
fn wanted_compares_name_type_and_data() {
    let have = record("WWW.example.com. 299 A 192.0.2.1").expect("a record");
    for (text, matches) in [
        ("www.example.com. 299 A 192.0.2.1", true),
        ("www.example.com. ~300 A 192.0.2.1", true),
        ("www.example.com. <=299 A *", true),
        ("www.example.com. * A 192.0.2.2", false),
        ("www.example.com. 300 A 192.0.2.1", false),
        ("www.example.com. ~302 A 192.0.2.1", false),
        ("example.com. * A 192.0.2.1", false),
        ("www.example.com. * CH A 192.0.2.1", false),
    ] {
        assert_eq!(wanted(text).expect("a pattern").matches(&have), matches, "{text}");
    }
}

#[test]
fn names_may_hold_any_octet() {
    let odd = name("a\\.b\\000\\255.com.").expect("a name");
    assert_eq!(wire(&odd), b"\x05a.b\x00\xff\x03com\x00");
    assert_eq!(wire(&name(".").expect("the root")), b"\x00");
    assert!(name("a..com.").is_err());
}

#[test]
fn durations_have_units() {
    assert_eq!(duration("1500ms"), duration("1.5s"));
    assert!(duration("3").is_err());
}

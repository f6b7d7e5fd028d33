//! Just enough of the wire format to ask a question and read the answer, apart from the code under test.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Mnemonics of the types asked for; others are written TYPEnnn (RFC 3597).
const TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (39, "DNAME"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (52, "TLSA"),
    (61, "OPENPGPKEY"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
];

/// A record type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Type(pub u16);

impl Type {
    pub const SOA: Type = Type(6);
    pub const CNAME: Type = Type(5);
    pub const DNAME: Type = Type(39);

    /// Reads a mnemonic or TYPEnnn.
    pub fn parse(text: &str) -> Option<Type> {
        let known = TYPES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        known.map(|(number, _)| Type(*number)).or_else(|| {
            let digits = text.strip_prefix("TYPE").or_else(|| text.strip_prefix("type"))?;
            digits.parse().ok().map(Type)
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TYPES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// A record without its TTL: owner in lower case, record data with its names written out in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Record {
    pub owner: String,
    pub kind: Type,
    pub data: Vec<u8>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.owner, self.kind)?;
        match (self.kind.0, self.data.as_slice()) {
            (1, &[a, b, c, d]) => write!(f, "{a}.{b}.{c}.{d}"),
            (2 | 5 | 12 | 39, data) => f.write_str(&String::from_utf8_lossy(data)),
            (_, data) if data.iter().all(|b| b.is_ascii_graphic() || *b < 64) && data.len() < 200 => {
                write!(f, "{:?}", String::from_utf8_lossy(data))
            }
            (_, data) => write!(f, "[{} octets]", data.len()),
        }
    }
}

/// What a response says, in the parts that clients act on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub rcode: u8,
    pub authoritative: bool,
    pub truncated: bool,
    pub recursion_available: bool,
    /// AD: everything in it has been validated.
    pub authentic: bool,
    /// The codes of the extended errors (RFC 8914).
    pub errors: Vec<u16>,
    /// The answer section in the order of the message.
    pub records: Vec<Record>,
}

impl Answer {
    /// The answer section as a set.
    pub fn set(&self) -> BTreeSet<&Record> {
        self.records.iter().collect()
    }

    /// The owners of CNAME and DNAME records, in the order of the message.
    pub fn chain(&self) -> Vec<(&str, Type)> {
        let links = self.records.iter().filter(|record| matches!(record.kind, Type::CNAME | Type::DNAME));
        links.map(|record| (record.owner.as_str(), record.kind)).collect()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(rcode_name(self.rcode))?;
        if self.authentic {
            f.write_str(" ad")?;
        }
        for record in &self.records {
            write!(f, " | {record}")?;
        }
        Ok(())
    }
}

/// The mnemonic of an RCODE.
pub fn rcode_name(rcode: u8) -> &'static str {
    const NAMES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    NAMES.get(usize::from(rcode)).copied().unwrap_or("RCODE?")
}

/// Over what a question travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    Udp,
    Tcp,
}

/// What a client says of validation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Wishes {
    /// DO: it wants signatures.
    pub dnssec_ok: bool,
    /// CD: it validates itself.
    pub checking_disabled: bool,
}

/// Asks `server` once. By UDP with EDNS and 1232 octets, and again by TCP when truncated.
pub fn ask(server: SocketAddr, name: &str, kind: Type, over: Over, patience: Duration) -> io::Result<Answer> {
    ask_with(server, (name, kind), Wishes::default(), over, patience)
}

/// The same with wishes.
pub fn ask_with(
    server: SocketAddr,
    (name, kind): (&str, Type),
    wishes: Wishes,
    over: Over,
    patience: Duration,
) -> io::Result<Answer> {
    let query = compose(name, kind, wishes)?;
    let answer = match over {
        Over::Udp => ask_udp(server, &query, patience)?,
        Over::Tcp => ask_tcp(server, &query, patience)?,
    };
    if answer.truncated && over == Over::Udp { ask_tcp(server, &query, patience) } else { Ok(answer) }
}

fn ask_udp(server: SocketAddr, query: &[u8], patience: Duration) -> io::Result<Answer> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" })?;
    socket.connect(server)?;
    socket.send(query)?;
    let deadline = Instant::now() + patience;
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        if buffer[..length].get(..2) == query.get(..2) {
            return parse(&buffer[..length], query);
        }
    }
}

fn ask_tcp(server: SocketAddr, query: &[u8], patience: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut framed = u16::try_from(query.len()).map_err(|_| malformed("query too long"))?.to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    parse(&message, query)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// The wire form of a name in presentation form, escapes included.
fn name_to_wire(name: &str) -> io::Result<Vec<u8>> {
    let mut wire = Vec::new();
    let mut label = Vec::new();
    let mut bytes = name.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'.' if label.is_empty() => {}
            b'.' => {
                wire.push(u8::try_from(label.len()).map_err(|_| malformed("label too long"))?);
                wire.append(&mut label);
            }
            b'\\' => match bytes.next() {
                Some(digit @ b'0'..=b'9') => {
                    let rest = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                    let value = [digit, rest[0], rest[1]].iter().fold(0u32, |sum, d| sum * 10 + u32::from(d - b'0'));
                    label.push(u8::try_from(value).map_err(|_| malformed("escape"))?);
                }
                Some(other) => label.push(other),
                None => return Err(malformed("escape")),
            },
            other => label.push(other),
        }
    }
    if !label.is_empty() {
        wire.push(u8::try_from(label.len()).map_err(|_| malformed("label too long"))?);
        wire.append(&mut label);
    }
    wire.push(0);
    Ok(wire)
}

fn compose(name: &str, kind: Type, wishes: Wishes) -> io::Result<Vec<u8>> {
    static NEXT_ID: AtomicU16 = AtomicU16::new(1);
    let mut message = NEXT_ID.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec();
    let flags = if wishes.checking_disabled { 0x10 } else { 0 };
    message.extend_from_slice(&[1, flags, 0, 1, 0, 0, 0, 0, 0, 1]); // RD, one question, one additional
    message.extend_from_slice(&name_to_wire(name)?);
    message.extend_from_slice(&kind.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let flags = if wishes.dnssec_ok { 0x80 } else { 0 };
    message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, flags, 0, 0, 0]); // OPT, 1232 octets
    Ok(message)
}

/// Reads a name at `at`; returns it in presentation form and lower case, and where reading goes on.
fn read_name(message: &[u8], mut at: usize) -> io::Result<(String, usize)> {
    let mut text = String::new();
    let mut end = None;
    for _ in 0..256 {
        let length = *message.get(at).ok_or_else(|| malformed("name"))?;
        match length {
            0 => {
                if text.is_empty() {
                    text.push('.');
                }
                return Ok((text, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length)).ok_or_else(|| malformed("label"))?;
                for byte in label {
                    match byte {
                        b'.' | b'\\' => text.extend(['\\', char::from(*byte)]),
                        33..=126 => text.push(char::from(byte.to_ascii_lowercase())),
                        other => text.push_str(&format!("\\{other:03}")),
                    }
                }
                text.push('.');
                at += 1 + usize::from(length);
            }
            192.. => {
                let low = *message.get(at + 1).ok_or_else(|| malformed("pointer"))?;
                end = end.or(Some(at + 2));
                at = usize::from(length & 63) << 8 | usize::from(low);
            }
            _ => return Err(malformed("label type")),
        }
    }
    Err(malformed("pointers"))
}

fn u16_at(message: &[u8], at: usize) -> io::Result<u16> {
    let bytes = message.get(at..at + 2).ok_or_else(|| malformed("short"))?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Record data with compressed names written out.
fn read_data(message: &[u8], at: usize, length: usize, kind: Type) -> io::Result<Vec<u8>> {
    let raw = message.get(at..at + length).ok_or_else(|| malformed("record data"))?;
    let names_from = match kind.0 {
        2 | 5 | 12 | 39 | 6 => 0,
        15 => 2,
        33 => 6,
        _ => return Ok(raw.to_vec()),
    };
    if length <= names_from {
        return Ok(raw.to_vec());
    }
    let mut data = raw[..names_from].to_vec();
    let (name, mut end) = read_name(message, at + names_from)?;
    data.extend_from_slice(name.as_bytes());
    if kind == Type::SOA {
        let (mailbox, after) = read_name(message, end)?;
        data.push(b' ');
        data.extend_from_slice(mailbox.as_bytes());
        end = after;
    }
    data.extend_from_slice(message.get(end..at + length).ok_or_else(|| malformed("record data"))?);
    Ok(data)
}

/// The codes in the options of an OPT record.
fn extended_errors(mut options: &[u8]) -> Vec<u16> {
    let mut errors = Vec::new();
    while let [a, b, high, low, rest @ ..] = options {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (data, after) = rest.split_at(length);
        if let ([0, 15], [high, low, ..]) = ([*a, *b], data) {
            errors.push(u16::from_be_bytes([*high, *low]));
        }
        options = after;
    }
    errors
}

fn parse(message: &[u8], query: &[u8]) -> io::Result<Answer> {
    let flags = u16_at(message, 2)?;
    if message.get(..2) != query.get(..2) || flags & 0x8000 == 0 {
        return Err(malformed("not a response to this query"));
    }
    let (questions, answers) = (u16_at(message, 4)?, u16_at(message, 6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = read_name(message, at)?.1 + 4;
    }
    let mut records = Vec::new();
    for _ in 0..answers {
        let (owner, after) = read_name(message, at)?;
        let kind = Type(u16_at(message, after)?);
        let length = usize::from(u16_at(message, after + 8)?);
        let data = read_data(message, after + 10, length, kind)?;
        at = after + 10 + length;
        records.push(Record { owner, kind, data });
    }
    let others = u16_at(message, 8)? + u16_at(message, 10)?;
    let mut errors = Vec::new();
    for _ in 0..others {
        let after = read_name(message, at)?.1;
        let length = usize::from(u16_at(message, after + 8)?);
        let data = message.get(after + 10..after + 10 + length).ok_or_else(|| malformed("record data"))?;
        if u16_at(message, after)? == 41 {
            errors = extended_errors(data);
        }
        at = after + 10 + length;
    }
    Ok(Answer {
        rcode: flags.to_be_bytes()[1] & 15,
        authoritative: flags & 0x0400 != 0,
        truncated: flags & 0x0200 != 0,
        recursion_available: flags & 0x0080 != 0,
        authentic: flags & 0x0020 != 0,
        errors,
        records,
    })
}

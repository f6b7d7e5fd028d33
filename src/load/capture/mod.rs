//! Recorded traffic: DNS messages out of pcap, pcapng, dnstap and dnsperf's text, and back into them.
//!
//! A record that is cut short or foreign is read up to the fault, and the [`Summary`] says where that is.

pub mod anonymise;
mod blocks;
mod flows;
mod frames;
mod lines;
pub mod stats;
mod tap;
mod write;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

pub use write::{Format, Writer};

/// The port of DNS.
pub const PORT: u16 = 53;

/// The last second of the year 9999: nothing was seen later, whatever a record says.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// A DNS message that was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Since 1970-01-01T00:00:00Z, or since the first where the record has no dates.
    pub at: Duration,
    /// Who asked.
    pub client: Option<SocketAddr>,
    /// Who was asked.
    pub server: Option<SocketAddr>,
    pub tcp: bool,
    pub packet: Vec<u8>,
}

impl Message {
    /// Whether it is a response, by its header; short ones count as queries.
    pub fn is_response(&self) -> bool {
        self.packet.get(2).is_some_and(|flags| flags & 0x80 != 0)
    }
}

/// What is wanted of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Ports of DNS servers; messages from and to others are passed over.
    pub ports: Vec<u16>,
    /// Queries a second where a text gives no times.
    pub rate: u32,
}

impl Choice {
    /// When the `number`th unit of a record without times was.
    fn even(&self, number: u64) -> Duration {
        (Duration::from_secs(1) / self.rate.max(1)).saturating_mul(u32::try_from(number).unwrap_or(u32::MAX))
    }
}

impl Default for Choice {
    fn default() -> Choice {
        Choice { ports: vec![PORT], rate: 1000 }
    }
}

/// How a record was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// `pcap`, `pcapng`, `dnstap`, `text`.
    pub format: &'static str,
    /// Packets, frames or lines.
    pub units: u64,
    /// DNS messages in them.
    pub messages: u64,
    /// Units passed over: not DNS, or of other ports.
    pub foreign: u64,
    /// Fragments that were put together, and those whose rest never came.
    pub fragments: u64,
    /// Units that could not be read.
    pub broken: u64,
    /// Packets whose block has no place for a time.
    pub undated: u64,
    /// TCP data of connections that were not seen from where a message begins.
    pub lost_streams: u64,
    /// Where reading ended before the end, and why.
    pub fault: Option<String>,
}

impl Summary {
    /// In a line.
    pub fn line(&self) -> String {
        let mut parts = vec![format!("{} messages in {} units of {}", self.messages, self.units, self.format)];
        let counts = [
            (self.foreign, "not DNS"),
            (self.fragments, "fragments"),
            (self.broken, "broken"),
            (self.undated, "without a time"),
            (self.lost_streams, "TCP segments without a beginning"),
        ];
        parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        if self.messages == 0 && self.foreign > 0 && self.format.starts_with("pcap") {
            parts.push("servers at another port than 53 are named with --port".to_owned());
        }
        parts.extend(self.fault.iter().map(|fault| format!("read up to a fault: {fault}")));
        parts.join(", ")
    }
}

/// Reads every message of a record, in the order they stand there.
///
/// # Errors
/// The file cannot be opened, or is of no known kind.
pub fn read(path: &Path, choice: &Choice, each: &mut dyn FnMut(Message)) -> io::Result<Summary> {
    let mut file = File::open(path)?;
    let mut head = [0; 16];
    let length = fill(&mut file, &mut head)?;
    // Not rewound: it may be a pipe.
    let reader = BufReader::with_capacity(1 << 20, head[..length].chain(file));
    match kind(&head[..length]) {
        Kind::Pcap => Ok(frames::pcap(reader, choice, each)),
        Kind::Pcapng => Ok(frames::pcapng(reader, choice, each)),
        Kind::Dnstap => Ok(tap::read(reader, each)),
        Kind::Text => Ok(lines::read(reader, choice, each)),
        Kind::Unknown => {
            let what = match head {
                _ if length == 0 => "it is empty",
                [0x1f, 0x8b, ..] => "it is compressed: unpack it first, with gzip -d",
                [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed: unpack it first, with zstd -d",
                [0xfd, b'7', b'z', b'X', b'Z', ..] => "it is compressed: unpack it first, with xz -d",
                [0xa1, 0xb2, 0xcd, 0x34, ..] | [0x34, 0xcd, 0xb2, 0xa1, ..] => {
                    "it is a pcap file of the modified kind: turn it into a plain one, with editcap -F pcap"
                }
                _ => "it is no pcap, pcapng, dnstap or text file",
            };
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
    }
}

enum Kind {
    Pcap,
    Pcapng,
    Dnstap,
    Text,
    Unknown,
}

/// The kind of a file, by its first octets.
fn kind(head: &[u8]) -> Kind {
    match head {
        [0xa1, 0xb2, 0xc3, 0xd4, ..]
        | [0xd4, 0xc3, 0xb2, 0xa1, ..]
        | [0xa1, 0xb2, 0x3c, 0x4d, ..]
        | [0x4d, 0x3c, 0xb2, 0xa1, ..] => Kind::Pcap,
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => Kind::Pcapng,
        // Frame Streams begin with an escape and a control frame.
        [0, 0, 0, 0, 0, 0, ..] => Kind::Dnstap,
        // Compressed or of the modified kind, which could be taken for text.
        [] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0xa1, 0xb2, 0xcd, 0x34, ..] | [0x34, 0xcd, 0xb2, 0xa1, ..] => {
            Kind::Unknown
        }
        text if text.iter().all(|octet| matches!(octet, 0x20..=0x7e | 0x80.. | b'\t' | b'\r' | b'\n')) => Kind::Text,
        _ => Kind::Unknown,
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;

//! The blocks of pcapng files (draft-ietf-opsawg-pcapng): those with packets, and the interfaces they were seen on. All
//! others, and options that do not matter here, are passed over whatever is in them.

use std::io::{self, Read};
use std::time::Duration;

use super::fill;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// The Packet Block of old files, and the one without a time.
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
/// The octets that tell the order of all others in a section.
const ORDER: u32 = 0x1a2b_3c4d;
/// Options of interfaces: if_tsresol and if_tsoffset.
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
/// A block that matters holds one packet of a network, and is shorter; longer ones count as broken.
const LONGEST: usize = 1 << 20;

/// A packet in a block.
#[derive(Debug)]
pub(super) struct Packet {
    /// Since 1970; none where its block has no place for it.
    pub(super) at: Option<Duration>,
    pub(super) link: u32,
    pub(super) data: Vec<u8>,
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Next {
    Packet(Packet),
    /// A block with a packet that cannot be read.
    Broken,
    End,
}

/// An interface of a section.
struct Interface {
    link: u32,
    /// Units of time in a second.
    ticks: u64,
    /// Seconds that are added to times.
    offset: i64,
}

/// A file under way.
pub(super) struct Blocks<R> {
    input: R,
    big_endian: bool,
    begun: bool,
    interfaces: Vec<Interface>,
}

fn fault(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(input: R) -> Blocks<R> {
        Blocks { input, big_endian: false, begun: false, interfaces: Vec::new() }
    }

    fn half(&self, octets: &[u8], at: usize) -> Option<u16> {
        let octets: [u8; 2] = octets.get(at..at + 2)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(octets) } else { u16::from_le_bytes(octets) })
    }

    fn word(&self, octets: &[u8], at: usize) -> Option<u32> {
        let octets: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) })
    }

    /// Goes on to the next packet.
    ///
    /// # Errors
    /// The file is cut short (`UnexpectedEof`), cannot be read, or is none.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        loop {
            let mut head = [0; 8];
            match fill(&mut self.input, &mut head)? {
                0 => return Ok(Next::End),
                8 => {}
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            let kind = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            let mut body = Vec::new();
            if kind == SECTION {
                // It reads the same in either order, and says in which the rest is.
                self.take(4, &mut body)?;
                self.big_endian = body[..] == ORDER.to_be_bytes();
                if !self.big_endian && body[..] != ORDER.to_le_bytes() {
                    return Err(fault("a section does not say the order of its octets".to_owned()));
                }
                self.begun = true;
                self.interfaces.clear();
            } else if !self.begun {
                return Err(fault("it does not begin with a section".to_owned()));
            }
            let kind = self.word(&head, 0).unwrap_or(0);
            let told = self.word(&head, 4).unwrap_or(0);
            let least = 12 + body.len() as u32;
            if told < least || !told.is_multiple_of(4) {
                return Err(fault(format!("a block says it has {told} octets")));
            }
            let length = (told - least) as usize;
            let wanted = [INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET].contains(&kind);
            let read = wanted && length <= LONGEST;
            if read {
                self.take(length, &mut body)?;
            } else {
                self.pass(length as u64)?;
            }
            let mut end = Vec::new();
            self.take(4, &mut end)?;
            if self.word(&end, 0) != Some(told) {
                return Err(fault("a block does not end as it began".to_owned()));
            }
            match kind {
                INTERFACE if read => self.interface(&body),
                // Its place in the order counts; nothing is known of it.
                INTERFACE => self.interfaces.push(Interface { link: u32::MAX, ticks: 1, offset: 0 }),
                _ if wanted => return Ok(self.packet(kind, &body).filter(|_| read).map_or(Next::Broken, Next::Packet)),
                _ => {}
            }
        }
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let start = into.len();
        into.resize(start + length, 0);
        if fill(&mut self.input, &mut into[start..])? < length {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }

    fn pass(&mut self, length: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.input.by_ref().take(length), &mut io::sink())?;
        if passed < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn interface(&mut self, body: &[u8]) {
        let link = self.half(body, 0).map_or(u32::MAX, u32::from);
        let mut found = Interface { link, ticks: 1_000_000, offset: 0 };
        let mut at = 8;
        while let (Some(code @ 1..), Some(length)) = (self.half(body, at), self.half(body, at + 2)) {
            let Some(value) = body.get(at + 4..at + 4 + usize::from(length)) else { break };
            match (code, <[u8; 8]>::try_from(value)) {
                (RESOLUTION, _) => found.ticks = value.first().map_or(found.ticks, |how| ticks(*how)),
                (OFFSET, Ok(octets)) => {
                    found.offset =
                        if self.big_endian { i64::from_be_bytes(octets) } else { i64::from_le_bytes(octets) };
                }
                _ => {}
            }
            at += 4 + usize::from(length).next_multiple_of(4);
        }
        self.interfaces.push(found);
    }

    fn packet(&self, kind: u32, body: &[u8]) -> Option<Packet> {
        if kind == SIMPLE_PACKET {
            let link = self.interfaces.first()?.link;
            let length = (self.word(body, 0)? as usize).min(body.len() - 4);
            return Some(Packet { at: None, link, data: body[4..4 + length].to_vec() });
        }
        let index = match kind {
            OLD_PACKET => usize::from(self.half(body, 0)?),
            _ => self.word(body, 0)? as usize,
        };
        let interface = self.interfaces.get(index)?;
        let units = u64::from(self.word(body, 4)?) << 32 | u64::from(self.word(body, 8)?);
        let length = self.word(body, 12)? as usize;
        let data = body.get(20..)?.get(..length)?.to_vec();
        Some(Packet { at: Some(interface.time(units)), link: interface.link, data })
    }
}

impl Interface {
    /// A moment in its units; 1970 for what lies before.
    fn time(&self, units: u64) -> Duration {
        let nanos =
            i128::from(units) * 1_000_000_000 / i128::from(self.ticks) + i128::from(self.offset) * 1_000_000_000;
        Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

/// Units of time in a second, from the option if_tsresol.
fn ticks(resolution: u8) -> u64 {
    let power = u32::from(resolution & 0x7f);
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(power).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = (12 + padded as u32).to_be_bytes();
        let mut out = [&kind.to_be_bytes()[..], &length, body].concat();
        out.resize(8 + padded, 0);
        out.extend_from_slice(&length);
        out
    }

    fn option(code: u16, value: &[u8]) -> Vec<u8> {
        let mut out = [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat();
        out.resize(4 + value.len().next_multiple_of(4), 0);
        out
    }

    fn enhanced(units: u64, data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u32).to_be_bytes();
        block(6, &[&[0; 4], &units.to_be_bytes()[..], &length, &length, data].concat())
    }

    #[test]
    fn packets_are_found_whatever_else_the_file_holds() {
        let section =
            block(SECTION, &[&ORDER.to_be_bytes()[..], &[0, 1, 0, 0], &[0xff; 8], &option(4, b"\xff\xfe")].concat());
        // A name that is no UTF-8, times in eighths of a second, and an offset.
        let options = [option(2, b"eth\xff\x80"), option(9, &[0x83]), option(14, &(-100i64).to_be_bytes())].concat();
        let interface = block(INTERFACE, &[&[0, 101, 0, 0, 0, 0, 0, 0][..], &options].concat());
        let long = block(0x0bad, &vec![7; 9 << 20]);
        let simple = block(SIMPLE_PACKET, &[&5u32.to_be_bytes()[..], b"older"].concat());
        let commented = block(
            6,
            &[&[0; 4], &816u64.to_be_bytes()[..], &[0, 0, 0, 4, 0, 0, 0, 4], b"next", &option(1, b"\xff")].concat(),
        );
        let file = [section, interface, long, enhanced(804, b"one"), simple, commented, enhanced(1, b"")].concat();
        let mut blocks = Blocks::new(&file[..]);
        let mut found = Vec::new();
        while let Next::Packet(packet) = blocks.next().unwrap() {
            assert_eq!(packet.link, 101);
            found.push((packet.at.map(|at| at.as_millis()), packet.data));
        }
        let wanted = [(Some(500), &b"one"[..]), (None, b"older"), (Some(2000), b"next"), (Some(0), b"")];
        assert_eq!(found, wanted.map(|(at, data)| (at, data.to_vec())));
        for length in [1, 20, 60, file.len() - 3] {
            let mut blocks = Blocks::new(&file[..length]);
            let error = loop {
                match blocks.next() {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
    }
}

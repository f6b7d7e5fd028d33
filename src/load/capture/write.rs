//! Messages into files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, PcapError, TsResolution};

use super::{Message, PORT, lines, tap};

/// Stands for addresses that are not known.
const NOBODY: [u8; 4] = [127, 0, 0, 1];
/// A TCP segment's data, at most; longer messages take several.
const SEGMENT: usize = 60_000;
/// Hops that written packets may still take.
const HOPS: u8 = 64;
/// Connections whose sequence numbers are kept: with two directions each, as many as are followed on reading. Where there
/// are more, all begin anew.
const MOST_CONNECTIONS: usize = 32_768;

/// A kind of file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Pcap,
    Pcapng,
    Dnstap,
    /// dnsperf's, with times and clients as comments.
    Text,
}

impl Format {
    /// By the ending of a file's name.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "pcap" | "cap" => Some(Format::Pcap),
            "pcapng" => Some(Format::Pcapng),
            "dnstap" | "fstrm" | "tap" => Some(Format::Dnstap),
            "txt" | "text" | "dnsperf" | "queries" => Some(Format::Text),
            _ => None,
        }
    }
}

/// A file under way.
pub struct Writer {
    kind: Kind,
    /// When the first message was.
    first: Option<Duration>,
    connections: Connections,
    /// Messages that the format has no place for.
    pub left_out: u64,
}

enum Kind {
    Pcap(PcapWriter<BufWriter<File>>),
    Pcapng(Box<PcapNgWriter<BufWriter<File>>>),
    Dnstap(BufWriter<File>),
    Text(BufWriter<File>),
}

fn plain(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(source) => source,
        other => io::Error::other(other.to_string()),
    }
}

impl Writer {
    /// Creates the file.
    pub fn create(path: &Path, format: Format) -> io::Result<Writer> {
        let mut out = BufWriter::new(File::create(path)?);
        let kind = match format {
            Format::Pcap => {
                let header = PcapHeader {
                    datalink: DataLink::RAW,
                    ts_resolution: TsResolution::NanoSecond,
                    snaplen: 262_144,
                    ..PcapHeader::default()
                };
                Kind::Pcap(PcapWriter::with_header(out, header).map_err(plain)?)
            }
            Format::Pcapng => {
                let mut file = PcapNgWriter::new(out).map_err(plain)?;
                let mut interface = InterfaceDescriptionBlock::new(DataLink::RAW, 262_144);
                interface.options.push(InterfaceDescriptionOption::IfTsResol(9));
                file.write_block(&interface.into_block()).map_err(plain)?;
                Kind::Pcapng(Box::new(file))
            }
            Format::Dnstap => {
                tap::begin(&mut out)?;
                Kind::Dnstap(out)
            }
            Format::Text => Kind::Text(out),
        };
        Ok(Writer { kind, first: None, connections: Connections::default(), left_out: 0 })
    }

    /// Writes a message.
    pub fn write(&mut self, message: &Message) -> io::Result<()> {
        let since = *self.first.get_or_insert(message.at);
        match &mut self.kind {
            Kind::Dnstap(out) => return tap::write(out, message),
            Kind::Text(out) => {
                return match lines::line(message, since) {
                    Some(line) => writeln!(out, "{line}"),
                    None => {
                        self.left_out += 1;
                        Ok(())
                    }
                };
            }
            Kind::Pcap(_) | Kind::Pcapng(_) => {}
        }
        for data in self.frames(message)? {
            let original = data.len() as u32;
            match &mut self.kind {
                Kind::Pcap(file) => {
                    file.write_packet(&PcapPacket::new_owned(message.at, original, data)).map_err(plain)?;
                }
                Kind::Pcapng(file) => {
                    let (timestamp, options) = (message.at, Vec::new());
                    let data = data.into();
                    let block =
                        EnhancedPacketBlock { interface_id: 0, timestamp, original_len: original, data, options };
                    file.write_block(&block.into_block()).map_err(plain)?;
                }
                Kind::Dnstap(_) | Kind::Text(_) => {}
            }
        }
        Ok(())
    }

    /// The message in IP packets.
    fn frames(&mut self, message: &Message) -> io::Result<Vec<Vec<u8>>> {
        let nobody = |port| SocketAddr::new(IpAddr::from(NOBODY), port);
        let client = message.client.unwrap_or(nobody(0));
        let server = message.server.unwrap_or(SocketAddr::new(
            if client.is_ipv4() { IpAddr::from(NOBODY) } else { IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]) },
            PORT,
        ));
        let (from, to) = if message.is_response() { (server, client) } else { (client, server) };
        let Some(builder) = builder(from, to) else {
            self.left_out += 1;
            return Ok(Vec::new());
        };
        if !message.tcp {
            let mut frame = Vec::with_capacity(message.packet.len() + 48);
            if builder.udp(from.port(), to.port()).write(&mut frame, &message.packet).is_err() {
                // It is longer than a datagram can be.
                self.left_out += 1;
                return Ok(Vec::new());
            }
            return Ok(vec![frame]);
        }
        let Ok(length) = u16::try_from(message.packet.len()) else {
            self.left_out += 1;
            return Ok(Vec::new());
        };
        let stream = [&length.to_be_bytes()[..], &message.packet].concat();
        self.connections.segments((client, server), message.is_response(), &stream)
    }

    /// Writes what is left, and closes the file.
    pub fn finish(self) -> io::Result<()> {
        match self.kind {
            Kind::Pcap(file) => file.into_writer().flush(),
            Kind::Pcapng(file) => file.into_inner().flush(),
            Kind::Dnstap(mut out) => {
                tap::end(&mut out)?;
                out.flush()
            }
            Kind::Text(mut out) => out.flush(),
        }
    }
}

fn builder(from: SocketAddr, to: SocketAddr) -> Option<PacketBuilderStep<IpHeaders>> {
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some(PacketBuilder::ipv4(from.octets(), to.octets(), HOPS)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some(PacketBuilder::ipv6(from.octets(), to.octets(), HOPS)),
        _ => None,
    }
}

/// The TCP connections of a file, by client and server.
#[derive(Default)]
struct Connections {
    /// The next sequence number of the client's octets, and of the server's.
    next: HashMap<(SocketAddr, SocketAddr), [u32; 2]>,
    begun: u32,
}

impl Connections {
    /// Octets as segments of their connection, which begins as connections do where nothing of it was written yet.
    fn segments(
        &mut self,
        (client, server): (SocketAddr, SocketAddr),
        response: bool,
        octets: &[u8],
    ) -> io::Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let known = self.next.get(&(client, server)).copied();
        if known.is_none() && self.next.len() >= MOST_CONNECTIONS {
            self.next.clear();
        }
        let mut next = known.unwrap_or_else(|| {
            self.begun = self.begun.wrapping_add(1);
            // Another one each time: the same once more would be taken for a repetition.
            [self.begun.wrapping_mul(0x9e37_79b1); 2]
        });
        if known.is_none() {
            frames.extend(segment(client, server, next, true, &[])?);
            next[0] = next[0].wrapping_add(1);
            frames.extend(segment(server, client, [next[1], next[0]], true, &[])?);
            next[1] = next[1].wrapping_add(1);
        }
        for piece in octets.chunks(SEGMENT) {
            let length = piece.len() as u32;
            if response {
                frames.extend(segment(server, client, [next[1], next[0]], false, piece)?);
                next[1] = next[1].wrapping_add(length);
            } else {
                frames.extend(segment(client, server, next, false, piece)?);
                next[0] = next[0].wrapping_add(length);
            }
        }
        self.next.insert((client, server), next);
        Ok(frames)
    }
}

/// A segment with its sequence number and, but for the first SYN, what it acknowledges.
fn segment(
    from: SocketAddr,
    to: SocketAddr,
    [sequence, acknowledged]: [u32; 2],
    opens: bool,
    data: &[u8],
) -> io::Result<Option<Vec<u8>>> {
    let Some(builder) = builder(from, to) else { return Ok(None) };
    let mut step = builder.tcp(from.port(), to.port(), sequence, u16::MAX);
    if opens {
        step = step.syn();
    }
    if !opens || sequence != acknowledged {
        step = step.ack(acknowledged);
    }
    if !data.is_empty() {
        step = step.psh();
    }
    let mut frame = Vec::with_capacity(data.len() + 60);
    step.write(&mut frame, data).map_err(io::Error::other)?;
    Ok(Some(frame))
}

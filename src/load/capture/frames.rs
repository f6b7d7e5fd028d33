//! Packets of pcap and pcapng files: link layers, IP, fragments, UDP; TCP goes on to [`Flows`].

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::defrag::IpDefragPool;
use etherparse::{EtherType, IpNumber, NetSlice, SlicedPacket, TcpSlice, TransportSlice, UdpSlice, err};
use pcap_file::pcap::PcapReader;
use pcap_file::{PcapError, TsResolution};

use super::blocks::{Blocks, Next};
use super::flows::{Flows, Segment};
use super::{Choice, Message, Summary};

/// Fragments wait for their rest so long, by the clock of the capture.
const FRAGMENT_LIFE: Duration = Duration::from_secs(30);
/// Every so many packets, fragments that waited too long are given up.
const SWEEP: u64 = 4096;

// Link types (https://www.tcpdump.org/linktypes.html).
const NULL: u32 = 0;
const ETHERNET: u32 = 1;
const RAW: [u32; 5] = [12, 14, 101, 228, 229];
const LOOP: u32 = 108;
const LINUX_SLL: u32 = 113;
const LINUX_SLL2: u32 = 276;

/// Everything between a packet and its DNS message.
struct Reader<'a> {
    choice: &'a Choice,
    each: &'a mut dyn FnMut(Message),
    summary: Summary,
    fragments: IpDefragPool<Duration, ()>,
    flows: Flows,
}

/// Reads a pcap file.
pub(super) fn pcap(input: impl Read, choice: &Choice, each: &mut dyn FnMut(Message)) -> Summary {
    let mut reader = Reader::new("pcap", choice, each);
    let mut file = match PcapReader::new(input) {
        Ok(file) => file,
        Err(error) => return reader.fault(&error),
    };
    let header = file.header();
    let link = u32::from(header.datalink);
    while let Some(packet) = file.next_raw_packet() {
        match packet {
            Ok(packet) => {
                let nanos = match header.ts_resolution {
                    TsResolution::MicroSecond => u64::from(packet.ts_frac) * 1000,
                    TsResolution::NanoSecond => u64::from(packet.ts_frac),
                };
                let at = Duration::from_secs(u64::from(packet.ts_sec)) + Duration::from_nanos(nanos);
                reader.packet(at, link, &packet.data);
            }
            Err(error) => return reader.fault(&error),
        }
    }
    reader.end()
}

/// Reads a pcapng file.
pub(super) fn pcapng(input: impl Read, choice: &Choice, each: &mut dyn FnMut(Message)) -> Summary {
    let mut reader = Reader::new("pcapng", choice, each);
    let mut blocks = Blocks::new(input);
    // Packets without a time take that of the one before; where none has, they follow each other as lines of text do.
    let mut last = None;
    loop {
        match blocks.next() {
            Ok(Next::Packet(packet)) => {
                reader.summary.undated += u64::from(packet.at.is_none());
                last = packet.at.or(last);
                let at = last.unwrap_or_else(|| choice.even(reader.summary.units));
                reader.packet(at, packet.link, &packet.data);
            }
            Ok(Next::Broken) => {
                reader.summary.units += 1;
                reader.summary.broken += 1;
            }
            Ok(Next::End) => return reader.end(),
            Err(error) => return reader.fault(&PcapError::IoError(error)),
        }
    }
}

impl<'a> Reader<'a> {
    fn new(format: &'static str, choice: &'a Choice, each: &'a mut dyn FnMut(Message)) -> Reader<'a> {
        let summary = Summary { format, ..Summary::default() };
        Reader { choice, each, summary, fragments: IpDefragPool::new(), flows: Flows::default() }
    }

    fn fault(mut self, error: &PcapError) -> Summary {
        let what = match error {
            PcapError::IncompleteBuffer => "it is cut short".to_owned(),
            PcapError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                "it is cut short".to_owned()
            }
            PcapError::IoError(source) => source.to_string(),
            other => other.to_string(),
        };
        let place = if self.summary.units == 0 {
            "the first unit".to_owned()
        } else {
            format!("the unit after packet {}", self.summary.units)
        };
        self.summary.fault = Some(format!("{place}: {what}"));
        self.end()
    }

    fn end(mut self) -> Summary {
        self.summary.lost_streams = self.flows.lost;
        self.summary
    }

    fn packet(&mut self, at: Duration, link: u32, data: &[u8]) {
        self.summary.units += 1;
        if self.summary.units.is_multiple_of(SWEEP) {
            self.fragments.retain(|since| *since + FRAGMENT_LIFE > at);
        }
        let sliced = match slice(link, data) {
            Some(Ok(sliced)) => sliced,
            Some(Err(_)) => {
                self.summary.broken += 1;
                return;
            }
            None => {
                self.summary.foreign += 1;
                return;
            }
        };
        let (source, destination) = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                (IpAddr::V4(ip.header().source_addr()), IpAddr::V4(ip.header().destination_addr()))
            }
            Some(NetSlice::Ipv6(ip)) => {
                (IpAddr::V6(ip.header().source_addr()), IpAddr::V6(ip.header().destination_addr()))
            }
            _ => {
                self.summary.foreign += 1;
                return;
            }
        };
        let fragmented = sliced.net.as_ref().and_then(NetSlice::ip_payload_ref).is_some_and(|p| p.fragmented);
        if fragmented {
            self.summary.fragments += 1;
            match self.fragments.process_sliced_packet(&sliced, at, ()) {
                Ok(Some(whole)) => self.transport(at, (source, destination), whole.ip_number, &whole.payload),
                Ok(None) => {}
                Err(_) => self.summary.broken += 1,
            }
            return;
        }
        match &sliced.transport {
            Some(TransportSlice::Udp(udp)) => self.udp(at, (source, destination), udp),
            Some(TransportSlice::Tcp(tcp)) => self.tcp(at, (source, destination), tcp),
            _ => self.summary.foreign += 1,
        }
    }

    fn transport(&mut self, at: Duration, ends: (IpAddr, IpAddr), protocol: IpNumber, payload: &[u8]) {
        match protocol {
            IpNumber::UDP => match UdpSlice::from_slice(payload) {
                Ok(udp) => self.udp(at, ends, &udp),
                Err(_) => self.summary.broken += 1,
            },
            IpNumber::TCP => match TcpSlice::from_slice(payload) {
                Ok(tcp) => self.tcp(at, ends, &tcp),
                Err(_) => self.summary.broken += 1,
            },
            _ => self.summary.foreign += 1,
        }
    }

    fn is_dns(&self, from: u16, to: u16) -> bool {
        self.choice.ports.contains(&from) || self.choice.ports.contains(&to)
    }

    fn udp(&mut self, at: Duration, (source, destination): (IpAddr, IpAddr), udp: &UdpSlice<'_>) {
        let (from, to) = (udp.source_port(), udp.destination_port());
        if !self.is_dns(from, to) {
            self.summary.foreign += 1;
            return;
        }
        let ends = (SocketAddr::new(source, from), SocketAddr::new(destination, to));
        self.give(at, ends, false, udp.payload().to_vec());
    }

    fn tcp(&mut self, at: Duration, (source, destination): (IpAddr, IpAddr), tcp: &TcpSlice<'_>) {
        let (from, to) = (tcp.source_port(), tcp.destination_port());
        if !self.is_dns(from, to) {
            self.summary.foreign += 1;
            return;
        }
        let ends = (SocketAddr::new(source, from), SocketAddr::new(destination, to));
        let segment = Segment {
            sequence: tcp.sequence_number(),
            opens: tcp.syn(),
            closes: tcp.fin() || tcp.rst(),
            data: tcp.payload(),
        };
        for packet in self.flows.take(ends, &segment) {
            self.give(at, ends, true, packet);
        }
    }

    fn give(&mut self, at: Duration, (from, to): (SocketAddr, SocketAddr), tcp: bool, packet: Vec<u8>) {
        self.summary.messages += 1;
        // The server is at the port of DNS; where both are, the header tells.
        let response = match (self.choice.ports.contains(&from.port()), self.choice.ports.contains(&to.port())) {
            (true, false) => true,
            (false, true) => false,
            _ => packet.get(2).is_some_and(|flags| flags & 0x80 != 0),
        };
        let (client, server) = if response { (to, from) } else { (from, to) };
        (self.each)(Message { at, client: Some(client), server: Some(server), tcp, packet });
    }
}

/// Cuts a packet into its layers; nothing for link types that are not known.
fn slice(link: u32, data: &[u8]) -> Option<Result<SlicedPacket<'_>, err::packet::SliceError>> {
    match link {
        ETHERNET => Some(SlicedPacket::from_ethernet(data)),
        LINUX_SLL => Some(SlicedPacket::from_linux_sll(data)),
        // Protocol first, then what the interface was; the packet begins at the 21st octet.
        LINUX_SLL2 => {
            let protocol = u16::from_be_bytes([*data.first()?, *data.get(1)?]);
            Some(SlicedPacket::from_ether_type(EtherType(protocol), data.get(20..)?))
        }
        NULL | LOOP => Some(SlicedPacket::from_ip(data.get(4..)?)),
        raw if RAW.contains(&raw) => Some(SlicedPacket::from_ip(data)),
        _ => None,
    }
}

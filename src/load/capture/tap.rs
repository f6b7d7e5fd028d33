//! dnstap over Frame Streams (dnstap.info), as BIND, Unbound and Knot write it to files.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use prost::Message as _;

use super::{LATEST, Message, Summary, fill};

/// The content type of dnstap's frames.
const CONTENT: &[u8] = b"protobuf:dnstap.Dnstap";
/// Control frames: start and stop, and their field for the content type.
const START: u32 = 2;
const STOP: u32 = 3;
const FIELD_CONTENT: u32 = 1;
/// A frame is one message with its addresses; this is far beyond any.
const LONGEST_FRAME: usize = 1 << 20;
/// A control frame's longest payload (fstrm's FSTRM_CONTROL_FRAME_LENGTH_MAX).
const LONGEST_CONTROL: usize = 512;

/// The envelope: dnstap.proto's `Dnstap`.
#[derive(Clone, PartialEq, prost::Message)]
struct Dnstap {
    #[prost(bytes = "vec", optional, tag = "1")]
    identity: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    version: Option<Vec<u8>>,
    #[prost(message, optional, tag = "14")]
    message: Option<Tapped>,
    /// 1 is a message.
    #[prost(int32, tag = "15")]
    kind: i32,
}

/// dnstap.proto's `Message`.
#[derive(Clone, PartialEq, prost::Message)]
struct Tapped {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(int32, optional, tag = "2")]
    family: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    protocol: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    query_address: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    response_address: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "6")]
    query_port: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    response_port: Option<u32>,
    #[prost(uint64, optional, tag = "8")]
    query_seconds: Option<u64>,
    #[prost(fixed32, optional, tag = "9")]
    query_nanos: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "10")]
    query: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "12")]
    response_seconds: Option<u64>,
    #[prost(fixed32, optional, tag = "13")]
    response_nanos: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "14")]
    response: Option<Vec<u8>>,
}

/// `Message.Type`: what a client asked and got. Odd ones are queries, even ones responses.
const CLIENT_QUERY: i32 = 5;
const CLIENT_RESPONSE: i32 = 6;
/// The resolver's and a forwarder's own questions: no client sent them.
const NOT_CLIENTS: [i32; 4] = [3, 4, 7, 8];
/// `SocketProtocol`.
const UDP: i32 = 1;
const TCP: i32 = 2;

/// Reads a file of frames.
pub(super) fn read(mut input: impl Read, each: &mut dyn FnMut(Message)) -> Summary {
    let mut summary = Summary { format: "dnstap", ..Summary::default() };
    loop {
        match frame(&mut input) {
            Ok(Some(Frame::Data(data))) => {
                summary.units += 1;
                match Dnstap::decode(&data[..]) {
                    Ok(Dnstap { message: Some(tapped), .. }) => {
                        let messages = messages(tapped);
                        summary.foreign += u64::from(messages.is_empty());
                        summary.messages += messages.len() as u64;
                        messages.into_iter().for_each(&mut *each);
                    }
                    Ok(_) => summary.foreign += 1,
                    Err(_) => summary.broken += 1,
                }
            }
            Ok(Some(Frame::Control(payload))) => match control(&payload) {
                Ok(true) => {}
                Ok(false) => return summary,
                Err(what) => {
                    summary.fault = Some(what);
                    return summary;
                }
            },
            // A server that is still writing has not written its last frame.
            Ok(None) => return summary,
            Err(error) => {
                let what = if error.kind() == io::ErrorKind::UnexpectedEof {
                    "it is cut short".to_owned()
                } else {
                    error.to_string()
                };
                summary.fault = Some(format!("the frame after frame {}: {what}", summary.units));
                return summary;
            }
        }
    }
}

enum Frame {
    Control(Vec<u8>),
    Data(Vec<u8>),
}

fn length(input: &mut impl Read) -> io::Result<Option<usize>> {
    let mut octets = [0; 4];
    match fill(input, &mut octets)? {
        0 => Ok(None),
        4 => Ok(Some(u32::from_be_bytes(octets) as usize)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn frame(input: &mut impl Read) -> io::Result<Option<Frame>> {
    let Some(first) = length(input)? else { return Ok(None) };
    let (length, most) = match first {
        0 => (length(input)?.ok_or(io::ErrorKind::UnexpectedEof)?, LONGEST_CONTROL),
        length => (length, LONGEST_FRAME),
    };
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it says it has {length} octets")));
    }
    let mut payload = vec![0; length];
    if fill(input, &mut payload)? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(if first == 0 { Frame::Control(payload) } else { Frame::Data(payload) }))
}

/// Whether frames follow this control frame.
fn control(payload: &[u8]) -> Result<bool, String> {
    let word = |at: usize| Some(u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?));
    if word(0) == Some(STOP) {
        return Ok(false);
    }
    if word(4) == Some(FIELD_CONTENT) {
        let end = 12 + word(8).unwrap_or(0) as usize;
        let content = payload.get(12..end).unwrap_or_default();
        if content != CONTENT {
            return Err(format!("it holds {}, not dnstap", String::from_utf8_lossy(content).escape_debug()));
        }
    }
    Ok(true)
}

fn address(octets: Option<&[u8]>, port: Option<u32>) -> Option<SocketAddr> {
    let octets = octets?;
    let ip = <[u8; 4]>::try_from(octets).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
    Some(SocketAddr::new(ip.ok()?, port.and_then(|port| u16::try_from(port).ok()).unwrap_or(0)))
}

fn time(seconds: Option<u64>, nanos: Option<u32>) -> Duration {
    // Nanoseconds are below a second.
    let nanos = Duration::from_nanos(u64::from(nanos.unwrap_or(0).min(999_999_999)));
    Duration::from_secs(seconds.unwrap_or(0)).saturating_add(nanos).min(LATEST)
}

/// The query or the response; both where a response carries its query, and nothing else does.
fn messages(tapped: Tapped) -> Vec<Message> {
    if NOT_CLIENTS.contains(&tapped.kind) {
        return Vec::new();
    }
    let client = address(tapped.query_address.as_deref(), tapped.query_port);
    let server = address(tapped.response_address.as_deref(), tapped.response_port);
    let tcp = tapped.protocol.is_some_and(|protocol| protocol != UDP);
    let of = |at, packet| Message { at, client, server, tcp, packet };
    let asked = time(tapped.query_seconds, tapped.query_nanos);
    let answered = time(tapped.response_seconds, tapped.response_nanos);
    match (tapped.query, tapped.response) {
        (_, Some(response)) => vec![of(answered, response)],
        (Some(query), None) => vec![of(asked, query)],
        (None, None) => Vec::new(),
    }
}

/// Writes the frame that a file begins with.
pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    control_frame(out, START, true)
}

/// Writes the frame that a file ends with.
pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
    control_frame(out, STOP, false)
}

fn control_frame(out: &mut impl Write, kind: u32, content: bool) -> io::Result<()> {
    let mut payload = kind.to_be_bytes().to_vec();
    if content {
        payload.extend_from_slice(&FIELD_CONTENT.to_be_bytes());
        payload.extend_from_slice(&(CONTENT.len() as u32).to_be_bytes());
        payload.extend_from_slice(CONTENT);
    }
    out.write_all(&[0; 4])?;
    out.write_all(&(payload.len() as u32).to_be_bytes())?;
    out.write_all(&payload)
}

/// Writes a message.
pub(super) fn write(out: &mut impl Write, message: &Message) -> io::Result<()> {
    let octets = |end: Option<SocketAddr>| {
        end.map(|end| match end.ip() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        })
    };
    let port = |end: Option<SocketAddr>| end.map(|end| u32::from(end.port()));
    let (seconds, nanos) = (Some(message.at.as_secs()), Some(message.at.subsec_nanos()));
    let mut tapped = Tapped {
        family: message.client.or(message.server).map(|end| if end.is_ipv4() { 1 } else { 2 }),
        protocol: Some(if message.tcp { TCP } else { UDP }),
        query_address: octets(message.client),
        response_address: octets(message.server),
        query_port: port(message.client),
        response_port: port(message.server),
        ..Tapped::default()
    };
    if message.is_response() {
        tapped.kind = CLIENT_RESPONSE;
        (tapped.response_seconds, tapped.response_nanos) = (seconds, nanos);
        tapped.response = Some(message.packet.clone());
    } else {
        tapped.kind = CLIENT_QUERY;
        (tapped.query_seconds, tapped.query_nanos) = (seconds, nanos);
        tapped.query = Some(message.packet.clone());
    }
    let data = Dnstap { message: Some(tapped), kind: 1, ..Dnstap::default() }.encode_to_vec();
    out.write_all(&(data.len() as u32).to_be_bytes())?;
    out.write_all(&data)
}

//! A client of few words: asks by UDP or TCP, and reads what every client reads of a response.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Longer than the deadline after which the server has answered in any case.
pub const PATIENCE: Duration = Duration::from_secs(12);

/// What a response says at first sight.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    pub id: u16,
    pub rcode: u8,
    pub truncated: bool,
    pub answers: u16,
}

impl Response {
    fn read(packet: &[u8]) -> Response {
        assert!(packet.len() >= 12 && packet[2] & 0x80 != 0, "no response: {packet:?}");
        let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        Response { id: number(0), rcode: packet[3] & 0x0f, truncated: packet[2] & 0x02 != 0, answers: number(6) }
    }
}

/// A query with RD, and an OPT record that offers 1,232 octets. `name` in presentation format, without escapes
/// other than `\.` and `\DDD`.
pub fn query(id: u16, name: &str, rtype: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    for field in [id, 0x0100, 1, 0, 0, 1] {
        packet.extend_from_slice(&field.to_be_bytes());
    }
    for label in labels(name) {
        packet.push(u8::try_from(label.len()).expect("a label"));
        packet.extend_from_slice(&label);
    }
    packet.push(0);
    packet.extend_from_slice(&rtype.to_be_bytes());
    packet.extend_from_slice(&1u16.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    packet
}

fn labels(name: &str) -> Vec<Vec<u8>> {
    let (mut labels, mut label) = (Vec::new(), Vec::new());
    let mut octets = name.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => labels.push(std::mem::take(&mut label)),
            b'\\' => {
                let first = octets.next().expect("an escape");
                if first.is_ascii_digit() {
                    let digits = [first, octets.next().expect("a digit"), octets.next().expect("a digit")];
                    label.push(std::str::from_utf8(&digits).expect("digits").parse().expect("an octet"));
                } else {
                    label.push(first);
                }
            }
            other => label.push(other),
        }
    }
    labels.push(label);
    labels.retain(|label| !label.is_empty());
    labels
}

/// A UDP socket that hears from `server` alone.
pub fn udp(from: IpAddr, server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((from, 0)).expect("a port");
    socket.connect(server).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Asks by UDP, and again by TCP where the response is truncated.
pub fn ask(server: SocketAddr, id: u16, name: &str, rtype: u16) -> Response {
    let from = if server.is_ipv4() { IpAddr::from([127, 0, 0, 1]) } else { IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]) };
    let socket = udp(from, server);
    socket.send(&query(id, name, rtype)).expect("sent");
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no response for {name}: {error}"));
    let response = Response::read(&buffer[..length]);
    assert_eq!(response.id, id);
    if !response.truncated {
        return response;
    }
    let mut stream = connect(server);
    say(&mut stream, &query(id, name, rtype));
    hear(&mut stream)
}

/// A TCP connection.
pub fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&server, PATIENCE).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Sends a message on a connection.
pub fn say(stream: &mut TcpStream, packet: &[u8]) {
    let mut framed = u16::try_from(packet.len()).expect("short").to_be_bytes().to_vec();
    framed.extend_from_slice(packet);
    stream.write_all(&framed).expect("written");
}

/// The next response on a connection.
pub fn hear(stream: &mut TcpStream) -> Response {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a response");
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut packet).expect("a whole response");
    Response::read(&packet)
}

//! The server as a whole, on loopback, as far as it goes without servers to ask.

use super::*;
mod anchors;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Instant;

use crate::config::{LogFormat, LogPolicy};

const WAIT: Duration = Duration::from_secs(5);
/// `version.bind. CH TXT`, ID 0x1234, RD: answered without asking anybody, with REFUSED.
const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03";

fn settings(listen: &[SocketAddr]) -> Settings {
    let mut engine = crate::engine::Policy::default();
    engine.resolve.prime = false;
    Settings {
        workers: 2,
        pin: crate::config::Pin::Off,
        listener: listener::Policy { listen: listen.to_vec(), ..listener::Policy::default() },
        upstream: crate::upstream::Policy::default(),
        engine,
        cache: crate::cache::Policy { memory: 1 << 20, ..crate::cache::Policy::default() },
        cache_clock: CacheClock::Monotonic,
        log: LogPolicy { level: "info".to_owned(), format: LogFormat::Text },
        root_hints_file: None,
        cookie_secrets_file: None,
        limits_memory: 1 << 20,
        learned_memory: 1 << 20,
        control_socket: None,
        public_suffixes_file: None,
        trust_anchors_file: None,
        trust_anchor_state: None,
        snapshot: crate::config::SnapshotPolicy::default(),
        negative_trust_anchors: Vec::new(),
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

#[test]
fn it_ends_promptly_and_gives_its_ports_back() {
    let handle = start(settings(&[loopback(), loopback()])).expect("started");
    let addresses = handle.addresses().to_vec();
    assert_eq!(addresses.len(), 2);
    let began = Instant::now();
    handle.shutdown().expect("a good end");
    assert!(began.elapsed() < Duration::from_secs(2), "ending with nothing in flight took {:?}", began.elapsed());
    for address in addresses {
        assert!(UdpSocket::bind(address).is_ok(), "{address} is still in use");
    }
}

#[test]
fn operators_are_told_what_it_does() {
    let path = std::env::temp_dir().join(format!("maeslant-told-{}", std::process::id()));
    let handle = start(Settings { control_socket: Some(path.clone()), ..settings(&[loopback()]) }).expect("started");
    let udp = UdpSocket::bind(loopback()).expect("a port");
    udp.connect(handle.addresses()[0]).expect("connected");
    udp.set_read_timeout(Some(WAIT)).expect("a timeout");
    udp.send(QUERY).expect("sent");
    udp.recv(&mut [0; 512]).expect("a reply");
    // A shard says how it is when it next rests, which is at once.
    let deadline = Instant::now() + WAIT;
    let status = loop {
        let status = crate::control::ask(&path, "status").expect("an answer");
        if status.contains("\"queries\":1") || Instant::now() > deadline {
            break status;
        }
        std::thread::yield_now();
    };
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!((&status["queries"], &status["answered"], &status["level"]), (&1.into(), &1.into(), &"open".into()));
    assert_eq!(status["shards"].as_array().map(Vec::len), Some(2));
    let error = start(Settings { control_socket: Some(path.clone()), ..settings(&[loopback()]) }).map(drop);
    assert!(error.expect_err("in use").to_string().contains("another server answers there"));
    handle.shutdown().expect("a good end");
    assert!(!path.exists());
}

#[test]
fn a_port_in_use_is_told_with_its_exit_code() {
    let taken = UdpSocket::bind(loopback()).expect("a port");
    let address = taken.local_addr().expect("bound");
    let error = start(settings(&[address])).map(drop).expect_err("in use");
    assert_eq!(error.exit(), Exit::Bind);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn it_answers_by_udp_and_tcp_on_every_address() {
    let handle = start(settings(&[loopback(), SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))])).expect("started");
    for address in handle.addresses() {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        let udp = UdpSocket::bind(loopback()).expect("a port");
        udp.connect(to).expect("connected");
        udp.set_read_timeout(Some(WAIT)).expect("a timeout");
        udp.send(QUERY).expect("sent");
        let mut reply = [0; 512];
        let length = udp.recv(&mut reply).expect("a reply by UDP");
        assert_refused(&reply[..length]);

        let mut tcp = TcpStream::connect(to).expect("connected");
        tcp.set_read_timeout(Some(WAIT)).expect("a timeout");
        tcp.write_all(&[0, u8::try_from(QUERY.len()).expect("short")]).expect("written");
        tcp.write_all(QUERY).expect("written");
        let mut length = [0; 2];
        tcp.read_exact(&mut length).expect("a reply by TCP");
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        tcp.read_exact(&mut reply).expect("a whole reply");
        assert_refused(&reply);
    }
    let began = Instant::now();
    handle.shutdown().expect("a good end");
    assert!(began.elapsed() < Duration::from_secs(2), "ending with nothing in flight took {:?}", began.elapsed());
}

fn assert_refused(reply: &[u8]) {
    assert_eq!(&reply[..2], &QUERY[..2], "the ID");
    assert_eq!((reply[2] & 0x80, reply[3] & 0x0f), (0x80, 5), "a response with REFUSED");
}

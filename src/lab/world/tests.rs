//! A world over real sockets: it answers, its faults act, its counters count.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::RecordType;

use super::*;
use crate::lab::{Behaviour, Beyond, master};

/// Far more than an answer over loopback takes.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(100);

fn world() -> World {
    World::start(&Options { port: 0, sites: 20, seed: 7 }).expect("a world on a drawn port")
}

fn query(name: &str, rtype: &str, edns: Option<u16>) -> Message {
    let mut query = Message::new(0x1234, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), master::record_type(rtype).unwrap()));
    if let Some(payload) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        query.set_edns(edns);
    }
    query
}

fn raw_udp(world: &World, server: &str, query: &Message, patience: Duration) -> Option<Vec<u8>> {
    let server = SocketAddr::new(server.parse().unwrap(), world.port());
    let local: IpAddr = if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { "::1".parse().unwrap() };
    let socket = UdpSocket::bind((local, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send(&query.to_vec().unwrap()).unwrap();
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

fn udp(world: &World, server: &str, name: &str, rtype: &str) -> Message {
    let packet = raw_udp(world, server, &query(name, rtype, Some(1232)), DEADLINE).expect("an answer");
    Message::from_vec(&packet).unwrap()
}

fn tcp(world: &World, server: &str, name: &str, rtype: &str) -> io::Result<Message> {
    let mut stream = TcpStream::connect((server, world.port()))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let packet = query(name, rtype, None).to_vec().unwrap();
    stream.write_all(&[&(packet.len() as u16).to_be_bytes()[..], &packet].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut packet)?;
    Ok(Message::from_vec(&packet).unwrap())
}

#[test]
fn the_root_refers_and_zones_answer_over_udp_and_tcp() {
    let world = world();
    let referral = udp(&world, "127.53.0.1", "www.ordinary.com.", "A");
    assert!(!referral.metadata.authoritative && referral.answers.is_empty());
    assert_eq!((referral.authorities.len(), referral.additionals.len()), (2, 2));
    let priming = udp(&world, "127.53.0.2", ".", "NS");
    assert_eq!((priming.answers.len(), priming.additionals.len()), (3, 3));
    for server in ["127.53.2.1", "127.53.2.2"] {
        let answer = tcp(&world, server, "www.ordinary.com.", "A").unwrap();
        assert!(answer.metadata.authoritative);
        assert_eq!(answer.answers.len(), 1);
    }
    let site = udp(&world, "127.53.10.3", &format!("api.{}", crate::lab::site(1)), "A");
    assert_eq!(site.answers.len(), 2);
    let lame = udp(&world, "127.53.6.1", "www.lame.com.", "A");
    assert_eq!(lame.metadata.response_code, ResponseCode::Refused);
}

#[test]
fn ipv6_only_zones_are_on_the_loopback_address() {
    let world = world();
    if !world.counts().iter().any(|c| c.address.is_ipv6()) {
        return; // a machine without ::1
    }
    assert_eq!(udp(&world, "::1", "www.v6.com.", "AAAA").answers.len(), 1);
}

#[test]
fn big_answers_are_truncated_by_udp_and_whole_by_tcp() {
    let world = world();
    let cut = udp(&world, "127.53.7.1", "large.big.com.", "TXT");
    assert!(cut.metadata.truncation);
    let packet = raw_udp(&world, "127.53.7.1", &query("small.big.com.", "TXT", None), DEADLINE).unwrap();
    assert!(packet.len() <= 512 && packet[2] & 0x02 != 0, "without EDNS 512 octets");
    assert_eq!(tcp(&world, "127.53.7.1", "large.big.com.", "TXT").unwrap().answers.len(), 60);
}

#[test]
fn faults_of_the_map_act() {
    let world = world();
    let rcode = |server, name| udp(&world, server, name, "A").metadata.response_code;
    assert_eq!(rcode("127.53.6.9", "www.servfail.com."), ResponseCode::ServFail);
    assert_eq!(rcode("127.53.6.10", "www.refused.com."), ResponseCode::Refused);
    assert_eq!(rcode("127.53.6.11", "www.formerr.com."), ResponseCode::FormErr);
    let plain = raw_udp(&world, "127.53.6.11", &query("www.formerr.com.", "A", None), DEADLINE).unwrap();
    assert_eq!(Message::from_vec(&plain).unwrap().answers.len(), 1);
    let upward = udp(&world, "127.53.6.3", "www.upward.com.", "A");
    assert!(upward.authorities[0].name.is_root() && upward.authorities[0].record_type() == RecordType::NS);
    assert!(udp(&world, "127.53.6.12", "www.tconly.com.", "A").metadata.truncation);
    assert_eq!(tcp(&world, "127.53.6.12", "www.tconly.com.", "A").unwrap().answers.len(), 1);
    assert_ne!(udp(&world, "127.53.6.13", "www.wrongid.com.", "A").metadata.id, 0x1234);
    let echo = raw_udp(&world, "127.53.6.14", &query("WwW.WrongCase.com.", "A", None), DEADLINE).unwrap();
    assert!(echo[12..].starts_with(b"\x03www\x09wrongcase"));
    assert!(tcp(&world, "127.53.6.15", "www.notcp.com.", "A").is_err());
    assert!(!udp(&world, "127.53.6.16", "www.noaa.com.", "A").metadata.authoritative);
    assert!(raw_udp(&world, "127.53.6.6", &query("www.silent.com.", "A", None), SILENCE).is_none());
}

#[test]
fn faults_come_and_go_while_the_world_runs() {
    let world = world();
    let ask = |patience| raw_udp(&world, "127.53.2.1", &query("www.ordinary.com.", "A", None), patience);
    assert!(world.fault_server("ns1.hosting.net.", &Fault::loss(1.0)));
    assert!(ask(SILENCE).is_none());
    assert!(world.fault("127.53.2.1".parse().unwrap(), Fault::default()));
    assert!(ask(DEADLINE).is_some());
    assert!(world.fault_zone("ordinary.com.", Some(Fault::behaviour(Behaviour::Servfail))));
    assert_eq!(udp(&world, "127.53.2.1", "www.ordinary.com.", "A").metadata.response_code, ResponseCode::ServFail);
    assert_eq!(udp(&world, "127.53.2.1", "www.ordinary.net.", "A").metadata.response_code, ResponseCode::NoError);
    assert!(world.fault_zone("ordinary.com.", None));
    world.fault_server("ns1.hosting.net.", &Fault::delay(Duration::from_millis(60)));
    let start = Instant::now();
    assert!(ask(DEADLINE).is_some());
    assert!(start.elapsed() >= Duration::from_millis(60));
    assert!(!world.fault_zone("no-such-zone.com.", None) && !world.fault_server("no.such.", &Fault::default()));
}

#[test]
fn every_query_is_counted_where_it_went() {
    let world = world();
    let server: IpAddr = "127.53.6.6".parse().unwrap();
    udp(&world, "127.53.0.3", ".", "SOA");
    tcp(&world, "127.53.0.3", ".", "SOA").unwrap();
    assert!(raw_udp(&world, "127.53.6.6", &query("silent.com.", "A", None), SILENCE).is_none());
    let counts = world.counts();
    let of = |address: IpAddr| counts.iter().find(|c| c.address == address).unwrap().counts;
    assert_eq!(of("127.53.0.3".parse().unwrap()), Counts { udp: 1, tcp: 1, unanswered: 0 });
    assert_eq!(of(server), Counts { udp: 1, tcp: 0, unanswered: 1 });
    assert_eq!(world.queries(), 3);
}

#[test]
fn a_port_in_use_is_one_clear_line_and_a_world_that_ended_frees_its_ports() {
    let world = world();
    let options = Options { port: world.port(), sites: 0, seed: 0 };
    let error = World::start(&options).unwrap_err().to_string();
    assert!(error.contains(&format!("127.53.0.1:{}", world.port())) && !error.contains('\n'), "{error}");
    world.shutdown();
    World::start(&options).expect("the port is free again").shutdown();
}

#[test]
fn delays_on_one_connection_do_not_add_up() {
    let world = world();
    let delay = Duration::from_millis(300);
    world.fault_everywhere(Some(Fault::delay(delay)));
    let server = world.atlas().servers.iter().find(|server| server.zones.iter().any(|zone| zone == ".")).unwrap();
    let mut stream = TcpStream::connect((server.addresses[0], world.port())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let packet = query("com.", "NS", None).to_vec().unwrap();
    let framed = [&(packet.len() as u16).to_be_bytes()[..], &packet].concat();
    let begun = Instant::now();
    stream.write_all(&framed.repeat(20)).unwrap();
    for _ in 0..20 {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        stream.read_exact(&mut vec![0; usize::from(u16::from_be_bytes(length))]).unwrap();
    }
    let taken = begun.elapsed();
    assert!(taken >= delay && taken < delay * 10, "{taken:?}");
}

#[test]
fn a_server_answers_at_the_rate_it_can() {
    let world = world();
    let ask = |name: &str| udp(&world, "127.53.1.1", name, "NS");
    let limited = |beyond| Fault { rate_limit: 1, beyond, ..Fault::default() };
    // At one a second, the burst is a single query: what follows within the second is beyond it.
    assert!(world.fault_zone("com.", Some(limited(Beyond::Refused))));
    let asked = Instant::now();
    let answers: Vec<ResponseCode> = (0..5).map(|_| ask("com.").metadata.response_code).collect();
    let refused = answers.iter().filter(|code| **code == ResponseCode::Refused).count();
    let most = 1 + asked.elapsed().as_secs() as usize;
    assert!(answers.len() - refused <= most && refused < 5, "{answers:?}");
    assert_eq!(ask("net.").metadata.response_code, ResponseCode::NoError, "another zone of the same server");
    world.fault_zone("com.", Some(limited(Beyond::Truncate)));
    assert!((0..3).any(|_| ask("com.").metadata.truncation));
    assert!((0..3).all(|_| !tcp(&world, "127.53.1.1", "com.", "NS").unwrap().answers.is_empty()), "all of it by TCP");
    world.fault_zone("com.", Some(limited(Beyond::Drop)));
    assert!((0..3).any(|_| raw_udp(&world, "127.53.1.1", &query("com.", "NS", None), SILENCE).is_none()));
    world.fault_zone("com.", None);
    assert!((0..3).all(|_| !ask("com.").answers.is_empty()));
}

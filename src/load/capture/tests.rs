//! Records of every kind come back as they were written, and broken ones up to the fault.

use std::path::PathBuf;

use super::*;
use crate::load::packet::{Form, write_query};

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("maeslant-capture-{}-{name}", std::process::id()))
}

fn messages() -> Vec<Message> {
    let message = |n: u64, tcp: bool, v6: bool| {
        let mut packet = Vec::new();
        write_query(&mut packet, format!("\x04q{n:03}\x07example\0").as_bytes(), 1, Form::default());
        packet[..2].copy_from_slice(&(n as u16).to_be_bytes());
        if n % 2 == 1 {
            packet[2] |= 0x80;
        }
        let client = if v6 { format!("[2001:db8::{n}]:4000") } else { format!("192.0.2.{n}:4000") };
        let server = if v6 { "[2001:db8::53]:53" } else { "198.51.100.53:53" };
        let at = Duration::new(1_700_000_000 + n, 123_456_000);
        Message { at, client: client.parse().ok(), server: server.parse().ok(), tcp, packet }
    };
    vec![
        message(2, false, false),
        message(3, false, false),
        message(4, true, false),
        message(6, false, true),
        message(7, true, true),
    ]
}

fn written(format: Format, name: &str) -> PathBuf {
    let path = temporary(name);
    let mut writer = Writer::create(&path, format).unwrap();
    messages().iter().for_each(|message| writer.write(message).unwrap());
    writer.finish().unwrap();
    path
}

fn all(path: &Path) -> (Vec<Message>, Summary) {
    let mut found = Vec::new();
    let summary = read(path, &Choice::default(), &mut |message| found.push(message)).unwrap();
    (found, summary)
}

#[test]
fn captures_come_back_as_they_were() {
    for (format, name) in [(Format::Pcap, "a.pcap"), (Format::Pcapng, "a.pcapng"), (Format::Dnstap, "a.dnstap")] {
        let path = written(format, name);
        let (found, summary) = all(&path);
        assert_eq!(found, messages(), "{name}: {}", summary.line());
        assert_eq!((summary.messages, &summary.fault, summary.format), (5, &None, &name[2..]));
        std::fs::remove_file(path).unwrap();
    }
}

/// One counter for all connections made every message but the first a segment that came too early.
#[test]
fn interleaved_connections_keep_all_their_messages() {
    let mut all_messages = Vec::new();
    for n in 0..400u16 {
        let mut packet = Vec::new();
        write_query(&mut packet, b"\x03www\x07example\0", 1, Form::default());
        packet[..2].copy_from_slice(&n.to_be_bytes());
        packet[2] |= if n % 3 == 2 { 0x80 } else { 0 };
        packet.resize(if n % 50 == 7 { 65_535 } else { 100 + usize::from(n % 7) }, 0);
        let client = SocketAddr::new([192, 0, 2, (n % 5) as u8].into(), 4000 + n % 4);
        let server = "198.51.100.53:53".parse().ok();
        let at = Duration::from_millis(u64::from(n));
        all_messages.push(Message { at, client: Some(client), server, tcp: true, packet });
    }
    for (format, name) in [(Format::Pcap, "i.pcap"), (Format::Pcapng, "i.pcapng")] {
        let path = temporary(name);
        let mut writer = Writer::create(&path, format).unwrap();
        all_messages.iter().for_each(|message| writer.write(message).unwrap());
        writer.finish().unwrap();
        let (found, summary) = all(&path);
        assert_eq!((found.len(), summary.lost_streams), (400, 0), "{name}");
        assert!(found == all_messages, "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn text_keeps_questions_times_and_clients() {
    let path = written(Format::Text, "b.txt");
    let (found, summary) = all(&path);
    assert_eq!((summary.messages, summary.broken), (3, 0), "responses have no line");
    assert_eq!(found[1].at, Duration::from_secs(2));
    assert!(found[1].tcp && !found[0].tcp);
    assert_eq!(found[2].client.unwrap().ip(), messages()[3].client.unwrap().ip());
    assert_eq!(found[0].packet[2..], messages()[0].packet[2..]);
    std::fs::write(&path, "; comment\nwww.example.com A\nno..name A\nb.example NOTATYPE\nc.example\n").unwrap();
    let (found, summary) = all(&path);
    assert_eq!((found.len(), summary.broken), (2, 2));
    assert_eq!(found[1].at, Duration::from_millis(1), "evenly, where the text has no times");
    std::fs::remove_file(path).unwrap();
}

/// What a text cannot say is counted, not written as something else.
#[test]
fn text_says_what_it_can_and_leaves_out_the_rest() {
    let query = |name: &[u8], change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = Vec::new();
        write_query(&mut packet, name, 1, Form::default());
        change(&mut packet);
        Message { at: Duration::ZERO, client: None, server: None, tcp: false, packet }
    };
    let names: [&[u8]; 4] = [b"\x03a;b\x07example\0", b"\x02#x\x07example\0", b"\x01;\0", b"\x03a\\;\x07example\0"];
    let mut kept: Vec<Message> = names.iter().map(|name| query(name, &|_| {})).collect();
    kept.push(query(b"\x01b\0", &|packet| packet[2] = 0));
    kept.push(query(b"\x01b\0", &|packet| packet[3] = 0x30));
    kept.push(query(b"\x01b\0", &|packet| packet[26] = 0x80));
    kept.push(query(b"\x01b\0", &|packet| packet[22..24].copy_from_slice(&4096u16.to_be_bytes())));
    let lost = [
        query(b"\x01b\0", &|packet| packet[18] = 3),
        query(b"\x01b\0", &|packet| packet[2] |= 0x28),
        query(b"\x01b\0", &|packet| packet[5] = 2),
        query(b"\x01b\0", &|packet| packet.truncate(11)),
    ];
    let path = temporary("e.txt");
    let mut writer = Writer::create(&path, Format::Text).unwrap();
    kept.iter().chain(&lost).for_each(|message| writer.write(message).unwrap());
    assert_eq!(writer.left_out, 4);
    writer.finish().unwrap();
    let (found, summary) = all(&path);
    assert_eq!(summary.broken, 0);
    let packets = |messages: &[Message]| messages.iter().map(|message| message.packet.clone()).collect::<Vec<_>>();
    assert_eq!(packets(&found), packets(&kept), "{}", std::fs::read_to_string(&path).unwrap());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_no_plain_record_is_told_with_what_to_do() {
    let path = temporary("f.bin");
    for (content, wanted) in [
        (&[0x1f, 0x8b, 8, 0][..], "gzip -d"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd -d"),
        (&[0x34, 0xcd, 0xb2, 0xa1], "editcap"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = read(&path, &Choice::default(), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_file_cut_short_is_read_up_to_there() {
    for (format, name) in [(Format::Pcap, "c.pcap"), (Format::Pcapng, "c.pcapng"), (Format::Dnstap, "c.dnstap")] {
        let path = written(format, name);
        let whole = std::fs::read(&path).unwrap();
        let mut faults = 0;
        for length in (16..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (found, summary) = all(&path);
            assert_eq!(found[..], messages()[..found.len()], "{name} at {length}");
            faults += usize::from(summary.fault.is_some_and(|fault| fault.contains("cut short")));
        }
        assert!(faults > 10, "{name}: {faults} faults told");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_is_no_capture_is_said_to_be_none() {
    let path = temporary("d.bin");
    for content in [&b""[..], b"\x89PNG\r\n\x1a\n", b"\x7fELF"] {
        std::fs::write(&path, content).unwrap();
        assert!(read(&path, &Choice::default(), &mut |_| {}).is_err());
    }
    // A header that promises a capture, and noise behind it.
    let noise: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for head in [&[0xd4, 0xc3, 0xb2, 0xa1][..], &[0x0a, 0x0d, 0x0d, 0x0a], &[0; 6]] {
        std::fs::write(&path, [head, &noise].concat()).unwrap();
        let (found, summary) = all(&path);
        assert!(found.is_empty() && summary.fault.is_some(), "{summary:?}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn link_layers_vlans_and_fragments_are_seen_through() {
    let choice = Choice::default();
    let mut query = Vec::new();
    write_query(&mut query, b"\x03www\x07example\0", 1, Form::default());
    query.resize(1200, 0);
    let builder = |vlan: bool| {
        let ethernet = etherparse::PacketBuilder::ethernet2([1; 6], [2; 6]);
        let mut out = Vec::new();
        if vlan {
            let id = etherparse::VlanId::try_new(7).unwrap();
            let ip = ethernet.single_vlan(id).ipv6([1; 16], [2; 16], 9);
            ip.udp(999, 53).write(&mut out, &query).unwrap();
        } else {
            ethernet.ipv4([192, 0, 2, 1], [192, 0, 2, 2], 9).udp(999, 53).write(&mut out, &query).unwrap();
        }
        out
    };
    let ip = builder(false)[14..].to_vec();
    let sll = [&[0, 0, 0, 1, 0, 6, 1, 1, 1, 1, 1, 1, 0, 0, 8, 0][..], &ip].concat();
    let sll2 = [&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 1, 1, 1, 1, 1, 0, 0][..], &ip].concat();
    let (first, second) = fragments(&ip);
    let cases = [
        (1u32, vec![builder(false)]),
        (1, vec![builder(true)]),
        (113, vec![sll]),
        (276, vec![sll2]),
        (101, vec![ip.clone()]),
        (0, vec![[&[2, 0, 0, 0][..], &ip].concat()]),
        (101, vec![second, first]),
    ];
    for (link, packets) in cases {
        let mut file = [&0xa1b2_c3d4u32.to_le_bytes()[..], &[2, 0, 4, 0], &[0; 8], &65_535u32.to_le_bytes()].concat();
        file.extend_from_slice(&link.to_le_bytes());
        for packet in &packets {
            file.extend_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
            file.extend_from_slice(&(packet.len() as u32).to_le_bytes());
            file.extend_from_slice(&(packet.len() as u32).to_le_bytes());
            file.extend_from_slice(packet);
        }
        let mut found = Vec::new();
        let summary = frames::pcap(&file[..], &choice, &mut |message| found.push(message));
        assert_eq!(found.len(), 1, "link type {link}: {}", summary.line());
        assert_eq!(found[0].packet, query);
    }
}

/// An IPv4 packet in two fragments.
fn fragments(ip: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (header, payload) = ip.split_at(20);
    let piece = |data: &[u8], offset: u16| {
        let mut out = [header, data].concat();
        let length = out.len() as u16;
        out[2..4].copy_from_slice(&length.to_be_bytes());
        let more = if offset == 0 { 0x2000 } else { 0 };
        out[6..8].copy_from_slice(&(more | (offset / 8)).to_be_bytes());
        out
    };
    (piece(&payload[..800], 0), piece(&payload[800..], 800))
}

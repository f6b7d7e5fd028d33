//! dnsperf's text: a name and a type a line; ours may have a comment behind it that keeps time, client and transport:
//! `www.example.com A ; @12.5 192.0.2.1 udp`. Besides, `do`, `cd`, `ad` and `nord` are bits that are set, or not (RD);
//! `noedns` and `edns=4096` are about the OPT record. Its options, and other records of a query, have no place here.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Choice, LATEST, Message, Summary};
use crate::load::packet::{Form, HEADER, offered, write_query};
use crate::wire::{Name, Rtype};

/// The longest line: a name in presentation format, four characters an octet at most, and the rest.
const LONGEST: usize = 4096;

/// Bits of a header's third and fourth octet (RFC 1035 §4.1.1, RFC 4035 §3).
const RD: u8 = 0x01;
const AD: u8 = 0x20;
const CD: u8 = 0x10;
/// The Internet's class.
const IN: [u8; 2] = [0, 1];

/// Reads lines. Those that cannot be read are counted and passed over.
pub(super) fn read(input: impl Read, choice: &Choice, each: &mut dyn FnMut(Message)) -> Summary {
    let mut summary = Summary { format: "text", ..Summary::default() };
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.by_ref().take(LONGEST as u64).read_until(b'\n', &mut line) {
            Ok(0) => return summary,
            Ok(_) => {}
            Err(error) => {
                summary.fault = Some(format!("the line after line {}: {error}", summary.units));
                return summary;
            }
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        summary.units += 1;
        if text.is_empty() || text.starts_with([';', '#']) {
            continue;
        }
        match parse(text, choice.even(summary.messages)) {
            Some(message) => {
                summary.messages += 1;
                each(message);
            }
            None => summary.broken += 1,
        }
    }
}

fn parse(text: &str, at: Duration) -> Option<Message> {
    let (query, comment) = text.split_at(comment(text));
    let mut words = query.split_whitespace();
    let name = Name::parse(words.next()?).ok()?;
    let rtype = match words.next() {
        None => 1,
        Some(word) if word.eq_ignore_ascii_case("ANY") => 255,
        Some(word) => Rtype::parse(word)?.0,
    };
    let mut message = Message { at, client: None, server: None, tcp: false, packet: Vec::new() };
    let (mut form, mut flags) = (Form::default(), 0);
    for word in comment.split(|c: char| c.is_whitespace() || c == ';') {
        if let Some(time) = word.strip_prefix('@') {
            let time = time.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            message.at = time.filter(|time| *time <= LATEST)?;
        } else if let Some(payload) = word.strip_prefix("edns=") {
            form.edns = Some(payload.parse().ok()?);
        } else if let Ok(client) = word.parse::<IpAddr>() {
            message.client = Some(SocketAddr::new(client, 0));
        } else {
            match word {
                "tcp" => message.tcp = true,
                "do" => form.dnssec = true,
                "cd" => flags |= CD,
                "ad" => flags |= AD,
                "nord" => form.recursion = false,
                "noedns" => form.edns = None,
                _ => {}
            }
        }
    }
    write_query(&mut message.packet, name.wire(), rtype, form);
    message.packet[3] |= flags;
    Some(message)
}

/// Where a line's comment begins: at the first semicolon that no backslash stands before.
fn comment(text: &str) -> usize {
    let mut escaped = false;
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b';' if !escaped => return at,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// A query as a line; nothing for what has no line: responses, other messages, and questions of other classes.
pub(super) fn line(message: &Message, since: Duration) -> Option<String> {
    let packet = &message.packet;
    let [_, _, flags, more, 0, 1, ..] = packet[..] else { return None };
    if flags & !RD != 0 {
        return None;
    }
    let (name, rtype) = question(packet)?;
    let end = HEADER + name.wire().len() + 4;
    if packet.get(end - 2..end)? != IN {
        return None;
    }
    // In digits, so that neither is taken for the beginning of a comment, whoever reads it.
    let name = name.to_string().replace("\\;", "\\059");
    let name = if name.starts_with('#') { name.replacen('#', "\\035", 1) } else { name };
    let mut out = format!("{name} {}", if rtype == Rtype(255) { "ANY".to_owned() } else { rtype.to_string() });
    let _ = write!(out, " ; @{:.6}", message.at.saturating_sub(since).as_secs_f64());
    if let Some(client) = message.client {
        let _ = write!(out, " {}", client.ip());
    }
    out.push_str(if message.tcp { " tcp" } else { " udp" });
    match offered(packet) {
        None => out.push_str(" noedns"),
        Some((payload, _)) if Some(payload) == Form::default().edns => {}
        Some((payload, _)) => drop(write!(out, " edns={payload}")),
    }
    let dnssec = offered(packet).is_some_and(|(_, dnssec)| dnssec);
    let words = [(dnssec, " do"), (more & CD != 0, " cd"), (more & AD != 0, " ad"), (flags & RD == 0, " nord")];
    words.iter().filter(|(said, _)| *said).for_each(|(_, word)| out.push_str(word));
    Some(out)
}

/// Name and type of a message's question.
pub(super) fn question(packet: &[u8]) -> Option<(Name, Rtype)> {
    if packet.get(4..6)? == [0, 0] {
        return None;
    }
    let rest = packet.get(HEADER..)?;
    let length = crate::wire::wire_name_len(rest)?;
    let name = Name::from_wire(rest.get(..length)?)?;
    let rtype = rest.get(length..length + 2)?;
    Some((name, Rtype(u16::from_be_bytes([rtype[0], rtype[1]]))))
}

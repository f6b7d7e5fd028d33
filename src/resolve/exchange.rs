//! One question to one server on the wire: composing it so that a forger must guess, and matching
//! what comes back (RFC 5452, RFC 7873, 0x20).

use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Moment;
use crate::servers::Servers;
use crate::wire::{CLASS_IN, Composer, Flags, Message, Rcode, option};

use super::board::{AskKey, AskTransport, Board, LinkError, Reply};

/// What was put on the wire.
pub(super) struct Sent {
    pub id: u16,
    /// The name in the case it was sent.
    pub name: Vec<u8>,
    /// The largest datagram we take in return, in octets.
    pub offered: u16,
}

/// A packet for the engine to send.
pub struct Outgoing {
    pub key: AskKey,
    pub server: std::net::SocketAddr,
    pub transport: AskTransport,
    pub packet: Vec<u8>,
}

/// How queries to servers are written.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub udp_payload_size: u16,
    pub case_randomisation: bool,
    /// Ask for signatures (RFC 3225).
    pub dnssec_ok: bool,
}

impl Board {
    /// Composes the next packet that is due to be sent.
    pub fn next_outgoing(&mut self, manner: Manner) -> Option<Outgoing> {
        let key = self.next_to_send()?;
        let id = self.random() as u16;
        let mut bits = (self.random(), 64);
        let ask = self.slot_mut(key)?.ask.clone();
        let mut name = ask.name.wire().to_vec();
        if manner.case_randomisation && ask.transport == AskTransport::Udp {
            for octet in name.iter_mut().filter(|octet| octet.is_ascii_lowercase()) {
                if bits.1 == 0 {
                    bits = (self.random(), 64);
                }
                if bits.0 & 1 == 1 {
                    *octet = octet.to_ascii_uppercase();
                }
                bits = (bits.0 >> 1, bits.1 - 1);
            }
        }
        let mut packet = Vec::with_capacity(name.len() + 64);
        let flags = if ask.recurse { Flags::RD } else { 0 };
        let mut composer = Composer::new(&mut packet, id, flags, 512);
        let mut question = name.clone();
        question.extend_from_slice(&ask.rtype.0.to_be_bytes());
        question.extend_from_slice(&CLASS_IN.to_be_bytes());
        composer.question(&question);
        if !ask.plain {
            let mut options = Vec::new();
            if !ask.cookie.is_empty() {
                options.extend_from_slice(&option::COOKIE.to_be_bytes());
                options.extend_from_slice(&(ask.cookie.len() as u16).to_be_bytes());
                options.extend_from_slice(&ask.cookie);
            }
            composer.edns(manner.udp_payload_size, 0, manner.dnssec_ok, &options);
        }
        composer.finish();
        self.slot_mut(key)?.sent = Some(Sent { id, name, offered: manner.udp_payload_size });
        match ask.transport {
            AskTransport::Udp => self.counters.sent_udp += 1,
            AskTransport::Tcp => self.counters.sent_tcp += 1,
        }
        Some(Outgoing { key, server: ask.server, transport: ask.transport, packet })
    }

    /// Takes what came back for `key`.
    pub fn take_response(&mut self, key: AskKey, packet: &[u8]) {
        let (now, servers) = (self.now().mono, Arc::clone(&self.servers));
        let Some(slot) = self.slot_mut(key) else {
            self.counters.unexpected += 1;
            return;
        };
        if slot.reply.is_some() {
            self.counters.unexpected += 1;
            return;
        }
        let Some(sent) = &slot.sent else { return };
        let reply = judge(&slot.ask, sent, packet, &servers, now);
        match reply {
            None => {
                self.counters.unexpected += 1;
                return;
            }
            Some(Reply::NearMiss) => self.counters.near_misses += 1,
            Some(Reply::CaseMismatch) => self.counters.case_mismatches += 1,
            Some(Reply::Malformed) => self.counters.malformed += 1,
            Some(Reply::Oversized) => self.counters.oversized += 1,
            Some(_) => {}
        }
        if let Some(reply) = reply {
            self.deliver(key, reply);
        }
    }

    /// Takes the transport's word that nothing will come back for `key`.
    pub fn take_link_error(&mut self, key: AskKey, error: LinkError) {
        self.counters.links += 1;
        self.deliver(key, Reply::Link(error));
    }
}

/// Is this the response to what was sent? `None`: not a response at all, go on waiting.
fn judge(ask: &super::board::Ask, sent: &Sent, packet: &[u8], servers: &Servers, now: Moment) -> Option<Reply> {
    let header = packet.first_chunk::<4>()?;
    let flags = Flags(u16::from_be_bytes([header[2], header[3]]));
    if !flags.has(Flags::QR) || flags.opcode() != 0 {
        return None;
    }
    if u16::from_be_bytes([header[0], header[1]]) != sent.id {
        return Some(Reply::NearMiss);
    }
    if ask.transport == AskTransport::Udp && packet.len() > usize::from(sent.offered) {
        return Some(Reply::Oversized);
    }
    let Ok(message) = Message::parse(packet) else { return Some(Reply::Malformed) };
    if message.question_name.is_empty() {
        // Some servers answer an error without the question; with it would come nothing else.
        let error = !matches!(message.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN);
        let bare = message.answers().is_empty() && message.authorities().is_empty();
        // Nothing in it shows that its sender has seen the question but the ID; a server that sends cookies would have.
        let vouched = ask.transport == AskTransport::Tcp || ask.cookie.len() <= 8;
        return Some(if error && bare && vouched {
            Reply::Message(Rc::new(message), packet.len())
        } else {
            Reply::NearMiss
        });
    }
    // The type in the question is not compared: it adds nothing that a forger must guess, and some
    // servers echo only the name.
    if !message.question_name.eq_ignore_ascii_case(&sent.name) {
        return Some(Reply::NearMiss);
    }
    if ask.transport == AskTransport::Udp && message.question_name.as_slice() != sent.name.as_slice() {
        return Some(Reply::CaseMismatch);
    }
    if !ask.cookie.is_empty() {
        let cookie = message.edns.as_ref().and_then(|edns| edns.cookie.as_ref());
        match cookie {
            Some(cookie) => {
                if !servers.cookie(ask.server, cookie, now) {
                    return Some(Reply::NearMiss);
                }
            }
            // It has sent cookies before (RFC 7873 §5.3).
            None if ask.transport == AskTransport::Udp && ask.cookie.len() > 8 => return Some(Reply::NearMiss),
            None => servers.forget_cookie(ask.server, now),
        }
    }
    Some(Reply::Message(Rc::new(message), packet.len()))
}

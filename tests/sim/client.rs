//! Clients' packets, octet by octet, and what came back, as hickory-proto reads it.

use std::net::SocketAddr;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use maeslant::engine::{Disposition, Transport};

use super::text;

/// A question as a client puts it.
#[derive(Clone, Debug)]
pub struct Query {
    pub qname: Name,
    pub qtype: RecordType,
    pub qclass: u16,
    pub id: u16,
    pub opcode: u8,
    pub qr: bool,
    pub rd: bool,
    pub ad: bool,
    pub cd: bool,
    pub edns: Option<Opt>,
}

/// Its OPT record.
#[derive(Clone, Debug)]
pub struct Opt {
    pub size: u16,
    pub version: u8,
    pub dnssec_ok: bool,
    pub options: Vec<(u16, Vec<u8>)>,
}

impl Query {
    /// RD set, EDNS with 1232 octets, as a stub resolver of today asks.
    pub fn new(qname: Name, qtype: RecordType, id: u16) -> Query {
        let edns = Some(Opt { size: 1232, version: 0, dnssec_ok: false, options: Vec::new() });
        Query { qname, qtype, qclass: 1, id, opcode: 0, qr: false, rd: true, ad: false, cd: false, edns }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut flags = u16::from(self.opcode) << 11;
        for (on, bit) in [(self.qr, 0x8000), (self.rd, 0x0100), (self.ad, 0x0020), (self.cd, 0x0010)] {
            flags |= if on { bit } else { 0 };
        }
        let mut bytes = Vec::new();
        for field in [self.id, flags, 1, 0, 0, u16::from(self.edns.is_some())] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(text::wire(&self.qname));
        bytes.extend(u16::from(self.qtype).to_be_bytes());
        bytes.extend(self.qclass.to_be_bytes());
        if let Some(opt) = &self.edns {
            opt.write(&mut bytes);
        }
        bytes
    }
}

impl Opt {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(0);
        bytes.extend(41u16.to_be_bytes());
        bytes.extend(self.size.to_be_bytes());
        bytes.extend([0, self.version, if self.dnssec_ok { 0x80 } else { 0 }, 0]);
        let length: usize = self.options.iter().map(|(_, data)| data.len() + 4).sum();
        bytes.extend((length as u16).to_be_bytes());
        for (code, data) in &self.options {
            bytes.extend(code.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        }
    }
}

/// A question on its way, and its end.
#[derive(Clone, Debug)]
pub struct Asked {
    pub packet: Vec<u8>,
    pub from: SocketAddr,
    pub transport: Transport,
    /// Nanoseconds of simulated time.
    pub at: u64,
    pub disposition: Disposition,
    /// The client's connection ended before the response.
    pub gone: bool,
    /// When the response came, and its octets.
    pub reply: Option<(u64, Vec<u8>)>,
}

/// The options of a response's OPT, by code.
pub fn option(message: &Message, code: u16) -> Option<Vec<u8>> {
    match message.edns.as_ref()?.option(EdnsCode::from(code))? {
        EdnsOption::Unknown(_, bytes) => Some(bytes.clone()),
        EdnsOption::NSID(payload) => Some(payload.as_ref().to_vec()),
        _ => Some(Vec::new()),
    }
}

/// The INFO-CODEs of all extended errors (RFC 8914).
pub fn extended_errors(message: &Message) -> Vec<u16> {
    let options = message.edns.iter().flat_map(|edns| edns.options().get_all(EdnsCode::from(15)));
    options
        .filter_map(|option| match option {
            EdnsOption::Unknown(_, bytes) if bytes.len() >= 2 => Some(u16::from_be_bytes([bytes[0], bytes[1]])),
            _ => None,
        })
        .collect()
}

/// What holds of every response, whatever the question was. `limit` is ours for UDP.
pub fn check_reply(asked: &Asked, reply: &[u8], limit: usize) -> Result<Message, String> {
    let response = Message::from_vec(reply).map_err(|error| format!("the response does not parse: {error}"))?;
    let query = &asked.packet;
    let header = &response.metadata;
    let query_flags = u16::from_be_bytes([query[2], query[3]]);
    let copied = |bit: u16, on: bool, name: &str| match (query_flags & bit != 0) == on {
        true => Ok(()),
        false => Err(format!("{name} is not copied into the response")),
    };
    if header.message_type != MessageType::Response {
        return Err("the response has QR=0".to_string());
    }
    if query[..2] != reply[..2] {
        return Err("the response has another ID".to_string());
    }
    if u8::from(header.op_code) != (query[2] >> 3) & 15 {
        return Err("the response has another opcode".to_string());
    }
    copied(0x0100, header.recursion_desired, "RD")?;
    check_question(query, reply, &response)?;
    let Ok(parsed) = Message::from_vec(query) else { return Ok(response) };
    // hickory-proto lifts small sizes to 512, as RFC 6891 §6.2.3 asks.
    let size = parsed.edns.map(|edns| edns.max_payload());
    let allowed = size.map_or(512, |size| usize::from(size).max(512)).min(limit.max(512));
    if asked.transport == Transport::Udp && reply.len() > allowed {
        return Err(format!("the response has {} octets where {allowed} are allowed", reply.len()));
    }
    if size.is_none() && response.edns.is_some() {
        return Err("the response has an OPT record, the query had none".to_string());
    }
    Ok(response)
}

/// The question is echoed, its case included.
fn check_question(query: &[u8], reply: &[u8], response: &Message) -> Result<(), String> {
    let Some(question) = response.queries.first() else { return Ok(()) };
    let end = 12 + text::wire(&question.name).len() + 4;
    if query.get(12..end) != reply.get(12..end) {
        return Err("the question is not echoed octet by octet".to_string());
    }
    Ok(())
}

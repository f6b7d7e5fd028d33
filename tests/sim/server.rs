//! Authoritative servers of the simulated Internet: zones, scripted rules, and ways to misbehave.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};
use maeslant::engine::{AskTransport, LinkError};

use super::dice::Dice;
use super::script::{Action, Forgery, Rule};
use super::text;
use super::zone::{self, Sections, Zone};

/// How a server treats OPT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EdnsHabit {
    Understood,
    /// FORMERR without OPT (RFC 6891 §7).
    Formerr,
    Notimp,
    /// No response to a query with OPT.
    Silent,
    /// The OPT is ignored, none comes back.
    Ignored,
}

/// How a server treats DNS cookies (RFC 7873).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CookieHabit {
    Unknown,
    Given,
    /// BADCOOKIE over UDP until the query carries the server's own.
    Required,
    /// A response with a client cookie that is not the one sent.
    Wrong,
}

/// How a server treats TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcpHabit {
    Served,
    Refused,
    Silent,
    Closed,
}

/// One authoritative server.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: String,
    pub addresses: Vec<IpAddr>,
    pub zones: Vec<Zone>,
    pub rules: Vec<Rule>,
    /// Round-trip time of UDP; the network's own where none.
    pub rtt: Option<Duration>,
    pub loss: f64,
    pub down: bool,
    /// ICMP port unreachable instead of an answer.
    pub closed: bool,
    /// Whoever asks has no route to its addresses of these families, IPv4 and IPv6.
    pub no_route: [bool; 2],
    /// Only UDP is dropped.
    pub udp_silent: bool,
    pub tcp: TcpHabit,
    pub edns: EdnsHabit,
    pub cookies: CookieHabit,
    /// The question comes back in lower case: 0x20 fails.
    pub lowercases: bool,
    /// Largest UDP response it makes, whatever the client says.
    pub largest: usize,
    /// Sends datagrams of any size, whatever the client takes.
    pub oversizes: bool,
    pub seen: Vec<Seen>,
}

/// A question a server received.
#[derive(Clone, Debug)]
pub struct Seen {
    pub qname: Name,
    pub qtype: RecordType,
}

/// What a server puts on the network.
#[derive(Clone, Debug)]
pub enum Sent {
    Packet { after: Duration, bytes: Vec<u8> },
    Link { after: Duration, error: LinkError },
}

impl Server {
    pub fn new(name: &str, addresses: Vec<IpAddr>) -> Server {
        Server {
            name: name.to_string(),
            addresses,
            zones: Vec::new(),
            rules: Vec::new(),
            rtt: None,
            loss: 0.0,
            down: false,
            closed: false,
            no_route: [false; 2],
            udp_silent: false,
            tcp: TcpHabit::Served,
            edns: EdnsHabit::Understood,
            cookies: CookieHabit::Unknown,
            lowercases: false,
            largest: 65_535,
            oversizes: false,
            seen: Vec::new(),
        }
    }

    /// Changes one of its ways: `rtt=20ms`, `down`, `tcp=refused` …
    pub fn set(&mut self, setting: &str) -> Result<(), String> {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        match (key, value) {
            ("rtt", time) => self.rtt = Some(text::duration(time)?),
            ("loss", share) => self.loss = share.parse().map_err(|_| format!("`{share}` is no share of 1"))?,
            ("down", "") => self.down = true,
            ("up", "") => {
                (self.down, self.closed, self.udp_silent, self.no_route) = (false, false, false, [false; 2]);
            }
            ("no-route", "ipv4") => self.no_route[0] = true,
            ("no-route", "ipv6") => self.no_route[1] = true,
            ("closed", "") => self.closed = true,
            ("udp", "silent") => self.udp_silent = true,
            ("tcp", "served") => self.tcp = TcpHabit::Served,
            ("tcp", "refused") => self.tcp = TcpHabit::Refused,
            ("tcp", "silent") => self.tcp = TcpHabit::Silent,
            ("tcp", "closed") => self.tcp = TcpHabit::Closed,
            ("edns", "understood") => self.edns = EdnsHabit::Understood,
            ("edns", "formerr") => self.edns = EdnsHabit::Formerr,
            ("edns", "notimp") => self.edns = EdnsHabit::Notimp,
            ("edns", "silent") => self.edns = EdnsHabit::Silent,
            ("edns", "ignored") => self.edns = EdnsHabit::Ignored,
            ("cookies", "given") => self.cookies = CookieHabit::Given,
            ("cookies", "required") => self.cookies = CookieHabit::Required,
            ("cookies", "wrong") => self.cookies = CookieHabit::Wrong,
            ("lowercases", "") => self.lowercases = true,
            ("oversizes", "") => self.oversizes = true,
            ("largest", size) => self.largest = size.parse().map_err(|_| format!("`{size}` is no size"))?,
            _ => return Err(format!("a server has no setting `{setting}`")),
        }
        Ok(())
    }

    /// Takes a query and says what comes back.
    pub fn handle(&mut self, query: &Message, transport: AskTransport, rtt: Duration, dice: &mut Dice) -> Vec<Sent> {
        let Some(question) = query.queries.first() else { return Vec::new() };
        let (qname, qtype) = (question.name.clone(), question.query_type);
        self.seen.push(Seen { qname: qname.clone(), qtype });
        if let Some(sent) = self.turned_away(transport, rtt) {
            return sent;
        }
        if query.edns.is_some() {
            match self.edns {
                EdnsHabit::Silent => return Vec::new(),
                EdnsHabit::Formerr => return self.plain_error(query, ResponseCode::FormErr, rtt),
                EdnsHabit::Notimp => return self.plain_error(query, ResponseCode::NotImp, rtt),
                EdnsHabit::Understood | EdnsHabit::Ignored => {}
            }
        }
        let Some(at) = self.rules.iter().position(|rule| rule.matches(query, transport)) else {
            let response =
                self.response(query, zone::respond(&self.zones, &qname, qtype, wants_dnssec(query)), transport);
            return vec![Sent::Packet { after: rtt, bytes: encode(&response) }];
        };
        self.rules[at].hits += 1;
        let rule = self.rules[at].clone();
        self.play(&rule, query, transport, rtt, dice)
    }

    pub fn no_route_to(&self, address: IpAddr) -> bool {
        self.no_route[usize::from(address.is_ipv6())]
    }

    fn turned_away(&self, transport: AskTransport, rtt: Duration) -> Option<Vec<Sent>> {
        let link = |error| Some(vec![Sent::Link { after: rtt, error }]);
        if self.down {
            return Some(Vec::new());
        }
        if self.closed {
            return link(LinkError::Refused);
        }
        match (transport, self.tcp) {
            (AskTransport::Udp, _) if self.udp_silent => Some(Vec::new()),
            (AskTransport::Tcp, TcpHabit::Refused) => link(LinkError::Refused),
            (AskTransport::Tcp, TcpHabit::Closed) => link(LinkError::Closed),
            (AskTransport::Tcp, TcpHabit::Silent) => Some(Vec::new()),
            _ => None,
        }
    }

    fn plain_error(&self, query: &Message, rcode: ResponseCode, rtt: Duration) -> Vec<Sent> {
        let mut response = frame(query);
        response.metadata.response_code = rcode;
        response.edns = None;
        vec![Sent::Packet { after: rtt, bytes: encode(&response) }]
    }

    /// A response with these sections, OPT, cookies and, over UDP, truncated where it must be.
    fn response(&self, query: &Message, sections: Sections, transport: AskTransport) -> Message {
        let mut response = frame(query);
        response.metadata.response_code = sections.rcode;
        response.metadata.authoritative = sections.authoritative;
        response.answers = sections.answers;
        response.authorities = sections.authorities;
        response.additionals = sections.additionals;
        if self.lowercases
            && let Some(question) = response.queries.first_mut()
        {
            question.name = question.name.to_lowercase();
        }
        if self.edns == EdnsHabit::Ignored {
            response.edns = None;
        }
        self.add_cookie(query, &mut response, transport);
        let theirs = query.edns.as_ref().map_or(512, |edns| usize::from(edns.max_payload()));
        let limit = if transport == AskTransport::Udp && !self.oversizes { theirs.min(self.largest) } else { 65_535 };
        if encode(&response).len() > limit {
            response.metadata.truncation = true;
            response.answers.clear();
            response.authorities.clear();
            response.additionals.clear();
        }
        response
    }

    fn add_cookie(&self, query: &Message, response: &mut Message, transport: AskTransport) {
        let Some(theirs) = cookie_of(query).filter(|_| self.cookies != CookieHabit::Unknown) else { return };
        let mut own = theirs[..theirs.len().min(8)].to_vec();
        if self.cookies == CookieHabit::Wrong {
            own[0] ^= 0xff;
        }
        own.extend(self.server_cookie(&own));
        let proven = theirs == own || transport == AskTransport::Tcp;
        if self.cookies == CookieHabit::Required && !proven {
            response.metadata.response_code = ResponseCode::BADCOOKIE;
            response.answers.clear();
            response.authorities.clear();
            response.additionals.clear();
        }
        if let Some(edns) = &mut response.edns {
            edns.options_mut().insert(EdnsOption::Unknown(10, own));
        }
    }

    /// Eight octets that belong to the client cookie and this server.
    fn server_cookie(&self, client: &[u8]) -> [u8; 8] {
        let mut seed = self.name.bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        for byte in client.iter().take(8) {
            seed = seed.rotate_left(8) ^ u64::from(*byte);
        }
        Dice::new(seed).next().to_be_bytes()
    }

    fn play(&self, rule: &Rule, query: &Message, transport: AskTransport, rtt: Duration, dice: &mut Dice) -> Vec<Sent> {
        let question = &query.queries[0];
        let mut sections = Sections::empty(ResponseCode::NoError, true);
        for action in &rule.actions {
            match action {
                Action::FromZone => {
                    sections = zone::respond(&self.zones, &question.name, question.query_type, wants_dnssec(query));
                }
                Action::Prove(name, rtype) => {
                    let other = zone::respond(&self.zones, name, *rtype, wants_dnssec(query));
                    sections.authorities.extend(other.answers);
                }
                Action::Of(section, name, rtype) => {
                    let other = zone::respond(&self.zones, name, *rtype, wants_dnssec(query));
                    sections.take(*section, other);
                }
                other => other.fill(&mut sections, &question.name),
            }
        }
        let mut response = self.response(query, sections, transport);
        let mut after = rtt;
        let mut sent = Vec::new();
        for action in &rule.actions {
            match action {
                Action::Drop => return sent,
                Action::Link(error) => return vec![Sent::Link { after, error: *error }],
                Action::Delay(time) => after += *time,
                Action::Forge(forgery, count) => {
                    sent.extend(forgeries(*forgery, *count, &response, after, dice));
                }
                other => edit(other, &mut response),
            }
        }
        let mut bytes = encode(&response);
        for action in &rule.actions {
            damage(action, &mut bytes, dice);
        }
        let copies = 1 + rule.actions.iter().filter(|action| matches!(action, Action::Twice)).count();
        sent.extend(std::iter::repeat_n(Sent::Packet { after, bytes }, copies));
        sent
    }
}

/// A response's header, question and OPT, from the query.
fn frame(query: &Message) -> Message {
    let mut response = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.checking_disabled = query.metadata.checking_disabled;
    response.queries = query.queries.clone();
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        response.edns = Some(edns);
    }
    response
}

fn wants_dnssec(query: &Message) -> bool {
    query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
}

/// The client's cookie option, whole.
pub fn cookie_of(query: &Message) -> Option<Vec<u8>> {
    match query.edns.as_ref()?.option(EdnsCode::Cookie)? {
        EdnsOption::Unknown(_, bytes) if bytes.len() >= 8 => Some(bytes.clone()),
        _ => None,
    }
}

pub fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message of the test encodes")
}

/// What an action changes in a message that is made already.
fn edit(action: &Action, response: &mut Message) {
    let header = &mut response.metadata;
    match action {
        Action::Rcode(rcode) => header.response_code = *rcode,
        Action::Flag(flag, on) => match flag.as_str() {
            "aa" => header.authoritative = *on,
            "tc" => header.truncation = *on,
            "ra" => header.recursion_available = *on,
            "rd" => header.recursion_desired = *on,
            "ad" => header.authentic_data = *on,
            "qr" => header.message_type = if *on { MessageType::Response } else { MessageType::Query },
            _ => {}
        },
        Action::Question(name, rtype) => {
            if let Some(question) = response.queries.first_mut() {
                question.name = name.clone();
                question.query_type = rtype.unwrap_or(question.query_type);
            }
        }
        Action::NoQuestion => response.queries.clear(),
        Action::NoEdns => response.edns = None,
        _ => {}
    }
}

/// What an action does to the octets.
fn damage(action: &Action, bytes: &mut Vec<u8>, dice: &mut Dice) {
    match action {
        Action::WrongId => bytes[0] ^= 0x5a,
        Action::Junk(length) => *bytes = (0..*length).map(|_| dice.next() as u8).collect(),
        Action::Cut(length) => bytes.truncate(*length),
        Action::Append(tail) => bytes.extend_from_slice(tail),
        _ => {}
    }
}

/// Packets of someone who does not see the query, arriving a little before the answer.
fn forgeries(kind: Forgery, count: u32, response: &Message, after: Duration, dice: &mut Dice) -> Vec<Sent> {
    let make = |dice: &mut Dice| {
        let mut forged = response.clone();
        for record in &mut forged.answers {
            if let RData::A(address) = &mut record.data {
                address.0 = [203, 0, 113, 66].into();
            }
        }
        match kind {
            Forgery::WrongId => forged.metadata.id ^= 1 + (dice.next() as u16 >> 1),
            Forgery::WrongCase => {
                if let Some(question) = forged.queries.first_mut() {
                    question.name = question.name.to_lowercase();
                }
            }
            Forgery::WrongQuestion => {
                if let Some(question) = forged.queries.first_mut() {
                    question.name = Name::from_ascii("elsewhere.invalid.").expect("a name");
                }
            }
            Forgery::Junk => return (0..40).map(|_| dice.next() as u8).collect(),
        }
        encode(&forged)
    };
    (0..count).map(|_| Sent::Packet { after: after / 2, bytes: make(dice) }).collect()
}

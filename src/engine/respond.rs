//! Writing responses: minimal, compressed, within the client's size, with the reason for what went wrong.

use smallvec::SmallVec;

use crate::admission::{CookieReply, Slip};
use crate::cache::RrSet;
use crate::clock::Moment;
use crate::local;
use crate::resolve::Outcome;
use crate::wire::{
    CLASS_CH, CLASS_IN, Composer, Flags, Mark, QueryView, Rcode, Rtype, Section, ede, option, write_opt,
};

use super::types::{RespondPolicy, Transport};

/// UDP without EDNS (RFC 1035 §4.2.1).
const PLAIN_UDP: usize = 512;
/// The octets of an extended error's text that are sent.
const MAX_TEXT: usize = 160;
/// A client cookie and a server cookie (RFC 9018).
pub(super) const COOKIE: usize = 24;
/// An OPT record without options.
pub(super) const OPT: usize = 11;

/// What is kept of a query until its response is written.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub id: u16,
    pub flags: Flags,
    /// Name in the client's case, type, class.
    pub question: SmallVec<[u8; 64]>,
    pub edns: Option<AskerEdns>,
    pub transport: Transport,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct AskerEdns {
    pub udp_payload_size: u16,
    pub dnssec_ok: bool,
    pub nsid: bool,
    pub keepalive: bool,
    /// The cookie that goes back.
    pub cookie: Option<[u8; COOKIE]>,
    /// The query had a whole one too, so that it costs nothing in size.
    pub cookie_shown: bool,
}

impl Asker {
    pub fn new(view: &QueryView<'_>, transport: Transport, cookie: CookieReply) -> Asker {
        let cookie = match cookie {
            CookieReply::Give(cookie) => Some(cookie),
            CookieReply::None | CookieReply::Malformed => None,
        };
        Asker {
            id: view.id,
            flags: view.flags,
            question: SmallVec::from_slice(view.question),
            edns: view.edns.map(|edns| AskerEdns {
                udp_payload_size: edns.udp_payload_size,
                dnssec_ok: edns.dnssec_ok,
                nsid: edns.nsid,
                keepalive: edns.keepalive,
                cookie,
                cookie_shown: edns.cookie.is_some_and(|shown| shown.len() >= COOKIE),
            }),
            transport,
        }
    }

    /// The name asked for, in the client's case.
    pub fn name(&self) -> &[u8] {
        self.question.get(..self.question.len().saturating_sub(4)).unwrap_or(&[])
    }

    fn limit(&self, policy: &RespondPolicy) -> usize {
        match (self.transport, self.edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, None) => PLAIN_UDP,
            (Transport::Udp, Some(edns)) => {
                usize::from(edns.udp_payload_size.min(policy.udp_payload_size)).max(PLAIN_UDP)
            }
        }
    }
}

/// Extended errors: codes and texts (RFC 8914 allows several).
#[derive(Clone, Debug, Default)]
pub(super) struct Extended(SmallVec<[(u16, String); 1]>);

impl Extended {
    pub fn none() -> Extended {
        Extended::default()
    }

    pub fn new(code: u16, text: impl Into<String>) -> Extended {
        Extended(smallvec::smallvec![(code, text.into())])
    }

    fn of(outcome: &Outcome) -> Extended {
        match (&outcome.failure, &outcome.stale) {
            (Some(failure), _) => Extended::new(failure.error(), failure.to_string()),
            (None, Some(note)) => {
                let mut extended = Extended::new(note.error(outcome.rcode), note.why.text());
                extended.0.extend(note.because.iter().map(|(code, text)| (*code, text.to_string())));
                extended
            }
            (None, None) => Extended::none(),
        }
    }
}

/// A response under construction.
struct Response<'a> {
    composer: Composer<'a>,
    empty: Mark,
    options: SmallVec<[u8; 64]>,
    full: bool,
}

impl<'a> Response<'a> {
    fn new(out: &'a mut Vec<u8>, asker: &Asker, policy: &RespondPolicy, extended: &Extended) -> Response<'a> {
        let flags = Flags::QR | Flags::RA | asker.flags.0 & (Flags::RD | Flags::CD);
        let mut composer = Composer::new(out, asker.id, flags, asker.limit(policy));
        if !asker.question.is_empty() {
            composer.question(&asker.question);
        }
        let options = options(asker.transport, asker.edns, policy, extended);
        composer.reserve(OPT + options.len());
        let empty = composer.mark();
        Response { composer, empty, options, full: false }
    }

    fn record(&mut self, section: Section, owner: &[u8], rtype: Rtype, class: u16, ttl: u32, rdata: &[u8]) {
        if !self.full && self.composer.record(section, owner, rtype, class, ttl, rdata).is_err() {
            // RFC 2181 §9: what is needed does not fit; the client asks again by TCP.
            self.full = true;
            self.composer.rewind(self.empty);
            self.composer.set_flags(Flags::TC);
        }
    }

    /// Writes an RRset, with its signatures where they are wanted.
    fn set(&mut self, section: Section, set: &RrSet, ttl: u32, signatures: bool) {
        for rdata in set.rdatas() {
            self.record(section, set.owner.wire(), set.rtype, CLASS_IN, ttl, rdata);
        }
        if signatures && set.rtype != Rtype::RRSIG {
            for rdata in set.signatures() {
                self.record(section, set.owner.wire(), Rtype::RRSIG, CLASS_IN, ttl, rdata);
            }
        }
    }

    fn finish(mut self, asker: &Asker, policy: &RespondPolicy, rcode: Rcode, authoritative: bool) {
        if authoritative {
            self.composer.set_flags(Flags::AA);
        }
        self.composer.set_flags(rcode.0 & 0xf);
        if let Some(edns) = asker.edns {
            self.composer.release(OPT + self.options.len());
            let high = u8::try_from(rcode.0 >> 4).unwrap_or(0);
            self.composer.edns(policy.udp_payload_size, high, edns.dnssec_ok, &self.options);
        }
        self.composer.finish();
    }
}

fn options(
    transport: Transport,
    edns: Option<AskerEdns>,
    policy: &RespondPolicy,
    extended: &Extended,
) -> SmallVec<[u8; 64]> {
    let mut options = SmallVec::new();
    let Some(edns) = edns else { return options };
    let mut push = |code: u16, value: &[u8]| {
        options.extend_from_slice(&code.to_be_bytes());
        options.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        options.extend_from_slice(value);
    };
    if let Some(cookie) = edns.cookie {
        push(option::COOKIE, &cookie);
    }
    if edns.nsid
        && let Some(nsid) = &policy.nsid
    {
        push(option::NSID, nsid);
    }
    if edns.keepalive && transport == Transport::Tcp {
        // RFC 7828 §3.1: in units of 100 ms.
        let units = u16::try_from(policy.tcp_keepalive.as_millis() / 100).unwrap_or(u16::MAX);
        push(option::TCP_KEEPALIVE, &units.to_be_bytes());
    }
    for (code, text) in extended.0.iter().filter(|_| policy.extended_errors) {
        let mut value = code.to_be_bytes().to_vec();
        let end = (0..=text.len().min(MAX_TEXT)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        value.extend_from_slice(&text.as_bytes()[..end]);
        push(option::EDE, &value);
    }
    options
}

/// Writes the outcome of a resolution; `before` are the operator's own aliases that led there. They are not signed, so
/// that the answer as a whole is not secure (RFC 4035 §3.2.3).
pub(super) fn outcome(
    out: &mut Vec<u8>,
    asker: &Asker,
    policy: &RespondPolicy,
    before: &[local::LocalRecord],
    outcome: &Outcome,
    age: Moment,
) {
    let extended = Extended::of(outcome);
    let mut response = Response::new(out, asker, policy, &extended);
    if outcome.failure.is_none() {
        for record in before {
            response.record(Section::Answer, record.owner.wire(), record.rtype, CLASS_IN, record.ttl, &record.rdata);
        }
    }
    let dnssec_ok = asker.edns.is_some_and(|edns| edns.dnssec_ok);
    for set in &outcome.answer {
        response.set(Section::Answer, set, set.ttl_left(age), dnssec_ok);
    }
    if let Some(soa) = &outcome.soa {
        response.set(Section::Authority, &soa.set, soa.life.left(age), dnssec_ok);
    }
    if dnssec_ok {
        let most = outcome.soa.as_ref().map_or(u32::MAX, |soa| soa.life.left(age));
        for set in outcome.proof.iter().flat_map(|proof| proof.iter()) {
            response.set(Section::Authority, set, set.ttl_left(age).min(most), true);
        }
    }
    // RFC 6840 §5.8: to those who understand the bit, and do not validate themselves.
    let secure = outcome.secure && before.is_empty();
    if secure && (dnssec_ok || asker.flags.has(Flags::AD)) && !asker.flags.has(Flags::CD) {
        response.composer.set_flags(Flags::AD);
    }
    response.finish(asker, policy, outcome.rcode, false);
}

/// Writes an answer known beforehand.
pub(super) fn local(out: &mut Vec<u8>, asker: &Asker, policy: &RespondPolicy, answer: &local::Answer) {
    let mut response = Response::new(out, asker, policy, &Extended::none());
    for (section, records) in [(Section::Answer, &answer.answer), (Section::Authority, &answer.authority)] {
        for record in records {
            response.record(section, record.owner.wire(), record.rtype, CLASS_IN, record.ttl, &record.rdata);
        }
    }
    response.finish(asker, policy, answer.rcode, answer.authoritative);
}

/// Writes a response without records.
pub(super) fn bare(out: &mut Vec<u8>, asker: &Asker, policy: &RespondPolicy, rcode: Rcode, extended: &Extended) {
    short(out, asker, policy, (rcode, 0), &options(asker.transport, asker.edns, policy, extended));
}

/// Writes REFUSED and why, as much of it as fits into `room` octets. At the least it is no larger than its question was.
pub(super) fn refuse(out: &mut Vec<u8>, asker: &Asker, policy: &RespondPolicy, why: &str, room: usize) {
    // The code alone tells programs what they need.
    for text in [why, ""] {
        bare(out, asker, policy, Rcode::REFUSED, &Extended::new(ede::PROHIBITED, text));
        if out.len() <= room {
            return;
        }
    }
    let mut asker = Asker { question: SmallVec::from_slice(&asker.question), ..*asker };
    if let Some(edns) = &mut asker.edns {
        (edns.nsid, edns.keepalive, edns.cookie) = (false, false, None);
    }
    bare(out, &asker, policy, Rcode::REFUSED, &Extended::none());
}

/// Writes a response that asks for a better question: no larger than this one was, but for a fresh cookie.
pub(super) fn slip(out: &mut Vec<u8>, asker: &Asker, policy: &RespondPolicy, slip: Slip) {
    let what = match slip {
        Slip::BadCookie if asker.edns.is_some() => (Rcode::BADCOOKIE, 0),
        Slip::BadCookie | Slip::Truncated => (Rcode::NOERROR, Flags::TC),
    };
    let edns = asker.edns.map(|edns| AskerEdns {
        nsid: false,
        keepalive: false,
        cookie: edns.cookie.filter(|_| edns.cookie_shown || slip == Slip::BadCookie),
        ..edns
    });
    short(out, asker, policy, what, &options(asker.transport, edns, policy, &Extended::none()));
}

/// Writes header, question and OPT record: there is nothing to compress, and nothing that might not fit.
fn short(out: &mut Vec<u8>, asker: &Asker, policy: &RespondPolicy, (rcode, more): (Rcode, u16), options: &[u8]) {
    let [id_high, id_low] = asker.id.to_be_bytes();
    let flags = Flags::QR | Flags::RA | asker.flags.0 & (Flags::RD | Flags::CD) | more | rcode.0 & 0xf;
    let [high, low] = flags.to_be_bytes();
    let (questions, opts) = (u8::from(!asker.question.is_empty()), u8::from(asker.edns.is_some()));
    out.clear();
    out.extend_from_slice(&[id_high, id_low, high, low, 0, questions, 0, 0, 0, 0, 0, opts]);
    out.extend_from_slice(&asker.question);
    if let Some(edns) = asker.edns {
        let high = u8::try_from(rcode.0 >> 4).unwrap_or(0);
        write_opt(out, policy.udp_payload_size, high, edns.dnssec_ok, options);
    }
}

/// Writes the minimal answer to `ANY` (RFC 8482 §4.2).
pub(super) fn any(out: &mut Vec<u8>, asker: &Asker, policy: &RespondPolicy) {
    /// Seconds; as good as any, since nothing depends on it.
    const TTL: u32 = 3600;
    let mut response = Response::new(out, asker, policy, &Extended::none());
    let name = asker.question.get(..asker.question.len().saturating_sub(4)).unwrap_or(&[0]);
    response.record(Section::Answer, name, Rtype::HINFO, CLASS_IN, TTL, b"\x07RFC8482\0");
    response.finish(asker, policy, Rcode::NOERROR, false);
}

/// Writes what may be known of this server (CHAOS class), or refuses.
pub(super) fn chaos(out: &mut Vec<u8>, asker: &Asker, policy: &RespondPolicy, rtype: Rtype) {
    let name = asker.question.get(..asker.question.len().saturating_sub(4)).unwrap_or(&[0]);
    let text = match name.to_ascii_lowercase().as_slice() {
        b"\x07version\x04bind\0" | b"\x07version\x06server\0" => policy.version.as_ref(),
        b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => policy.identity.as_ref(),
        _ => None,
    };
    let Some(text) = text.filter(|_| matches!(rtype, Rtype::TXT | Rtype::ANY)) else {
        return bare(out, asker, policy, Rcode::REFUSED, &Extended::new(ede::PROHIBITED, "not told here"));
    };
    let text = text.as_bytes().get(..text.len().min(255)).unwrap_or(&[]);
    let mut rdata = vec![u8::try_from(text.len()).unwrap_or(0)];
    rdata.extend_from_slice(text);
    let mut response = Response::new(out, asker, policy, &Extended::none());
    response.record(Section::Answer, name, Rtype::TXT, CLASS_CH, 0, &rdata);
    response.finish(asker, policy, Rcode::NOERROR, true);
}

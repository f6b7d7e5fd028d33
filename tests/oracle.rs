//! The lab's answers before hickory-net's validator, in process: its verdicts beside those of the catalogue, to which
//! `loopback::verdicts` holds maeslant. Where the two differ, there is a reason below.

use std::future::{Ready, ready};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{Once, once};
use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::xfer::DnsHandle;
use hickory_net::{DnsError, NetError};
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::dnssec::{Proof, TrustAnchors};
use hickory_proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Message, MessageType, OpCode, Query, ResponseCode,
};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use maeslant::lab::{Checked, Expected, Options, Question, World, catalogue};

/// What is asked of every name: A, NS, MX, TXT, DS and DNSKEY. Of these a name has all, some or none.
const TYPES: [u16; 6] = [1, 2, 15, 16, 43, 48];

/// Zones followed for one chain of aliases.
const MAX_ZONES: usize = 24;

/// A difference that is meant: what maeslant says, what the oracle, of which questions, and why.
struct Known {
    ours: &'static [Verdict],
    theirs: Verdict,
    of: fn(&Question, &Message) -> bool,
    reason: &'static str,
}

const DIFFERENCES: &[Known] = &[
    Known {
        ours: &[Verdict::Secure, Verdict::Insecure],
        theirs: Verdict::Bogus,
        of: |_, reply| ends_in_nothing(reply),
        reason: "an alias that leads to nothing: the oracle wants the proof about the alias, not about its end",
    },
    Known {
        ours: &[Verdict::Bogus],
        theirs: Verdict::Secure,
        of: |_, reply| ends_in_nothing(reply),
        reason: "an alias that leads to nothing, without a proof: the oracle is content with the alias",
    },
    Known {
        ours: &[Verdict::Secure, Verdict::Insecure],
        theirs: Verdict::Bogus,
        of: |question, _| {
            let of_a_flawed_zone = question.name.contains("moved.") && is_below(question, &["dnssec.nl."]);
            of_a_flawed_zone || is_below(question, &["dname.com.", "moved.org."])
        },
        reason: "DNAME is a type the oracle does not know, and so is what follows from it",
    },
    Known {
        ours: &[Verdict::Insecure],
        theirs: Verdict::Secure,
        of: |_, reply| reply.authorities.iter().any(is_opt_out),
        reason: "a proof by opt-out is none for AD (RFC 5155 §9.2); the oracle does not look at the flag",
    },
    Known {
        ours: &[Verdict::Insecure],
        theirs: Verdict::Secure,
        of: |question, _| is_below(question, &SHA1),
        reason: "SHA-1 signs nothing any more (RFC 9905); to the oracle it does",
    },
    Known {
        ours: &[Verdict::Secure, Verdict::Insecure],
        theirs: Verdict::Bogus,
        of: |question, reply| is_below(question, &["dnssec.nl."]) && is_by_wildcard(question, reply),
        reason: "a wildcard below an empty non-terminal: the oracle takes the name above it for the encloser",
    },
    Known {
        ours: &[Verdict::Insecure],
        theirs: Verdict::Bogus,
        of: |question, _| is_below(question, &["ac.uk."]),
        reason: "at and below an empty non-terminal that opt-out leaves out: the oracle misses a proof",
    },
    Known {
        ours: &[Verdict::Secure],
        theirs: Verdict::Bogus,
        of: |question, _| question.name == "." && question.rtype == 43,
        reason: "DS of the root, which nobody can have: the oracle looks for a zone above it",
    },
];

/// The zones that hang on SHA-1.
const SHA1: [&str; 3] = ["rsasha1.dnssec.nl.", "rsasha1-nsec3.dnssec.nl.", "ds-sha1.dnssec.nl."];

fn is_below(question: &Question, zones: &[&str]) -> bool {
    let name = question.name.to_lowercase();
    zones.iter().any(|zone| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Is it an alias, and a negative response?
fn ends_in_nothing(reply: &Message) -> bool {
    !reply.answers.is_empty() && reply.authorities.iter().any(|record| record.record_type() == RecordType::SOA)
}

fn is_by_wildcard(question: &Question, reply: &Message) -> bool {
    !reply.answers.is_empty() && question.name.to_lowercase().contains(".wild.")
}

fn is_opt_out(record: &Record) -> bool {
    matches!(&record.data, RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) if nsec3.opt_out())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Secure,
    Insecure,
    Bogus,
}

/// A resolver without a validator: it knows every zone of the lab.
#[derive(Clone)]
struct Unchecked(Arc<World>);

impl DnsHandle for Unchecked {
    type Response = Once<Ready<Result<DnsResponse, NetError>>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let query = request.queries.first().expect("the validator asks one question");
        once(ready(DnsResponse::from_buffer(self.octets(query)).map_err(NetError::from)))
    }
}

impl Unchecked {
    /// The response as it goes over the wire: the lab's own records are but octets to hickory.
    fn octets(&self, query: &Query) -> Vec<u8> {
        let mut response = Message::new(0, MessageType::Response, OpCode::Query);
        self.answer(query, &mut response);
        response.queries.push(query.clone());
        response.to_vec().expect("a message")
    }

    fn answer(&self, query: &Query, response: &mut Message) {
        let (mut name, rtype) = (query.name().clone(), query.query_type());
        response.metadata.response_code = ResponseCode::ServFail;
        for _ in 0..MAX_ZONES {
            let Some(zone) = self.0.zones().find(&name, rtype) else { return };
            let reply = zone.answer_signed(&name, rtype, true);
            if !reply.authoritative {
                return;
            }
            response.metadata.response_code = reply.rcode;
            response.answers.extend(reply.answers.iter().cloned());
            response.authorities.extend(reply.authority.iter().cloned());
            let negative = reply.authority.iter().any(|record| record.record_type() == RecordType::SOA);
            match reply.answers.iter().rev().find_map(target) {
                Some(next) if rtype != RecordType::CNAME && !negative && !has(&reply.answers, &next, rtype) => {
                    name = next;
                }
                _ => return,
            }
        }
        response.metadata.response_code = ResponseCode::ServFail;
    }
}

fn target(record: &Record) -> Option<Name> {
    match &record.data {
        RData::CNAME(target) => Some(target.0.clone()),
        _ => None,
    }
}

fn has(records: &[Record], name: &Name, rtype: RecordType) -> bool {
    records.iter().any(|record| record.name == *name && record.record_type() == rtype)
}

/// The root's keys as the oracle wants them.
fn anchors(world: &World) -> TrustAnchors {
    let root = world.zones().get(&Name::root()).expect("a root");
    let reply = root.answer(&Name::root(), RecordType::DNSKEY);
    let mut message = Message::query();
    message.answers = reply.answers;
    let message = Message::from_vec(&message.to_vec().expect("a message")).expect("it parses");
    let mut anchors = TrustAnchors::empty();
    for record in &message.answers {
        if let RData::DNSSEC(DNSSECRData::DNSKEY(key)) = &record.data {
            anchors.insert(key.public_key());
        }
    }
    anchors
}

fn query(question: &Question) -> Query {
    Query::query(Name::from_ascii(&question.name).expect("a name"), RecordType::from(question.rtype))
}

/// What the oracle makes of a question.
async fn verdict(oracle: &DnssecDnsHandle<Unchecked>, question: &Question) -> (Verdict, String) {
    match oracle.lookup(query(question), DnsRequestOptions::default()).next().await {
        Some(Ok(message)) => {
            let records = message.answers.iter().chain(&message.authorities);
            let proofs: Vec<Proof> = records.map(|record| record.proof).collect();
            let all = |wanted: Proof| proofs.iter().all(|proof| *proof == wanted);
            let verdict = match proofs.contains(&Proof::Bogus) {
                true => Verdict::Bogus,
                false if all(Proof::Secure) => Verdict::Secure,
                false => Verdict::Insecure,
            };
            (verdict, String::new())
        }
        Some(Err(NetError::Dns(DnsError::Nsec { proof: Proof::Insecure, .. }))) => (Verdict::Insecure, String::new()),
        Some(Err(error)) => (Verdict::Bogus, error.to_string()),
        None => (Verdict::Bogus, "silence".to_owned()),
    }
}

/// Does an alias lead from one zone into another?
fn crosses_zones(world: &World, question: &Question) -> bool {
    let name = Name::from_ascii(&question.name).expect("a name");
    let rtype = RecordType::from(question.rtype);
    let Some(zone) = world.zones().find(&name, rtype) else { return true };
    let last = zone.answer(&name, rtype).answers.iter().rev().find_map(target);
    last.is_some_and(|last| rtype != RecordType::CNAME && !zone.origin().zone_of(&last))
}

#[test]
fn verdicts_are_those_of_hickorys_validator() {
    let world = Arc::new(World::start(&Options { port: 0, sites: 0, seed: 1 }).expect("a world"));
    let unchecked = Unchecked(Arc::clone(&world));
    let oracle = DnssecDnsHandle::with_trust_anchor(unchecked.clone(), Arc::new(anchors(&world)))
        .nsec3_iteration_limits(Some(50), Some(u16::MAX));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let questions = catalogue().expect("a catalogue");
    // Nothing is validated of what cannot be reached. Of a message that holds the proofs of several zones the oracle
    // weighs one zone's alone.
    let reached = |question: &&Question| {
        TYPES.contains(&question.rtype)
            && question.note.is_none()
            && question.expected != Expected::ServFail
            && !crosses_zones(&world, question)
    };
    let mut used = vec![0; DIFFERENCES.len()];
    let (mut equal, mut unlisted) = (0, Vec::new());
    for question in questions.iter().filter(reached) {
        let (theirs, why) = runtime.block_on(verdict(&oracle, question));
        let ours = match question.checked {
            Checked::Secure => Verdict::Secure,
            Checked::Insecure => Verdict::Insecure,
            Checked::Bogus(_) => Verdict::Bogus,
        };
        if ours == theirs {
            equal += 1;
            continue;
        }
        let reply = Message::from_vec(&unchecked.octets(&query(question))).unwrap_or_else(|_| Message::query());
        let known = DIFFERENCES
            .iter()
            .position(|known| known.theirs == theirs && known.ours.contains(&ours) && (known.of)(question, &reply));
        match known {
            Some(index) => used[index] += 1,
            None => {
                unlisted.push(format!("{} {}: {ours:?}, oracle {theirs:?} {why}", question.name, question.type_name()))
            }
        }
    }
    println!("{equal} verdicts equal");
    for (known, used) in DIFFERENCES.iter().zip(&used) {
        println!("{used:>6} × {:?} {}", known.theirs, known.reason);
        assert!(*used > 0, "there is no such difference any more: {}", known.reason);
    }
    assert!(unlisted.is_empty(), "{} differences without a reason: {:#?}", unlisted.len(), unlisted);
}

//! maeslant's wire code against hickory-proto's, an independent reader and writer.

use hickory_proto::op::{Edns, Message as Oracle, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name as OracleName, RData, Record, RecordType};
use maeslant::wire::{Composer, Message, Name, ParseError, QueryView, Rtype, Section, show_rdata};
use proptest::collection::vec;
use proptest::prelude::*;

use super::text;

fn label() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]{1,12}"
}

fn name() -> impl Strategy<Value = String> {
    vec(label(), 0..6).prop_map(|labels| labels.iter().map(|label| format!("{label}.")).collect::<String>()).prop_map(
        |name| {
            if name.is_empty() { ".".to_string() } else { name }
        },
    )
}

/// A record of a type whose data may hold names, addresses, text, or anything.
fn record() -> impl Strategy<Value = Record> {
    let data = prop_oneof![
        any::<[u8; 4]>().prop_map(|a| format!("A {}", std::net::Ipv4Addr::from(a))),
        any::<[u8; 16]>().prop_map(|a| format!("AAAA {}", std::net::Ipv6Addr::from(a))),
        name().prop_map(|n| format!("NS {n}")),
        name().prop_map(|n| format!("CNAME {n}")),
        name().prop_map(|n| format!("PTR {n}")),
        name().prop_map(|n| format!("DNAME {n}")),
        (any::<u16>(), name()).prop_map(|(p, n)| format!("MX {p} {n}")),
        (any::<u16>(), any::<u16>(), any::<u16>(), name()).prop_map(|(p, w, o, n)| format!("SRV {p} {w} {o} {n}")),
        (name(), name(), any::<[u16; 5]>())
            .prop_map(|(m, r, [a, b, c, d, e])| format!("SOA {m} {r} {a} {b} {c} {d} {e}")),
        "[ -!#-\\[\\]-~]{0,200}".prop_map(|t| format!("TXT \"{t}\"")),
        vec(any::<u8>(), 1..40).prop_map(|bytes| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("TYPE65280 \\# {} {hex}", bytes.len())
        }),
    ];
    (name(), 0..=i32::MAX as u32, data).prop_map(|(owner, ttl, data)| {
        text::record(&format!("{owner} {ttl} {data}")).unwrap_or_else(|what| panic!("{what}"))
    })
}

fn message() -> impl Strategy<Value = Oracle> {
    let sections = (vec(record(), 0..6), vec(record(), 0..4), vec(record(), 0..4));
    (any::<u16>(), name(), any::<bool>(), sections).prop_map(
        |(id, qname, edns, (answers, authorities, additionals))| {
            let mut message = Oracle::new(id, MessageType::Response, OpCode::Query);
            message.add_query(Query::query(OracleName::from_ascii(&qname).expect("a name"), RecordType::A));
            message.answers = answers;
            message.authorities = authorities;
            message.additionals = additionals;
            if edns {
                let mut opt = Edns::new();
                opt.set_max_payload(1232);
                opt.options_mut().insert(EdnsOption::Unknown(10, vec![1, 2, 3, 4, 5, 6, 7, 8]));
                message.edns = Some(opt);
            }
            message
        },
    )
}

/// A record's data without compression.
fn plain(data: &RData) -> Vec<u8> {
    use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).expect("data encodes");
    bytes
}

/// Owner (in lower case), type, class, TTL, data.
type Flat = (Vec<u8>, u16, u16, u32, Vec<u8>);

fn flat_oracle(records: &[Record]) -> Vec<Flat> {
    let flat = |record: &Record| {
        let owner = text::wire(&record.name.to_lowercase());
        let rtype = u16::from(record.record_type());
        (owner, rtype, u16::from(record.dns_class), record.ttl, plain(&record.data))
    };
    records.iter().map(flat).collect()
}

fn flat_ours(message: &Message, records: &[maeslant::wire::Record]) -> Vec<Flat> {
    let flat = |record: &maeslant::wire::Record| {
        let data = message.rdata(record).to_vec();
        (record.owner.wire().to_vec(), record.rtype.0, record.class, record.ttl, data)
    };
    records.iter().map(flat).collect()
}

fn agree(oracle: &Oracle, ours: &Message) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.id, oracle.metadata.id);
    prop_assert_eq!(flat_ours(ours, ours.answers()), flat_oracle(&oracle.answers));
    prop_assert_eq!(flat_ours(ours, ours.authorities()), flat_oracle(&oracle.authorities));
    prop_assert_eq!(flat_ours(ours, ours.additionals()), flat_oracle(&oracle.additionals));
    let size = oracle.edns.as_ref().map(Edns::max_payload);
    prop_assert_eq!(ours.edns.as_ref().map(|edns| edns.udp_payload_size), size);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_oracle_writes_is_read_as_it_was_meant(oracle in message()) {
        let bytes = oracle.to_vec().expect("the message encodes");
        let ours = Message::parse(&bytes).expect("the message parses");
        agree(&oracle, &ours)?;
        let qname = ours.question().expect("a question");
        prop_assert_eq!(qname.wire(), &text::wire(&oracle.queries[0].name.to_lowercase())[..]);
    }

    #[test]
    fn what_we_write_is_read_by_the_oracle_as_it_was_meant(oracle in message()) {
        let mut bytes = Vec::new();
        let mut composer = Composer::new(&mut bytes, oracle.metadata.id, 0x8000, 65_535);
        let mut question = text::wire(&oracle.queries[0].name);
        question.extend([0, 1, 0, 1]);
        composer.question(&question);
        for (section, records) in [
            (Section::Answer, &oracle.answers),
            (Section::Authority, &oracle.authorities),
            (Section::Additional, &oracle.additionals),
        ] {
            for record in records {
                let rtype = Rtype(u16::from(record.record_type()));
                composer
                    .record(section, &text::wire(&record.name), rtype, 1, record.ttl, &plain(&record.data))
                    .expect("it fits");
            }
        }
        if oracle.edns.is_some() {
            composer.edns(1232, 0, false, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        }
        composer.finish();
        let read = Oracle::from_vec(&bytes).expect("the oracle reads it");
        prop_assert_eq!(&read.answers, &oracle.answers);
        prop_assert_eq!(&read.authorities, &oracle.authorities);
        prop_assert_eq!(&read.additionals, &oracle.additionals);
        prop_assert_eq!(&read.edns, &oracle.edns);
        prop_assert!(read.queries[0].name.eq_case(&oracle.queries[0].name));
        let again = Message::parse(&bytes).expect("we read it too");
        // A name may be compressed to the same name in another case.
        let records = again.answers().len() + again.authorities().len() + again.additionals().len();
        prop_assert_eq!(records, oracle.answers.len() + oracle.authorities.len() + oracle.additionals.len());
    }

    #[test]
    fn a_composer_never_exceeds_its_limit(oracle in message(), limit in 12usize..600) {
        let mut bytes = Vec::new();
        let mut composer = Composer::new(&mut bytes, 1, 0x8000, limit);
        let mut written = 0;
        for record in &oracle.answers {
            let rtype = Rtype(u16::from(record.record_type()));
            let done = composer.record(Section::Answer, &text::wire(&record.name), rtype, 1, 1, &plain(&record.data));
            written += usize::from(done.is_ok());
        }
        composer.finish();
        prop_assert!(bytes.len() <= limit);
        prop_assert_eq!(Message::parse(&bytes).expect("it parses").answers().len(), written);
    }

    #[test]
    fn any_octets_are_read_or_refused_and_never_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = QueryView::parse(&bytes);
        if let Ok(message) = Message::parse(&bytes) {
            for record in message.answers() {
                let _ = show_rdata(record.rtype, message.rdata(record));
            }
        }
    }

    #[test]
    fn a_message_with_changed_octets_is_read_or_refused(
        oracle in message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut bytes = oracle.to_vec().expect("the message encodes");
        for (at, octet) in changes {
            let at = at.index(bytes.len());
            bytes[at] = octet;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = QueryView::parse(&bytes);
        if let Ok(message) = Message::parse(&bytes) {
            for record in message.answers().iter().chain(message.authorities()).chain(message.additionals()) {
                let _ = show_rdata(record.rtype, message.rdata(record));
                prop_assert!(record.ttl <= i32::MAX as u32);
                prop_assert!(Name::from_wire(record.owner.wire()).is_some());
            }
        }
    }

    #[test]
    fn names_survive_presentation_format(labels in vec(vec(any::<u8>(), 1..20), 0..8)) {
        let mut wire = Vec::new();
        for label in &labels {
            wire.push(label.len() as u8);
            wire.extend(label);
        }
        wire.push(0);
        let name = Name::from_wire(&wire).expect("a name");
        prop_assert_eq!(Name::parse(&name.to_string()).expect("its own text"), name);
    }
}

/// 64 KB of pointers, each to the one before, and names that begin at the last (CVE-2026-19630 and kin).
#[test]
fn a_staircase_of_four_thousand_pointers_is_refused() {
    let mut packet = vec![0, 1, 0x84, 0, 0, 0, 0x0f, 0xa0, 0, 0, 0, 0];
    // One record whose data is the staircase.
    packet.extend([0, 0xff, 0x00, 0, 1, 0, 0, 0, 9]);
    let steps = 4_000u16;
    packet.extend((steps * 2 + 1).to_be_bytes());
    let mut last = packet.len() as u16;
    packet.push(0);
    for _ in 0..steps {
        let here = packet.len() as u16;
        packet.extend((0xc000 | last).to_be_bytes());
        last = here;
    }
    for _ in 0..3_999 {
        packet.extend((0xc000 | last).to_be_bytes());
        packet.extend([0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]);
    }
    assert!(packet.len() > 64_000);
    assert_eq!(Message::parse(&packet).err(), Some(ParseError::PointerWork));
}

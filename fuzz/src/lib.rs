//! What is fuzzed: each target takes any octets and panics where a promise is broken. It returns whether the octets got
//! past the first gate, so that a mutation loop can tell whether it tests anything.

mod target;

use std::cell::RefCell;
use std::path::Path;

use maeslant::wire::{Composer, Message, Name, QueryView, Section, show_rdata};

pub use target::Resolver;

thread_local! {
    static RESOLVER: RefCell<Resolver> = RefCell::new(Resolver::new());
}

/// Reads octets as a message and as a query; what was read is written and read again.
pub fn message(data: &[u8]) -> bool {
    let query = QueryView::parse(data).is_ok();
    let Ok(message) = Message::parse(data) else { return query };
    let mut out = Vec::new();
    let mut composer = Composer::new(&mut out, message.id, message.flags.0, 65_535);
    let sections = [
        (Section::Answer, message.answers()),
        (Section::Authority, message.authorities()),
        (Section::Additional, message.additionals()),
    ];
    let mut whole = true;
    for (section, records) in sections {
        for record in records {
            let rdata = message.rdata(record);
            let _ = show_rdata(record.rtype, rdata);
            whole &=
                composer.record(section, record.owner.wire(), record.rtype, record.class, record.ttl, rdata).is_ok();
        }
    }
    composer.finish();
    let again = match Message::parse(&out) {
        Ok(again) => again,
        Err(error) => panic!("what was written cannot be read: {error}"),
    };
    if whole {
        same(message.answers(), &message, again.answers(), &again);
        same(message.authorities(), &message, again.authorities(), &again);
        same(message.additionals(), &message, again.additionals(), &again);
    }
    true
}

fn same(one: &[maeslant::wire::Record], of_one: &Message, other: &[maeslant::wire::Record], of_other: &Message) {
    assert_eq!(one.len(), other.len(), "records were lost");
    for (a, b) in one.iter().zip(other) {
        assert_eq!((&a.owner, a.rtype, a.class, a.ttl), (&b.owner, b.rtype, b.class, b.ttl));
        assert!(of_one.rdata(a).eq_ignore_ascii_case(of_other.rdata(b)), "data changed on the way");
    }
}

/// A packet of a client: whatever it is, it ends in silence, an answer, or a question that ends once.
pub fn client_packet(data: &[u8]) -> bool {
    RESOLVER.with_borrow_mut(|resolver| resolver.client_packet(data))
}

/// A response of a server to a question in flight. The first octet chooses how much of it is made to match.
pub fn server_response(data: &[u8]) -> bool {
    RESOLVER.with_borrow_mut(|resolver| resolver.server_response(data))
}

/// A configuration file, a record and a name in presentation format.
pub fn config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let read = maeslant::config::read(text, Path::new("fuzz.toml"));
    let good = read.is_ok();
    match read {
        Ok(settings) => {
            let printed = maeslant::config::print::effective(&settings);
            match maeslant::config::read(&printed, Path::new("fuzz.toml")) {
                Ok(again) => assert_eq!(again, settings, "what is printed means something else"),
                Err(report) => panic!("what is printed cannot be read:\n{}", report.human(false)),
            }
        }
        Err(report) => {
            let _ = report.human(false);
        }
    }
    // `$INCLUDE` reads files, which is not what is fuzzed here.
    if !text.contains('$') {
        let _ = maeslant::wire::parse_record(text);
    }
    if let Ok(name) = Name::parse(text) {
        assert_eq!(Name::parse(&name.to_string()), Ok(name));
    }
    good
}

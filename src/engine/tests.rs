//! A hot answer is the answer: bit by bit what the slow path sends at that second.

mod stale;
mod validation;
mod waiting;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::cache::{Negative, Rank, RrSet};
use crate::wire::{Composer, Message};

const SECOND: u64 = 1_000_000_000;

fn name(text: &str) -> Name {
    Name::parse(text).expect(text)
}

fn client() -> Client {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    Client { addr, transport: Transport::Udp, route: Route { socket: 0, local: None } }
}

fn engine(shared: &Shared) -> Engine {
    let mut policy = Policy { cache_prefetch: true, ..Policy::default() };
    policy.resolve.prime = false;
    policy.resolve.dnssec.anchors = crate::dnssec::Anchors::built_in();
    // What is not known stays pending: nobody carries packets here.
    policy.resolve.root_hints =
        vec![crate::resolve::Hint { name: "a.root.".to_owned(), addresses: vec![Ipv4Addr::new(192, 0, 2, 53).into()] }];
    Engine::new(Arc::new(policy), shared.clone(), [3; 32])
}

/// RRSIG data that names nl. as the zone that made it.
const SIGNATURE: &[u8] = b"\0\x01\x0d\x02\0\0\x01\x2c\x7f\0\0\0\0\0\0\0\0\x01\x02nl\0signature";

/// Caches with an address, a chain of two lives, two negative answers, and what others follow from.
fn filled() -> Shared {
    let shared = Shared::new(&crate::cache::Policy::default(), [5; 32]);
    let set = |owner: &str, rtype, ttl, at: u64, data: &[&[u8]]| {
        let stored = Moment::from_nanos(at);
        let set = RrSet::new(name(owner), rtype, ttl, Rank::AuthoritativeAnswer, stored, data.iter().copied())
            .with_signatures([SIGNATURE]);
        shared.cache.keep(set.judged(Security::Secure, ttl), stored)
    };
    set("www.example.nl", Rtype::A, 300, 0, &[&[192, 0, 2, 1], &[192, 0, 2, 2]]);
    set("cdn.example.nl", Rtype::CNAME, 60, SECOND / 3, &[b"\x03WwW\x07exaMple\x02nl\0"]);
    let soa = set(
        "nl",
        Rtype::SOA,
        900,
        0,
        &[b"\x02ns\x02nl\0\x01a\x02nl\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05"],
    );
    let negative = |rcode| Negative {
        rcode,
        soa: Some(soa.clone()),
        proof: Arc::new([]),
        security: Security::Secure,
        ttl: 120,
        stored: Moment::from_nanos(SECOND / 2),
    };
    shared.cache.keep_negative(&name("gone.nl"), Rtype::A, negative(Rcode::NXDOMAIN));
    shared.cache.keep_negative(&name("www.example.nl"), Rtype::MX, negative(Rcode::NOERROR));
    let bare = Negative { soa: None, ttl: 5, ..negative(Rcode::NOERROR) };
    shared.cache.keep_negative(&name("bare.example.be"), Rtype::A, bare);
    set("*.wild.nl", Rtype::TXT, 200, SECOND / 4, &[b"\x03any"]);
    // From the apex to cdn.example.nl., from there to www.example.nl., to *.wild.nl., and back.
    for (owner, ttl, at, data) in [
        ("nl", 180, 0, b"\x03cdn\x07example\x02nl\0\0\x01\x22".as_slice()),
        ("cdn.example.nl", 240, SECOND / 5, b"\x03www\x07example\x02nl\0\0\x01\x04"),
        ("www.example.nl", 100, SECOND / 2, b"\x01*\x04wild\x02nl\0\0\x01\x40"),
        ("*.wild.nl", 310, SECOND / 7, b"\x02nl\0\0\x03\0\0\x80"),
    ] {
        let stored = Moment::from_nanos(at);
        let range = RrSet::new(name(owner), Rtype::NSEC, ttl, Rank::Authority, stored, [data]);
        let range = range.with_signatures([SIGNATURE]).judged(Security::Secure, ttl);
        shared.cache.keep_ranges(&name("nl"), &[range], Some(&soa), ttl.max(300));
    }
    shared
}

#[derive(Clone, Debug)]
struct Asked {
    which: usize,
    flags: u16,
    /// UDP size and DO.
    edns: Option<(u16, bool)>,
    upper: u32,
    /// Octets of a cookie option.
    cookie: Option<usize>,
    at: u64,
    /// It failed a moment ago.
    failing: bool,
}

const QUESTIONS: [(&str, Rtype); 13] = [
    ("www.example.nl", Rtype::A),
    ("cdn.example.nl", Rtype::A),
    ("gone.nl", Rtype::A),
    ("www.example.nl", Rtype::MX),
    ("cdn.example.nl", Rtype::CNAME),
    // These follow from ranges.
    ("aaa.nl", Rtype::A),
    ("foo.zoo.nl", Rtype::A),
    ("example.nl", Rtype::A),
    ("www.example.nl", Rtype::TXT),
    ("x.wild.nl", Rtype::TXT),
    ("y.wild.nl", Rtype::A),
    ("x.wild.nl", Rtype::DS),
    // Without an SOA.
    ("bare.example.be", Rtype::A),
];

fn query(asked: &Asked, id: u16) -> Vec<u8> {
    let (owner, rtype) = QUESTIONS[asked.which];
    let mut question = name(owner).wire().to_vec();
    for (index, octet) in question.iter_mut().enumerate() {
        if asked.upper >> (index % 32) & 1 == 1 {
            octet.make_ascii_uppercase();
        }
    }
    question.extend_from_slice(&rtype.0.to_be_bytes());
    question.extend_from_slice(&CLASS_IN.to_be_bytes());
    let mut packet = Vec::new();
    let mut composer = Composer::new(&mut packet, id, asked.flags, 512);
    composer.question(&question);
    if let Some((size, dnssec_ok)) = asked.edns {
        let mut options = Vec::new();
        if let Some(length) = asked.cookie {
            options.extend_from_slice(&[0, 10, 0, length as u8]);
            options.resize(4 + length, 7);
        }
        composer.edns(size, 0, dnssec_ok, &options);
    }
    composer.finish();
    packet
}

fn asked() -> impl Strategy<Value = Asked> {
    let flags = prop::sample::subsequence(vec![Flags::RD, Flags::AD, Flags::CD], 0..=3);
    let edns = prop::option::of((prop::sample::select(vec![0u16, 512, 1232, 4096]), any::<bool>()));
    let cookie = prop::sample::select(vec![None, Some(8), Some(24), Some(5)]);
    let when = (0u64..330 * SECOND, any::<bool>());
    (0usize..13, flags, edns, any::<u32>(), cookie, when).prop_map(
        |(which, flags, edns, upper, cookie, (at, failing))| Asked {
            which,
            flags: flags.into_iter().fold(0, |sum, bit| sum | bit),
            edns,
            upper,
            cookie,
            at,
            failing,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_hot_is_what_is_slow(mut questions in prop::collection::vec(asked(), 1..60)) {
        questions.sort_by_key(|asked| asked.at);
        let shared = filled();
        let mut warm = engine(&shared);
        for (index, asked) in questions.iter().enumerate() {
            let now = Now::simulated(asked.at + 1_000_000_000);
            let packet = query(asked, index as u16);
            if asked.failing {
                let (owner, rtype) = QUESTIONS[asked.which];
                let what = crate::cache::Failing {
                    unproven: false,
                    silent: false,
                    begun: Moment::ZERO,
                    zone: None,
                    error: 22,
                    text: "silent".into(),
                };
                shared.cache.keep_failed(&Question::new(name(owner), rtype), what, now);
            }
            let (mut hot, mut slow) = (Vec::new(), Vec::new());
            // Once to be kept, once to be answered from what was kept.
            let first = warm.handle_query(now, client(), &packet, &mut hot);
            let again = warm.handle_query(now, client(), &packet, &mut hot);
            let cold = engine(&shared).handle_query(now, client(), &packet, &mut slow);
            prop_assert_eq!(first, cold);
            if cold == Disposition::Answered {
                prop_assert_eq!(again, cold);
                prop_assert_eq!(&hot, &slow, "{:?}", asked);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_batch_that_is_read_first_is_answered_as_one_by_one(questions in prop::collection::vec(asked(), 1..60)) {
        let packets: Vec<Vec<u8>> = (0..).zip(&questions).map(|(id, asked)| query(asked, id)).collect();
        let (one, other) = (filled(), filled());
        let (mut single, mut batched) = (engine(&one), engine(&other));
        for (second, packets) in (1..).zip(packets.chunks(7)) {
            let now = Now::simulated(second * SECOND);
            let arrived: Vec<Arrived<'_>> = packets.iter().map(|packet| batched.read(client(), packet)).collect();
            arrived.iter().for_each(|arrived| batched.fetch(arrived));
            for (packet, arrived) in packets.iter().zip(&arrived) {
                let (mut expected, mut out) = (Vec::new(), Vec::new());
                let disposition = single.handle_query(now, client(), packet, &mut expected);
                prop_assert_eq!(batched.handle_arrived(now, arrived, &mut out), disposition);
                prop_assert_eq!(out, expected);
            }
        }
        prop_assert_eq!(single.counters(), batched.counters());
    }
}

#[test]
fn what_follows_from_ranges_is_answered_while_they_last() {
    let shared = filled();
    let mut engine = engine(&shared);
    engine.set_tracing();
    let mut answer = |which: usize, second: u64| {
        let asked =
            Asked { which, flags: Flags::RD, edns: Some((1232, true)), upper: 0, cookie: None, at: 0, failing: false };
        let mut out = Vec::new();
        let now = Now::simulated(second * SECOND);
        let disposition = engine.handle_query(now, client(), &query(&asked, 1), &mut out);
        (disposition == Disposition::Answered).then(|| {
            let message = Message::parse(&out).expect("a response");
            assert!(message.flags.has(Flags::AD));
            let ttls = message.answers().iter().chain(message.authorities()).map(|record| record.ttl);
            (message.rcode(), message.answers().len(), message.authorities().len(), ttls.max().expect("records"))
        })
    };
    // SOA with its signature, and two records for each range: at once the least of their TTLs.
    assert_eq!(answer(5, 10), Some((Rcode::NXDOMAIN, 0, 4, 170)));
    assert_eq!(answer(6, 10), Some((Rcode::NXDOMAIN, 0, 6, 170)), "and the wildcard's range");
    assert_eq!(answer(7, 10), Some((Rcode::NOERROR, 0, 4, 170)));
    assert_eq!(answer(8, 10), Some((Rcode::NOERROR, 0, 4, 91)));
    assert_eq!(answer(9, 10), Some((Rcode::NOERROR, 2, 2, 301)));
    assert_eq!(answer(10, 10), Some((Rcode::NOERROR, 0, 4, 300)));
    assert_eq!(answer(9, 199), Some((Rcode::NOERROR, 2, 2, 112)), "the proof lives on");
    // Each ends with the first thing it is made of.
    assert_eq!([answer(8, 101), answer(5, 181), answer(9, 201)], [None, None, None]);
    assert_eq!(engine.counters().deduced, 7);
    let told = engine.take_trace().iter().filter(|traced| traced.step.to_string().contains("RFC 8198")).count();
    assert_eq!(told, 7);
}

/// Asks in the first second, and only that.
fn ask(engine: &mut Engine, owner: &Name, rtype: Rtype) -> Disposition {
    ask_from(engine, client(), owner, rtype, SECOND)
}

fn ask_from(engine: &mut Engine, client: Client, owner: &Name, rtype: Rtype, at: u64) -> Disposition {
    let mut packet = Vec::new();
    let mut composer = Composer::new(&mut packet, 1, Flags::RD, 512);
    composer.question(&[owner.wire(), &rtype.0.to_be_bytes(), &[0, 1]].concat());
    composer.finish();
    engine.handle_query(Now::simulated(at), client, &packet, &mut Vec::new())
}

#[test]
fn types_that_look_like_letters_are_not_taken_for_each_other() {
    // HTTPS is 65, which is the letter A; 97 is a.
    let shared = filled();
    let mut engine = engine(&shared);
    let set =
        RrSet::new(name("www.example.be"), Rtype(65), 300, Rank::AuthoritativeAnswer, Moment::ZERO, [&b"\0\0\0"[..]]);
    shared.cache.keep(set.judged(Security::Insecure, 300), Moment::ZERO);
    let mut ask = |rtype: u16| ask(&mut engine, &name("www.example.be"), Rtype(rtype));
    assert_eq!([ask(65), ask(65), ask(97)], [Disposition::Answered, Disposition::Answered, Disposition::Pending]);
}

#[test]
fn hot_answers_take_no_more_than_their_part_of_the_memory() {
    let policy = crate::cache::Policy { memory: 4 << 20, ..Default::default() };
    let shared = Shared::sized(&policy, &Sizes::small(), 2, [5; 32]);
    let mut engine = engine(&shared);
    for number in 0..4_000u16 {
        let owner = name(&format!("n{number}.example.nl"));
        let data = vec![b'x'; usize::from(number % 40) * 10];
        let data = [&[data.len() as u8][..], &data[..data.len().min(255)]].concat();
        let set =
            RrSet::new(owner.clone(), Rtype::TXT, 300, Rank::AuthoritativeAnswer, Moment::ZERO, [data.as_slice()]);
        shared.cache.keep(set.judged(Security::Insecure, 300), Moment::ZERO);
        ask(&mut engine, &owner, Rtype::TXT);
        assert!(engine.hot.octets() <= (4 << 20) / 16 / 2, "{} octets after {number}", engine.hot.octets());
    }
    assert!(engine.hot.octets() > 50_000, "{} octets", engine.hot.octets());
}

#[test]
fn hot_answers_do_not_drive_each_other_out_while_there_is_room() {
    let policy = crate::cache::Policy { memory: 64 << 20, ..Default::default() };
    let shared = Shared::sized(&policy, &Sizes::small(), 1, [5; 32]);
    let mut engine = engine(&shared);
    for number in 0..1_000u16 {
        let owner = name(&format!("n{number}.example.nl"));
        let set =
            RrSet::new(owner.clone(), Rtype::A, 300, Rank::AuthoritativeAnswer, Moment::ZERO, [&[192, 0, 2, 1][..]]);
        shared.cache.keep(set.judged(Security::Insecure, 300), Moment::ZERO);
        ask(&mut engine, &owner, Rtype::A);
    }
    // There are eight times as many places: hardly ever do five names want the same four.
    assert!(engine.hot.len() >= 998, "{} of 1,000 are hot", engine.hot.len());
}

#[test]
fn a_negative_answer_without_an_soa_ends_too() {
    let shared = filled();
    let mut engine = engine(&shared);
    let packet =
        query(&Asked { which: 12, flags: Flags::RD, edns: None, upper: 0, cookie: None, at: 0, failing: false }, 1);
    let mut out = Vec::new();
    let mut fresh = |second: u64| {
        let answered = engine.handle_query(Now::simulated(second * SECOND), client(), &packet, &mut out);
        answered == Disposition::Answered
    };
    assert_eq!([fresh(1), fresh(1), fresh(4), fresh(6)], [true, true, true, false]);
}

#[test]
fn a_hot_answer_ages_and_ends() {
    let shared = filled();
    let mut engine = engine(&shared);
    let asked = Asked { which: 0, flags: Flags::RD, edns: None, upper: 0, cookie: None, at: 0, failing: false };
    let mut out = Vec::new();
    let mut ttl = |second: u64| {
        let now = Now::simulated(second * SECOND);
        let disposition = engine.handle_query(now, client(), &query(&asked, 1), &mut out);
        (disposition == Disposition::Answered).then(|| Message::parse(&out).expect("a response").answers()[0].ttl)
    };
    assert_eq!([ttl(1), ttl(1), ttl(10), ttl(269)], [Some(299), Some(299), Some(290), Some(31)]);
    // In its last tenth the slow path sees it, and refreshes it; then it is gone.
    assert_eq!([ttl(299), ttl(300)], [Some(1), None]);
}

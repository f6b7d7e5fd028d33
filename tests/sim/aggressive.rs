//! Aggressive use of validated proofs (RFC 8198): floods that end in the cache, and answers that are the same as those the
//! zone's own servers give.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType};
use maeslant::engine::Transport;

use super::client::{Opt, Query};
use super::dice::Dice;
use super::scenario::Scenario;
use super::text;
use super::world::World;

fn signed(aggressive: bool) -> World {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/worlds/signed.world");
    let mut scenario = Scenario::load(&path).expect("a world");
    scenario.policy.resolve.dnssec.aggressive = aggressive;
    // Nothing is refreshed, so that packets are only sent for questions.
    (scenario.policy.cache_prefetch, scenario.cache.prefetch) = (false, false);
    World::new(scenario.policy, &scenario.cache, scenario.servers, 1).quiet()
}

/// What a client sees, but for TTLs and signatures.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    rcode: u8,
    authentic: bool,
    answers: BTreeSet<String>,
    /// Who proves it, and what.
    authorities: BTreeSet<String>,
}

fn ask(world: &mut World, name: &str, rtype: RecordType, dnssec_ok: bool, checking_disabled: bool) -> (Seen, Message) {
    let mut query = Query::new(text::name(name).expect("a name"), rtype, 1);
    query.edns = Some(Opt { size: 4096, version: 0, dnssec_ok, options: Vec::new() });
    (query.cd, query.ad) = (checking_disabled, true);
    let number = world.ask(SocketAddr::from(([127, 0, 0, 1], 5_000)), Transport::Tcp, query.to_bytes());
    world.settle(Duration::from_secs(20)).expect("it ends");
    let (_, reply) = world.asked[number].reply.clone().expect("a reply");
    let message = Message::from_vec(&reply).expect("it parses");
    let unsigned = |record: &&Record| record.record_type() != RecordType::RRSIG;
    let data = |record: &Record| match &record.data {
        // The keys of the two worlds differ.
        RData::SOA(_) | RData::DNSSEC(DNSSECRData::DS(_)) => format!("{} {}", record.name, record.record_type()),
        data => format!("{} {} {data}", record.name, record.record_type()),
    };
    let seen = Seen {
        rcode: message.metadata.response_code.low(),
        authentic: message.metadata.authentic_data,
        answers: message.answers.iter().filter(unsigned).map(data).collect(),
        authorities: message.authorities.iter().filter(unsigned).map(data).collect(),
    };
    (seen, message)
}

/// Names of every kind: there, not there, between, below, made by wildcards and aliases.
fn some_name(dice: &mut Dice) -> String {
    const BEFORE: [&str; 12] =
        ["", "a.", "zz.", "x.y.", "*.", "www.", "in.the.", "the.", "deep.in.the.", "wild.", "n.wild.", "many."];
    const ZONES: [&str; 14] = [
        "shop.com.",
        "wild.shop.com.",
        "many.shop.com.",
        "moved.shop.com.",
        "www.shop.com.",
        "alias.shop.com.",
        "nowhere.shop.com.",
        "host.net.",
        "wild.host.net.",
        "club.org.",
        "bare.net.",
        "net.",
        "com.",
        ".",
    ];
    let before = BEFORE[dice.below(12) as usize];
    let random = if dice.happens(0.5) { format!("r{}.", dice.below(10_000)) } else { String::new() };
    let name = format!("{random}{before}{}", ZONES[dice.below(14) as usize]);
    if name.len() > 1 { name.trim_end_matches('.').to_owned() + "." } else { name }
}

#[test]
fn what_follows_from_proofs_is_what_the_servers_say() {
    let (mut on, mut off) = (signed(true), signed(false));
    let mut dice = Dice::new(8198);
    const TYPES: [RecordType; 6] =
        [RecordType::A, RecordType::TXT, RecordType::MX, RecordType::DS, RecordType::CNAME, RecordType::NS];
    for number in 0..1_500 {
        let name = some_name(&mut dice);
        let rtype = TYPES[dice.below(6) as usize];
        let (dnssec_ok, checking_disabled) = (dice.happens(0.7), dice.happens(0.1));
        let (with, _) = ask(&mut on, &name, rtype, dnssec_ok, checking_disabled);
        let (without, _) = ask(&mut off, &name, rtype, dnssec_ok, checking_disabled);
        // What was asked with CD is not in the cache of the other for those without, nor as complete.
        if checking_disabled {
            assert_eq!((with.rcode, with.answers), (without.rcode, without.answers), "{number}: {name} {rtype} CD");
        } else {
            let what = format!("{number}: {name} {rtype}, DO {dnssec_ok}");
            assert_eq!(
                (with.rcode, with.authentic, with.answers),
                (without.rcode, without.authentic, without.answers),
                "{what}"
            );
            // Proofs may be left out that were of something else in the response: none is missing, or AD would.
            assert!(
                with.authorities.is_subset(&without.authorities),
                "{what}: {:?}, {:?}",
                with.authorities,
                without.authorities
            );
            assert_eq!(with.authorities.is_empty(), without.authorities.is_empty(), "{what}");
        }
    }
    let deduced = on.engine.counters().deduced;
    println!("{deduced} of 1500 deduced; {} packets to servers, {} without", on.asks, off.asks);
    assert!(deduced > 300, "{deduced}");
    assert!(on.asks * 2 < off.asks, "{} packets to servers, {} without", on.asks, off.asks);
    assert_eq!(off.engine.counters().deduced, 0);
}

/// Random names below `zone`; returns the packets that `server` got, of how many questions.
fn flood(world: &mut World, zone: &str, server: &str, count: usize) -> usize {
    let mut dice = Dice::new(3);
    let before = world.server(server).expect("it is there").seen.len();
    for _ in 0..count {
        let name = format!("{:x}.{zone}", dice.next());
        let (seen, message) = ask(world, &name, RecordType::A, true, false);
        assert_eq!((seen.rcode, seen.authentic), (3, true), "{name}");
        let all = message.authorities.iter();
        let least = all.map(|record| record.ttl).min().expect("a proof");
        assert!(message.authorities.iter().all(|record| record.ttl <= 300) && least > 0, "{message}");
    }
    world.server(server).expect("it is there").seen.len() - before
}

#[test]
fn a_flood_of_random_names_below_a_signed_zone_ends_here() {
    let mut world = signed(true);
    // No more than the zone has ranges, and one for its keys.
    let (nsec, nsec3) = (flood(&mut world, "shop.com.", "shop", 1_000), flood(&mut world, "host.net.", "host", 1_000));
    println!("packets of 1000 questions each: {nsec} with NSEC, {nsec3} with NSEC3");
    assert!(nsec <= 8, "{nsec}");
    assert!(nsec3 <= 16, "{nsec3}");
    assert!(world.engine.counters().deduced > 1_950);
}

#[test]
fn a_flood_of_names_that_a_wildcard_makes_ends_here() {
    let mut world = signed(true);
    for (zone, server) in [("wild.shop.com.", "shop"), ("wild.host.net.", "host")] {
        let mut dice = Dice::new(4);
        for _ in 0..500 {
            let name = format!("{:x}.{zone}", dice.next());
            let (seen, message) = ask(&mut world, &name, RecordType::TXT, true, false);
            assert_eq!((seen.rcode, seen.authentic, seen.answers.len()), (0, true, 1), "{name}");
            assert!(message.answers.iter().all(|record| record.ttl <= 300));
            assert!(message.answers.iter().any(|record| record.record_type() == RecordType::RRSIG), "{message}");
            assert!(!seen.authorities.is_empty(), "{name}");
        }
        let received = world.server(server).expect("it is there").seen.len();
        println!("{received} packets of 500 questions");
        assert!(received <= 16, "{received}");
    }
}

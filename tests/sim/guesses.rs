//! What somebody off the path would have to guess (RFC 5452), and what shards share.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use maeslant::engine::{Disposition, Shared, Transport};

use super::client::Query;
use super::dice::Dice;
use super::scenario::Scenario;
use super::text;
use super::world::World;

const CLIENT: ([u8; 4], u16) = ([127, 0, 0, 1], 5_000);

fn small() -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/worlds/small.world");
    Scenario::load(&path).expect("the small world")
}

fn ask(world: &mut World, name: &str) -> usize {
    let query = Query::new(text::name(name).expect("a name"), RecordType::A, 1);
    world.ask(SocketAddr::from(CLIENT), Transport::Udp, query.to_bytes())
}

/// The queries of an engine that looks up many names of one zone.
fn many_queries(seed: u64) -> Vec<Vec<u8>> {
    let scenario = small();
    let mut world = World::new(scenario.policy, &scenario.cache, scenario.servers, seed);
    world.start();
    for number in 0..1_000 {
        ask(&mut world, &format!("somewhat-longer-name-{number}.shop.com."));
        world.settle(Duration::from_secs(20)).expect("it ends");
    }
    world.queries
}

fn id(query: &[u8]) -> u16 {
    u16::from_be_bytes([query[0], query[1]])
}

#[test]
fn ids_use_all_their_bits_and_do_not_follow_one_another() {
    let queries = many_queries(1);
    let ids: Vec<u16> = queries.iter().map(|query| id(query)).collect();
    let distinct: HashSet<u16> = ids.iter().copied().collect();
    // Of 1,000 draws from 65,536, some 8 repeat.
    assert!(distinct.len() + 40 > ids.len(), "{} of {} IDs are distinct", distinct.len(), ids.len());
    for bit in 0..16 {
        let ones = ids.iter().filter(|id| *id >> bit & 1 == 1).count();
        let share = ones as f64 / ids.len() as f64;
        assert!((0.42..0.58).contains(&share), "bit {bit} is set in {share:.2} of the IDs");
    }
    let steps: HashSet<u16> = ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.len() + 40 > ids.len(), "the steps between IDs repeat: {} are distinct", steps.len());
    let other: Vec<u16> = many_queries(2).iter().map(|query| id(query)).collect();
    let same = ids.iter().zip(&other).filter(|(one, two)| one == two).count();
    assert!(same < 10, "two seeds give {same} equal IDs");
}

#[test]
fn every_letter_of_a_name_is_upper_or_lower_case_by_chance() {
    let queries = many_queries(3);
    let letters = || queries.iter().flat_map(|query| &query[12..]).filter(|octet| octet.is_ascii_alphabetic());
    let share = letters().filter(|octet| octet.is_ascii_uppercase()).count() as f64 / letters().count() as f64;
    assert!((0.48..0.52).contains(&share), "{share:.3} of the letters are in upper case");
}

#[test]
fn a_packet_sent_again_has_another_id() {
    let mut scenario = small();
    for server in scenario.servers.iter_mut().filter(|server| server.name == "root") {
        server.down = true;
    }
    let mut world = World::new(scenario.policy, &scenario.cache, scenario.servers, 4);
    ask(&mut world, "www.shop.com.");
    world.settle(Duration::from_secs(20)).expect("it ends");
    let ids: HashSet<u16> = world.queries.iter().map(|query| id(query)).collect();
    assert!(world.queries.len() >= 2, "it was asked only once");
    assert_eq!(ids.len(), world.queries.len());
}

#[test]
fn at_no_time_are_there_two_packets_for_one_question_to_one_server() {
    // Many packets for the same name would let a forger draw many lots at once (RFC 5452 §5).
    let mut scenario = small();
    scenario.policy.resolve.case_randomisation = false;
    let mut world = World::new(scenario.policy, &scenario.cache, scenario.servers, 5);
    for _ in 0..200 {
        ask(&mut world, "www.shop.com.");
    }
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let open: Vec<_> = world.open.values().map(|ask| (ask.server, ask.packet[12..].to_vec())).collect();
        let distinct: HashSet<_> = open.iter().cloned().collect();
        assert_eq!(open.len(), distinct.len(), "two packets for one question are open");
        seen.extend(distinct);
        world.advance(world.now + 1_000_000);
    }
    assert_eq!(seen.len(), 3, "root, com and shop are asked once each");
}

#[test]
fn what_one_shard_has_learned_the_others_know() {
    let scenario = small();
    let shared = Shared::new(&scenario.cache, Dice::new(9).seed());
    let mut one = World::sharing(shared.clone(), scenario.policy.clone(), scenario.servers.clone(), 1);
    let mut two = World::sharing(shared, scenario.policy, scenario.servers, 2);
    ask(&mut one, "www.shop.com.");
    one.settle(Duration::from_secs(10)).expect("it ends");
    two.now = one.now;
    let number = ask(&mut two, "www.shop.com.");
    assert_eq!(two.asked[number].disposition, Disposition::Answered);
    ask(&mut two, "mail.shop.com.");
    two.settle(Duration::from_secs(10)).expect("it ends");
    assert_eq!(two.asks, 1, "the delegations are shared too");
}

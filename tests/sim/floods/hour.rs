//! Each flood for a simulated hour, with twenty seeds in all. The rates are scaled down, so that the whole takes less than
//! a minute without optimisation: ten random names a second instead of ten thousand, a zone suspected from five a second
//! on instead of fifty, servers that bear twenty instead of five hundred. What must come out is the same.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::internet::{Internet, Servers};
use super::{Stream, customer, exists, play_by, random_label};

/// When the flood begins and ends, and the end of all, in seconds.
const BEGIN: usize = 600;
const END: usize = 3_000;
const HOUR: usize = 3_600;
/// What a slow drip and water torture ask for, a second, and the customers.
const FLOOD: u64 = 10;
const BENIGN: u64 = 2;

/// What the flood is for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Target {
    /// Names of one zone, from so many clients.
    Zone(Servers, u64),
    /// Names of so many zones, all dead.
    Zones(u64),
}

fn hour(target: Target, seed: u64) {
    let mut net = Internet::new(seed, |policy| policy.access.limits.zone_watch = 5);
    let (servers, bots) = match target {
        Target::Zone(servers, bots) => (servers, bots),
        Target::Zones(_) => (Servers::alive(20.0), 2_000),
    };
    net.zone("victim0.com", Servers::alive(20.0), exists, 30);
    if let Target::Zones(count) = target {
        (0..count).for_each(|number| net.zone(&format!("dead{number}.net"), Servers::DEAD, exists, 30));
    }
    let bot = |dice: &mut crate::sim::dice::Dice| Ipv4Addr::from(0x0a40_0000 | dice.below(bots) as u32);
    let mut streams = [
        Stream {
            rate: BENIGN,
            span: (0, HOUR),
            ask: &mut |dice| (customer(dice), format!("www.site{}.com", dice.below(5_000))),
        },
        Stream {
            rate: 1,
            span: (0, HOUR),
            ask: &mut |dice| (customer(dice), format!("real{}.victim0.com", dice.below(20))),
        },
        Stream {
            rate: FLOOD,
            span: (BEGIN, END),
            ask: &mut |dice| match target {
                Target::Zone(..) => (bot(dice), format!("{}.victim0.com", random_label(dice))),
                Target::Zones(count) => (bot(dice), format!("{}.dead{}.net", random_label(dice), dice.below(count))),
            },
        },
    ];
    play_by(100, &mut net, seed, HOUR as u64, &mut streams, |net| {
        if net.second() == BEGIN {
            net.set_servers("victim0.com", servers);
        }
        if net.second() == END {
            net.set_servers("victim0.com", Servers::alive(20.0));
        }
    });
    let (people, learned) = (net.sum(0, 0, HOUR), net.sum(1, BEGIN + 60, END));
    let (random, after) = (net.sum(2, BEGIN + 30, END), net.sum(1, END + 60, HOUR));
    let story =
        format!("{target:?} seed {seed}: {people:?} {learned:?} {random:?} {after:?} {:?}", net.engine.counters());
    println!("{story}");
    assert!(people.success() >= 0.995, "{story}");
    assert!(random.refused() >= 0.9, "{story}");
    assert!(learned.success() >= 0.99, "what is known of the zone, fresh or stale: {story}");
    assert!(after.success() >= 0.995, "a minute after the end: {story}");
    let most = net.came("victim0.com").iter().take(END).skip(BEGIN + 30).max().copied().unwrap_or(0);
    assert!(most <= 20, "{most} questions in a second to the zone's servers: {story}");
    assert_eq!(net.flooded(), [], "forgotten: {story}");
    let engine =
        (net.engine.in_flight(), net.engine.asks_in_flight(), net.engine.tasks(), net.engine.counters().waiting);
    assert_eq!(engine, (0, 0, 0, 0), "clean afterwards: {story}");
    let (used, cap) = net.memory();
    assert!(used <= cap + cap / 50, "{used} octets of {cap}: {story}");
}

#[test]
fn an_hour_of_water_torture_of_a_living_zone() {
    (1..=4).for_each(|seed| hour(Target::Zone(Servers::alive(20.0), 2_000), seed));
}

#[test]
fn an_hour_of_water_torture_of_a_zone_whose_servers_are_slow() {
    let slow = Servers { rtt: Duration::from_secs(2), ..Servers::alive(20.0) };
    (5..=8).for_each(|seed| hour(Target::Zone(slow, 2_000), seed));
}

#[test]
fn an_hour_of_water_torture_of_a_dead_zone() {
    (9..=12).for_each(|seed| hour(Target::Zone(Servers::DEAD, 2_000), seed));
}

#[test]
fn an_hour_of_water_torture_by_one_client() {
    (13..=16).for_each(|seed| hour(Target::Zone(Servers::alive(20.0), 1), seed));
}

#[test]
fn an_hour_of_a_drip_of_dead_zones() {
    (17..=20).for_each(|seed| hour(Target::Zones(1_000), seed));
}

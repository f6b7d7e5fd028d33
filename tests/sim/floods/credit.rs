//! Who comes first of those who ask a flooded zone for names that nobody has asked for yet.

use std::net::Ipv4Addr;

use super::internet::{Internet, Servers};
use super::{Stream, exists, play, random_label};
use crate::sim::dice::Dice;

/// One of five hundred households.
fn household(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::from(0x0a0a_0000 | dice.below(500) as u32)
}

/// One of five thousand bots elsewhere.
fn bot(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::from(0x0a40_0000 | dice.below(5_000) as u32)
}

/// One of so many sites, the first most often (Zipf's law), and one of some names there.
fn site(dice: &mut Dice, sites: f64) -> String {
    let rank = sites.powf(dice.below(1 << 20) as f64 / f64::from(1 << 20)) as u32;
    let label = ["www", "www", "www", "api", "mail", "m"][dice.below(6) as usize];
    format!("{label}.site{rank}.com")
}

#[test]
fn a_household_with_an_ordinary_history_comes_before_bots_without_one() {
    let mut net = Internet::new(21, |_| {});
    net.zone("bank.com", Servers::alive(500.0), exists, 300);
    let mut fresh = 0;
    let mut streams = [
        // All that they ask for is soon in the cache: one question a second each, for one of four hundred sites.
        Stream { rate: 500, span: (0, 30), ask: &mut |dice| (household(dice), site(dice, 400.0)) },
        Stream {
            rate: 20,
            span: (10, 30),
            ask: &mut |dice| {
                fresh += 1;
                (household(dice), format!("real{fresh}.bank.com"))
            },
        },
        Stream {
            rate: 5_000,
            span: (12, 30),
            ask: &mut |dice| (bot(dice), format!("{}.bank.com", random_label(dice))),
        },
    ];
    play(&mut net, 21, 30, &mut streams, |_| {});
    let (people, new, flood) = (net.sum(0, 12, 30), net.sum(1, 16, 30), net.sum(2, 16, 30));
    let story = format!("{people:?} {new:?} {flood:?} came {:?} {:?}", net.came("bank.com"), net.engine.counters());
    println!("{story}");
    assert!(people.success() >= 0.995, "{story}");
    assert!(new.success() >= 0.9, "names asked for the first time: {} {story}", new.success());
    assert!(flood.refused() >= 0.9, "{story}");
    // That customers find what they ask for does not end the flood.
    let busiest = net.came("bank.com").iter().skip(15).max().copied().unwrap_or(0);
    assert!(busiest <= 500, "{busiest} questions in one second {story}");
}

fn shop(label: &str) -> bool {
    label.strip_prefix("shop").and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number < 5_000)
}

/// Somebody nobody has heard of.
fn stranger(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::from(0x0a80_0000 | dice.below(1 << 20) as u32)
}

#[test]
fn names_of_a_learned_pattern_come_before_random_ones_whoever_asks() {
    let mut net = Internet::new(22, |_| {});
    net.zone("bank.com", Servers::alive(500.0), shop, 300);
    let mut number = 0;
    let mut streams = [
        Stream { rate: 200, span: (0, 24), ask: &mut |dice| (household(dice), site(dice, 400.0)) },
        Stream {
            rate: 10,
            span: (0, 24),
            ask: &mut |dice| {
                number += 1;
                (stranger(dice), format!("shop{number}.bank.com"))
            },
        },
        Stream { rate: 5_000, span: (8, 24), ask: &mut |dice| (bot(dice), format!("{}.bank.com", random_label(dice))) },
    ];
    play(&mut net, 22, 24, &mut streams, |_| {});
    let (new, flood) = (net.sum(1, 11, 24), net.sum(2, 11, 24));
    let story = format!("{new:?} {flood:?} came {:?} {:?}", net.came("bank.com"), net.engine.counters());
    assert!(new.success() >= 0.97, "names like those that exist: {} {story}", new.success());
    assert!(flood.refused() >= 0.9, "{story}");
}

#[test]
fn a_flood_of_names_like_those_that_exist_gains_little_by_it() {
    let mut net = Internet::new(23, |_| {});
    net.zone("bank.com", Servers::alive(500.0), shop, 3);
    let mut streams = [
        Stream { rate: 200, span: (0, 24), ask: &mut |dice| (household(dice), site(dice, 400.0)) },
        Stream {
            rate: 30,
            span: (0, 24),
            ask: &mut |dice| (household(dice), format!("shop{}.bank.com", dice.below(30))),
        },
        Stream {
            rate: 5_000,
            span: (8, 24),
            ask: &mut |dice| (bot(dice), format!("shop{}.bank.com", 5_000 + dice.below(1 << 30))),
        },
    ];
    play(&mut net, 23, 24, &mut streams, |_| {});
    let (known, flood) = (net.sum(1, 11, 24), net.sum(2, 11, 24));
    let busiest = net.came("bank.com").iter().skip(11).max().copied().unwrap_or(0);
    let story = format!("{known:?} {flood:?} came {:?} {:?}", net.came("bank.com"), net.engine.counters());
    assert!(known.success() >= 0.99, "{story}");
    assert!(flood.refused() >= 0.9, "{story}");
    assert!(busiest <= 500, "{busiest} in one second {story}");
}

#[test]
fn bots_at_customers_addresses_cannot_use_what_those_have_earned() {
    let mut net = Internet::new(24, |_| {});
    net.zone("bank.com", Servers::alive(500.0), exists, 3);
    let mut fresh = 0;
    // A hundred of the five hundred households have a bot that asks for twenty names a second.
    let infected = |dice: &mut Dice| Ipv4Addr::from(0x0a0a_0000 | dice.below(100) as u32);
    let mut streams = [
        Stream { rate: 500, span: (0, 36), ask: &mut |dice| (household(dice), site(dice, 400.0)) },
        Stream {
            rate: 20,
            span: (0, 36),
            ask: &mut |dice| (household(dice), format!("real{}.bank.com", dice.below(5))),
        },
        Stream {
            rate: 20,
            span: (14, 36),
            ask: &mut |dice| {
                fresh += 1;
                (Ipv4Addr::from(0x0a0a_0000 + 100 + dice.below(400) as u32), format!("real-{fresh}.bank.com"))
            },
        },
        Stream {
            rate: 2_000,
            span: (16, 36),
            ask: &mut |dice| (infected(dice), format!("{}.bank.com", random_label(dice))),
        },
        Stream { rate: 100, span: (16, 36), ask: &mut |dice| (infected(dice), site(dice, 4_000.0)) },
    ];
    play(&mut net, 24, 36, &mut streams, |_| {});
    let during = |stream: usize| net.sum(stream, 19, 36);
    let story = format!("{:?} came {:?} {:?}", net.tallies, net.came("bank.com"), net.engine.counters());
    for (what, stream, least) in [("people", 0, 0.995), ("known", 1, 0.99), ("new", 2, 0.95), ("infected", 4, 0.995)] {
        assert!(during(stream).success() >= least, "{what}: {} {story}", during(stream).success());
    }
    assert!(during(3).refused() >= 0.9, "{story}");
    assert!(net.came("bank.com").iter().skip(19).all(|came| *came <= 500), "{story}");
}

/// Ten zones are flooded by bots that ask each for less than what a client may have there in vain, at the addresses of
/// households whose stubs ask for AAAA and HTTPS as well.
#[test]
fn bots_gain_nothing_by_many_zones_and_stubs_lose_nothing_by_many_types() {
    let mut net = Internet::new(25, |_| {});
    let zone = |dice: &mut Dice| format!("bank{}.com", dice.below(10));
    (0..10).for_each(|number| net.zone(&format!("bank{number}.com"), Servers::alive(500.0), exists, 300));
    let mut fresh = 0;
    net.also(0, &[28, 65]);
    net.also(1, &[28, 65]);
    let infected = |dice: &mut Dice| Ipv4Addr::from(0x0a0a_0000 | dice.below(250) as u32);
    let mut streams = [
        Stream { rate: 300, span: (0, 44), ask: &mut |dice| (household(dice), site(dice, 400.0)) },
        Stream {
            rate: 10,
            span: (14, 44),
            ask: &mut |dice| {
                fresh += 1;
                // A page with five of them.
                let address = Ipv4Addr::from(0x0a0a_0000 + 250 + fresh / 5);
                // No pattern of names helps.
                (address, format!("real{}.{}", random_label(dice), zone(dice)))
            },
        },
        // One question a second each, and others without a history.
        Stream {
            rate: 250,
            span: (16, 44),
            ask: &mut |dice| (infected(dice), format!("{}.{}", random_label(dice), zone(dice))),
        },
        Stream {
            rate: 2_000,
            span: (16, 44),
            ask: &mut |dice| (bot(dice), format!("{}.{}", random_label(dice), zone(dice))),
        },
    ];
    play(&mut net, 25, 44, &mut streams, |_| {});
    let during = |stream: usize| net.sum(stream, 24, 44);
    let story = format!("{:?} came {:?} {:?}", net.tallies, net.came("bank1.com"), net.engine.counters());
    assert!(during(0).success() >= 0.995, "people {} {story}", during(0).success());
    assert!(during(1).success() >= 0.95, "new names {} {story}", during(1).success());
    for flood in [2, 3] {
        assert!(during(flood).refused() >= 0.9, "{} {story}", during(flood).refused());
    }
}

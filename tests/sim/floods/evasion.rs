//! What attackers try so that a flood is not seen, or does not count.

use std::net::Ipv4Addr;

use maeslant::admission::Reason;

use super::internet::{Internet, Lead, Servers};
use super::{Stream, customer, exists, play, popular, random_label};
use crate::sim::dice::Dice;

fn bot(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::from(0x0a40_0000 | dice.below(2_000) as u32)
}

#[test]
fn random_types_of_known_names_are_a_flood_like_any_other() {
    let mut net = Internet::new(31, |_| {});
    net.zone("bank.com", Servers::alive(100.0), exists, 3);
    net.random_types(2);
    let mut streams = [
        Stream { rate: 200, span: (0, 30), ask: &mut |dice| (customer(dice), popular(dice)) },
        Stream {
            rate: 20,
            span: (0, 30),
            ask: &mut |dice| (customer(dice), format!("real{}.bank.com", dice.below(5))),
        },
        Stream { rate: 2_000, span: (10, 30), ask: &mut |dice| (bot(dice), format!("real{}.bank.com", dice.below(5))) },
    ];
    play(&mut net, 31, 30, &mut streams, |_| {});
    let (people, known, flood) = (net.sum(0, 10, 30), net.sum(1, 14, 30), net.sum(2, 14, 30));
    let busiest = net.came("bank.com").iter().take(30).skip(14).max().copied().unwrap_or(0);
    let story = format!("{people:?} {known:?} {flood:?} came {:?} {:?}", net.came("bank.com"), net.engine.counters());
    assert!(people.success() >= 0.995, "{story}");
    assert!(known.success() >= 0.99, "{} {story}", known.success());
    assert!(flood.refused() >= 0.9, "{} {story}", flood.refused());
    assert!(busiest <= 100, "{busiest} in one second {story}");
}

#[test]
fn a_larger_flood_of_a_suffix_below_it_hides_no_flood_of_a_zone() {
    let mut net = Internet::new(32, |_| {});
    net.zone("bank.com", Servers::alive(1e6), exists, 30);
    let mut streams = [
        Stream { rate: 400, span: (6, 26), ask: &mut |dice| (bot(dice), format!("{}.bank.com", random_label(dice))) },
        Stream {
            rate: 4_000,
            span: (6, 26),
            ask: &mut |dice| (bot(dice), format!("{}.c.bank.com", random_label(dice))),
        },
    ];
    play(&mut net, 32, 26, &mut streams, |_| {});
    let (hidden, decoy) = (net.sum(0, 12, 26), net.sum(1, 12, 26));
    let story = format!("{hidden:?} {decoy:?} {:?} {:?}", net.flooded(), net.engine.counters());
    assert!(decoy.refused() >= 0.9, "{story}");
    assert!(hidden.refused() >= 0.9, "{} {story}", hidden.refused());
}

/// A flood of so many names a second is refused.
fn refused(seed: u64, zone: &str, rate: u64, name: &dyn Fn(&mut Dice) -> String) {
    let mut net = Internet::new(seed, |_| {});
    net.zone(zone, Servers::alive(1e6), exists, 30);
    let mut streams = [Stream { rate, span: (4, 20), ask: &mut |dice| (bot(dice), name(dice)) }];
    play(&mut net, seed, 20, &mut streams, |_| {});
    let flood = net.sum(0, 8, 20);
    let story = format!("{flood:?} {:?} {:?}", net.flooded(), net.engine.counters());
    assert!(flood.refused() >= 0.9, "{} like {} {story}", flood.refused(), name(&mut Dice::new(seed)));
}

#[test]
fn however_deep_in_a_zone_it_is_a_flood_is_seen() {
    for (seed, suffix) in (41..).zip(["c", "b.c", "a.b.c", "d.a.b.c", "g.f.e.d.a.b.c"]) {
        refused(seed, "bank.com", 2_000, &|dice| format!("{}.{suffix}.bank.com", random_label(dice)));
    }
}

#[test]
fn numbers_in_front_of_what_is_made_up_hide_no_flood() {
    refused(46, "bank.com", 450, &|dice| format!("1.2.{}.bank.com", random_label(dice)));
    refused(47, "bank.com", 450, &|dice| format!("1.2.3.4.{}.www.bank.com", random_label(dice)));
}

#[test]
fn a_flood_of_the_reverse_tree_of_one_site_is_its_sites() {
    refused(48, "ip6.arpa", 3_000, &|dice| {
        let nibbles: String = (0..20).map(|_| format!("{:x}.", dice.below(16))).collect();
        format!("{nibbles}1.0.0.0.8.b.d.0.0.0.a.2.ip6.arpa")
    });
}

#[test]
fn a_few_names_that_exist_hide_no_flood() {
    let mut net = Internet::new(33, |_| {});
    net.zone("bank.com", Servers::alive(1e6), exists, 30);
    let mut streams = [Stream {
        rate: 2_000,
        span: (6, 26),
        ask: &mut |dice| {
            let prefix = if dice.below(5) == 0 { "real" } else { "no" };
            (bot(dice), format!("{prefix}{}.bank.com", random_label(dice)))
        },
    }];
    play(&mut net, 33, 26, &mut streams, |_| {});
    let flood = net.sum(0, 10, 26);
    let story = format!("{flood:?} {:?} {:?}", net.flooded(), net.engine.counters());
    assert!(flood.refused() >= 0.9, "{} {story}", flood.refused());
}

/// Four hundred a second of which one in forty exists are waited with like a list of bad domains is, while the zone's servers answer
/// everything: that hurts nobody. Where they do not it is a flood at once.
#[test]
fn what_is_waited_with_like_a_list_hurts_nobody() {
    for (bears, waited_with) in [(1e6, true), (300.0, false)] {
        let mut net = Internet::new(36, |_| {});
        net.zone("bank.com", Servers::alive(bears), exists, 30);
        let mut fresh = 0;
        let mut streams = [
            Stream { rate: 50, span: (0, 20), ask: &mut |dice| (customer(dice), popular(dice)) },
            Stream {
                rate: 20,
                span: (0, 20),
                ask: &mut |dice| {
                    fresh += 1;
                    (customer(dice), format!("real{}.bank.com", if fresh % 4 == 0 { fresh } else { dice.below(20) }))
                },
            },
            Stream {
                rate: 400,
                span: (6, 20),
                ask: &mut |dice| {
                    let prefix = if dice.below(40) == 0 { "real" } else { "no" };
                    (bot(dice), format!("{prefix}{}.bank.com", random_label(dice)))
                },
            },
        ];
        let (mut flooded, mut most) = (Vec::new(), 0);
        play(&mut net, 36, 20, &mut streams, |net| {
            flooded.extend((!net.flooded().is_empty()).then(|| net.second()));
            most = most.max(net.engine.in_flight());
        });
        let (people, own) = (net.sum(0, 10, 20), net.sum(1, 10, 20));
        let (used, cap) = net.memory();
        let story = format!("flooded in {flooded:?}, {most} in flight, {people:?} {own:?} {:?}", net.engine.counters());
        assert_eq!(people.success(), 1.0, "{story}");
        assert!(own.success() >= if waited_with { 1.0 } else { 0.9 }, "{} {story}", own.success());
        assert!(most <= 100 && used <= cap, "{used} octets {story}");
        assert!(waited_with || flooded.first().is_some_and(|first| *first <= 9), "{story}");
    }
}

/// Names of an attacker's zone lead to random ones of the victim's, which are never asked for themselves.
fn led_there(lead: Lead, seed: u64) {
    let mut net = Internet::new(seed, |_| {});
    net.zone("bank.com", Servers::alive(500.0), exists, 30);
    net.zone("evil.com", Servers::alive(1e6), exists, 30);
    net.lead("evil.com", lead, "bank.com");
    let mut streams = [
        Stream { rate: 100, span: (0, 20), ask: &mut |dice| (customer(dice), popular(dice)) },
        Stream {
            rate: 20,
            span: (0, 20),
            ask: &mut |dice| (customer(dice), format!("real{}.bank.com", dice.below(20))),
        },
        Stream { rate: 1_500, span: (6, 20), ask: &mut |dice| (bot(dice), format!("{}.evil.com", random_label(dice))) },
    ];
    let mut flooded = Vec::new();
    play(&mut net, seed, 20, &mut streams, |net| {
        let told = net.flooded();
        flooded.extend(told.iter().any(|zone| zone.name.starts_with(b"\x04bank\x03com\0")).then(|| net.second()));
    });
    let busiest = net.came("bank.com").iter().take(20).skip(10).max().copied().unwrap_or(0);
    let counters = net.engine.counters();
    let story = format!("flooded in {flooded:?}, came {:?} {counters:?}", net.came("bank.com"));
    assert!(flooded.first().is_some_and(|first| (6..=9).contains(first)), "{story}");
    assert!(busiest <= 250, "{busiest} in one second {story}");
    let (people, known) = (net.sum(0, 6, 20), net.sum(1, 10, 20));
    assert!(people.success() >= 0.995, "{story}");
    assert!(known.success() >= 0.99, "{known:?} {story}");
    let refused = [Reason::ZoneFlood, Reason::ZoneClient].map(|reason| counters.door.turned[reason as usize]);
    assert!(refused.iter().sum::<u64>() > 5_000, "{refused:?} {story}");
    assert_eq!(net.engine.in_flight(), 0, "{story}");
}

#[test]
fn aliases_lead_past_no_zones_quota() {
    led_there(Lead::Alias, 34);
}

#[test]
fn name_servers_names_lead_past_no_zones_quota() {
    led_there(Lead::Servers, 35);
}

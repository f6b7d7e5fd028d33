//! What an authoritative server bears, where no zone's account tells of the flood.

use std::net::Ipv4Addr;

use maeslant::admission::{Mode, Reason};
use maeslant::engine::Policy;

use super::internet::{HOSTED, Internet, Servers};
use super::{Stream, customer, exists, play, popular, random_label};
use crate::sim::dice::Dice;

const LEARNED: usize = 1;
const FRESH: usize = 2;
const RANDOM: usize = 3;

/// A provider's server has two thousand zones and answers 500 questions a second. From the eighth second until the
/// twentieth each zone is asked for two random names a second, which no zone's account takes for a flood.
fn hosted(seed: u64, change: impl FnOnce(&mut Policy)) -> Internet {
    let mut net = Internet::new(seed, change);
    net.zone(HOSTED, Servers::alive(500.0), exists, 30);
    let zone = |dice: &mut Dice| format!("{HOSTED}{}.net", dice.below(2_000));
    let mut fresh = 0;
    let mut streams = [
        Stream { rate: 200, span: (0, 30), ask: &mut |dice| (customer(dice), popular(dice)) },
        Stream {
            rate: 50,
            span: (0, 30),
            ask: &mut |dice| (customer(dice), format!("www.{HOSTED}{}.net", dice.below(100))),
        },
        Stream {
            rate: 20,
            span: (8, 30),
            ask: &mut |dice| {
                fresh += 1;
                (customer(dice), format!("real{fresh}.{}", zone(dice)))
            },
        },
        Stream {
            rate: 4_000,
            span: (8, 20),
            ask: &mut |dice| {
                let bot = Ipv4Addr::from(0x0a40_0000 | dice.below(4_000) as u32);
                (bot, format!("{}.{}", random_label(dice), zone(dice)))
            },
        },
    ];
    play(&mut net, seed, 30, &mut streams, |_| {});
    net
}

#[test]
fn a_providers_server_is_asked_what_it_bears_and_known_names_first() {
    let net = hosted(31, |_| {});
    let sum = |stream, from, until| net.sum(stream, from, until);
    let (people, flood) = (sum(0, 0, 30), sum(RANDOM, 11, 20));
    let (learned, fresh, after) = (sum(LEARNED, 11, 20), sum(FRESH, 11, 20), sum(FRESH, 23, 30));
    let came = net.came(HOSTED);
    let story = format!("{people:?}\n{learned:?}\n{fresh:?}\n{flood:?}\n{came:?}\n{:?}", net.engine.counters());
    println!("{story}");
    assert!(people.success() >= 0.995, "{story}");
    assert!(learned.success() >= 0.99, "known names {}\n{story}", learned.success());
    assert!(fresh.success() >= 0.8, "new names {}\n{story}", fresh.success());
    assert!(after.success() >= 0.99, "three seconds after the flood {}\n{story}", after.success());
    let average = came[11..20].iter().sum::<u32>() / 9;
    assert!((300..=600).contains(&average), "{average} questions a second\n{story}");
    assert!(net.engine.counters().door.turned[Reason::ServerQuota as usize] > 10_000, "{story}");
    assert_eq!((net.engine.in_flight(), net.flooded()), (0, vec![]), "{story}");
}

#[test]
fn without_its_quota_a_providers_server_is_pushed_over() {
    let net = hosted(32, |policy| policy.resolve.server_quotas = Mode::Observe);
    let (learned, flood) = (net.sum(LEARNED, 11, 20), net.sum(RANDOM, 11, 20));
    let story = format!("{learned:?}\n{flood:?}\n{:?}\n{:?}", net.came(HOSTED), net.engine.counters());
    println!("{story}");
    assert!(net.came(HOSTED)[11..20].iter().sum::<u32>() / 9 > 2_000, "{story}");
    assert!(net.engine.counters().door.observed[Reason::ServerQuota as usize] > 1_000, "{story}");
}

/// Where zones have no accounts, a server is still asked no more than it bears, and for names that exist first.
#[test]
fn a_servers_quota_holds_without_the_zones_accounts() {
    let mut net = Internet::new(33, |policy| {
        policy.access.limits.zones = Mode::Off;
        policy.resolve.stale.serve = Mode::Off;
    });
    net.zone("bank.com", Servers::alive(500.0), exists, 3);
    let mut streams = [
        Stream { rate: 200, span: (0, 30), ask: &mut |dice| (customer(dice), popular(dice)) },
        Stream {
            rate: 20,
            span: (0, 30),
            ask: &mut |dice| (customer(dice), format!("real{}x.bank.com", dice.below(20))),
        },
        Stream {
            rate: 5,
            span: (10, 30),
            ask: &mut |dice| (customer(dice), format!("realf{}x.bank.com", random_label(dice))),
        },
        Stream {
            rate: 2_000,
            span: (10, 30),
            ask: &mut |dice| {
                let bot = Ipv4Addr::from(0x0a40_0000 | dice.below(2_000) as u32);
                (bot, format!("{}.bank.com", random_label(dice)))
            },
        },
    ];
    play(&mut net, 33, 30, &mut streams, |_| {});
    let [people, known, new] = [0, 1, 2].map(|stream| net.sum(stream, 14, 30));
    let came = &net.came("bank.com")[14..30];
    let story = format!("{people:?}\n{known:?}\n{new:?}\n{came:?}\n{:?}", net.engine.counters());
    assert!(people.success() >= 0.995, "{story}");
    assert!(known.success() >= 0.97, "{story}");
    assert!(new.success() >= 0.8, "{story}");
    assert!(came.iter().all(|count| *count <= 700), "{story}");
}

/// A provider's server that bears everything, and says nothing of zones that it does not serve: some hundred of those are
/// delegated to it.
#[test]
fn zones_delegated_to_a_server_in_vain_take_nothing_from_those_it_serves() {
    let mut net = Internet::new(34, |_| {});
    net.zone(HOSTED, Servers::alive(1e6), exists, 30);
    for number in 0..1_000 {
        net.hostile(&format!("{HOSTED}in-vain{number}.net"), |_, _| Vec::new(), std::time::Duration::from_millis(20));
    }
    let mut streams = [
        Stream { rate: 100, span: (0, 40), ask: &mut |dice| (customer(dice), popular(dice)) },
        // Nothing is known of these clients, who ask for names that nobody has asked for.
        Stream {
            rate: 100,
            span: (0, 40),
            ask: &mut |dice| {
                let client = Ipv4Addr::from(0x0a00_1000 | dice.below(2_000) as u32);
                (client, format!("real{}.{HOSTED}{}.net", random_label(dice), dice.below(400)))
            },
        },
        Stream {
            rate: 300,
            span: (10, 40),
            ask: &mut |dice| {
                let bot = Ipv4Addr::from(0x0a40_0000 | dice.below(2_000) as u32);
                (bot, format!("{}.{HOSTED}in-vain{}.net", random_label(dice), dice.below(1_000)))
            },
        },
    ];
    play(&mut net, 34, 40, &mut streams, |_| {});
    let (before, during) = (net.sum(1, 0, 10), net.sum(1, 10, 40));
    let story = format!("{before:?}\n{during:?}\n{:?}", net.engine.counters());
    assert_eq!(before.success(), 1.0, "{story}");
    assert!(during.success() >= 0.99, "{story}");
}

/// Names that exist, ten thousand of a wildcard's, each learned by the first question for it and asked for again and again by
/// bots: more than their server bears.
#[test]
fn names_known_to_exist_push_no_server_over() {
    for (seed, rate, stale) in [(35, 2_000, Mode::Off), (36, 10_000, Mode::Off), (37, 10_000, Mode::Enforce)] {
        let mut net = Internet::new(seed, |policy| policy.resolve.stale.serve = stale);
        net.zone("bank.com", Servers::alive(500.0), exists, 3);
        let mut streams = [
            Stream { rate: 100, span: (0, 40), ask: &mut |dice| (customer(dice), popular(dice)) },
            Stream {
                rate: 20,
                span: (0, 40),
                ask: &mut |dice| (customer(dice), format!("real{}x.bank.com", dice.below(20))),
            },
            Stream {
                rate: 5,
                span: (10, 40),
                ask: &mut |dice| (customer(dice), format!("realf{}x.bank.com", random_label(dice))),
            },
            Stream {
                rate,
                span: (10, 40),
                ask: &mut |dice| {
                    let bot = Ipv4Addr::from(0x0a40_0000 | dice.below(2_000) as u32);
                    (bot, format!("realw{}x.bank.com", dice.below(10_000)))
                },
            },
        ];
        play(&mut net, seed, 40, &mut streams, |_| {});
        let [people, known, fresh] = [0, 1, 2].map(|stream| net.sum(stream, 16, 40));
        let came = &net.came("bank.com")[16..40];
        let turned = net.engine.counters().door.turned;
        let story = format!("{rate} {stale:?}\n{people:?}\n{known:?}\n{fresh:?}\n{came:?}\n{turned:?}");
        assert!(people.success() >= 0.995, "{story}");
        assert!(known.success() >= 0.9, "{story}");
        assert!(fresh.success() >= 0.85, "{story}");
        assert!(came.iter().sum::<u32>() <= 620 * came.len() as u32, "{story}");
    }
}

/// Sixteen thousand households' devices are bots: all have browsed the web like anybody before they ask one zone, whose servers bear
/// 500 a second, for names that do not exist.
#[test]
fn bots_with_a_history_like_anybodys_leave_room_for_who_asks_for_few() {
    // Nobody has a TCP to come by.
    let mut net = Internet::new(38, |policy| policy.access.limits.rations = Mode::Off);
    net.zone("bank.com", Servers::alive(500.0), exists, 30);
    let bot = |dice: &mut Dice| Ipv4Addr::from(0x0a40_0000 | dice.below(16_384) as u32);
    let mut streams = [
        Stream { rate: 200, span: (0, 90), ask: &mut |dice| (customer(dice), popular(dice)) },
        Stream { rate: 8_000, span: (0, 60), ask: &mut |dice| (bot(dice), popular(dice)) },
        Stream {
            rate: 10,
            span: (60, 90),
            ask: &mut |dice| (customer(dice), format!("realf{}x.bank.com", random_label(dice))),
        },
        Stream {
            rate: 2_000,
            span: (60, 90),
            ask: &mut |dice| (bot(dice), format!("{}.bank.com", random_label(dice))),
        },
    ];
    play(&mut net, 38, 90, &mut streams, |_| {});
    let people = net.sum(0, 60, 90);
    let fresh = [(60, 70), (70, 80), (80, 90)].map(|(from, until)| net.sum(2, from, until));
    let story = format!("{people:?}\n{fresh:?}\n{:?}\n{:?}", net.came("bank.com"), net.engine.counters());
    assert!(people.success() >= 0.995, "{story}");
    // Who has not asked yet is like anybody: it takes as long as they all need to be asked once, or so.
    assert!(fresh[1].success() >= 0.55, "{story}");
    assert!(fresh[2].success() >= 0.8, "{story}");
}

//! A day without any attack: what looks like one and is none raises no alarm, and nobody is refused.
//!
//! The day is thinned in time: of each quarter of an hour some seconds are played, of some quarters more than a minute, which
//! is longer than a zone is waited with that looks like a list (`LIST_DWELL`). In between nobody asks for anything: what
//! is known of a zone's ordinary rate, and of who finds names in it, fades as it does not on a real day, so that this
//! is the harder one. Rates are those of an ISP with a hundred thousand customers.

use std::net::Ipv4Addr;
use std::time::Duration;

use maeslant::admission::Sizes;

use super::internet::{Exists, Internet, SECOND, Servers};
use super::lists::{is_listed, mail, sender};
use super::{customer, exists, popular, random_label};
use crate::sim::dice::Dice;

const QUARTERS: u64 = 96;
/// Seconds that are played of a quarter, and of the first of each eight hours.
const PLAYED: u64 = 10;
const LONGER: u64 = 75;
const EACH: u64 = 32;
/// Steps of time in a second.
const STEPS: u64 = 10;
/// When a new site opens, in quarters of an hour, and for how long everybody wants to see it.
const LAUNCH: std::ops::Range<u64> = 48..56;
/// Octets of the books.
const BOOKS: u64 = 16 << 20;

/// The part of a stream's rate at a quarter of an hour: least before dawn, most in the evening.
fn rhythm(quarter: u64) -> f64 {
    let turn = (quarter as f64 / QUARTERS as f64 - 0.17) * std::f64::consts::TAU;
    0.6 - 0.4 * turn.cos()
}

fn address(dice: &mut Dice) -> String {
    Ipv4Addr::from(dice.next() as u32).to_string()
}

/// How many come in a step in which so many are due, by Poisson's law.
fn by_chance(dice: &mut Dice, due: f64) -> u64 {
    let mut chance = || (dice.below(1 << 30) as f64 + 0.5) / f64::from(1 << 30);
    let (end, mut product, mut times) = ((-due).exp(), chance(), 0);
    while product > end {
        product *= chance();
        times += 1;
    }
    times
}

/// Who asks for what, so many times a second at most.
struct Habit {
    what: &'static str,
    rate: u64,
    ask: fn(&mut Dice) -> (Ipv4Addr, String),
}

const HABITS: [Habit; 8] = [
    Habit { what: "people", rate: 100, ask: |dice| (customer(dice), popular(dice)) },
    // Labels of a content network: they look random, and exist.
    Habit {
        what: "content",
        rate: 150,
        ask: |dice| (customer(dice), format!("e{:x}.content.net", dice.below(3_000) * 0x9e37_79b9)),
    },
    // A name for each visitor, never asked for again.
    Habit { what: "tracker", rate: 150, ask: |dice| (customer(dice), format!("{}.tracker.com", random_label(dice))) },
    // Nine in ten addresses are on no list, and as many have no name. These zones are asked so much by day that they would
    // be flooded if nothing else told of them than rates.
    Habit { what: "addresses", rate: 600, ask: |dice| (mail(dice), format!("{}.badhosts.org", address(dice))) },
    Habit { what: "reverse", rate: 300, ask: |dice| (mail(dice), format!("{}.in-addr.arpa", address(dice))) },
    Habit { what: "domains", rate: 120, ask: |dice| (mail(dice), format!("{}.blocklist.org", sender(dice))) },
    Habit { what: "typing", rate: 20, ask: |dice| (customer(dice), format!("{}.typo.com", random_label(dice))) },
    Habit { what: "launch", rate: 200, ask: |dice| (customer(dice), format!("p{}.launch.com", random_label(dice))) },
];

fn day(seed: u64) {
    let cache = maeslant::cache::Policy { memory: 64 << 20, ..Default::default() };
    let mut net = Internet::sized(seed, &cache, Sizes::within(BOOKS), |_| {});
    let all: Exists = |_| true;
    let alive = Servers::alive(1e6);
    net.zone("content.net", alive, all, 20);
    net.zone("tracker.com", Servers { rtt: Duration::from_millis(300), ..alive }, all, 0);
    net.zone("badhosts.org", alive, |label| label.ends_with('7'), 300);
    net.zone("in-addr.arpa", alive, |label| label.ends_with('3'), 300);
    net.zone("blocklist.org", alive, is_listed, 60);
    net.zone("launch.com", alive, all, 60);
    net.zone("typo.com", alive, exists, 300);
    let mut dice = Dice::new(!seed);
    let (start, mut asked, mut alarms) = (net.now, 0u64, Vec::new());
    for quarter in 0..QUARTERS {
        let begin = start + quarter * 900 * SECOND;
        net.advance(begin);
        let played = if quarter % EACH == 0 { LONGER } else { PLAYED };
        for step in 0..played * STEPS {
            for (stream, Habit { what, rate, ask }) in HABITS.iter().enumerate() {
                if *what == "launch" && !LAUNCH.contains(&quarter) {
                    continue;
                }
                let times = by_chance(&mut dice, *rate as f64 * rhythm(quarter) / STEPS as f64);
                for _ in 0..times {
                    let (from, name) = ask(&mut dice);
                    net.ask(stream, from, &name);
                }
                asked += times;
            }
            net.advance(begin + (step + 1) * SECOND / STEPS);
            net.feel();
            if step % STEPS == STEPS - 1 {
                let told = net.flooded().into_iter().map(|zone| {
                    (String::from_utf8_lossy(&zone.name[..12]).into_owned(), zone.asked, zone.found, zone.absent)
                });
                alarms.extend(told.map(|zone| (quarter, step / STEPS, zone)));
            }
        }
    }
    net.advance(net.now + 20 * SECOND);
    let counters = net.engine.counters();
    let streams: Vec<_> =
        HABITS.iter().enumerate().map(|(stream, habit)| (habit.what, net.sum(stream, 0, 86_400))).collect();
    let story = format!("seed {seed}: {alarms:?}\n{streams:?}\n{counters:?}");
    println!("{story}");
    assert_eq!(alarms.len(), 0, "false alarms, {story}");
    assert_eq!(counters.door.turned.iter().sum::<u64>(), 0, "nobody is refused, {story}");
    assert_eq!(counters.answered, asked, "everybody has an answer, {story}");
    let failed: u32 = streams.iter().map(|(_, tally)| tally.servfail + tally.late).sum();
    assert!(f64::from(failed) <= 1e-4 * asked as f64, "{failed} failed, {story}");
    let left = [net.engine.in_flight(), net.engine.asks_in_flight(), net.engine.tasks(), counters.waiting as usize];
    assert_eq!(left, [0; 4], "clean afterwards, {story}");
    let (used, cap) = net.memory();
    assert!(used as f64 <= cap as f64 * 1.02, "{used} octets of {cap}, {story}");
}

#[test]
fn a_day_of_names_that_look_random_raises_no_alarm_and_refuses_nobody() {
    day(1);
}

#[test]
fn nor_does_another_one() {
    day(2);
}

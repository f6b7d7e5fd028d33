//! Floods of names that do not exist, and what customers notice of them.

mod credit;
mod day;
mod detector;
mod evasion;
mod hostile;
mod hour;
mod internet;
mod lists;
mod quotas;
mod refresh;

use std::net::Ipv4Addr;
use std::time::Duration;

use internet::{Internet, SECOND, Servers};

use maeslant::admission::Mode;
use maeslant::engine::Policy;

use super::dice::Dice;

/// The streams of questions.
const BENIGN: usize = 0;
const LEARNED: usize = 1;
const FRESH: usize = 2;
const RANDOM: usize = 3;

/// When the flood begins and ends, and how much is seen of the time after it, in seconds.
const BEGIN: usize = 8;
const END: usize = 18;
const AFTER: usize = 24;
/// Within this many seconds it is found out.
const FOUND_OUT: usize = 3;

/// A flood as in water torture.
#[derive(Debug)]
struct Torture {
    zones: usize,
    servers: Servers,
    /// Random names a second.
    rate: u64,
    /// Clients that ask for them; the customers are others.
    bots: u32,
    seed: u64,
}

fn customer(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 | dice.below(150) as u32)
}

fn victim(number: u64) -> String {
    format!("victim{number}.com")
}

/// Most names are asked by many; a few by hardly anybody.
fn popular(dice: &mut Dice) -> String {
    let number = dice.below(20_000).min(dice.below(20_000)).min(dice.below(20_000));
    format!("www.site{number}.com")
}

fn random_label(dice: &mut Dice) -> String {
    (0..10).map(|_| char::from(b'a' + dice.below(26) as u8)).collect()
}

fn exists(label: &str) -> bool {
    label.starts_with("real") || label == "www"
}

impl Torture {
    fn run(&self, change: impl FnOnce(&mut Policy)) -> Internet {
        let mut net = Internet::new(self.seed, change);
        for number in 0..self.zones as u64 {
            // Before the flood everybody can be reached.
            net.zone(&victim(number), Servers::alive(500.0), exists, 30);
        }
        let mut dice = Dice::new(!self.seed);
        let mut fresh = 0;
        let rates = [200, 100, 10, self.rate];
        for tick in 0..AFTER as u64 * 1_000 {
            let second = (tick / 1_000) as usize;
            if tick == BEGIN as u64 * 1_000 {
                (0..self.zones as u64).for_each(|number| net.set_servers(&victim(number), self.servers));
            }
            for (stream, rate) in rates.into_iter().enumerate() {
                // So many questions a second, evenly.
                for _ in tick * rate / 1_000..(tick + 1) * rate / 1_000 {
                    if let Some((from, name)) = self.question(stream, second, &mut dice, &mut fresh) {
                        net.ask(stream, from, &name);
                    }
                }
            }
            net.advance(1_000 * SECOND + (tick + 1) * 1_000_000);
            if tick % 100 == 0 {
                net.feel();
            }
        }
        // What is in flight comes to its end.
        net.advance(net.now + 10 * SECOND);
        net
    }

    /// Who asks what, if anybody does.
    fn question(&self, stream: usize, second: usize, dice: &mut Dice, fresh: &mut u64) -> Option<(Ipv4Addr, String)> {
        let zone = victim(dice.below(self.zones as u64));
        Some(match stream {
            BENIGN => (customer(dice), popular(dice)),
            LEARNED => (customer(dice), format!("real{}.{zone}", dice.below(200 / self.zones as u64 + 1))),
            FRESH if second >= BEGIN => {
                *fresh += 1;
                (customer(dice), format!("real-{fresh}.{zone}"))
            }
            RANDOM if (BEGIN..END).contains(&second) => {
                let bot = Ipv4Addr::from(0x0a40_0000 | dice.below(u64::from(self.bots)) as u32);
                (bot, format!("{}.{zone}", random_label(dice)))
            }
            _ => return None,
        })
    }

    /// Where the zones' servers answer, what of each stream has to come through; everywhere, that the others do not
    /// notice and that the flood is seen and forgotten.
    fn check(&self) {
        let net = self.run(|_| {});
        let during = |stream: usize| net.sum(stream, BEGIN + FOUND_OUT, END);
        let mut story = format!("{self:?}\n");
        for (name, stream) in [("benign", BENIGN), ("learned", LEARNED), ("fresh", FRESH), ("random", RANDOM)] {
            for (from, until) in [(0, BEGIN), (BEGIN, BEGIN + FOUND_OUT), (BEGIN + FOUND_OUT, END), (END, AFTER)] {
                let tally = net.sum(stream, from, until);
                let (success, refused) = (tally.success(), tally.refused());
                story += &format!("{name} {from}-{until}: {success:.4} found, {refused:.4} refused, {tally:?}\n");
            }
        }
        story += &format!("came {:?}\n{:?}\n", net.came(&victim(0)), net.engine.counters());
        let whole = net.sum(BENIGN, BEGIN, AFTER);
        assert!(whole.success() >= 0.995, "benign names\n{story}");
        assert!(during(RANDOM).refused() >= 0.9, "random names\n{story}");
        if self.servers.alive && self.servers.rtt < Duration::from_secs(1) {
            assert!(during(LEARNED).success() >= 0.99, "learned names\n{story}");
            assert!(during(FRESH).success() >= 0.8, "real names never asked before\n{story}");
        }
        let busiest = net.came(&victim(0)).iter().take(END).skip(BEGIN + FOUND_OUT).max().copied().unwrap_or(0);
        let bears = if self.servers.alive { self.servers.capacity.min(500.0) } else { 20.0 };
        assert!(f64::from(busiest) <= bears, "{busiest} questions in a second to a server of the zone\n{story}");
        assert_eq!(net.flooded(), [], "forgotten\n{story}");
        assert_eq!(net.engine.in_flight(), 0, "clean afterwards\n{story}");
        println!("{story}");
    }
}

fn torture(zones: usize, servers: Servers, seed: u64) {
    Torture { zones, servers, rate: 2_000, bots: 2_000, seed }.check();
}

#[test]
fn water_torture_of_one_zone_whose_servers_answer_500_a_second() {
    torture(1, Servers::alive(500.0), 1);
}

#[test]
fn water_torture_of_ten_zones_whose_servers_answer_after_two_seconds() {
    torture(10, Servers { rtt: Duration::from_secs(2), ..Servers::alive(500.0) }, 2);
}

#[test]
fn water_torture_of_a_zone_whose_servers_are_dead() {
    torture(1, Servers::DEAD, 3);
}

#[test]
fn water_torture_of_a_hundred_zones() {
    Torture { zones: 100, servers: Servers::alive(500.0), rate: 7_000, bots: 7_000, seed: 4 }.check();
}

/// Streams of questions, so many a second, each with who asks what from when until when in seconds.
struct Stream<'a> {
    rate: u64,
    span: (usize, usize),
    ask: &'a mut dyn FnMut(&mut Dice) -> (Ipv4Addr, String),
}

/// Plays streams for so many seconds, and calls `each` after every one.
fn play(net: &mut Internet, seed: u64, seconds: u64, streams: &mut [Stream<'_>], each: impl FnMut(&mut Internet)) {
    play_by(1, net, seed, seconds, streams, each);
}

/// The same in steps of so many milliseconds, a divisor of a hundred.
fn play_by(
    step: usize,
    net: &mut Internet,
    seed: u64,
    seconds: u64,
    streams: &mut [Stream<'_>],
    mut each: impl FnMut(&mut Internet),
) {
    let mut dice = Dice::new(!seed);
    let start = net.now;
    let asked = |until: u64, rate: u64| until * rate / 1_000;
    for tick in (0..seconds * 1_000).step_by(step) {
        let end = tick + step as u64;
        let second = (tick / 1_000) as usize;
        for (number, stream) in streams.iter_mut().enumerate() {
            for _ in asked(tick, stream.rate)..asked(end, stream.rate) {
                if (stream.span.0..stream.span.1).contains(&second) {
                    let (from, name) = (stream.ask)(&mut dice);
                    net.ask(number, from, &name);
                }
            }
        }
        net.advance(start + end * 1_000_000);
        if end.is_multiple_of(100) {
            net.feel();
        }
        if end.is_multiple_of(1_000) {
            each(net);
        }
    }
    net.advance(net.now + 10 * SECOND);
}

/// One address behind which `benign` questions a second are asked by ordinary people, and `random` below a zone by
/// something else. What came of the benign ones, and how many of the others were refused once it was found out.
fn behind_one_address(benign: u64, random: u64, servers: Servers, seed: u64) {
    let mut net = Internet::new(seed, |_| {});
    net.zone("victim0.com", servers, exists, 30);
    let address = Ipv4Addr::new(10, 1, 1, 1);
    let mut streams = [
        Stream { rate: benign, span: (0, 20), ask: &mut |dice| (address, popular(dice)) },
        Stream {
            rate: random,
            span: (5, 20),
            ask: &mut |dice| (address, format!("{}.victim0.com", random_label(dice))),
        },
    ];
    play(&mut net, seed, 20, &mut streams, |_| {});
    let (people, flood) = (net.sum(0, 5, 20), net.sum(1, 5 + FOUND_OUT, 20));
    let story = format!("seed {seed}: {people:?} {flood:?} {:?}", net.engine.counters());
    assert!(people.success() >= 0.99, "{story}");
    assert!(flood.refused() >= 0.9, "{story}");
}

#[test]
fn behind_one_address_the_others_do_not_notice_a_flood_of_a_living_zone() {
    behind_one_address(900, 100, Servers::alive(1_000.0), 5);
}

#[test]
fn behind_one_address_the_others_do_not_notice_a_flood_of_a_dead_zone() {
    behind_one_address(200, 2_000, Servers::DEAD, 6);
}

#[test]
fn a_drip_of_dead_zones_hurts_nobody_and_is_over_when_they_come_back() {
    let mut net = Internet::new(7, |_| {});
    (0..20_000).for_each(|number| net.zone(&format!("site{number}.com"), Servers::alive(1e6), exists, 300));
    net.set_others(Servers::DEAD);
    let mut number = 0;
    let mut streams = [
        Stream { rate: 300, span: (0, 30), ask: &mut |dice| (customer(dice), popular(dice)) },
        Stream {
            rate: 2_500,
            span: (8, 18),
            ask: &mut |dice| {
                number += 1;
                (Ipv4Addr::from(0x0a40_0000 | dice.below(2_500) as u32), format!("www.drip{number}.net"))
            },
        },
        Stream { rate: 20, span: (18, 30), ask: &mut |dice| (customer(dice), format!("www.back{}.net", dice.next())) },
    ];
    play(&mut net, 7, 30, &mut streams, |net| {
        if net.second() == 18 {
            net.set_others(Servers::alive(1e6));
        }
    });
    let (people, back) = (net.sum(0, 8, 30), net.sum(2, 23, 30));
    let story = format!("{people:?} {back:?} {:?}", net.engine.counters());
    assert!(people.success() >= 0.995, "{story}");
    assert!(back.success() >= 0.995, "five seconds after the servers came back\n{story}");
    assert_eq!((net.engine.in_flight(), net.flooded()), (0, vec![]), "{story}");
}

#[test]
fn names_that_look_random_and_are_not_an_attack_raise_no_alarm() {
    for seed in [8, 9] {
        let mut net = Internet::new(seed, |_| {});
        let all: internet::Exists = |_| true;
        net.zone("content.net", Servers::alive(1e6), all, 20);
        net.zone("tracker.com", Servers { rtt: Duration::from_millis(300), ..Servers::alive(1e6) }, all, 0);
        net.zone("blocklist.org", Servers::alive(1e6), |label| label.len() == 1 || label.ends_with('7'), 300);
        net.zone("in-addr.arpa", Servers::alive(1e6), |label| label.len() > 1, 300);
        net.zone("page.com", Servers { rtt: Duration::from_millis(200), ..Servers::alive(1e6) }, all, 300);
        net.zone("typo.com", Servers::alive(1e6), exists, 300);
        let address = |dice: &mut Dice| Ipv4Addr::from(dice.next() as u32).to_string();
        let mail = |dice: &mut Dice| Ipv4Addr::new(10, 2, 0, dice.below(20) as u8);
        let (mut page, mut burst) = (0, 0);
        let mut streams = [
            Stream { rate: 300, span: (0, 40), ask: &mut |dice| (customer(dice), popular(dice)) },
            Stream {
                rate: 200,
                span: (0, 40),
                ask: &mut |dice| (customer(dice), format!("{}.content.net", dice.below(3_000))),
            },
            Stream {
                rate: 200,
                span: (2, 40),
                ask: &mut |dice| (customer(dice), format!("{}.tracker.com", random_label(dice))),
            },
            Stream {
                rate: 100,
                span: (4, 40),
                ask: &mut |dice| (mail(dice), format!("{}.blocklist.org", address(dice))),
            },
            Stream {
                rate: 150,
                span: (6, 40),
                ask: &mut |dice| (mail(dice), format!("{}.in-addr.arpa", address(dice))),
            },
            Stream {
                rate: 20,
                span: (8, 40),
                ask: &mut |dice| (customer(dice), format!("{}.typo.com", random_label(dice))),
            },
            // A page with two hundred names on it, all at once.
            Stream {
                rate: 1_000,
                span: (10, 40),
                ask: &mut |dice| {
                    burst = (burst + 1) % 5_000;
                    page += u64::from(burst < 200);
                    (customer(dice), format!("p{page}.page.com"))
                },
            },
        ];
        play(&mut net, seed, 40, &mut streams, |net| assert_eq!(net.flooded(), [], "seed {seed}"));
        let turned: u64 = net.engine.counters().door.turned.iter().sum();
        assert_eq!(turned, 0, "seed {seed}: {:?}", net.engine.counters());
    }
}

#[test]
fn whoever_asks_for_dead_zones_leaves_room_for_newcomers() {
    let mut net = Internet::new(10, |_| {});
    (0..20_000).for_each(|number| net.zone(&format!("site{number}.com"), Servers::alive(1e6), exists, 300));
    net.set_others(Servers::DEAD);
    let mut number = 0;
    let mut streams = [
        Stream {
            rate: 50,
            span: (5, 12),
            ask: &mut |dice| (customer(dice), format!("www.site{}.com", dice.below(20_000))),
        },
        Stream {
            rate: 1_500,
            span: (0, 12),
            ask: &mut |_| {
                number += 1;
                (Ipv4Addr::new(10, 1, 1, 1), format!("www.drip{number}.net"))
            },
        },
    ];
    play(&mut net, 10, 12, &mut streams, |_| {});
    let newcomers = net.sum(0, 5, 12);
    assert!(newcomers.success() >= 0.995, "{newcomers:?} {:?}", net.engine.counters());
}

/// What the other tests measure is the accounts' doing.
#[test]
fn without_the_zones_accounts_a_flood_reaches_the_servers() {
    let torture = Torture { zones: 1, servers: Servers::alive(500.0), rate: 1_500, bots: 1_500, seed: 11 };
    let observe = |policy: &mut Policy| {
        policy.access.limits.zones = Mode::Observe;
        policy.resolve.server_quotas = Mode::Observe;
    };
    let net = torture.run(observe);
    let random = net.sum(RANDOM, BEGIN + FOUND_OUT, END);
    let busiest = net.came(&victim(0)).iter().take(END).skip(BEGIN + FOUND_OUT).max().copied().unwrap_or(0);
    assert!(busiest > 1_000 && random.refused() < 0.9, "{busiest} {random:?} {:?}", net.engine.counters());
    assert!(net.engine.counters().door.observed.iter().sum::<u64>() > 1_000, "observed: {:?}", net.engine.counters());
}

/// How long 99 in 100 of the names took that nobody had asked for, in nanoseconds, with `flood` questions a second for
/// names of a thousand dead zones beside them.
fn wait_beside(flood: u64, seed: u64) -> u64 {
    let mut net = Internet::new(seed, |_| {});
    (0..1_000).for_each(|number| net.zone(&format!("dead{number}.net"), Servers::DEAD, exists, 30));
    let mut number = 0;
    let mut streams = [
        Stream {
            rate: 100,
            span: (6, 16),
            ask: &mut |dice| {
                number += 1;
                (customer(dice), format!("www.fresh{number}.com"))
            },
        },
        Stream {
            rate: flood,
            span: (0, 16),
            ask: &mut |dice| {
                let bot = Ipv4Addr::from(0x0a40_0000 | dice.below(1_000) as u32);
                (bot, format!("{}.dead{}.net", random_label(dice), dice.below(1_000)))
            },
        },
    ];
    play(&mut net, seed, 16, &mut streams, |_| {});
    let people = net.sum(0, 6, 16);
    assert!(people.success() >= 0.995, "{people:?} {:?}", net.engine.counters());
    net.waits[0].sort_unstable();
    net.waits[0][net.waits[0].len() * 99 / 100]
}

#[test]
fn beside_a_thousand_dead_zones_a_new_name_takes_less_than_twice_its_time() {
    let (idle, flooded) = (wait_beside(0, 12), wait_beside(2_000, 12));
    assert!(flooded < 2 * idle, "{flooded} ns beside {idle} ns");
}

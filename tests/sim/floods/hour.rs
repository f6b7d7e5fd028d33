//! Each attack for a simulated hour, with twenty seeds. The rates are scaled down, so that the whole takes a minute: ten
//! random names a second instead of ten thousand, a zone suspected from five a second on instead of fifty, servers that
//! bear twenty instead of five hundred. What must come out is the same.
//!
//! Not here, for they need more than an engine: TCP connections that say nothing (A22) are in `listener::tcp`, a million
//! rules swapped under load and the latency that it costs (A26 is here with a few rules), and what a flood of cached
//! names costs the processor (A1 is here under a pressure that is made up) in the lab's scenarios. What costs a validator
//! dear (A11, A12, A23) needs signed zones: `sim::traps`; forged answers by the million (A16) `sim::guesses`.

use std::net::Ipv4Addr;
use std::time::Duration;

use maeslant::admission::{Pressure, Sizes};
use maeslant::engine::Policy;

use super::hostile::{self, EVIL};
use super::internet::{Exists, Internet, SECOND, Servers, Serves, question};
use super::{customer, exists, random_label, victim};
use crate::sim::dice::Dice;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;
/// When attacks begin and end, and the end of all, in seconds.
const BEGIN: usize = 600;
const END: usize = 1_000;
const HOUR: usize = 3_600;
const ATTACK: (usize, usize) = (BEGIN, END);
/// Octets of the books.
const BOOKS: u64 = 16 << 20;
/// Steps of time in a second.
const STEPS: u64 = 2;
/// What a zone's servers answer in a second.
const BEAR: f64 = 20.0;

/// The streams of questions: customers who ask for what everybody asks for, customers of the zone that is attacked, and
/// whoever attacks it.
const PEOPLE: usize = 0;
const KNOWN: usize = 1;
const FLOOD: usize = 2;

/// What a stream does when its turn comes.
type Asks<'a> = Box<dyn FnMut(&mut Internet, &mut Dice, usize) + 'a>;

/// A stream: so many questions a minute, and from when until when.
struct Flow<'a>(u64, (usize, usize), Asks<'a>);

/// An ordinary stream: who asks for what.
fn flow<'a>(minute: u64, span: (usize, usize), mut ask: impl FnMut(&mut Dice) -> (Ipv4Addr, String) + 'a) -> Flow<'a> {
    let asks = move |net: &mut Internet, dice: &mut Dice, stream: usize| {
        let (from, name) = ask(dice);
        net.ask(stream, from, &name);
    };
    Flow(minute, span, Box::new(asks))
}

/// A stream of packets.
fn packets<'a>(
    minute: u64,
    span: (usize, usize),
    mut packet: impl FnMut(&mut Dice) -> (Ipv4Addr, Vec<u8>) + 'a,
) -> Flow<'a> {
    let asks = move |net: &mut Internet, dice: &mut Dice, stream: usize| {
        let (from, packet) = packet(dice);
        net.send(Some(stream), from, &packet);
    };
    Flow(minute, span, Box::new(asks))
}

/// A question every four seconds for five hundred sites.
fn people<'a>() -> Flow<'a> {
    flow(15, (0, HOUR), |dice| (customer(dice), format!("www.site{}.com", dice.below(500))))
}

/// Customers of the attacked zones.
fn known<'a>(zones: u64) -> Flow<'a> {
    let names = 20 / zones + 1;
    flow(12, (0, HOUR), move |dice| {
        (customer(dice), format!("real{}.{}", dice.below(names), victim(dice.below(zones))))
    })
}

fn bot(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::from(0x0a40_0000 | dice.below(2_000) as u32)
}

/// An hour with a seed, and what was not as it must be.
struct Hour {
    seed: u64,
    net: Internet,
    wrong: Vec<String>,
}

impl Hour {
    fn new(seed: u64) -> Hour {
        Hour::sized(seed, &maeslant::cache::Policy::default(), |_| {})
    }

    fn sized(seed: u64, cache: &maeslant::cache::Policy, change: impl FnOnce(&mut Policy)) -> Hour {
        let net = Internet::sized(seed, cache, Sizes::within(BOOKS), |policy| {
            policy.access.limits.zone_watch = 5;
            change(policy);
        });
        Hour { seed, net, wrong: Vec::new() }
    }

    /// A zone of a victim.
    fn victims(mut self, count: u64) -> Hour {
        (0..count).for_each(|number| self.net.zone(&victim(number), Servers::alive(BEAR), exists, 30));
        self
    }

    fn play(&mut self, flows: &mut [Flow<'_>], mut each: impl FnMut(&mut Internet, usize)) {
        let mut dice = Dice::new(!self.seed);
        let start = self.net.now;
        for step in 0..HOUR as u64 * STEPS {
            let second = (step / STEPS) as usize;
            if step % STEPS == 0 {
                each(&mut self.net, second);
            }
            for (number, Flow(minute, span, asks)) in flows.iter_mut().enumerate() {
                if (span.0..span.1).contains(&second) {
                    let until = |step: u64| step * *minute / (60 * STEPS);
                    (until(step)..until(step + 1)).for_each(|_| asks(&mut self.net, &mut dice, number));
                }
            }
            self.net.advance(start + (step + 1) * SECOND / STEPS);
            self.net.feel();
        }
        self.net.advance(self.net.now + 10 * SECOND);
    }

    fn least(&mut self, what: &str, value: f64, least: f64) {
        if value < least {
            self.wrong.push(format!("{what}: {value:.4}, less than {least}"));
        }
    }

    fn most(&mut self, what: &str, value: f64, most: f64) {
        if value > most {
            self.wrong.push(format!("{what}: {value:.4}, more than {most}"));
        }
    }

    /// What holds of every attack: the others do not notice, memory is bounded, and nothing is left of it.
    fn end(self) -> Hour {
        self.end_with(0.995)
    }

    /// The same, where so many of the others have an answer.
    fn end_with(mut self, people: f64) -> Hour {
        self.least("people", self.net.sum(PEOPLE, 0, HOUR).success(), people);
        self.most("zones that are still flooded", self.net.flooded().len() as f64, 0.0);
        let engine = &self.net.engine;
        let left = [engine.in_flight(), engine.asks_in_flight(), engine.tasks(), engine.counters().waiting as usize];
        self.most("left in the engine", left.into_iter().sum::<usize>() as f64, 0.0);
        let (used, cap) = self.net.memory();
        self.most("memory", used as f64, cap as f64 * 1.02);
        self
    }

    /// Packets that came to a zone's servers in the busiest second while it was attacked, after the first half minute.
    fn busiest(&self, zone: &str) -> f64 {
        let came = self.net.came(zone).iter().take(END).skip(BEGIN + 30);
        f64::from(came.max().copied().unwrap_or(0))
    }

    /// Packets for each question of the attack, about any of these domains.
    fn cost(&self, domains: &[&str]) -> f64 {
        let packets: u32 = domains.iter().filter_map(|domain| self.net.about.get(*domain)).sum();
        f64::from(packets) / f64::from(self.net.sum(FLOOD, 0, HOUR).asked.max(1))
    }
}

/// Runs an attack with every seed, and says of all of them what was wrong.
fn twenty(attack: fn(u64) -> Hour) {
    let mut story = String::new();
    for seed in SEEDS {
        let hour = attack(seed);
        if !hour.wrong.is_empty() {
            let streams: Vec<_> = (0..hour.net.tallies.len()).map(|stream| hour.net.sum(stream, 0, HOUR)).collect();
            story += &format!("seed {seed}: {:?}\n  {streams:?}\n", hour.wrong);
            if !story.contains("Counters") {
                story += &format!("  {:?}\n", hour.net.engine.counters());
            }
        }
    }
    assert!(story.is_empty(), "{story}");
}

/// Water torture of so many zones, whose servers are so, by so many questions a minute, from so many bots.
struct Torture {
    zones: u64,
    servers: Servers,
    minute: u64,
    until: usize,
    bots: u64,
}

impl Torture {
    fn play(&self, seed: u64) -> Hour {
        let Torture { zones, servers, minute, until, bots } = *self;
        let mut hour = Hour::new(seed).victims(zones);
        let random = move |dice: &mut Dice| {
            let bot = Ipv4Addr::from(0x0a40_0000 | dice.below(bots) as u32);
            (bot, format!("{}.{}", random_label(dice), victim(dice.below(zones))))
        };
        // As many that are known already as make a percentage.
        let often = 60 * 100 / (until - BEGIN) as u64;
        let names = 20 / zones + 1;
        let again =
            move |dice: &mut Dice| (customer(dice), format!("real{}.{}", dice.below(names), victim(dice.below(zones))));
        hour.play(
            &mut [
                people(),
                known(zones),
                flow(minute, (BEGIN, until), random),
                flow(often, (BEGIN - 120, until), again),
            ],
            |net, second| {
                let then = match second {
                    _ if second == BEGIN => servers,
                    _ if second == until => Servers::alive(BEAR),
                    _ => return,
                };
                (0..zones).for_each(|number| net.set_servers(&victim(number), then));
            },
        );
        hour.least("random names refused", hour.net.sum(FLOOD, BEGIN + 4, until).refused(), 0.9);
        // One name in a hundred is asked for the first time by then.
        hour.least("known names", hour.net.sum(3, BEGIN, until).success(), 0.98);
        hour.least("known names, a minute later", hour.net.sum(KNOWN, until + 60, HOUR).success(), 0.995);
        hour.most("questions a second to the zone", hour.busiest(&victim(0)), BEAR);
        hour.end()
    }
}

const SLOW: Servers = Servers { rtt: Duration::from_secs(2), ..Servers::alive(BEAR) };
/// A flood of one zone, of ten and of a hundred: as many random names in all.
const ONE: Torture = Torture { zones: 1, servers: Servers::alive(BEAR), minute: 600, until: END, bots: 2_000 };
const TEN: Torture = Torture { zones: 10, minute: 6_000, until: BEGIN + 40, ..ONE };
const HUNDRED: Torture = Torture { zones: 100, minute: 60_000, until: BEGIN + 8, ..ONE };

/// A referral or an alias that costs somebody dear: names below it, twenty a minute.
fn trap(seed: u64, serves: Serves, name: fn(u64) -> String) -> Hour {
    let mut hour = Hour::new(seed);
    (0..3).for_each(|number| hour.net.zone(&format!("victim{number}.net"), Servers::alive(1e6), exists, 300));
    hour.net.hostile(EVIL, serves, Duration::from_millis(20));
    let mut number = 0;
    let ask = |dice: &mut Dice| {
        number += 1;
        (bot(dice), name(number))
    };
    hour.play(&mut [people(), known(1), flow(30, ATTACK, ask)], |_, _| {});
    // And two for where the zone is.
    hour.most("packets a question", hour.cost(&[EVIL, "victim0.net", "victim1.net", "victim2.net"]), 20.1);
    hour.end()
}

/// A name in a delegation of its own.
fn below(number: u64) -> String {
    format!("www.s{number}.{EVIL}")
}

/// A name of a hundred labels.
fn deep(number: u64) -> String {
    format!("{}s{number}.{EVIL}", "d.".repeat(100))
}

/// The first of a chain of aliases.
fn first_link(number: u64) -> String {
    format!("{}l0-{number}.{EVIL}", "a.".repeat(10))
}

/// Random names of a zone whose servers are so, and what people ask for, all by one address.
fn one_address(seed: u64, servers: Servers) -> Hour {
    let mut hour = Hour::new(seed).victims(1);
    let address = Ipv4Addr::new(10, 1, 1, 1);
    let random = |dice: &mut Dice| (address, format!("{}.{}", random_label(dice), victim(0)));
    let own = |dice: &mut Dice| (address, format!("www.site{}.com", dice.below(500)));
    hour.play(&mut [people(), known(1), flow(600, ATTACK, random), flow(30, (0, HOUR), own)], |net, second| {
        if second == BEGIN || second == END {
            net.set_servers(&victim(0), if second == BEGIN { servers } else { Servers::alive(BEAR) });
        }
    });
    hour.least("what the same address asks for", hour.net.sum(3, 0, HOUR).success(), 0.99);
    hour.least("random names refused", hour.net.sum(FLOOD, BEGIN + 10, END).refused(), 0.9);
    hour.end()
}

/// Names of zones that nobody has heard of, each once.
fn drip(seed: u64, servers: Servers, exists: Exists) -> Hour {
    let mut hour = Hour::new(seed);
    (0..500).for_each(|number| hour.net.zone(&format!("site{number}.com"), Servers::alive(1e6), |_| true, 300));
    let mut number = 0;
    let ask = |dice: &mut Dice| {
        number += 1;
        (bot(dice), format!("www.drip{number}.net"))
    };
    let back = |dice: &mut Dice| (customer(dice), format!("www.back{}.net", dice.next()));
    hour.net.set_others_to(servers, exists);
    hour.play(&mut [people(), known(1), flow(300, ATTACK, ask), flow(20, (END, HOUR), back)], |net, second| {
        if second == END {
            net.set_others_to(Servers::alive(1e6), |_| true);
        }
    });
    hour.least("five seconds after the end", hour.net.sum(3, END + 5, HOUR).success(), 0.995);
    hour.end()
}

/// Every server is out of reach for two minutes. Of the people's names two in three are not in the cache by then.
fn outage(seed: u64) -> Hour {
    let mut hour = Hour::new(seed);
    let used = |dice: &mut Dice| (customer(dice), format!("www.used{}.org", dice.below(20)));
    hour.play(&mut [people(), known(1), flow(30, (0, HOUR), used)], |net, second| {
        net.cut = (BEGIN..BEGIN + 120).contains(&second);
    });
    let during = hour.net.sum(2, BEGIN, BEGIN + 120).success();
    let after = [PEOPLE, 2].map(|stream| hour.net.sum(stream, BEGIN + 123, HOUR).success());
    hour.least("cached or stale", during, 0.95);
    hour.least("three seconds after it", after[0].min(after[1]), 0.995);
    hour.end_with(0.96)
}

/// Killed and started anew in the midst of water torture.
fn restart(seed: u64) -> Hour {
    let mut hour = Hour::new(seed).victims(1);
    let random = |dice: &mut Dice| (bot(dice), format!("{}.{}", random_label(dice), victim(0)));
    const AT: usize = 800;
    hour.play(&mut [people(), known(1), flow(600, ATTACK, random)], |net, second| {
        if second == AT {
            net.restart();
        }
    });
    let sum = |stream, from, until| hour.net.sum(stream, from, until);
    let known = sum(KNOWN, AT + 4, AT + 64).success();
    let refused = sum(FLOOD, AT + 8, END).refused();
    hour.least("known names in the minute after it", known, 0.95);
    hour.least("random names refused after it", refused, 0.9);
    hour.most("questions a second to the zone", hour.busiest(&victim(0)), BEAR);
    hour.end()
}

/// Large sets by the thousand, and names that are asked for every hundred seconds.
fn flush(seed: u64) -> Hour {
    let cache = maeslant::cache::Policy { memory: 16 << 20, ..Default::default() };
    let mut hour = Hour::sized(seed, &cache, |_| {});
    hour.net.hostile(EVIL, hostile::large, Duration::from_millis(20));
    hour.net.zone("quiet.com", Servers::alive(1e6), |_| true, 3_600);
    let mut number = 0;
    let large = |dice: &mut Dice| {
        number += 1;
        (bot(dice), format!("x{number}.{EVIL}"))
    };
    let quiet = |dice: &mut Dice| (customer(dice), format!("w{}.quiet.com", dice.below(100)));
    hour.play(&mut [people(), flow(60, (0, END), quiet), flow(600, ATTACK, large)], |_, _| {});
    let missed: u32 = hour.net.came("quiet.com").iter().take(END).skip(BEGIN + 60).sum();
    let asked = hour.net.sum(1, BEGIN + 60, END).asked;
    hour.most("quiet names that were gone", f64::from(missed) / f64::from(asked), 0.02);
    hour.end()
}

/// A slow zone, and two hundred questions at once, seemingly from one address, once a minute.
fn pulse(seed: u64) -> Hour {
    let mut hour = Hour::new(seed);
    hour.net.zone("slow.com", Servers { rtt: Duration::from_secs(1), ..Servers::alive(1e6) }, |_| true, 300);
    hour.net.left.insert(FLOOD, Vec::new());
    let mut number = 0;
    let bomb = move |net: &mut Internet, _: &mut Dice, stream: usize| {
        for _ in 0..200 {
            number += 1;
            net.ask(stream, Ipv4Addr::new(10, 66, 0, 1), &format!("x{number}.slow.com"));
        }
    };
    hour.play(&mut [people(), known(1), Flow(1, ATTACK, Box::new(bomb))], |_, _| {});
    let left = hour.net.left.remove(&FLOOD).unwrap_or_default();
    let within = |from: u64| left.iter().filter(|at| (from..from + 100_000_000).contains(*at)).count();
    let step = left.chunk_by(|a, b| b - a < SECOND).flat_map(|pulse| pulse.iter().step_by(20)).copied();
    let pulse = step.map(within).max().unwrap_or(0);
    hour.most("answers in a tenth of a second", pulse as f64, 61.0);
    let (in_, out) = hour.net.octets[FLOOD];
    hour.most("octets out for each that came in", out as f64 / in_ as f64, 10.0);
    hour.end()
}

/// Junk and forgeries before every answer of a zone.
fn junk(seed: u64) -> Hour {
    let mut hour = Hour::new(seed);
    hour.net.hostile("bank.net", hostile::junk_first, Duration::from_millis(20));
    let mut number = 0;
    let ask = |dice: &mut Dice| {
        number += 1;
        (customer(dice), format!("www{}.bank.net", number % 500))
    };
    hour.play(&mut [people(), known(1), flow(60, (0, HOUR), ask)], |_, _| {});
    hour.least("answers behind junk", hour.net.sum(FLOOD, 0, HOUR).success(), 0.995);
    hour.most("forged answers", f64::from(hour.net.poisoned), 0.0);
    hour.end()
}

/// A packet of some kind, over and over, from who never gets more than he sends.
struct Barrage {
    /// Packets a minute.
    minute: u64,
    /// What there would be, of which this is so small a part. Rations are scaled by it: of a hundred packets a second in
    /// place of ten thousand some six are within what all strangers may be sent, as 655 are of ten thousand.
    scale: u64,
    /// Octets out for each that came in.
    most: f64,
}

impl Barrage {
    fn play(&self, seed: u64, from: fn(&mut Dice) -> Ipv4Addr, packet: fn(&mut Dice) -> Vec<u8>) -> Hour {
        let mut hour = Hour::sized(seed, &maeslant::cache::Policy::default(), |policy| {
            let limits = &mut policy.access.limits;
            limits.ration /= self.scale;
            limits.same_answer_ration /= self.scale;
            limits.stranger_ration /= self.scale;
        });
        hour.net.come_by_tcp.extend([PEOPLE, KNOWN]);
        let packets = packets(self.minute, ATTACK, |dice| (from(dice), packet(dice)));
        hour.play(&mut [people(), known(1), packets], |_, _| {});
        let (in_, out) = hour.net.octets[FLOOD];
        hour.most("octets out for each that came in", out as f64 / in_ as f64, self.most);
        hour.end()
    }
}

const FEW: Barrage = Barrage { minute: 600, scale: 1, most: 1.0 };
/// Those who had a first answer before it was found out that nobody comes have a few more.
const MANY: Barrage = Barrage { minute: 6_000, scale: 100, most: 1.01 };

/// Anybody among eight million addresses, none of them a customer's.
fn anybody(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::from(0x0a80_0000 | dice.below(1 << 23) as u32)
}

/// One network of which an attacker would like to be rid.
fn whom_they_hate(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::from(0x0a42_0000 | dice.below(256) as u32)
}

/// A question for a name that everybody asks for.
fn hot(dice: &mut Dice) -> Vec<u8> {
    question("www.site1.com", 1, dice.next() as u16)
}

/// A question for all that there is of a name.
fn all(dice: &mut Dice) -> Vec<u8> {
    question("site1.com", 255, dice.next() as u16)
}

/// What would be a question if it did not say that it is an answer.
fn response(dice: &mut Dice) -> Vec<u8> {
    let mut packet = hot(dice);
    packet[2] |= 0x80;
    packet
}

/// A question with as many options as it has room for.
fn options(dice: &mut Dice) -> Vec<u8> {
    let mut packet = question(&format!("www.site{}.com", dice.below(500)), 1, dice.next() as u16);
    packet[11] = 1;
    let options: Vec<u8> = (0..3_000u32).flat_map(|number| [0xfd, number as u8, 0, 0]).collect();
    packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
    packet.extend((options.len() as u16).to_be_bytes());
    packet.extend(options);
    packet
}

/// New rules every minute, in place of those before.
fn rules(seed: u64) -> Hour {
    let mut hour = Hour::new(seed).victims(1);
    let random = |dice: &mut Dice| (bot(dice), format!("{}.{}", random_label(dice), victim(0)));
    hour.play(&mut [people(), known(1), flow(600, ATTACK, random)], |net, second| {
        if second % 60 == 30 {
            net.change(|policy| policy.access.limits.client_burst = 2_000 + second);
        }
    });
    hour.least("random names refused", hour.net.sum(FLOOD, BEGIN + 10, END).refused(), 0.9);
    hour.least("known names", hour.net.sum(KNOWN, BEGIN, END).success(), 0.98);
    hour.end()
}

/// One client asks for one name, more than its share, and the server feels it.
fn one_client(seed: u64) -> Hour {
    let mut hour = Hour::sized(seed, &maeslant::cache::Policy::default(), |policy| {
        (policy.access.limits.client_rate, policy.access.limits.client_burst) = (2, 4);
        policy.access.limits.miss_cost = 1;
    });
    let hot = |_: &mut Dice| (Ipv4Addr::new(10, 66, 0, 1), "www.site1.com".to_owned());
    hour.play(&mut [people(), known(1), flow(600, ATTACK, hot)], |net, second| {
        let busy = if (BEGIN..END).contains(&second) { 0.97 } else { 0.1 };
        net.pressure = Pressure { busy, ..Pressure::default() };
    });
    hour.most(
        "answers a second to who floods",
        f64::from(hour.net.sum(FLOOD, BEGIN + 30, END).found) / (END - BEGIN - 30) as f64,
        2.5,
    );
    hour.end()
}

/// Two zones whose name servers are in each other.
fn circle(seed: u64) -> Hour {
    let mut hour = Hour::new(seed);
    hour.net.point("east.com", "ns.b.west.net");
    hour.net.point("west.net", "ns.a.east.com");
    let ask = |dice: &mut Dice| {
        (bot(dice), format!("{}.{}", random_label(dice), ["east.com", "west.net"][dice.below(2) as usize]))
    };
    hour.play(&mut [people(), known(1), flow(300, ATTACK, ask)], |_, _| {});
    let packets: u32 = ["east.com", "west.net"].iter().filter_map(|domain| hour.net.about.get(*domain)).sum();
    hour.most("packets a minute", f64::from(packets) * 60.0 / (END - BEGIN) as f64, 12.0);
    hour.end()
}

/// A test for each attack.
macro_rules! hours {
    ($($name:ident: $attack:expr;)*) => {
        $(#[test]
        fn $name() {
            twenty($attack);
        })*
    };
}

hours! {
    a1_one_client_floods: one_client;
    a2_forged_addresses: |seed| MANY.play(seed, anybody, hot);
    a3_one_zone_alive: |seed| ONE.play(seed);
    a3_one_zone_slow: |seed| Torture { servers: SLOW, ..ONE }.play(seed);
    a3_one_zone_dead: |seed| Torture { servers: Servers::DEAD, ..ONE }.play(seed);
    a3_one_zone_by_one_client: |seed| Torture { bots: 1, ..ONE }.play(seed);
    a3_ten_zones_alive: |seed| TEN.play(seed);
    a3_ten_zones_slow: |seed| Torture { servers: SLOW, ..TEN }.play(seed);
    a3_ten_zones_dead: |seed| Torture { servers: Servers::DEAD, ..TEN }.play(seed);
    a3_a_hundred_zones_alive: |seed| HUNDRED.play(seed);
    a3_a_hundred_zones_slow: |seed| Torture { servers: SLOW, ..HUNDRED }.play(seed);
    a3_a_hundred_zones_dead: |seed| Torture { servers: Servers::DEAD, ..HUNDRED }.play(seed);
    a4_behind_one_address_alive: |seed| one_address(seed, Servers::alive(BEAR));
    a4_behind_one_address_dead: |seed| one_address(seed, Servers::DEAD);
    a5_a_drip_of_dead_zones: |seed| drip(seed, Servers::DEAD, |_| true);
    a5_a_drip_of_names_that_do_not_exist: |seed| drip(seed, Servers::alive(1e6), |_| false);
    a6_servers_without_addresses: |seed| trap(seed, hostile::glueless, below);
    a7_servers_that_are_dead: |seed| trap(seed, hostile::to_the_dead, below);
    a8_zones_ever_deeper: |seed| trap(seed, hostile::ever_deeper, deep);
    a9_zones_in_a_circle: circle;
    a10_aliases_and_servers_without_addresses: |seed| trap(seed, hostile::aliases, first_link);
    a13_large_sets: flush;
    a14_a_bomb_of_answers: pulse;
    a15_junk_before_the_answer: junk;
    a17_servers_at_the_parents_own_address: |seed| trap(seed, hostile::to_itself, below);
    a18_stairs_of_pointers: |seed| trap(seed, hostile::staircase, below);
    a19_thousands_of_options: |seed| FEW.play(seed, bot, options);
    a20_responses: |seed| Barrage { most: 0.0, ..FEW }.play(seed, anybody, response);
    a21_a_network_that_never_asked: |seed| MANY.play(seed, whom_they_hate, all);
    a24_every_server_is_out_of_reach: outage;
    a25_a_restart_under_fire: restart;
    a26_rules_that_change: rules;
}

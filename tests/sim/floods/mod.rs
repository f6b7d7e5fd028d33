//! Floods of names that do not exist, and what customers notice of them.

mod internet;

use std::net::Ipv4Addr;
use std::time::Duration;

use internet::{Internet, SECOND, Servers};

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
    fn run(&self) -> Internet {
        let mut net = Internet::new(self.seed, |_| {});
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
        let net = self.run();
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

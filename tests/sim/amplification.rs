//! What one question of a client costs at most, where somebody makes it cost as much as he can.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use maeslant::engine::Transport;

use super::client::Query;
use super::dice::Dice;
use super::scenario::Scenario;
use super::steps;
use super::text;
use super::world::World;

#[test]
fn a_chain_of_deep_aliases_costs_a_packet_a_link() {
    // A10, CAMP: twenty aliases of ten labels each in one zone, and a delegation without addresses at their end.
    let mut world = "use small\nseeds 5\nextend com\n  zone com.\n    evil.com. 3600 NS ns.evil.com.\n    \
        ns.evil.com. 3600 A 192.0.2.66\nserver evil 192.0.2.66\n  zone evil.com.\n    \
        evil.com. 3600 SOA ns.evil.com. a.evil.com. 1 2 3 4 60\n    evil.com. 3600 NS ns.evil.com.\n    \
        ns.evil.com. 3600 A 192.0.2.66\n"
        .to_string();
    let deep = "a.".repeat(10);
    let mut name = |link: u32| {
        let _ = writeln!(
            world,
            "  when {deep}l{link}.evil.com. A\n    answer {deep}l{link}.evil.com. 300 CNAME {deep}l{}.evil.com.",
            link + 1
        );
    };
    (0..20).for_each(&mut name);
    let _ = writeln!(
        world,
        "at 0s\nask www.shop.com. A\nexpect NOERROR any\nsettle\nreset\nask {deep}l0.evil.com. A\n\
         expect SERVFAIL any\nsent total <= 20\nreset\nask {deep}l0.evil.com. A\nexpect SERVFAIL any within 0ms\n\
         sent total 0"
    );
    steps::play_text(&world);
}

/// Packets that one question may cause toward one address, here each a network of its own, or one zone.
const TOWARD: u32 = 20;
/// The same in octets.
const OCTETS: usize = 20_000;
/// What the last answer may be on top: of whoever makes it so large himself, all that a message holds.
const LARGEST: [usize; 2] = [1_232, 65_535];

/// The small Internet with evil.com, whose server follows `rules`, three zones of a victim with a server each, and `more`.
fn world_with(rules: &str, more: &str, seed: u64) -> World {
    let mut text = "use small\nextend com\n  zone com.\n    evil.com. 172800 NS ns.evil.com.\n    \
        ns.evil.com. 172800 A 192.0.2.66\nextend net\n  zone net.\n"
        .to_owned();
    for victim in 0..3 {
        let _ = writeln!(text, "    victim{victim}.net. 172800 NS ns.victim{victim}.net.");
        let _ = writeln!(text, "    ns.victim{victim}.net. 172800 A 192.0.2.{}", 70 + victim);
    }
    for victim in 0..3 {
        let zone = format!("victim{victim}.net.");
        let _ = writeln!(text, "server victim{victim} 192.0.2.{}\n  zone {zone}", 70 + victim);
        let _ = writeln!(text, "    {zone} 3600 SOA ns.{zone} admin.{zone} 1 1800 900 604800 300");
        let _ = writeln!(text, "    ns.{zone} 3600 A 192.0.2.{}", 70 + victim);
        let _ = writeln!(text, "    *.dead.{zone} 3600 A 198.51.100.{victim}");
        let _ = writeln!(text, "    *.lame.{zone} 3600 A 192.0.2.{}", 70 + victim);
    }
    let _ = writeln!(text, "{more}\nserver evil 192.0.2.66\n{rules}");
    let scenario = Scenario::parse(&text).unwrap_or_else(|what| panic!("{what}\n{text}"));
    World::new(scenario.policy, &scenario.cache, scenario.servers, seed).quiet()
}

/// Asks for a name, waits for the end, and returns what each address has had of it.
fn ask(world: &mut World, name: &str) -> HashMap<IpAddr, (u32, usize)> {
    world.toward.clear();
    let before = world.asks;
    let number = world.asked.len();
    let client = SocketAddr::from(([127, 0, 0, 1], 20_000 + number as u16 % 30_000));
    let query = Query::new(text::name(name).expect("a name"), RecordType::A, number as u16);
    world.ask(client, Transport::Udp, query.to_bytes());
    world.settle(Duration::from_secs(20)).expect("it ends");
    assert!(world.asked[number].reply.is_some(), "{name} has an answer");
    assert!(world.asks - before <= 50, "{name}: {} packets", world.asks - before);
    std::mem::take(&mut world.toward)
}

/// What all these questions together cost, one every `every`; each of them stays within its account.
fn ask_all(world: &mut World, names: impl Iterator<Item = String>, every: Duration) -> HashMap<IpAddr, (u32, usize)> {
    let mut sum: HashMap<IpAddr, (u32, usize)> = HashMap::new();
    for name in names {
        let next = world.now + every.as_nanos() as u64;
        for (address, (packets, octets)) in ask(world, &name) {
            assert!(packets <= TOWARD, "{name}: {packets} packets to {address}");
            let own = address == IpAddr::from([192, 0, 2, 66]);
            assert!(octets <= OCTETS + LARGEST[usize::from(own)], "{name}: {octets} octets from {address}");
            let all = sum.entry(address).or_default();
            *all = (all.0 + packets, all.1 + octets);
        }
        world.advance(next);
    }
    sum
}

fn packets(sum: &HashMap<IpAddr, (u32, usize)>, last: u8) -> u32 {
    sum.get(&IpAddr::from([192, 0, 2, last])).map_or(0, |(packets, _)| *packets)
}

#[test]
fn a_delegation_to_a_victims_names_costs_the_victim_little_and_less_when_asked_again() {
    // A6, NXNSAttack: 1,500 name servers without addresses in three zones of a victim.
    let mut rules = "  when *.evil.com. *\n    flag !aa\n".to_owned();
    for victim in 0..3 {
        let _ = writeln!(rules, "    repeat 500 authority sub.evil.com. 300 NS n{{n}}.victim{victim}.net.");
    }
    for seed in 1..=3 {
        let mut world = world_with(&rules, "", seed);
        let first = ask_all(&mut world, ["www.sub.evil.com.".to_owned()].into_iter(), Duration::ZERO);
        let victims = |sum: &HashMap<IpAddr, (u32, usize)>| (70..73).map(|last| packets(sum, last)).sum::<u32>();
        assert!(victims(&first) <= TOWARD, "{first:?}");
        let minute = ask_all(&mut world, (0..600).map(|n| format!("x{n}.sub.evil.com.")), Duration::from_millis(100));
        // Some six tries of it: before 2, 4, 8, 16 and 30 seconds have passed in vain.
        assert!(victims(&minute) <= 6 * TOWARD, "a minute of names: {minute:?}");
    }
}

#[test]
fn a_delegation_to_the_dead_is_left_alone() {
    // A7, NRDelegation: 1,500 name servers, all with addresses of a victim at which nobody is, or nobody who serves it.
    for kind in ["dead", "lame"] {
        let rules = format!(
            "  when *.evil.com. *\n    flag !aa\n    repeat 1500 authority sub.evil.com. 300 NS n{{n}}.{kind}.victim0.net.\n"
        );
        let mut world = world_with(&rules, "", 1);
        for number in 0..1_500u64 {
            let client = SocketAddr::from(([127, 0, 0, 1], 20_000 + number as u16));
            let name = text::name(&format!("x{number}.sub.evil.com.")).expect("a name");
            world.ask(client, Transport::Udp, Query::new(name, RecordType::A, number as u16).to_bytes());
            world.advance(1_000_000_000 + (number + 1) * 20_000_000);
        }
        world.settle(Duration::from_secs(20)).expect("it ends");
        let toward = |last: [u8; 4]| world.toward.get(&IpAddr::from(last)).map_or(0, |(packets, _)| *packets);
        let (named, dead) = (toward([192, 0, 2, 70]), toward([198, 51, 100, 0]));
        // In half a minute, at fifty questions a second: the names are looked for in vain some eight times; it takes
        // five seconds to find out that nobody is there, and from then on there is a probe a second.
        // Whoever refuses a name may serve the next one: he is asked for each, once.
        let names = if kind == "lame" { 1_500 + 8 * TOWARD } else { 8 * TOWARD };
        assert!(named <= names && dead <= 5 * 50 + 25, "{kind}: {named} {dead} {:?}", world.toward);
    }
}

#[test]
fn a_chain_of_three_hundred_zones_ends_early() {
    // A8: every label another zone cut, and every cut another name server's name.
    let rules = "  when *.evil.com. *\n    flag !aa\n    authority {qname} 300 NS ns.{qname}\n    \
        additional ns.{qname} 300 A 192.0.2.66\n";
    let name = "d.".repeat(120) + "evil.com.";
    let mut world = world_with(rules, "", 1);
    let first = ask(&mut world, &name);
    assert!(packets(&first, 66) <= TOWARD, "{first:?}");
    assert_eq!(ask(&mut world, &name), HashMap::new(), "asked again at once");
}

#[test]
fn two_zones_that_point_at_each_other_cost_next_to_nothing() {
    // A9, TsuNAME: a hundred questions a second for a minute, each for another name or type.
    let more = "extend com\n  zone com.\n    east.com. 172800 NS ns.b.west.net.\nextend net\n  zone net.\n    \
        west.net. 172800 NS ns.a.east.com.\n";
    let mut world = world_with("", more, 1);
    let side = |n: u32| if n.is_multiple_of(2) { "east.com." } else { "west.net." };
    let sum = ask_all(&mut world, (0..6_000).map(|n| format!("x{n}.{}", side(n))), Duration::from_millis(10));
    let all: u32 = sum.values().map(|(packets, _)| packets).sum();
    assert!(all <= 12, "{sum:?}");
}

#[test]
fn glue_that_points_at_the_parents_own_servers_is_asked_thrice_at_most() {
    // A17: thirteen name servers below the cut, all at the address that the referral came from.
    let rules = "  when *.evil.com. *\n    flag !aa\n    repeat 13 authority sub.evil.com. 300 NS n{n}.sub.evil.com.\n    \
        repeat 13 additional n{n}.sub.evil.com. 300 A 192.0.2.66\n";
    for seed in 1..=5 {
        let mut world = world_with(rules, "", seed);
        let first = ask(&mut world, "www.sub.evil.com.");
        assert!(packets(&first, 66) <= 3, "{first:?}");
        let again = ask_all(&mut world, (0..100).map(|n| format!("x{n}.sub.evil.com.")), Duration::from_millis(100));
        assert!(packets(&again, 66) <= 3 * 100, "{again:?}");
    }
}

/// A zone made by chance out of all that is known to make a question dear: aliases within and between zones, deep names,
/// delegations to names of a victim that are not there, dead, or lame, with and without glue, cuts below cuts, circles,
/// and answers that do not fit into a datagram.
fn composition(dice: &mut Dice) -> (String, String) {
    let mut rules = String::new();
    let deep = |dice: &mut Dice| "q.".repeat(dice.below(11) as usize);
    let links = dice.below(21);
    let mut name = format!("{}l0.evil.com.", deep(dice));
    let first = name.clone();
    for link in 1..=links {
        let next = match dice.below(4) {
            0 => format!("{}l{link}.s{}.evil.com.", deep(dice), dice.below(3)),
            _ => format!("{}l{link}.evil.com.", deep(dice)),
        };
        let _ = writeln!(rules, "  when {name} A\n    answer {name} 300 CNAME {next}");
        if dice.below(4) == 0 {
            let _ = writeln!(rules, "    repeat 40 additional pad{{n}}.evil.com. 300 TXT \"{}\"", "x".repeat(100));
        }
        name = next;
    }
    for cut in 0..3 {
        let zone = format!("s{cut}.evil.com.");
        let _ = writeln!(rules, "  when *.{zone} *\n    flag !aa");
        let servers = [1, 13, 400][dice.below(3) as usize];
        for _ in 0..=dice.below(3) {
            let victim = dice.below(3);
            let whom = match dice.below(6) {
                0 => format!("n{{n}}.victim{victim}.net."),
                1 => format!("n{{n}}.dead.victim{victim}.net."),
                2 => format!("n{{n}}.lame.victim{victim}.net."),
                3 => format!("n{{n}}.a.b.c.d.victim{victim}.net."),
                4 => format!("n{{n}}.s{}.evil.com.", dice.below(3)),
                _ => format!("n{{n}}.{zone}"),
            };
            let _ = writeln!(rules, "    repeat {servers} authority {zone} 300 NS {whom}");
            if dice.below(2) == 0 {
                let address = ["192.0.2.66", "192.0.2.70", "198.51.100.9"][dice.below(3) as usize];
                let _ = writeln!(rules, "    repeat {servers} additional {whom} 300 A {address}");
            }
        }
    }
    if dice.below(3) == 0 {
        let _ = writeln!(rules, "  when *.evil.com. *\n    flag !aa\n    authority {{qname}} 300 NS ns.{{qname}}");
        let _ = writeln!(rules, "    additional ns.{{qname}} 300 A 192.0.2.66");
    }
    (rules, first)
}

#[test]
fn no_composition_makes_anybody_bear_more_than_his_part() {
    for seed in 0..150 {
        let mut dice = Dice::new(seed);
        let (rules, name) = composition(&mut dice);
        let mut world = world_with(&rules, "", seed);
        for victim in 0..3 {
            let setting = ["up", "down", "largest=512"][dice.below(3) as usize];
            world.server(&format!("victim{victim}")).and_then(|server| server.set(setting)).expect("a setting");
        }
        let names = [name.clone(), name, "z.s0.evil.com.".to_owned(), "z.s1.evil.com.".to_owned()];
        println!("seed {seed}");
        let sum = ask_all(&mut world, names.into_iter(), Duration::ZERO);
        assert!(world.broken.is_empty(), "seed {seed}: {:?} {sum:?}", world.broken);
    }
}

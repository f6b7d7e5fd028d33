//! All upstreams are gone for two minutes, with customers asking on: what was known is answered, nobody is flooded when
//! they are back, and three seconds later nothing is left of it.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::SocketAddr;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use maeslant::engine::Transport;

use super::client::{self, Asked, Query};
use super::dice::Dice;
use super::scenario::Scenario;
use super::text;
use super::world::World;

const SECOND: u64 = 1_000_000_000;
const ZONES: u64 = 40;
const NAMES: u64 = 12;
/// Questions a second.
const RATE: u64 = 250;
/// One question in so many is for a name never asked before.
const COLD: u64 = 50;
/// Seconds: before it, with it, after it.
const BEFORE: u64 = 40;
const LOST: u64 = 120;
const AFTER: u64 = 12;

/// A root, a top-level domain, and zones with names of short and long lives.
fn world() -> String {
    let mut root = "hint k.root-servers.net. 192.0.2.1\nserver root 192.0.2.1\n  zone .\n    \
        . 86400 SOA k.root-servers.net. nstld.root-servers.net. 1 1800 900 604800 86400\n    \
        . 518400 NS k.root-servers.net.\n    k.root-servers.net. 518400 A 192.0.2.1\n    \
        com. 172800 NS a.gtld.com.\n    a.gtld.com. 172800 A 192.0.2.2\nserver com 192.0.2.2\n  zone com.\n    \
        com. 900 SOA a.gtld.com. admin.com. 1 1800 900 604800 900\n    com. 172800 NS a.gtld.com.\n    \
        a.gtld.com. 172800 A 192.0.2.2\n"
        .to_string();
    let mut zones = String::new();
    for zone in 0..ZONES {
        // Some delegations end while nobody can be asked.
        let life = if zone % 4 == 0 { 60 } else { 3_600 };
        let _ =
            writeln!(root, "    z{zone}.com. {life} NS ns.z{zone}.com.\n    ns.z{zone}.com. {life} A 192.0.3.{zone}");
        let _ = writeln!(
            zones,
            "server z{zone} 192.0.3.{zone}\n  zone z{zone}.com.\n    z{zone}.com. 3600 SOA ns.z{zone}.com. a.z{zone}.com. 1 2 3 4 60\n    \
             z{zone}.com. 3600 NS ns.z{zone}.com.\n    ns.z{zone}.com. 3600 A 192.0.3.{zone}\n    *.z{zone}.com. 300 A 198.51.100.9"
        );
        for name in 0..NAMES {
            let life = [5, 20, 60, 3_600][name as usize % 4];
            let _ = writeln!(zones, "    w{name}.z{zone}.com. {life} A 198.51.100.{name}");
        }
    }
    root + &zones
}

/// What became of a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Fresh,
    Stale,
    Failed,
    Nothing,
}

fn end(asked: &Asked) -> (End, u64) {
    let Some((at, reply)) = &asked.reply else { return (End::Nothing, u64::MAX) };
    let message = Message::from_vec(reply).expect("a reply that parses");
    let end = match (message.metadata.response_code.low(), message.answers.len()) {
        (0, 1..) if client::extended_errors(&message).contains(&3) => End::Stale,
        (0, 1..) => End::Fresh,
        _ => End::Failed,
    };
    (end, at - asked.at)
}

struct Question {
    asked: usize,
    second: u64,
    /// Its name has been answered before.
    known: bool,
}

struct Run {
    world: World,
    questions: Vec<Question>,
    /// Packets to servers, by second.
    sent: Vec<usize>,
}

/// Asks for so many seconds, with everything gone in the middle.
fn run(seed: u64) -> Run {
    let scenario = Scenario::parse(&world()).expect("a scenario");
    let mut world = World::new(scenario.policy, &scenario.cache, scenario.servers, seed).quiet();
    let mut dice = Dice::new(seed);
    let (mut questions, mut sent, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    let start = world.now;
    for second in 0..BEFORE + LOST + AFTER {
        if second == BEFORE || second == BEFORE + LOST {
            world.servers.iter_mut().for_each(|server| server.down = second == BEFORE);
        }
        let before = world.asks;
        for number in 0..RATE {
            world.advance(start + second * SECOND + number * SECOND / RATE);
            // The square of a share: some zones and names are asked for far more than others.
            let mut pick = |of: u64| dice.below(of) * dice.below(of) / of;
            let (zone, mut label) = (pick(ZONES), format!("w{}", pick(NAMES)));
            if dice.below(COLD) == 0 {
                label = format!("cold{}", questions.len());
            }
            let name = format!("{label}.z{zone}.com.");
            let query = Query::new(text::name(&name).expect("a name"), RecordType::A, number as u16);
            let from = SocketAddr::from(([127, 0, 0, 1], 10_000 + (number as u16)));
            let asked = world.ask(from, Transport::Udp, query.to_bytes());
            let before_the_cut = second + 1 < BEFORE;
            questions.push(Question { asked, second, known: known.contains(&name) });
            if before_the_cut {
                known.insert(name);
            }
        }
        sent.push(world.asks - before);
    }
    assert_eq!(world.broken, Vec::<String>::new(), "seed {seed}");
    world.settle(std::time::Duration::from_secs(20)).expect("it ends");
    Run { world, questions, sent }
}

impl Run {
    /// How the questions of some seconds ended, and after how many nanoseconds.
    fn ends(&self, seconds: std::ops::Range<u64>, known: bool) -> Vec<(End, u64)> {
        let chosen = self.questions.iter().filter(|q| seconds.contains(&q.second) && q.known == known);
        chosen.map(|q| end(&self.world.asked[q.asked])).collect()
    }
}

fn share(ends: &[(End, u64)], wanted: &[End]) -> f64 {
    ends.iter().filter(|(end, _)| wanted.contains(end)).count() as f64 / ends.len().max(1) as f64
}

#[test]
fn two_minutes_without_any_server_are_hardly_noticed() {
    for seed in 1..=3 {
        let run = run(seed);
        let (cut, back) = (BEFORE, BEFORE + LOST);
        let known = run.ends(cut..back, true);
        println!(
            "seed {seed}: of {} known, fresh {:.4}, stale {:.4}; packets a second before {:?}, without {:?}, after {:?}",
            known.len(),
            share(&known, &[End::Fresh]),
            share(&known, &[End::Stale]),
            run.sent[cut as usize - 1],
            run.sent[cut as usize..back as usize].iter().max(),
            &run.sent[back as usize..],
        );
        assert!(known.len() > 10_000, "seed {seed}: {} questions", known.len());
        assert!(share(&known, &[End::Fresh, End::Stale]) >= 0.999, "seed {seed}");
        assert!(known.iter().all(|(_, took)| *took <= 1_800_000_000), "seed {seed}: nobody waits longer than that");
        // At first nothing is known of the servers' silence.
        let cold = run.ends(cut..cut + 1, false);
        assert!(cold.iter().all(|(end, took)| *end != End::Failed || *took >= 1_800_000_000), "seed {seed}");
        // What asks on is a trickle, and what comes back is no storm.
        let (before, rate) = (run.sent[10..cut as usize].iter().max().copied().unwrap_or(0), RATE as usize);
        for (second, sent) in run.sent.iter().enumerate().skip(cut as usize) {
            let most = if second < cut as usize + 10 { 4 * rate } else { rate.max(before) };
            assert!(*sent <= most, "seed {seed}: {sent} packets in second {second}, {before} before");
        }
        let late = run.questions.iter().filter(|q| q.second >= back + 3);
        let late: Vec<_> = late.map(|q| (q, &run.world.asked[q.asked])).collect();
        let not_fresh: Vec<_> = late.iter().filter(|(_, asked)| end(asked).0 != End::Fresh).collect();
        for (question, asked) in not_fresh.iter().take(8) {
            let reply = asked.reply.as_ref().map(|(_, reply)| String::from_utf8_lossy(reply).into_owned());
            println!("second {}: {} {reply:?}", question.second, super::world::summary(&asked.packet));
        }
        assert!(not_fresh.is_empty(), "seed {seed}: {} of {} are not fresh", not_fresh.len(), late.len());
    }
}

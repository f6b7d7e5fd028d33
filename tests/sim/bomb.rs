//! Answers that are held back by a slow zone, and what leaves when they come (A14, DNSBomb).

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use maeslant::admission::{Mode, Reason};
use maeslant::engine::{DropReason, Policy, Transport};

use super::client::Query;
use super::scenario::Scenario;
use super::text;
use super::world::World;

/// The address that the questions seem to come from.
const VICTIM: [u8; 4] = [10, 66, 0, 1];

/// The small Internet with bomb.com, whose server takes `rtt`.
fn world(rtt: &str, change: impl FnOnce(&mut Policy)) -> World {
    let text = format!(
        "use small\nextend com\n  zone com.\n    bomb.com. 172800 NS ns.bomb.com.\n    ns.bomb.com. 172800 A 192.0.2.66\n\
         server bomb 192.0.2.66 rtt={rtt}\n  zone bomb.com.\n    \
         bomb.com. 3600 SOA ns.bomb.com. a.bomb.com. 1 2 3 4 60\n    *.bomb.com. 300 TXT \"{}\"\n",
        "x".repeat(250)
    );
    let mut scenario = Scenario::parse(&text).expect("a scenario");
    scenario.policy.access.allow = vec!["10.0.0.0/8".parse().expect("a prefix")];
    // This is about the pulse; how much an unproven network may have in all is looked at elsewhere.
    scenario.policy.access.limits.rations = Mode::Off;
    change(&mut scenario.policy);
    World::new(scenario.policy, &scenario.cache, scenario.servers, 1).quiet()
}

fn ask(world: &mut World, port: u16, name: &str, transport: Transport) -> usize {
    let query = Query::new(text::name(name).expect("a name"), RecordType::TXT, port);
    world.ask(SocketAddr::from((VICTIM, port)), transport, query.to_bytes())
}

/// When the answers left, in order, in nanoseconds.
fn times(world: &World) -> Vec<u64> {
    let mut times: Vec<u64> = world.asked.iter().filter_map(|asked| asked.reply.as_ref().map(|(at, _)| *at)).collect();
    times.sort_unstable();
    times
}

/// The most that left within a tenth of a second.
fn pulse(times: &[u64]) -> usize {
    let within = |from: u64| times.iter().filter(|at| (from..from + 100_000_000).contains(*at)).count();
    times.iter().map(|from| within(*from)).max().unwrap_or(0)
}

#[test]
fn answers_that_were_held_back_leave_one_by_one() {
    let mut bomb = world("1s", |_| {});
    for number in 0..500 {
        ask(&mut bomb, 1_000 + number, &format!("x{number}.bomb.com."), Transport::Udp);
    }
    bomb.settle(Duration::from_secs(20)).expect("it ends");
    let (times, counters) = (times(&bomb), bomb.engine.counters());
    let span = Duration::from_nanos(times[times.len() - 1] - times[0]);
    assert!(span >= Duration::from_secs(1) && pulse(&times) <= 20 + 41, "{span:?} {} {counters:?}", pulse(&times));
    assert_eq!(times.len(), 500, "nobody loses his answer: {counters:?}");
    assert!(counters.paced > 400 && counters.waiting == 0, "{counters:?}");
    // Without it they leave as they come; and without its quota the server is asked for all at once.
    let mut bomb = world("1s", |policy| {
        policy.access.limits.waits = Mode::Off;
        policy.resolve.server_quotas = Mode::Off;
    });
    for number in 0..500 {
        ask(&mut bomb, 1_000 + number, &format!("x{number}.bomb.com."), Transport::Udp);
    }
    bomb.settle(Duration::from_secs(20)).expect("it ends");
    assert!(pulse(&self::times(&bomb)) > 400);
}

#[test]
fn one_address_waits_for_one_question_so_many_times_and_others_do_not_notice() {
    let mut bomb = world("1s", |_| {});
    let questions: Vec<usize> =
        (0..1_000).map(|n| ask(&mut bomb, 1_000 + n, "big.bomb.com.", Transport::Udp)).collect();
    let stream = ask(&mut bomb, 4_000, "big.bomb.com.", Transport::Tcp);
    let other = SocketAddr::from(([10, 1, 1, 1], 4_000));
    let query = Query::new(text::name("big.bomb.com.").expect("a name"), RecordType::TXT, 7);
    let other = bomb.ask(other, Transport::Udp, query.to_bytes());
    bomb.settle(Duration::from_secs(20)).expect("it ends");
    let answered = questions.iter().filter(|number| bomb.asked[**number].reply.is_some()).count();
    let counters = bomb.engine.counters();
    assert_eq!((answered, counters.dropped[DropReason::Waiting as usize]), (32, 968));
    assert_eq!(counters.door.turned[Reason::Waiting as usize], 968);
    assert!(bomb.asked[stream].reply.is_some() && bomb.asked[other].reply.is_some());
}

#[test]
fn what_comes_later_than_a_client_waits_is_kept_and_not_sent() {
    let impatient = |mode: Mode| {
        move |policy: &mut Policy| {
            policy.access.limits.waits = mode;
            policy.access.limits.patience = Duration::from_secs(1);
        }
    };
    let mut late = world("1300ms", impatient(Mode::Enforce));
    let datagram = ask(&mut late, 1_000, "big.bomb.com.", Transport::Udp);
    let stream = ask(&mut late, 1_001, "big.bomb.com.", Transport::Tcp);
    late.settle(Duration::from_secs(20)).expect("it ends");
    assert!(late.asked[datagram].reply.is_none() && late.asked[stream].reply.is_some());
    let counters = late.engine.counters();
    assert_eq!(counters.dropped[DropReason::Late as usize], 1, "{counters:?}");
    let asks = late.asks;
    let again = ask(&mut late, 1_002, "big.bomb.com.", Transport::Udp);
    assert!(late.asked[again].reply.is_some() && late.asks == asks, "from the cache");
    let mut seen = world("1300ms", impatient(Mode::Observe));
    let datagram = ask(&mut seen, 1_000, "big.bomb.com.", Transport::Udp);
    seen.settle(Duration::from_secs(20)).expect("it ends");
    assert!(seen.asked[datagram].reply.is_some());
    assert_eq!(seen.engine.counters().door.observed[Reason::Late as usize], 1);
}

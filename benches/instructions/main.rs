//! Instructions a query on the way of a cache hit, counted by callgrind, so that they are the same on a busy machine.
//!
//! `cargo bench --bench instructions` compares them with `benches/instructions/counts` and fails where one has grown by
//! more than a tenth; `-- --write` puts the new ones there, to be committed with what changed them. Needs valgrind.

use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use maeslant::admission::{Asking, Books, Departing, Door, Level, Pressure, Sizes, Verdict};
use maeslant::cache::{Rank, RrSet};
use maeslant::clock::{Moment, Now, UnixTime};
use maeslant::engine::{Client, Disposition, Engine, Policy, Route, Shared, Transport};
use maeslant::wire::{Name, QueryView, Rtype};

/// What is counted, and what it is.
const CASES: [(&str, &str); 10] = [
    ("view", "a query is read in place"),
    ("door", "an unproven client of four prefix levels is judged, and its answer let go"),
    ("door-new", "the same for one that was never seen before"),
    ("hit", "a query for a hot answer, from the packet to the response"),
    ("hit-edns", "the same with EDNS, as most stubs ask"),
    ("hit-guard", "the same without, under pressure: everybody pays, and has his share and no more"),
    ("shared", "a query that the slow path composes from the cache of all shards"),
    ("local", "a query that the slow path composes: nothing hot, nothing asked"),
    ("refused", "a query from outside [access] allow, beyond the rate of REFUSED: silence"),
    ("limited", "a query of a client far beyond its share, under pressure: silence to most"),
];
/// Queries in the shorter of two runs; the longer has twice as many, and the difference counts.
const QUERIES: u32 = 40_000;
/// Clients that ask, one after the other.
const CLIENTS: u32 = 1 << 10;
/// How much more than the kept count is too much.
const TOLERANCE: f64 = 1.10;
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/counts");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [run, case, queries] if run == "--run" => {
            work(case, queries.parse().expect("a number"));
            ExitCode::SUCCESS
        }
        [write] if write == "--write" => {
            let text: String = CASES.iter().map(|(case, _)| format!("{case} {:.0}\n", count(case))).collect();
            print!("{text}");
            fs::write(KEPT, text).expect("the counts can be written");
            ExitCode::SUCCESS
        }
        _ => compare(),
    }
}

fn compare() -> ExitCode {
    let kept = fs::read_to_string(KEPT).expect("benches/instructions/counts");
    let mut grown = 0;
    for (case, text) in CASES {
        let before = kept.lines().find_map(|line| line.strip_prefix(case)?.strip_prefix(' ')?.parse::<f64>().ok());
        let before = before.unwrap_or_else(|| panic!("{case} has no line in {KEPT}"));
        let now = count(case);
        let worse = now > before * TOLERANCE;
        grown += u8::from(worse);
        println!("{case:<10} {now:>7.0} instructions, kept {before:>7.0}{}  {text}", if worse { " GROWN" } else { "" });
    }
    if grown > 0 {
        println!(
            "{grown} have grown by more than a tenth: mend that, or say why and write the new counts (-- --write)"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Instructions a query.
fn count(case: &str) -> f64 {
    let run = |queries: u32| {
        let program = std::env::current_exe().expect("this program");
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args(["--run", case, &queries.to_string()])
            .output()
            .expect("valgrind is installed");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let collected = said.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse::<u64>().ok());
        collected.unwrap_or_else(|| panic!("callgrind tells no count: {said}"))
    };
    run(QUERIES * 2).saturating_sub(run(QUERIES)) as f64 / f64::from(QUERIES)
}

fn now(number: u32) -> Now {
    // A batch has one time.
    let mono = Moment::from_nanos(3_600_000_000_000 + u64::from(number / 64) * 400_000);
    Now { mono, age: mono, unix: UnixTime(1_750_000_000) }
}

/// The address of one of so many clients, spread over a /8.
fn address(number: u32, clients: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | ((number % clients).wrapping_mul(2_654_435_761) >> 8)))
}

fn client(number: u32, clients: u32) -> Client {
    let route = Route { socket: 0, local: None };
    Client { addr: SocketAddr::new(address(number, clients), 4000), transport: Transport::Udp, route }
}

/// `www.maeslant.example A` with RD, with an OPT record if `edns`.
fn query(edns: bool) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    packet.extend_from_slice(b"\x03www\x08maeslant\x07example\0\0\x01\0\x01");
    if edns {
        packet.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0\0");
    }
    packet
}

fn work(case: &str, queries: u32) {
    let plain = query(false);
    let edns = query(true);
    let inside = "10.0.0.0/8";
    match case {
        "view" => view(queries),
        "door" => door(queries, CLIENTS),
        "door-new" => door(queries, 0),
        "hit" => ask(queries, &plain, &Case { from: From::Hot, allow: inside, level: Level::Open, clients: CLIENTS }),
        "hit-edns" => {
            ask(queries, &edns, &Case { from: From::Hot, allow: inside, level: Level::Open, clients: CLIENTS })
        }
        "hit-guard" => {
            ask(queries, &plain, &Case { from: From::Hot, allow: inside, level: Level::Guard, clients: CLIENTS })
        }
        "shared" => {
            ask(queries, &edns, &Case { from: From::Shared, allow: inside, level: Level::Open, clients: CLIENTS })
        }
        "local" => {
            ask(queries, &edns, &Case { from: From::Local, allow: inside, level: Level::Open, clients: CLIENTS })
        }
        "refused" => ask(
            queries,
            &edns,
            &Case { from: From::Local, allow: "192.0.2.0/24", level: Level::Open, clients: CLIENTS },
        ),
        "limited" => ask(queries, &plain, &Case { from: From::Hot, allow: inside, level: Level::Guard, clients: 1 }),
        _ => panic!("no such case: {case}"),
    }
}

fn view(queries: u32) {
    let packet = query(true);
    for _ in 0..queries {
        let _ = black_box(QueryView::parse(black_box(&packet)));
    }
}

fn door(queries: u32, known: u32) {
    let policy =
        maeslant::admission::Policy { allow: vec!["10.0.0.0/8".parse().expect("a prefix")], ..Default::default() };
    let books = Books::new(&Sizes::default(), &[3; 32]);
    let mut door = Door::beside(&policy, &books);
    let clients = if known > 0 { known } else { u32::MAX };
    // Whoever has come by TCP is no stranger.
    (0..known).for_each(|number| assert!(door.accept(now(0).mono, address(number, clients), Level::Open)));
    for number in 0..known + queries {
        let address = address(number, clients);
        let (now, name) = (now(number), b"\x03www\x07example\0");
        let asking = Asking { address, stream: false, cookie: None, name };
        if let (Verdict::Admitted(admitted), _) = black_box(door.judge(now, &asking)) {
            let packet = Departing { name, received: 29, sent: 45, from_cache: true };
            black_box(door.part(now.mono, &admitted, &packet));
        }
    }
}

/// Where the answer is.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Hot,
    /// In the shared cache only: it is too near its end to be among the hot ones.
    Shared,
    Local,
}

/// Who asks what of which engine.
struct Case {
    from: From,
    allow: &'static str,
    level: Level,
    /// So many, one after the other, each of whom has asked before.
    clients: u32,
}

/// Through the whole engine.
fn ask(queries: u32, packet: &[u8], case: &Case) {
    let Case { from, allow, level, clients } = *case;
    let mut policy = Policy::default();
    policy.resolve.prime = false;
    policy.access.allow = vec![allow.parse().expect("a prefix")];
    policy.access.refused_per_second = 0;
    // These ask a hundred times a second each, and are to have their answers.
    policy.access.limits.address_ration = 1 << 20;
    policy.cache_prefetch = false;
    if from == From::Local {
        policy.local.records = vec!["www.maeslant.example. 60 IN A 192.0.2.1".to_owned()].into();
    }
    let cache = maeslant::cache::Policy { memory: 16 << 20, ..Default::default() };
    let shared = Shared::sized(&cache, &Sizes::default(), 1, [5; 32]);
    if from != From::Local {
        let (owner, data) = (Name::parse("www.maeslant.example").expect("a name"), [[192, 0, 2, 1].as_slice()]);
        let ttl = 3_600;
        let stored = now(0).age - Duration::from_secs(if from == From::Shared { 3_550 } else { 0 });
        shared.cache.keep(RrSet::new(owner, Rtype::A, ttl, Rank::AuthoritativeAnswer, stored, data), stored);
    }
    // Whoever has come by TCP is no stranger.
    let mut door = Door::beside(&policy.access, &shared.books);
    // Who may not ask has no connection either.
    for number in 0..clients {
        let _ = door.accept(now(0).mono, address(number, clients), Level::Open);
    }
    let mut engine = Engine::new(Arc::new(policy), shared, [3; 32]);
    let mut out = Vec::with_capacity(1232);
    let mut answered = 0;
    // A client alone is beyond its share when this is over.
    let before = clients.max(CLIENTS);
    for number in 0..before + queries {
        if number == before {
            let dropped = [0.0, 0.001, 0.05, 0.9][level as usize];
            engine.feel(now(number), Pressure { dropped, ..Pressure::default() });
        }
        let disposition = engine.handle_query(now(number), client(number, clients), black_box(packet), &mut out);
        answered += u32::from(disposition == Disposition::Answered);
        black_box(&out);
    }
    let all = before + queries;
    let expected = match clients {
        1 => 0..=before + queries * 3 / 4,
        _ if allow.starts_with("10.") => all..=all,
        _ => 0..=0,
    };
    assert!(expected.contains(&answered), "{answered}: {:?}", engine.counters());
    if from != From::Local && clients > 1 {
        assert_eq!(engine.counters().cache_hits, u64::from(all), "not from the cache");
    }
}

//! Does an answer cost more where the cache holds more? The same thousand names are asked of an engine whose cache holds ten
//! thousand names and of one whose cache holds a million, in turns, so that a busy machine slows both; then any names of
//! each, which shows what the processor's own caches make of it.
//!
//! `cargo bench --bench growth` fails where the former differ by more than a quarter; `-- 10000000` takes another number of
//! names in place of a million (some 400 octets each).

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use maeslant::admission::{Door, Level};
use maeslant::cache::{Rank, RrSet};
use maeslant::clock::{Moment, Now, UnixTime};
use maeslant::engine::{Client, Disposition, Engine, Policy, Route, Shared, Transport};
use maeslant::wire::{Name, Rtype};

/// Names in the smaller cache.
const FEW: usize = 10_000;
/// Names in the larger one.
const MANY: usize = 1_000_000;
/// Names that are asked of both.
const SAME: usize = 1_000;
/// Clients that ask.
const CLIENTS: usize = 1 << 13;
/// Questions in a measurement, and measurements of each.
const QUESTIONS: usize = 20_000;
const ROUNDS: usize = 31;
/// How much dearer than in the smaller cache is too much.
const TOLERANCE: f64 = 1.25;
/// What the cache takes of an entry, generously, and its share for RRsets.
const OCTETS: u64 = 512;
/// How long names are kept, and how long ago they came in: too near their end to be among the hot answers, so that it is the
/// shared cache that answers.
const TTL: u32 = 3_600;
const AGE: Duration = Duration::from_secs(3_550);

struct Side {
    engine: Engine,
    names: usize,
    dice: u64,
    out: Vec<u8>,
}

fn now() -> Now {
    let mono = Moment::from_nanos(7_200_000_000_000);
    Now { mono, age: mono, unix: UnixTime(1_750_000_000) }
}

fn address(client: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | client as u32))
}

fn name(number: usize) -> String {
    format!("host{number:08}.names.example")
}

impl Side {
    fn new(names: usize) -> Side {
        let mut policy = Policy::default();
        policy.resolve.prime = false;
        policy.cache_prefetch = false;
        policy.access.allow = vec!["10.0.0.0/8".parse().expect("a prefix")];
        let memory = (names as u64 * OCTETS * 2).max(64 << 20);
        let shared = Shared::new(&maeslant::cache::Policy { memory, ..Default::default() }, [5; 32]);
        let stored = now().age - AGE;
        for number in 0..names {
            let owner = Name::parse(&name(number)).expect("a name");
            let data = (number as u32).to_be_bytes();
            let set = RrSet::new(owner, Rtype::A, TTL, Rank::AuthoritativeAnswer, stored, [data.as_slice()]);
            shared.cache.keep(set, stored);
        }
        let kept = shared.cache.sizes()[0].1;
        assert!(kept as usize * 100 >= names * 99, "only {kept} of {names} names are kept");
        // Customers are no strangers: they have come by TCP.
        let mut door = Door::beside(&policy.access, &shared.books);
        (0..CLIENTS).for_each(|client| assert!(door.accept(now().mono, address(client), Level::Open)));
        Side {
            engine: Engine::new(Arc::new(policy), shared, [3; 32]),
            names,
            dice: 0x9e37_79b9_7f4a_7c15,
            out: Vec::new(),
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        ((u128::from(self.dice) * below as u128) >> 64) as usize
    }

    /// Nanoseconds a question, for names below this number.
    fn measure(&mut self, below: usize) -> f64 {
        let questions: Vec<(Vec<u8>, Client)> = (0..QUESTIONS).map(|_| self.question(below)).collect();
        let begin = Instant::now();
        for (packet, client) in &questions {
            let disposition = self.engine.handle_query(now(), *client, black_box(packet), &mut self.out);
            assert_eq!(disposition, Disposition::Answered);
            black_box(&self.out);
        }
        begin.elapsed().as_nanos() as f64 / QUESTIONS as f64
    }

    fn question(&mut self, below: usize) -> (Vec<u8>, Client) {
        let number = self.random(below);
        let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name(number).split('.') {
            packet.push(label.len() as u8);
            packet.extend_from_slice(label.as_bytes());
        }
        packet.extend_from_slice(b"\0\0\x01\0\x01");
        let address = address(self.random(CLIENTS));
        let route = Route { socket: 0, local: None };
        (packet, Client { addr: SocketAddr::new(address, 4000), transport: Transport::Udp, route })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> ExitCode {
    let many = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(MANY);
    let mut sides = [Side::new(FEW), Side::new(many)];
    let mut worst = 1.0;
    for (what, below) in [("the same 1,000 names", Some(SAME)), ("any names", None)] {
        let mut taken = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (side, taken) in sides.iter_mut().zip(&mut taken) {
                let below = below.unwrap_or(side.names);
                taken.push(side.measure(below));
            }
        }
        let ratio = median(taken[0].iter().zip(&taken[1]).map(|(few, many)| many / few).collect());
        let [few, lots] = taken.map(median);
        println!("{what}: {few:.0} ns of {FEW} names, {lots:.0} ns of {many}: {ratio:.2} times");
        if below.is_some() {
            worst = ratio;
        }
    }
    for side in &sides {
        let counters = side.engine.counters();
        assert_eq!(counters.cache_hits, counters.answered, "not all from the cache");
    }
    if worst > TOLERANCE {
        println!("an answer costs more where there are more: mend that");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

//! A seeded mutation loop over the same targets, for a stable compiler and a clock:
//! `cargo run --release --manifest-path fuzz/Cargo.toml -- [TARGET] [INPUTS] [SEED]`.
//!
//! It ends with an error where a target panics, where one input takes too long, and where memory grows.

use std::path::Path;
use std::time::{Duration, Instant};

/// An input slower than this is an attack (attacks on parsers cost 436 µs a packet elsewhere); with room for a busy
/// machine.
const SLOWEST: Duration = Duration::from_millis(50);
/// Octets the process may grow after its first tenth; the caches are full by then.
const GROWTH: u64 = 64 << 20;
const LONGEST: usize = 4_096;

type Target = (&'static str, fn(&[u8]) -> bool);

const TARGETS: [Target; 4] = [
    ("message", maeslant_fuzz::message),
    ("client_packet", maeslant_fuzz::client_packet),
    ("server_response", maeslant_fuzz::server_response),
    ("config", maeslant_fuzz::config),
];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = arguments.first().map_or("all", String::as_str);
    let number = |at: usize, default: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (inputs, seed) = (number(1, 100_000), number(2, 1));
    let mut known = false;
    for (name, target) in TARGETS.iter().filter(|(name, _)| wanted == "all" || wanted == *name) {
        known = true;
        run(name, *target, inputs, seed);
    }
    if !known {
        eprintln!("no target `{wanted}`; there are all, {}", TARGETS.map(|(name, _)| name).join(", "));
        std::process::exit(2);
    }
}

fn run(name: &'static str, target: fn(&[u8]) -> bool, inputs: u64, seed: u64) {
    let mut dice = Dice(seed);
    let mut corpus = corpus(name);
    let grown_from = corpus.len();
    let start = Instant::now();
    let (mut slowest, mut early, mut taken) = (Duration::ZERO, 0, 0);
    for count in 0..inputs {
        let input = mutate(&corpus, &mut dice);
        let shown = input.clone();
        let before = Instant::now();
        let done = std::panic::catch_unwind(|| target(&input));
        let took = before.elapsed();
        let Ok(good) = done else { stop(name, seed, count, &shown, "it panics") };
        taken += u64::from(good);
        if took > SLOWEST && again(target, &shown) > SLOWEST {
            stop(name, seed, count, &shown, &format!("it takes {took:?}"));
        }
        slowest = slowest.max(took);
        // Without coverage, a few of the mutants carry on, so that inputs drift far from the seeds.
        if good && dice.below(50) == 0 {
            let at = grown_from + dice.below(200);
            if at < corpus.len() { corpus[at] = input } else { corpus.push(input) }
        }
        if count == inputs / 10 {
            early = resident();
        }
    }
    let (took, now) = (start.elapsed(), resident());
    let rate = inputs as f64 / took.as_secs_f64();
    println!(
        "{name}: {inputs} inputs in {took:.1?} ({rate:.0}/s), {}% past the first gate, slowest {slowest:?}, {} KiB resident, {} after a tenth",
        taken * 100 / inputs.max(1),
        now >> 10,
        early >> 10
    );
    if early > 0 && now > early + GROWTH {
        eprintln!("{name}: memory has grown");
        std::process::exit(1);
    }
}

/// The least of a few runs: what is slow because the machine is busy is not slow.
fn again(target: fn(&[u8]) -> bool, input: &[u8]) -> Duration {
    let once = || {
        let before = Instant::now();
        target(input);
        before.elapsed()
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

fn stop(name: &str, seed: u64, count: u64, input: &[u8], what: &str) -> ! {
    let hex: String = input.iter().map(|octet| format!("{octet:02x}")).collect();
    eprintln!("{name}: input {count} of seed {seed}: {what}\n{hex}");
    std::process::exit(1);
}

/// The seeds of a target: one file each.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    let mut seeds: Vec<Vec<u8>> = files.iter().filter_map(|file| std::fs::read(file).ok()).collect();
    if seeds.is_empty() {
        seeds.push(vec![0; 12]);
    }
    seeds
}

/// Octets the process holds in memory; 0 where that is not known.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

/// A seed or earlier mutant, with a few changes.
fn mutate(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = corpus[dice.below(corpus.len())].clone();
    for _ in 0..dice.below(4) {
        change(&mut input, corpus, dice);
    }
    input.truncate(LONGEST);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    const TELLING: [u8; 12] = [0, 1, 2, 5, 6, 12, 39, 41, 63, 64, 0xc0, 0xff];
    let at = dice.below(input.len() + 1);
    match dice.below(10) {
        0 | 1 => set(input, at, dice.next() as u8),
        2 => set(input, at, TELLING[dice.below(TELLING.len())]),
        3 => {
            if let Some(octet) = input.get_mut(at) {
                *octet ^= 1 << dice.below(8);
            }
        }
        4 => input.truncate(at),
        5 => {
            let more: Vec<u8> = (0..dice.below(16)).map(|_| dice.next() as u8).collect();
            input.splice(at..at, more);
        }
        6 => {
            // A compression pointer.
            let target = dice.below(input.len().max(1)) as u16;
            input.splice(at..at, (0xc000 | target & 0x3fff).to_be_bytes());
        }
        7 => {
            let end = (at + dice.below(40)).min(input.len());
            let piece = input[at..end].to_vec();
            let times = 1 + dice.below(20);
            input.splice(at..at, piece.repeat(times));
        }
        8 => {
            let other = &corpus[dice.below(corpus.len())];
            let from = dice.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            // A count in the header, wherever that begins.
            let place = 4 + dice.below(9);
            set(input, place, dice.below(4) as u8);
        }
    }
}

fn set(input: &mut [u8], at: usize, value: u8) {
    if let Some(octet) = input.get_mut(at) {
        *octet = value;
    }
}

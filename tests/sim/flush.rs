//! Names that people use, while somebody fills the caches with large sets that nobody needs (A13, CacheFlush).

use maeslant::cache::{Cache, Policy, Rank, RrSet};
use maeslant::clock::Moment;
use maeslant::wire::{Name, Rtype};

fn name(text: &str) -> Name {
    Name::parse(text).expect(text)
}

fn at(second: u64) -> Moment {
    Moment::from_nanos((second + 1) * 1_000_000_000)
}

/// Names asked once a second each, and those asked so a hundred times as often.
const QUIET: u32 = 200;
/// Attack questions a second, as in the paper.
const RATE: u32 = 8_000;

/// What the attack asks for: so many different names, each `times` times in a row, of so many records of 16 octets.
struct Flush {
    times: u32,
    records: u8,
    zone: &'static str,
}

impl Flush {
    /// How many domains there are.
    fn domains(&self) -> u32 {
        if self.zone.starts_with("many") { u32::MAX } else { 1_000 }
    }
}

/// Of a second's questions for quiet names, the part that was in the cache; over the last `measured` of `seconds`.
fn hits(memory: u64, flush: &Flush, seconds: u64, measured: u64) -> f64 {
    let cache = Cache::new(&Policy { memory, ..Policy::default() }, &[9; 32]);
    let rdata: Vec<[u8; 250]> = (0..flush.records).map(|n| [n; 250]).collect();
    let (mut found, mut asked, mut number) = (0, 0, 0);
    for second in 0..seconds {
        let now = at(second);
        for slice in 0..QUIET {
            // A quiet name, with a life of five minutes.
            let owner = name(&format!("www.quiet{slice}.net"));
            let hit = cache.rrset(&owner, Rtype::A, now).is_some();
            if !hit {
                let ttl = 300;
                cache
                    .keep(RrSet::new(owner, Rtype::A, ttl, Rank::AuthoritativeAnswer, now, [[1u8; 4].as_slice()]), now);
            }
            if second >= seconds - measured {
                (found, asked) = (found + u32::from(hit), asked + 1);
            }
            if second < 5 {
                continue;
            }
            for _ in 0..RATE / QUIET {
                number += 1;
                let (different, zone) = (
                    number / flush.times,
                    flush.zone.replace('N', &(number / flush.times % flush.domains()).to_string()),
                );
                let owner = name(&format!("x{different}.{zone}"));
                if cache.rrset(&owner, Rtype::AAAA, now).is_none() {
                    let data = rdata.iter().map(|data| data.as_slice());
                    cache.keep(RrSet::new(owner, Rtype::AAAA, 3600, Rank::AuthoritativeAnswer, now, data), now);
                }
            }
        }
        let used: u64 = cache.sizes().iter().map(|(_, _, octets)| octets).sum();
        assert!(used <= memory + memory / 50, "{used} octets of {memory}");
    }
    f64::from(found) / f64::from(asked)
}

#[test]
fn names_in_use_stay_while_the_caches_are_flooded() {
    // As large as sets can be, new each time; each asked for four times, under a thousand domains; and such as a datagram
    // holds. moka alone keeps next to none of the names in use in the first two.
    let floods = [(1, 250, "flush.com"), (4, 250, "flushN.com"), (1, 4, "flushN.com")];
    for (times, records, zone) in floods {
        let part = hits(100 << 20, &Flush { times, records, zone }, 12, 5);
        assert!(part >= 0.98, "{times} times {records} records under {zone}: {part} of the names in use");
    }
}

/// Floods of new names that exist, of so many records, each asked for so many times: what is left of the names in use in
/// caches of so many octets, over the last `measured` of `seconds`.
fn stay(seconds: u64, measured: u64, floods: &[(u64, u32, u8, &'static str)]) {
    let mut story = String::new();
    for (memory, times, records, zone) in floods.iter().copied() {
        let part = hits(memory, &Flush { times, records, zone }, seconds, measured);
        println!("{memory} octets, {times} times {records} records under {zone}: {part}");
        if part < 0.98 {
            story += &format!("{memory} octets, {times} times {records} records under {zone}: {part}\n");
        }
    }
    assert!(story.is_empty(), "of the names in use:\n{story}");
}

/// One client, or one zone, asks for new names that exist, small ones, each in a domain of its own or all in one: nothing
/// but how often a name is asked for tells them from others' (there is no share of a client). The cache has room for what
/// comes in a few seconds.
#[test]
fn names_in_use_stay_while_one_client_asks_for_new_ones() {
    let floods = [
        (16 << 20, 1, 1, "xN.example.com"),
        (16 << 20, 1, 1, "manyN.com"),
        (16 << 20, 4, 1, "manyN.com"),
        (32 << 20, 2, 8, "manyN.com"),
        // What such names bring in before that is noticed pushes out some of those in use, for as many seconds.
        (4 << 20, 8, 8, "manyN.com"),
    ];
    stay(24, 10, &floods);
}

/// The same where what comes within a second, or a tenth of it, would fill the cache. Each asked for many times in a row
/// costs whoever does so as many questions.
#[test]
fn names_in_use_stay_in_small_caches() {
    let floods = [
        (2 << 20, 1, 1, "manyN.com"),
        (2 << 20, 1, 8, "manyN.com"),
        (4 << 20, 1, 1, "manyN.com"),
        (4 << 20, 2, 8, "manyN.com"),
        (8 << 20, 1, 14, "manyN.com"),
    ];
    stay(16, 6, &floods);
}

/// Where there is room for it on the machine.
#[test]
fn names_in_use_stay_in_a_cache_of_two_gigabytes() {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free =
        told.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse().ok());
    if free.unwrap_or(0u64) < 6 << 20 {
        println!("there is too little memory here: {free:?} kB");
        return;
    }
    let part = hits(2 << 30, &Flush { times: 1, records: 250, zone: "flush.com" }, 11, 3);
    assert!(part >= 0.98, "{part} of the names in use");
}

//! Names that people use, while somebody fills the caches with large sets that nobody needs (A13, CacheFlush).

use super::*;

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
                let (different, zone) =
                    (number / flush.times, flush.zone.replace('N', &(number / flush.times % 1000).to_string()));
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

#[test]
fn a_domain_may_have_all_that_nobody_else_needs() {
    let cache = Cache::new(&Policy { memory: 4 << 20, ..Policy::default() }, &[9; 32]);
    let keep = |number: u32, zone: &str| {
        let owner = name(&format!("x{number}.{zone}"));
        cache.keep(RrSet::new(owner.clone(), Rtype::A, 3600, Rank::Authority, at(0), [[1u8; 4].as_slice()]), at(0));
        cache.rrsets.run_pending_tasks();
        cache.rrset(&owner, Rtype::A, at(0)).is_some()
    };
    let half = (0..4_000).filter(|number| keep(*number, "large.com")).count();
    assert_eq!((half, cache.turned_away()), (4_000, 0));
    let filled = (0..20_000).filter(|number| keep(*number, &format!("domain{number}.com"))).count();
    assert!(filled > 2_000, "{filled}");
    assert!(!keep(4_001, "large.com") && cache.turned_away() > 0, "there is no room for more of it");
}

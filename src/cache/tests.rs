//! What the caches keep, for how long, and within which memory.

use super::*;
mod flush;

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).expect(text)
}

pub(super) fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * 1_000_000_000)
}

pub(super) fn cache() -> Cache {
    Cache::new(&Policy::default(), &[7; 32])
}

fn address(owner: &str, ttl: u32, rank: Rank, last: u8) -> RrSet {
    RrSet::new(name(owner), Rtype::A, ttl, rank, at(0), [[192, 0, 2, last].as_slice()])
}

#[test]
fn ttls_run_down_and_out() {
    let cache = cache();
    cache.keep(address("a.example", 60, Rank::AuthoritativeAnswer, 1), at(0));
    let found = |second| cache.rrset(&name("a.example"), Rtype::A, at(second)).map(|set| set.ttl_left(at(second)));
    assert_eq!(found(0), Some(60));
    assert_eq!(found(59), Some(1));
    assert_eq!(found(60), None);
    assert_eq!(cache.rrset(&name("a.example"), Rtype::AAAA, at(0)), None);
}

#[test]
fn a_lower_rank_does_not_replace_a_higher_one_while_it_is_fresh() {
    let cache = cache();
    let data = |second| {
        cache.rrset(&name("a.example"), Rtype::A, at(second)).and_then(|set| set.rdatas().next().map(|d| d[3]))
    };
    cache.keep(address("a.example", 60, Rank::AuthoritativeAnswer, 1), at(0));
    cache.keep(address("a.example", 600, Rank::Authority, 2), at(1));
    assert_eq!(data(1), Some(1));
    cache.keep(address("a.example", 600, Rank::Authority, 2), at(61));
    assert_eq!(data(61), Some(2));
}

#[test]
fn nxdomain_covers_what_is_below_and_nodata_does_not() {
    let cache = cache();
    let negative = |rcode| Negative {
        rcode,
        soa: None,
        proof: Arc::new([]),
        security: Security::Insecure,
        ttl: 60,
        stored: at(0),
    };
    cache.keep_negative(&name("gone.example"), Rtype::A, negative(Rcode::NXDOMAIN));
    cache.keep_negative(&name("bare.example"), Rtype::A, negative(Rcode::NOERROR));
    let found = |text: &str, rtype| {
        cache.negative(&name(text), rtype, Security::Insecure, Reach::default(), at(1)).map(|n| n.rcode)
    };
    assert_eq!(found("a.b.gone.example", Rtype::MX), Some(Rcode::NXDOMAIN));
    assert_eq!(found("bare.example", Rtype::A), Some(Rcode::NOERROR));
    assert_eq!(found("bare.example", Rtype::MX), None);
    assert_eq!(found("www.bare.example", Rtype::A), None);
}

#[test]
fn failures_hold_twice_as_long_each_time_and_are_forgotten() {
    let cache = cache();
    let question = Question::new(name("broken.example"), Rtype::A);
    let what = Failing { unproven: false, silent: false, begun: at(0), zone: None, error: 22, text: "x".into() };
    let keep = |second: u64| cache.keep_failed(&question, what.clone(), Now::simulated(second * 1_000_000_000));
    keep(0);
    assert!(cache.failed(&question, at(1)).is_some());
    assert!(cache.failed(&question, at(2)).is_none());
    keep(2);
    assert!(cache.failed(&question, at(5)).is_some());
    assert!(cache.failed(&question, at(6)).is_none());
    keep(500);
    assert!(cache.failed(&question, at(502)).is_none());
}

#[test]
fn the_deepest_cut_is_found_and_the_child_does_not_outlive_its_parent() {
    let cache = cache();
    let server = |text: &str| vec![NameServer { name: name(text), glue: Default::default() }];
    cache.keep_delegation(name("example"), server("ns.example"), None, 3600, at(0));
    let cut = cache.keep_delegation(name("sub.example"), server("ns.sub.example"), None, 60, at(0));
    let zone = |text: &str, second| cache.closest_delegation(&name(text), at(second)).map(|cut| cut.zone.to_string());
    assert_eq!(zone("a.b.sub.example", 1).as_deref(), Some("sub.example."));
    assert_eq!(zone("a.b.sub.example", 61).as_deref(), Some("example."));
    assert_eq!(zone("com", 1), None);
    cache.keep_child_servers(&cut, server("other.example"), 86_400, at(10));
    let cut = cache.delegation(&name("sub.example"), at(20)).expect("fresh");
    assert_eq!(cut.servers(at(20))[0].name, name("other.example"));
    assert!(cache.delegation(&name("sub.example"), at(61)).is_none());
}

#[test]
fn memory_stays_within_its_cap() {
    let policy = Policy { memory: 4 << 20, ..Policy::default() };
    let cache = Cache::new(&policy, &[7; 32]);
    for n in 0..50_000u32 {
        let owner = format!("host{n}.example");
        cache.keep(
            RrSet::new(name(&owner), Rtype::A, 60, Rank::AuthoritativeAnswer, at(0), [n.to_be_bytes().as_slice()]),
            at(0),
        );
    }
    let total: u64 = cache.sizes().iter().map(|(_, _, octets)| octets).sum();
    assert!(total <= policy.memory, "{total}");
    assert!(total > policy.memory / 2, "{total}");
}

/// A range of `zone` from `owner` to `next`, where `owner` has the types in `bits` (window 0).
fn range(owner: &str, next: &str, bits: &[u8], ttl: u32, stored: u64) -> RrSet {
    let mut data = name(next).wire().to_vec();
    data.extend([0, u8::try_from(bits.len()).expect("short")]);
    data.extend(bits);
    RrSet::new(name(owner), Rtype::NSEC, ttl, Rank::Authority, at(stored), [data.as_slice()])
        .judged(Security::Secure, ttl)
}

fn owner(proof: Option<Proof>) -> Option<String> {
    proof.map(|proof| proof[0].owner.to_string())
}

#[test]
fn a_range_is_found_by_any_name_in_it_and_ends() {
    let cache = cache();
    let sets = [range("b.example", "d.example", &[0x40], 100, 0), range("d.example", "example", &[0x40], 100, 0)];
    cache.keep_ranges(&name("example"), &sets, None, 60);
    let found = |text: &str, second| {
        let ranges = cache.ranges_above(&name(text), at(second))?;
        owner(ranges.nsec(&name(text), at(second)))
    };
    assert_eq!(found("c.example", 1).as_deref(), Some("b.example."));
    assert_eq!(found("b.example", 1).as_deref(), Some("b.example."));
    assert_eq!(found("x.d.example", 59).as_deref(), Some("d.example."));
    assert_eq!(found("a.example", 1), None);
    assert_eq!(found("c.example", 60), None, "no longer than it was said to hold");
    assert_eq!(found("c.test", 1), None);
}

#[test]
fn ranges_say_nothing_below_a_known_zone_cut() {
    let cache = cache();
    cache.keep_ranges(&name("example"), &[range("a.example", "example", &[0x40], 100, 0)], None, 100);
    assert!(cache.ranges_above(&name("x.sub.example"), at(1)).is_some());
    let server = vec![NameServer { name: name("ns.example"), glue: Default::default() }];
    cache.keep_delegation(name("sub.example"), server, None, 50, at(0));
    assert!(cache.ranges_above(&name("x.sub.example"), at(1)).is_none());
    assert!(cache.ranges_above(&name("sub.example"), at(1)).is_none());
    assert!(cache.ranges_above(&name("x.sub.example"), at(51)).is_some(), "the cut has ended");
}

#[test]
fn ranges_that_are_not_to_be_used_for_other_names_are_not_kept() {
    let cache = cache();
    for (owner, next) in [
        // Out of the zone, or back (CVE-2026-13321).
        ("a.example", "z.test"),
        ("a.test", "z.example"),
        ("c.example", "b.example"),
        // Made for one name (RFC 9824).
        ("a.example", "\\000.a.example"),
        ("a.example", "a\\000.example"),
    ] {
        cache.keep_ranges(&name("example"), &[range(owner, next, &[0x40], 100, 0)], None, 100);
        assert!(cache.ranges_above(&name("b.example"), at(1)).is_none(), "{owner} to {next}");
    }
    let hashed = |flags: u8, iterations: u8, next: [u8; 20]| {
        let data = [&[1, flags, 0, iterations, 0, 20], next.as_slice(), &[0, 1, 0x40]].concat();
        let owner = format!("{}.example", "0".repeat(32));
        RrSet::new(name(&owner), Rtype::NSEC3, 100, Rank::Authority, at(0), [data.as_slice()])
    };
    let mut close = [0; 20];
    close[19] = 2;
    for set in [hashed(1, 0, [9; 20]), hashed(0, 11, [9; 20]), hashed(0, 0, close)] {
        cache.keep_ranges(&name("example"), &[set], None, 100);
        assert!(cache.ranges_above(&name("b.example"), at(1)).is_none());
    }
    cache.keep_ranges(&name("example"), &[hashed(0, 10, [9; 20])], None, 100);
    let ranges = cache.ranges_above(&name("b.example"), at(1)).expect("ranges");
    assert!(ranges.nsec3(&[5; 20], at(1)).is_some());
    assert_eq!(ranges.hashing().map(|hashing| hashing.iterations), Some(10));
}

#[test]
fn a_zone_full_of_ranges_costs_others_nothing() {
    let policy = Policy { memory: 8 << 20, ..Policy::default() };
    let cache = Cache::new(&policy, &[7; 32]);
    cache.keep_ranges(&name("quiet.test"), &[range("a.quiet.test", "quiet.test", &[0x40], 900, 0)], None, 900);
    for zone in 0..4 {
        for n in 0..5_000 {
            let set = range(&format!("h{n}.z{zone}.test"), &format!("h{n}x.z{zone}.test"), &[0x40], 900, 1);
            cache.keep_ranges(&name(&format!("z{zone}.test")), &[set], None, 900);
        }
    }
    let (kind, entries, octets) = cache.sizes()[5];
    assert_eq!((kind, entries), ("ranges", 5));
    assert!(octets < (8 << 20) / 100 * 6 && octets > 100_000, "{octets}");
    let ranges = cache.ranges_above(&name("b.quiet.test"), at(2)).expect("ranges");
    assert_eq!(owner(ranges.nsec(&name("b.quiet.test"), at(2))).as_deref(), Some("a.quiet.test."));
}

#[test]
fn a_range_in_use_outlives_a_flood_of_others() {
    let ranges = Ranges::new(&name("example"));
    let most = 20_000;
    ranges.take([range("a.example", "b.example", &[0x40], 900, 0)].iter(), None, 900, most);
    for n in 0..2_000 {
        let set = range(&format!("h{n}.example"), &format!("h{n}x.example"), &[0x40], 900, 1);
        ranges.take([set].iter(), None, 900, most);
        assert!(ranges.nsec(&name("aa.example"), at(2)).is_some(), "after {n}");
    }
    assert!(ranges.len() > 10 && ranges.len() < 100, "{}", ranges.len());
}

/// Names without end of one domain, twenty a second in a full cache; two of three that are asked for again, and a real one a second
/// that is asked for once.
#[test]
fn names_made_up_of_a_domain_leave_room_for_real_ones_of_it() {
    let cache = Cache::new(&Policy { memory: 16 << 20, ..Policy::default() }, &[7; 32]);
    let keep = |owner: &str, second: u64, part: u64| {
        let now = Moment::from_nanos(second * 1_000_000_000 + part * 1_000_000);
        let set = RrSet::new(name(owner), Rtype::A, 60, Rank::AuthoritativeAnswer, now, [[192, 0, 2, 1].as_slice()]);
        cache.keep(set, now);
        cache.rrset(&name(owner), Rtype::A, now).is_some()
    };
    let (mut once, mut often) = (0, 0);
    for turn in 0..900u64 {
        let second = 1_000_000 + turn;
        for number in 0..100 {
            keep(&format!("w{turn}x{number}.site{}.com", (turn * 100 + number) % 20_000), second, number);
        }
        for number in 0..20 {
            keep(&format!("r{turn}x{number}.victim.com"), second, 100 + number * 20);
        }
        if turn >= 600 {
            once += u32::from(keep(&format!("real{turn}.victim.com"), second, 550));
            let popular = format!("popular{}.victim.com", turn / 50);
            often += u32::from((0..2).fold(false, |_, again| keep(&popular, second, 600 + again)));
        }
    }
    assert!(once >= 20, "{once} of 300 real names asked for once were kept");
    assert!(often >= 200, "a name asked for twice a second was there {often} seconds of 300");
}

#[test]
fn what_a_name_had_is_over_with_it_whatever_becomes_of_the_news() {
    let gone = |ttl, stored| Negative {
        rcode: Rcode::NXDOMAIN,
        soa: None,
        proof: Arc::new([]),
        security: Security::Insecure,
        ttl,
        stored,
    };
    let is_over = |cache: &Cache| {
        let old = cache.last_rrset(&name("old.example.com"), Rtype::AAAA, Security::Unchecked).map(|old| old.stored());
        let news = cache.last_negative(&name("old.example.com"), Rtype::AAAA, Security::Insecure, Reach::default());
        old.is_none_or(|old| news.is_some_and(|news| news.stored > old))
    };
    let old =
        || RrSet::new(name("old.example.com"), Rtype::AAAA, 60, Rank::AuthoritativeAnswer, at(0), [[1; 16].as_slice()]);
    // They have no time.
    let cache = cache();
    cache.keep(old(), at(0));
    cache.keep_negative(&name("old.example.com"), Rtype::A, gone(0, at(100)));
    assert!(is_over(&cache));
    assert_eq!(cache.negative(&name("old.example.com"), Rtype::A, Security::Insecure, Reach::default(), at(100)), None);
    // There is no room for what is new.
    let cache = Cache::new(&Policy { memory: 4 << 20, ..Policy::default() }, &[7; 32]);
    cache.keep(old(), at(0));
    for number in 0..10_000 {
        let owner = name(&format!("n{number}.other{}.com", number % 900));
        cache.keep_negative(&owner, Rtype::A, gone(3_600, at(1)));
    }
    for number in 0..10_000 {
        cache.keep_negative(&name(&format!("r{number}.example.com")), Rtype::A, gone(3_600, at(2)));
    }
    assert!(cache.shares.turned_away() + cache.shares.seldom() > 0);
    cache.keep_negative(&name("old.example.com"), Rtype::A, gone(3_600, at(100)));
    assert!(is_over(&cache));
}

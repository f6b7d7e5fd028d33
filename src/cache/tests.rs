//! What the caches keep, for how long, and within which memory.

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).expect(text)
}

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * 1_000_000_000)
}

fn cache() -> Cache {
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
    let found = |text: &str, rtype| cache.negative(&name(text), rtype, Security::Insecure, at(1)).map(|n| n.rcode);
    assert_eq!(found("a.b.gone.example", Rtype::MX), Some(Rcode::NXDOMAIN));
    assert_eq!(found("bare.example", Rtype::A), Some(Rcode::NOERROR));
    assert_eq!(found("bare.example", Rtype::MX), None);
    assert_eq!(found("www.bare.example", Rtype::A), None);
}

#[test]
fn failures_hold_twice_as_long_each_time_and_are_forgotten() {
    let cache = cache();
    let question = Question::new(name("broken.example"), Rtype::A);
    cache.keep_failed(&question, 22, "x", false, at(0));
    assert!(cache.failed(&question, at(1)).is_some());
    assert!(cache.failed(&question, at(2)).is_none());
    cache.keep_failed(&question, 22, "x", false, at(2));
    assert!(cache.failed(&question, at(5)).is_some());
    assert!(cache.failed(&question, at(6)).is_none());
    cache.keep_failed(&question, 22, "x", false, at(500));
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

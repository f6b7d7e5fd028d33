//! Shapes made to cost: work is counted, not timed.

use super::signer::{Spec, Zone};
use super::{NOW, Set, budget, name};
use std::task::Poll;

use crate::dnssec::{
    Account, Budget, Check, Denial, Denied, Keys, Limits, Policy, Trusted, Turn, establish, key_tag, verify,
};
use crate::wire::Rtype;

/// P-256 DNSKEYs that all have the tag of the first: two octets are chosen so that the sum is the same.
fn colliding(count: usize, flags: u16) -> Vec<Vec<u8>> {
    let [high, low] = flags.to_be_bytes();
    let mut keys = vec![[vec![high, low, 3, 13], vec![7; 64]].concat()];
    for number in 1..count {
        let mut key = keys[0].clone();
        let [a, b] = u16::try_from(number).expect("few").to_be_bytes();
        // What is added here is taken away there: the sum of the 16-bit words stays.
        let plus = u16::from_be_bytes([key[10], key[11]]) + u16::from_be_bytes([a, b]);
        let minus = u16::from_be_bytes([key[20], key[21]]) - u16::from_be_bytes([a, b]);
        key[10..12].copy_from_slice(&plus.to_be_bytes());
        key[20..22].copy_from_slice(&minus.to_be_bytes());
        keys.push(key);
    }
    let tag = key_tag(&keys[0]);
    assert!(keys.iter().all(|key| key_tag(key) == tag));
    keys
}

/// A set with `count` signatures that name this tag and hold by no key.
fn with_signatures(tag: u16, count: usize) -> Set {
    let zone = Zone::new("example.", 13);
    let mut set = Set::of(&["www.example. 3600 IN A 192.0.2.1"]);
    let spec = Spec { tag: Some(tag), ..Spec::default() };
    let signature = zone.zsk.signature(&set, "example.", &spec);
    for number in 0..count {
        let mut other = signature.clone();
        let last = other.len() - 1;
        other[last] ^= u8::try_from(number % 255).expect("small") + 1;
        set.signatures.push(other);
    }
    set
}

#[test]
fn keytrap_stays_within_its_budget() {
    // CVE-2023-50387: 589 keys of one tag and 519 signatures are 305,691 checks.
    for (keys, signatures) in [(589, 519), (589, 1), (4, 519), (2, 8), (3, 3)] {
        let rdatas = colliding(keys, 256);
        let trusted: Vec<&[u8]> = rdatas.iter().map(Vec::as_slice).collect();
        let keys = Keys::trusted(&name("example."), &trusted, &Policy::default());
        let set = with_signatures(key_tag(&rdatas[0]), signatures);
        let budget = budget();
        let cause = set.signed(|set| verify(set, &keys, NOW, &budget)).expect_err("nothing holds");
        assert!(budget.signatures_spent() <= 16, "{}", budget.signatures_spent());
        if signatures > 8 || keys.len() > 4 {
            assert!(cause.overrun().is_some(), "{cause}");
            assert_eq!(cause.ede(), 5);
        }
    }
}

#[test]
fn the_budget_is_one_for_all_lookups_of_a_question() {
    let rdatas = colliding(2, 256);
    let trusted: Vec<&[u8]> = rdatas.iter().map(Vec::as_slice).collect();
    let keys = Keys::trusted(&name("example."), &trusted, &Policy::default());
    let set = with_signatures(key_tag(&rdatas[0]), 4);
    let budget = budget();
    let accounts: Vec<Option<Account>> = (0..40)
        .map(|_| set.signed(|set| verify(set, &keys, NOW, &budget)).expect_err("nothing holds").overrun())
        .collect();
    assert_eq!(accounts[0], None);
    assert!(accounts[10..].iter().all(Option::is_some));
    assert!(budget.signatures_spent() <= 20 && budget.failures_spent() <= 16);
}

#[test]
fn work_is_done_in_turns_and_comes_to_the_same() {
    // Half a millisecond a turn, whoever the work is for: an answer in the cache waits no longer behind it.
    let rdatas = colliding(3, 256);
    let trusted: Vec<&[u8]> = rdatas.iter().map(Vec::as_slice).collect();
    let keys = Keys::trusted(&name("example."), &trusted, &Policy::default());
    let set = with_signatures(key_tag(&rdatas[0]), 3);
    let at_once = budget();
    let cause = set.signed(|set| verify(set, &keys, NOW, &at_once)).expect_err("nothing holds");
    let turn = Turn::default();
    let (budget, other) =
        (Budget::in_turns(&Limits::default(), turn.clone()), Budget::in_turns(&Limits::default(), turn.clone()));
    let mut spent = Vec::new();
    set.signed(|set| {
        let mut check = Check::new(set, &keys, NOW, &budget);
        let outcome = loop {
            turn.begin();
            let before = budget.signatures_spent();
            let outcome = check.go_on();
            spent.push(budget.signatures_spent() - before);
            if let Poll::Ready(outcome) = outcome {
                break outcome;
            }
            assert!(budget.must_rest() && !budget.must_rest());
            assert!(Check::new(set, &keys, NOW, &other).go_on().is_pending(), "the turn is everybody's");
        };
        assert_eq!(outcome, Err(cause));
    });
    assert_eq!(spent, [6, 3]);
    assert_eq!(budget.signatures_spent(), at_once.signatures_spent());
    assert_eq!(other.signatures_spent(), 0);
}

#[test]
fn hashes_are_computed_in_turns_and_remembered() {
    let turn = Turn::default();
    let budget = Budget::in_turns(&Limits::default(), turn.clone());
    let names: Vec<_> = (0..30).map(|number| name(&format!("n{number}.example."))).collect();
    // 101 blocks each: eleven fit into a turn.
    let hash = |name| budget.nsec3_hash(name, &[0xab; 40], 50).is_ok();
    for turns in 1..=3 {
        turn.begin();
        let done = names.iter().take_while(|name| hash(name)).count();
        assert_eq!(done, (turns * 11).min(30));
        assert_eq!(budget.must_rest(), done < 30);
    }
    assert_eq!(budget.hash_blocks_spent(), 30 * 101);
}

#[test]
fn ds_records_times_colliding_keys_stay_within_their_budget() {
    // The other half of KeyTrap: a digest for each pair of DS record and key.
    let rdatas = colliding(500, 257);
    let set = Set::new("example.", Rtype::DNSKEY, rdatas.clone());
    let [high, low] = key_tag(&rdatas[0]).to_be_bytes();
    let ds: Vec<Vec<u8>> = (0..200u8).map(|number| [vec![high, low, 13, 2], vec![number; 32]].concat()).collect();
    let ds: Vec<&[u8]> = ds.iter().map(Vec::as_slice).collect();
    let budget = budget();
    let trusted = Trusted { ds: &ds, dnskeys: &[] };
    let cause = set.signed(|set| establish(set, trusted, &Policy::default(), NOW, &budget)).expect_err("no key");
    assert_eq!(cause.overrun(), Some(Account::KeyTagCollisions));
    assert!(budget.digests_spent() <= 128);
    assert_eq!(budget.signatures_spent(), 0);
}

/// What a chain through this many zones of one algorithm spends, cold.
fn chain(zones: usize, algorithm: u8) -> u32 {
    let zone = Zone::new("example.", algorithm);
    let budget = budget();
    for _ in 0..zones {
        let ds = zone.ksk.ds("example.", 2);
        let trusted = Trusted { ds: &[&ds], dnskeys: &[] };
        zone.dnskeys().signed(|set| establish(set, trusted, &Policy::default(), NOW, &budget)).expect("secure");
        let keys = zone.keys(&Policy::default());
        let mut set = Set::of(&["www.example. 300 IN A 192.0.2.1"]);
        zone.zsk.sign(&mut set, "example.");
        set.signed(|set| verify(set, &keys, NOW, &budget)).expect("secure");
    }
    assert_eq!(budget.failures_spent(), 0);
    budget.signatures_spent()
}

#[test]
fn honest_chains_are_well_within_the_budget() {
    assert_eq!((chain(12, 13), chain(12, 15), chain(12, 8)), (24, 24, 24));
    // The slowest there is: a zone that signs DNSKEY, DS or answer by it, five times over.
    assert_eq!(chain(5, 14), 140);
}

#[test]
fn large_messages_count_as_several_checks() {
    let zone = Zone::new("example.", 13);
    let keys = zone.keys(&Policy::default());
    let mut set = Set::of(&["www.example. 3600 IN TXT \"x\""]);
    set.rdatas = (0..250u8).map(|number| [&[255], [number; 255].as_slice()].concat()).collect();
    zone.zsk.sign(&mut set, "example.");
    let budget = budget();
    set.signed(|set| verify(set, &keys, NOW, &budget)).expect("secure");
    assert!(budget.signatures_spent() >= 4);
}

/// An NSEC3 record that covers all but its own hash, with these parameters.
fn nsec3(iterations: u16, salt: &[u8]) -> (String, Vec<u8>) {
    let mut rdata = vec![1, 0];
    rdata.extend_from_slice(&iterations.to_be_bytes());
    rdata.push(u8::try_from(salt.len()).expect("at most 255"));
    rdata.extend_from_slice(salt);
    rdata.extend_from_slice(&[20; 21]);
    ("00000000000000000000000000000001.example.".to_owned(), rdata)
}

#[test]
fn the_nsec3_encloser_attack_stays_within_its_budget() {
    // CVE-2023-50868: the longest name with the most labels, most iterations that count, the longest salt.
    let zone = name("example.");
    let long = name(&format!("{}example.", "a.".repeat(120)));
    let policy = Policy::default();
    for salt in [vec![], vec![1; 8], vec![9; 255]] {
        let (owner, rdata) = nsec3(policy.max_nsec3_iterations, &salt);
        let owner = name(&owner);
        let mut denial = Denial::new(&zone, &policy);
        denial.add_known(&owner, Rtype::NSEC3, &[&rdata]);
        let budget = budget();
        for _ in 0..10 {
            assert!(matches!(denial.nxdomain(&long, &budget), Denied::NotProven(_)));
            assert!(matches!(denial.nodata(&long, Rtype::A, &budget), Denied::NotProven(_)));
            let _ = denial.ds(&long, &budget);
        }
        assert!(budget.hash_blocks_spent() <= Limits::default().hash_blocks);
    }
}

#[test]
fn random_labels_under_the_apex_cost_few_hashes() {
    let zone = name("example.");
    let policy = Policy::default();
    let apex = crate::dnssec::crypto::nsec3_hash(zone.wire(), &[], 0);
    let mut rdata = vec![1, 0, 0, 0, 0, 20];
    rdata.extend_from_slice(&apex);
    rdata.extend_from_slice(&super::bits(&[Rtype::SOA, Rtype::NS]));
    let owner = name(&format!("{}.example.", super::nsec3::base32(&apex)));
    let mut denial = Denial::new(&zone, &policy);
    denial.add_known(&owner, Rtype::NSEC3, &[&rdata]);
    let budget = Budget::new(&Limits::default());
    let deep = name(&format!("{}example.", "r.".repeat(100)));
    assert_eq!(denial.nxdomain(&deep, &budget), Denied::Proven);
    // The apex, the next closer name and the wildcard.
    assert!(budget.hash_blocks_spent() <= 3, "{}", budget.hash_blocks_spent());
    // Known hashes are free.
    let spent = budget.hash_blocks_spent();
    assert_eq!(denial.nxdomain(&deep, &budget), Denied::Proven);
    assert_eq!(budget.hash_blocks_spent(), spent);
}

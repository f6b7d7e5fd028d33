//! The chain of trust through zones signed here, for every algorithm and digest.

use num_bigint::BigUint;

use super::signer::{Key, Spec, Zone};
use super::{NOW, Set, budget, lenient, name};
use crate::clock::UnixTime;
use crate::dnssec::{Keys, Policy, Sha1, Support, Trust, Trusted, Why, establish, support, verify};
use crate::wire::Rtype;

#[test]
fn every_algorithm_secures_a_zone_and_its_data() {
    for algorithm in [5, 7, 8, 10, 13, 14, 15] {
        let zone = Zone::new("example.", algorithm);
        let keys = zone.keys(&lenient());
        assert_eq!(keys.len(), 2, "algorithm {algorithm}");
        let mut set = Set::of(&["www.example. 300 IN A 192.0.2.1", "www.example. 300 IN A 192.0.2.2"]);
        zone.zsk.sign(&mut set, "example.");
        let verified = set.signed(|set| verify(set, &keys, NOW, &budget())).expect("secure");
        assert_eq!(verified.algorithm, algorithm);
        assert_eq!((verified.ttl_cap, verified.wildcard), (300, None));
        assert_eq!(verified.expires, UnixTime(NOW.0 + 86_400));
    }
}

#[test]
fn every_digest_connects_a_child() {
    let zone = Zone::new("example.", 13);
    for digest in [1, 2, 4] {
        let ds = zone.ksk.ds("example.", digest);
        let trusted = Trusted { ds: &[&ds], dnskeys: &[] };
        let trust = zone.dnskeys().signed(|set| establish(set, trusted, &lenient(), NOW, &budget()));
        assert!(matches!(trust, Ok(Trust::Secure(..))), "digest {digest}: {trust:?}");
    }
}

#[test]
fn a_trusted_dnskey_is_as_good_as_a_ds() {
    let zone = Zone::new("island.", 15);
    let trusted = Trusted { ds: &[], dnskeys: &[&zone.ksk.rdata] };
    let trust = zone.dnskeys().signed(|set| establish(set, trusted, &Policy::default(), NOW, &budget()));
    assert!(matches!(trust, Ok(Trust::Secure(..))), "{trust:?}");
}

/// What is left of a chain that rests on `ds` alone, and its EDE.
fn insecure(ds: &[Vec<u8>], policy: &Policy) -> Option<u16> {
    let ds: Vec<&[u8]> = ds.iter().map(Vec::as_slice).collect();
    match support(&name("example."), Trusted { ds: &ds, dnskeys: &[] }, policy) {
        Support::Followable => None,
        Support::Insecure(cause) => Some(cause.ede()),
    }
}

#[test]
fn unknown_algorithms_and_digests_leave_a_zone_insecure() {
    let key = Key::new(13, 257);
    let good = key.ds("example.", 2);
    let with = |at: usize, value: u8| {
        let mut ds = good.clone();
        ds[at] = value;
        ds
    };
    assert_eq!(insecure(std::slice::from_ref(&good), &Policy::default()), None);
    for algorithm in [0, 1, 3, 6, 12, 16, 17, 253, 255] {
        assert_eq!(insecure(&[with(2, algorithm)], &Policy::default()), Some(1), "algorithm {algorithm}");
    }
    for digest in [0, 3, 5, 255] {
        assert_eq!(insecure(&[with(3, digest)], &Policy::default()), Some(2), "digest {digest}");
    }
    // One that counts is enough.
    assert_eq!(insecure(&[with(2, 16), good.clone()], &Policy::default()), None);
}

#[test]
fn sha1_counts_or_not_as_the_policy_says() {
    let strict = Policy { sha1: Sha1::Insecure, ..Policy::default() };
    let old = Key::new(5, 257);
    let new = Key::new(13, 257);
    for (ds, ede) in [(old.ds("example.", 2), 1), (new.ds("example.", 1), 2)] {
        assert_eq!(insecure(std::slice::from_ref(&ds), &strict), Some(ede));
        assert_eq!(insecure(&[ds], &lenient()), None);
    }
}

#[test]
fn a_sha1_digest_does_not_count_beside_a_better_one() {
    // The SHA-1 record points at the key that is there, the SHA-256 record at another: RFC 4509 §3 wants it bogus.
    let zone = Zone::new("example.", 13);
    let mut broken = zone.ksk.ds("example.", 2);
    broken[10] ^= 1;
    let sha1 = zone.ksk.ds("example.", 1);
    let trusted = Trusted { ds: &[&sha1, &broken], dnskeys: &[] };
    let trust = zone.dnskeys().signed(|set| establish(set, trusted, &lenient(), NOW, &budget()));
    assert_eq!(trust.expect_err("bogus").ede(), 9);
}

#[test]
fn one_valid_path_of_several_suffices() {
    // An algorithm roll-over half done: one DS is of a key that is not there, one signature is broken.
    let zone = Zone::new("example.", 13);
    let other = Key::new(15, 257);
    let mut set = zone.dnskeys();
    set.signatures.insert(0, other.signature(&set, "example.", &Spec::default()));
    let mut damaged = zone.ksk.signature(&set, "example.", &Spec::default());
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    set.signatures.insert(0, damaged);
    let (gone, here) = (other.ds("example.", 2), zone.ksk.ds("example.", 2));
    let trusted = Trusted { ds: &[&gone, &here], dnskeys: &[] };
    let trust = set.signed(|set| establish(set, trusted, &Policy::default(), NOW, &budget()));
    assert!(matches!(trust, Ok(Trust::Secure(..))), "{trust:?}");
}

#[test]
fn small_rsa_keys_leave_a_zone_insecure_unless_the_policy_says_otherwise() {
    let ksk = Key::with_bits(8, 257, 512);
    let mut set = Set::new("example.", Rtype::DNSKEY, vec![ksk.rdata.clone()]);
    ksk.sign(&mut set, "example.");
    let ds = ksk.ds("example.", 2);
    let trusted = Trusted { ds: &[&ds], dnskeys: &[] };
    let run = |policy: &Policy| set.signed(|set| establish(set, trusted, policy, NOW, &budget()));
    match run(&Policy::default()) {
        Ok(Trust::Insecure(cause)) => {
            assert_eq!(cause.why, Why::KeySize { tag: ksk.tag(), bits: 512 });
            assert_eq!(cause.ede(), 1);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(run(&lenient()), Ok(Trust::Secure(..))));
}

#[test]
fn an_rsa_signature_has_one_form() {
    // Another number with the same remainder is no signature (RFC 8017 §8.2.2); here by the code for small keys.
    let key = Key::with_bits(8, 256, 512);
    let keys = Keys::trusted(&name("example."), &[&key.rdata], &lenient());
    let mut tried = 0;
    for number in 0..40 {
        let mut set = Set::of(&[&format!("n{number}.example. 3600 IN A 192.0.2.1")]);
        key.sign(&mut set, "example.");
        assert!(set.signed(|set| verify(set, &keys, NOW, &budget())).is_ok());
        let at = set.signatures[0].len() - 64;
        let other = BigUint::from_bytes_be(&set.signatures[0][at..]) + key.modulus().expect("an RSA key");
        let other = other.to_bytes_be();
        if other.len() == 64 {
            tried += 1;
            set.signatures[0][at..].copy_from_slice(&other);
            assert!(set.signed(|set| verify(set, &keys, NOW, &budget())).is_err());
        }
    }
    assert!(tried > 0);
}

#[test]
fn leaving_out_the_better_key_does_not_make_a_zone_insecure() {
    // Both keys are vouched for; the one in the middle drops the one that counts.
    let (small, good) = (Key::with_bits(8, 257, 512), Key::new(13, 257));
    let mut set = Set::new("example.", Rtype::DNSKEY, vec![small.rdata.clone()]);
    small.sign(&mut set, "example.");
    let (one, two) = (small.ds("example.", 2), good.ds("example.", 2));
    let trusted = Trusted { ds: &[&one, &two], dnskeys: &[] };
    let trust = set.signed(|set| establish(set, trusted, &Policy::default(), NOW, &budget()));
    assert_eq!(trust.expect_err("bogus").why, Why::NoTrustedKey { tag: good.tag(), algorithm: 13 });
}

#[test]
fn many_signatures_that_cannot_count_do_not_hide_the_one_that_does() {
    let zone = Zone::new("example.", 13);
    let keys = zone.keys(&Policy::default());
    let mut set = Set::of(&["www.example. 3600 IN A 192.0.2.1"]);
    for _ in 0..20 {
        Key::new(15, 256).sign(&mut set, "example.");
    }
    zone.zsk.sign(&mut set, "example.");
    assert!(set.signed(|set| verify(set, &keys, NOW, &budget())).is_ok());
}

#[test]
fn a_wildcard_is_told_with_its_closest_encloser() {
    let zone = Zone::new("example.", 13);
    let keys = zone.keys(&Policy::default());
    let mut made = Set::of(&["*.w.example. 300 IN A 192.0.2.1"]);
    zone.zsk.sign(&mut made, "example.");
    let asked_for = made.signed(|set| verify(set, &keys, NOW, &budget())).expect("secure");
    assert_eq!(asked_for.wildcard, None);
    made.owner = name("a.b.w.example.");
    let expanded = made.signed(|set| verify(set, &keys, NOW, &budget())).expect("secure");
    assert_eq!(expanded.wildcard, Some(name("w.example.")));
}

#[test]
fn the_ttl_is_capped_by_original_ttl_and_expiry() {
    let zone = Zone::new("example.", 13);
    let keys = zone.keys(&Policy::default());
    let now = u32::try_from(NOW.0).expect("before 2106");
    let cap = |ttl: u32, spec: Spec| {
        let mut set = Set::of(&["www.example. 3600 IN A 192.0.2.1"]);
        zone.zsk.sign_as(&mut set, "example.", &spec);
        set.ttl = ttl;
        set.signed(|set| verify(set, &keys, NOW, &budget())).expect("secure").ttl_cap
    };
    assert_eq!(cap(86_000, Spec::default()), 3600);
    assert_eq!(cap(60, Spec::default()), 60);
    assert_eq!(cap(3600, Spec { until: Some(now + 10), ..Spec::default() }), 10);
    assert_eq!(cap(3600, Spec { until: Some(now), ..Spec::default() }), 0);
}

#[test]
fn times_are_serial_numbers_past_2106() {
    let zone = Zone::new("example.", 13);
    let keys = zone.keys(&Policy::default());
    let mut set = Set::of(&["www.example. 3600 IN A 192.0.2.1"]);
    zone.zsk.sign_as(&mut set, "example.", &Spec { from: Some(u32::MAX - 99), until: Some(400), ..Spec::default() });
    let at = |seconds: u64| set.signed(|set| verify(set, &keys, UnixTime(seconds), &budget()));
    let wrap = 1u64 << 32;
    let verified = at(wrap + 100).expect("secure");
    assert_eq!((verified.ttl_cap, verified.expires), (300, UnixTime(wrap + 400)));
    assert!(at(wrap - 50).is_ok());
    assert_eq!(at(wrap + 401).expect_err("expired").seconds_off(), Some(1));
    assert_eq!(at(wrap - 110).expect_err("early").seconds_off(), Some(-10));
}

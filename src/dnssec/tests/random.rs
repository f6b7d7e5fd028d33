//! Whatever a packet holds, nothing panics and nothing is proven by chance.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use super::signer::Zone;
use super::{NOW, Set, budget, lenient, name};
use crate::dnssec::{
    Anchors, Denial, Denied, Dnskey, Ds, DsAbsence, Nsec, Nsec3, Policy, Rollover, Rrsig, Trust, Trusted, TypeBits,
    establish, key_tag, order_key, verify,
};
use crate::wire::{Name, Rtype};

fn any_name(labels: &[Vec<u8>]) -> Name {
    let mut wire = Vec::new();
    for label in labels {
        wire.push(u8::try_from(label.len()).expect("short"));
        wire.extend_from_slice(label);
    }
    wire.push(0);
    Name::from_wire(&wire).unwrap_or_else(Name::root)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_are_read_or_refused(octets in vec(any::<u8>(), 0..600), rtype in any::<u16>()) {
        let zone = name("example.");
        let owner = name("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.");
        let _ = (Dnskey::parse(&octets), Ds::parse(&octets), Rrsig::parse(&octets), key_tag(&octets));
        let _ = Nsec3::parse(&zone, &owner, &octets);
        let _ = Nsec::parse(&zone, &owner, &octets).map(|record| record.place(&name("x.example.")));
        if let Some(bits) = TypeBits::parse(&octets) {
            let _ = bits.has(Rtype(rtype));
        }
        let keys = crate::dnssec::Keys::trusted(&zone, &[&octets], &lenient());
        let mut set = Set::new("www.example.", Rtype(rtype), vec![octets.clone(), octets.clone()]);
        set.signatures = vec![octets.clone()];
        assert!(set.signed(|set| verify(set, &keys, NOW, &budget())).is_err());
    }

    #[test]
    fn any_key_set_is_judged_without_panic(keys in vec(vec(any::<u8>(), 0..80), 0..6), ds in vec(vec(any::<u8>(), 0..60), 0..4)) {
        let set = Set::new("example.", Rtype::DNSKEY, keys);
        let ds: Vec<&[u8]> = ds.iter().map(Vec::as_slice).collect();
        let trusted = Trusted { ds: &ds, dnskeys: &[] };
        let trust = set.signed(|set| establish(set, trusted, &lenient(), NOW, &budget()));
        assert!(!matches!(trust, Ok(Trust::Secure(..))));
    }

    #[test]
    fn a_flipped_bit_breaks_a_signature(at in any::<usize>(), bit in 0u8..8) {
        let zone = Zone::new("example.", 15);
        let keys = zone.keys(&Policy::default());
        let mut set = Set::of(&["www.example. 300 IN A 192.0.2.1"]);
        zone.zsk.sign(&mut set, "example.");
        let at = at % set.signatures[0].len();
        set.signatures[0][at] ^= 1 << bit;
        // The signer's name is signed in lower case: its case alone may change.
        let same = at > 18 && at < 26 && bit == 5;
        let verdict = set.signed(|set| verify(set, &keys, NOW, &budget()));
        assert!(verdict.is_err() || same, "octet {at}, bit {bit}: {verdict:?}");
    }

    #[test]
    fn random_denials_deny_nothing_outside_their_zone(
        labels in vec(vec(any::<u8>(), 1..6), 0..8),
        owner in vec(vec(any::<u8>(), 1..6), 0..8),
        rdata in vec(any::<u8>(), 0..80),
    ) {
        let (zone, asked, owner) = (name("example."), any_name(&labels), any_name(&owner));
        let mut denial = Denial::new(&zone, &Policy::default());
        for rtype in [Rtype::NSEC, Rtype::NSEC3] {
            denial.add_known(&owner, rtype, &[&rdata]);
        }
        let budget = budget();
        if !asked.is_at_or_below(&zone) {
            assert!(!matches!(denial.nxdomain(&asked, &budget), Denied::Proven | Denied::OptOut));
            assert!(!matches!(denial.nodata(&asked, Rtype::A, &budget), Denied::Proven | Denied::OptOut));
            assert!(matches!(denial.ds(&asked, &budget), DsAbsence::NotProven(_) | DsAbsence::Unjudged(_)));
        }
        let _ = denial.wildcard_answer(&asked, &owner, &budget);
    }

    #[test]
    fn keys_of_order_are_in_order(a in vec(vec(any::<u8>(), 1..4), 0..5), b in vec(vec(any::<u8>(), 1..4), 0..5)) {
        let (a, b) = (any_name(&a), any_name(&b));
        assert_eq!(crate::dnssec::canonical_order(&a, &b), order_key(&a).cmp(&order_key(&b)));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n\t]{0,200}", words in "(\\.|DS|DNSKEY|IN|[0-9]{1,5}|[A-Fa-f0-9=+/]{2,9}|\\(|\\)|;| |\n){0,30}") {
        for text in [text, words] {
            let _ = Anchors::parse(&text);
            let seed = Anchors::built_in().of(&Name::root()).expect("the root").clone();
            assert!(Rollover::from_text(&text, seed).is_err());
        }
    }
}

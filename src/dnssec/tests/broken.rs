//! Every way of being broken, with its cause, its extended error and its words.

use super::signer::{Key, Spec, Zone};
use super::{NOW, Set, budget, name};
use crate::dnssec::{Cause, Policy, Trust, Trusted, Why, establish, verify};
use crate::wire::Rtype;

fn now() -> u32 {
    u32::try_from(NOW.0).expect("before 2106")
}

fn www() -> Set {
    Set::of(&["www.example. 3600 IN A 192.0.2.1"])
}

/// The verdict on a set that `damage` has signed or not.
fn refused(damage: impl FnOnce(&Zone, &mut Set)) -> Cause {
    let zone = Zone::new("example.", 13);
    let keys = zone.keys(&Policy::default());
    let mut set = www();
    damage(&zone, &mut set);
    set.signed(|set| verify(set, &keys, NOW, &budget())).expect_err("bogus")
}

fn signed_with(spec: Spec) -> Cause {
    refused(|zone, set| zone.zsk.sign_as(set, "example.", &spec))
}

#[test]
fn an_expired_signature_says_since_when() {
    let cause = signed_with(Spec { until: Some(now() - 60), from: Some(now() - 100), ..Spec::default() });
    assert_eq!((cause.ede(), cause.seconds_off()), (7, Some(60)));
    let text = cause.to_string();
    assert!(
        text.starts_with("zone example., www.example. A: signature by key ") && text.ends_with(" expired 60 s ago")
    );
}

#[test]
fn an_early_signature_says_how_early() {
    let cause = signed_with(Spec { from: Some(now() + 7_200), ..Spec::default() });
    assert_eq!((cause.ede(), cause.seconds_off()), (8, Some(-7_200)));
    assert!(cause.to_string().ends_with("is valid only in 2 h"), "{cause}");
}

#[test]
fn a_signature_that_ends_before_it_begins_is_no_signature() {
    let cause = signed_with(Spec { from: Some(now() + 10), until: Some(now() - 10), ..Spec::default() });
    assert_eq!(cause.ede(), 25);
}

#[test]
fn no_signature_and_no_key_are_told_apart() {
    assert_eq!(refused(|_, _| {}).ede(), 10);
    // A signature over another type is none over this one.
    assert_eq!(signed_with(Spec { covered: Some(Rtype::AAAA), ..Spec::default() }).ede(), 10);
    let cause = refused(|_, set| Key::new(13, 256).sign(set, "example."));
    assert_eq!(cause.ede(), 9);
    assert!(matches!(cause.why, Why::NoKey { algorithm: 13, .. }));
    assert_eq!(signed_with(Spec { algorithm: Some(15), ..Spec::default() }).ede(), 9);
}

#[test]
fn changed_data_does_not_fit_its_signature() {
    let cause = refused(|zone, set| {
        zone.zsk.sign(set, "example.");
        set.rdatas[0][3] ^= 1;
    });
    assert_eq!(cause.ede(), 6);
    assert!(matches!(cause.why, Why::BadSignature { algorithm: 13, .. }));
    let added = refused(|zone, set| {
        zone.zsk.sign(set, "example.");
        set.rdatas.push(vec![192, 0, 2, 66]);
    });
    assert!(matches!(added.why, Why::BadSignature { .. }));
    let other_name = refused(|zone, set| {
        zone.zsk.sign(set, "example.");
        set.owner = name("ftp.example.");
    });
    assert!(matches!(other_name.why, Why::BadSignature { .. }));
}

#[test]
fn only_the_zone_itself_may_sign() {
    // A child, a parent, a stranger: by whatever keys.
    for signer in ["www.example.", ".", "example.net."] {
        let cause = refused(|zone, set| zone.zsk.sign(set, signer));
        assert_eq!(cause.why, Why::WrongSigner { signer: Box::new(name(signer)) });
        assert_eq!(cause.ede(), 6);
    }
    // Data of another zone.
    let zone = Zone::new("example.", 13);
    let keys = zone.keys(&Policy::default());
    let mut set = Set::of(&["www.example.net. 3600 IN A 192.0.2.1"]);
    zone.zsk.sign(&mut set, "example.");
    assert!(set.signed(|set| verify(set, &keys, NOW, &budget())).is_err());
}

#[test]
fn a_child_may_not_vouch_for_itself_by_ds() {
    let zone = Zone::new("example.", 13);
    let keys = zone.keys(&Policy::default());
    let mut set = Set::new("example.", Rtype::DS, vec![zone.ksk.ds("example.", 2)]);
    zone.zsk.sign(&mut set, "example.");
    let cause = set.signed(|set| verify(set, &keys, NOW, &budget())).expect_err("bogus");
    assert!(matches!(cause.why, Why::WrongSigner { .. }));
}

#[test]
fn the_labels_field_fits_the_name_and_the_zone() {
    for labels in [0, 3, 255] {
        let cause = signed_with(Spec { labels: Some(labels), ..Spec::default() });
        assert!(matches!(cause.why, Why::WrongLabels { .. }), "{labels} labels: {cause}");
    }
}

#[test]
fn scraps_are_malformed() {
    for length in 0..30 {
        let cause = refused(|zone, set| {
            zone.zsk.sign(set, "example.");
            set.signatures[0].truncate(length);
        });
        assert!(
            matches!(cause.why, Why::Malformed | Why::WrongSigner { .. } | Why::BadSignature { .. }),
            "{length}: {cause}"
        );
    }
}

/// The verdict on a DNSKEY set whose entry point is `ksk`.
fn entry(ksk: &Key, others: &[&Key]) -> Result<Trust, Cause> {
    let mut rdatas = vec![ksk.rdata.clone()];
    rdatas.extend(others.iter().map(|key| key.rdata.clone()));
    let mut set = Set::new("example.", Rtype::DNSKEY, rdatas);
    ksk.sign(&mut set, "example.");
    let ds = ksk.ds("example.", 2);
    set.signed(|set| establish(set, Trusted { ds: &[&ds], dnskeys: &[] }, &Policy::default(), NOW, &budget()))
}

#[test]
fn keys_without_the_zone_bit_sign_nothing() {
    let ksk = Key::new(13, 257).flagged(1);
    assert_eq!(entry(&ksk, &[]).expect_err("bogus").ede(), 11);
    // As the key of data, beside a good entry point.
    let (ksk, zsk) = (Key::new(13, 257), Key::new(13, 256).flagged(0));
    let Ok(Trust::Secure(keys, _)) = entry(&ksk, &[&zsk]) else { panic!("the keys are good") };
    let mut set = www();
    zsk.sign(&mut set, "example.");
    let cause = set.signed(|set| verify(set, &keys, NOW, &budget())).expect_err("bogus");
    assert_eq!((cause.why.clone(), cause.ede()), (Why::NoZoneKey { tag: zsk.tag() }, 11));
}

#[test]
fn other_protocols_and_revoked_keys_sign_nothing() {
    let mut other = Key::new(13, 257);
    other.rdata[2] = 4;
    assert_eq!(entry(&other, &[]).expect_err("bogus").ede(), 11);
    let revoked = Key::new(13, 257).flagged(257 | 128);
    let cause = entry(&revoked, &[]).expect_err("bogus");
    assert_eq!(cause.why, Why::Revoked { tag: revoked.tag() });
}

#[test]
fn a_key_set_that_no_ds_points_at_is_bogus() {
    let (trusted, other) = (Key::new(13, 257), Zone::new("example.", 13));
    let ds = trusted.ds("example.", 2);
    let set = other.dnskeys();
    let verdict =
        set.signed(|set| establish(set, Trusted { ds: &[&ds], dnskeys: &[] }, &Policy::default(), NOW, &budget()));
    let cause = verdict.expect_err("bogus");
    assert_eq!((cause.why.clone(), cause.ede()), (Why::NoTrustedKey { tag: trusted.tag(), algorithm: 13 }, 9));
}

#[test]
fn a_key_set_signed_only_by_its_own_zone_signing_key_is_bogus() {
    let zone = Zone::new("example.", 13);
    let mut set = zone.dnskeys();
    set.signatures.clear();
    zone.zsk.sign(&mut set, "example.");
    let ds = zone.ksk.ds("example.", 2);
    let verdict =
        set.signed(|set| establish(set, Trusted { ds: &[&ds], dnskeys: &[] }, &Policy::default(), NOW, &budget()));
    assert_eq!(verdict.expect_err("bogus").ede(), 9);
}

#[test]
fn the_cause_that_came_farthest_is_told() {
    let cause = refused(|zone, set| {
        zone.zsk.sign_as(
            set,
            "example.",
            &Spec { until: Some(now() - 60), from: Some(0x6000_0000), ..Spec::default() },
        );
        Key::new(13, 256).sign(set, "example.");
        set.signatures.push(vec![0; 4]);
    });
    assert_eq!(cause.ede(), 7, "{cause}");
}

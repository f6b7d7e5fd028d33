//! RFC 5011: a root whose keys change, day by day.

use super::signer::Key;
use super::{NOW, Set, budget};
use crate::clock::UnixTime;
use crate::dnssec::{Anchor, KeyState, Observation, Policy, Rollover, Transition};
use crate::wire::{Name, Rtype};

const DAY: u64 = 86_400;

fn seed(key: &Key) -> Anchor {
    Anchor { zone: Name::root(), ds: vec![key.ds(".", 2)], dnskeys: Vec::new() }
}

/// The zone shows these keys, signed by some of them, on a day.
fn see(rollover: &mut Rollover, day: u64, keys: &[&Key], signers: &[&Key]) -> Observation {
    let now = UnixTime(NOW.0 + day * DAY);
    let mut set = Set::new(".", Rtype::DNSKEY, keys.iter().map(|key| key.rdata.clone()).collect());
    set.ttl = 172_800;
    let at = u32::try_from(now.0).expect("before 2106");
    for signer in signers {
        let spec = super::signer::Spec { from: Some(at - 60), until: Some(at + 20 * 86_400), ..Default::default() };
        signer.sign_as(&mut set, ".", &spec);
    }
    set.signed(|set| rollover.observe(set, &Policy::default(), now, &budget()))
}

fn states(rollover: &Rollover) -> Vec<(u16, KeyState)> {
    rollover.keys().iter().map(|key| (key.tag(), key.state)).collect()
}

fn trusts(rollover: &Rollover, key: &Key) -> bool {
    rollover.anchor().dnskeys.contains(&key.rdata)
}

#[test]
fn a_new_key_counts_after_thirty_days_and_an_old_one_until_revoked() {
    let (old, new) = (Key::new(13, 257), Key::new(15, 257));
    let mut root = Rollover::new(seed(&old));
    assert_eq!(see(&mut root, 0, &[&old], &[&old]).outcome, Ok(()));
    assert_eq!(states(&root), [(old.tag(), KeyState::Valid)]);

    let seen = see(&mut root, 10, &[&old, &new], &[&old]);
    assert_eq!(seen.transitions, [Transition { tag: new.tag(), from: None, to: Some(KeyState::AddPend) }]);
    assert!(!trusts(&root, &new));
    see(&mut root, 39, &[&old, &new], &[&old]);
    assert!(!trusts(&root, &new), "a day too early");
    // Signed by the new key alone it would not be believed yet.
    assert!(see(&mut root, 39, &[&new], &[&new]).outcome.is_err());
    let seen = see(&mut root, 40, &[&old, &new], &[&old]);
    assert_eq!(seen.transitions[0].to, Some(KeyState::Valid));
    assert!(trusts(&root, &new) && trusts(&root, &old));

    let revoked = old.flagged(257 | 128);
    let seen = see(&mut root, 50, &[&revoked, &new], &[&revoked, &new]);
    assert_eq!(seen.outcome, Ok(()));
    assert_eq!(seen.transitions[0].to, Some(KeyState::Revoked));
    let old = revoked.flagged(257);
    assert!(!trusts(&root, &old) && trusts(&root, &new));
    assert!(root.anchor().ds.is_empty(), "nor by the anchor of the beginning");
    // For good.
    see(&mut root, 51, &[&old, &new], &[&old, &new]);
    assert!(!trusts(&root, &old));
    assert!(see(&mut root, 52, &[&old], &[&old]).outcome.is_err());
    see(&mut root, 81, &[&new], &[&new]);
    assert_eq!(states(&root), [(old.tag(), KeyState::Removed), (new.tag(), KeyState::Valid)]);
    assert!(see(&mut root, 90, &[&old], &[&old]).outcome.is_err());
}

#[test]
fn a_pending_key_that_vanishes_begins_again() {
    let (old, new) = (Key::new(13, 257), Key::new(13, 257));
    let mut root = Rollover::new(seed(&old));
    see(&mut root, 0, &[&old, &new], &[&old]);
    let seen = see(&mut root, 20, &[&old], &[&old]);
    assert_eq!(seen.transitions, [Transition { tag: new.tag(), from: Some(KeyState::AddPend), to: None }]);
    see(&mut root, 21, &[&old, &new], &[&old]);
    see(&mut root, 40, &[&old, &new], &[&old]);
    assert!(!trusts(&root, &new), "the thirty days count from its return");
    see(&mut root, 51, &[&old, &new], &[&old]);
    assert!(trusts(&root, &new));
}

#[test]
fn a_missing_key_is_still_trusted() {
    let (one, two) = (Key::new(13, 257), Key::new(13, 257));
    let mut seed = seed(&one);
    seed.dnskeys.push(two.rdata.clone());
    let mut root = Rollover::new(seed);
    see(&mut root, 0, &[&one, &two], &[&one]);
    see(&mut root, 1, &[&one], &[&one]);
    assert!(states(&root).contains(&(two.tag(), KeyState::Missing)));
    assert!(trusts(&root, &two));
    let seen = see(&mut root, 2, &[&one, &two], &[&two]);
    assert_eq!(seen.outcome, Ok(()));
    assert!(states(&root).contains(&(two.tag(), KeyState::Valid)));
}

#[test]
fn only_the_key_itself_can_revoke_itself() {
    let (one, two) = (Key::new(13, 257), Key::new(13, 257));
    let mut seed = seed(&one);
    seed.dnskeys.push(two.rdata.clone());
    let mut root = Rollover::new(seed);
    see(&mut root, 0, &[&one, &two], &[&one]);
    let revoked = two.flagged(257 | 128);
    let seen = see(&mut root, 1, &[&one, &revoked], &[&one]);
    assert_eq!(seen.outcome, Ok(()));
    assert!(states(&root).contains(&(revoked.flagged(257).tag(), KeyState::Missing)));
}

#[test]
fn a_zone_that_revokes_all_has_no_anchor() {
    let one = Key::new(13, 257);
    let mut root = Rollover::new(seed(&one));
    see(&mut root, 0, &[&one], &[&one]);
    let revoked = one.flagged(257 | 128);
    let seen = see(&mut root, 1, &[&revoked], &[&revoked]);
    assert_eq!(seen.transitions[0].to, Some(KeyState::Revoked));
    let anchor = root.anchor();
    assert!(anchor.ds.is_empty() && anchor.dnskeys.is_empty());
}

#[test]
fn an_unknown_or_broken_set_changes_nothing() {
    let (one, stranger) = (Key::new(13, 257), Key::new(13, 257));
    let mut root = Rollover::new(seed(&one));
    see(&mut root, 0, &[&one], &[&one]);
    let before = root.keys().to_vec();
    assert!(see(&mut root, 5, &[&stranger], &[&stranger]).outcome.is_err());
    assert!(see(&mut root, 5, &[&one, &stranger], &[&stranger]).outcome.is_err());
    assert!(see(&mut root, 5, &[&one], &[]).outcome.is_err());
    // A revocation by a key that was never trusted.
    let revoked = stranger.flagged(257 | 128);
    assert!(see(&mut root, 5, &[&revoked], &[&revoked]).transitions.is_empty());
    assert_eq!(root.keys(), before);
}

#[test]
fn zone_signing_keys_are_not_followed() {
    let (ksk, zsk) = (Key::new(13, 257), Key::new(13, 256));
    let mut root = Rollover::new(seed(&ksk));
    see(&mut root, 0, &[&ksk, &zsk], &[&ksk]);
    see(&mut root, 60, &[&ksk, &zsk], &[&ksk]);
    assert_eq!(states(&root), [(ksk.tag(), KeyState::Valid)]);
}

#[test]
fn keys_that_cannot_be_used_are_not_followed() {
    let (ksk, mut scrap, mut unknown) = (Key::new(13, 257), Key::new(13, 257), Key::new(13, 257));
    scrap.rdata.truncate(20);
    unknown.rdata[3] = 16;
    let mut root = Rollover::new(seed(&ksk));
    see(&mut root, 0, &[&ksk, &scrap, &unknown], &[&ksk]);
    assert_eq!(states(&root), [(ksk.tag(), KeyState::Valid)]);
    assert_eq!(Rollover::from_text(&root.to_text(), seed(&ksk)), Ok(root));
}

#[test]
fn the_next_query_follows_ttl_and_signatures() {
    let key = Key::new(13, 257);
    let mut root = Rollover::new(seed(&key));
    // Half of the TTL of two days.
    see(&mut root, 0, &[&key], &[&key]);
    assert_eq!(root.next_query(), UnixTime(NOW.0 + DAY));
    // A tenth of it, after a failure.
    see(&mut root, 0, &[&key], &[]);
    assert_eq!(root.next_query(), UnixTime(NOW.0 + 17_280));
    root.failed(NOW);
    assert_eq!(root.next_query(), UnixTime(NOW.0 + 3_600));
}

#[test]
fn the_state_survives_as_text_and_damage_is_told() {
    let (old, new) = (Key::new(13, 257), Key::new(8, 257));
    let mut root = Rollover::new(seed(&old));
    assert_eq!(Rollover::from_text(&root.to_text(), seed(&old)), Ok(root.clone()));
    see(&mut root, 0, &[&old, &new], &[&old]);
    let text = root.to_text();
    assert_eq!(Rollover::from_text(&text, seed(&old)), Ok(root));
    // Cut anywhere.
    for cut in 0..text.len() {
        assert!(Rollover::from_text(&text[..cut], seed(&old)).is_err(), "cut at {cut}");
    }
    // Changed anywhere.
    for at in (0..text.len()).step_by(3) {
        let mut octets = text.clone().into_bytes();
        octets[at] ^= 1;
        let damaged = String::from_utf8_lossy(&octets);
        assert!(Rollover::from_text(&damaged, seed(&old)).is_err(), "changed at {at}");
    }
    let error = Rollover::from_text(&text.replace("pending", "perhaps"), seed(&old)).expect_err("no such state");
    assert_eq!((error.line, error.message.as_str()), (5, "`perhaps` is no state of a key"));
    let other = Anchor { zone: super::name("nl."), ..seed(&old) };
    assert_eq!(Rollover::from_text(&text, other).expect_err("another zone").line, 2);
}

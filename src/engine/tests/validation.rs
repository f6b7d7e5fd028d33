//! What the engine does with trust anchors: follows them (RFC 5011), tells of them (RFC 8509), and says when the clock is
//! wrong.

use super::*;
use crate::dnssec::tests::signer::{Key, Spec};
use crate::dnssec::tests::{NOW, Set};
use crate::dnssec::{Anchor, Anchors, KeyState, Rollover};
use crate::resolve::Failure;
use crate::wire::Section;

const DAY: u64 = 86_400;

fn at(second: u64) -> Now {
    Now::simulated(second * SECOND)
}

fn seed(key: &Key) -> Anchor {
    Anchor { zone: Name::root(), ds: vec![key.ds(".", 2)], dnskeys: Vec::new() }
}

fn trusting(key: &Key) -> Engine {
    let mut policy = Policy::default();
    policy.resolve.prime = false;
    let hint =
        crate::resolve::Hint { name: "a.root.".to_owned(), addresses: vec![Ipv4Addr::new(192, 0, 2, 53).into()] };
    policy.resolve.root_hints = vec![hint];
    policy.resolve.dnssec.anchors.replace(seed(key));
    Engine::new(Arc::new(policy), Shared::new(&crate::cache::Policy::default(), [5; 32]), [3; 32])
}

/// A set of the root, signed for `days` from NOW on, or some time before it.
fn signed(rtype: Rtype, rdatas: Vec<Vec<u8>>, key: &Key, days: [i64; 2]) -> Set {
    let mut set = Set::new(".", rtype, rdatas);
    set.ttl = 172_800;
    let day = |number: i64| Some(u32::try_from(NOW.0 as i64 + number * DAY as i64).expect("before 2106"));
    key.sign_as(&mut set, ".", &Spec { from: day(days[0]), until: day(days[1]), ..Spec::default() });
    set
}

/// Answers what is asked with the set of that type; returns the types asked for and the replies to clients.
fn carry(engine: &mut Engine, now: Now, sets: &[&Set]) -> (Vec<Rtype>, Vec<Message>) {
    let (mut asked, mut replies) = (Vec::new(), Vec::new());
    while let Some(transmit) = engine.poll_transmit(now) {
        match transmit {
            Transmit::Reply { packet, .. } => replies.push(Message::parse(&packet).expect("a response")),
            Transmit::Close { .. } => {}
            Transmit::Ask { key, packet, .. } => {
                let view = QueryView::parse(&packet).expect("a query");
                asked.push(view.rtype);
                let Some(set) = sets.iter().find(|set| set.rtype == view.rtype) else {
                    engine.handle_link_error(now, key, LinkError::Unreachable);
                    continue;
                };
                let mut out = Vec::new();
                let mut composer = Composer::new(&mut out, view.id, Flags::QR | Flags::AA, 4096);
                composer.question(view.question);
                let records = set.rdatas.iter().map(|rdata| (set.rtype, rdata));
                for (rtype, rdata) in records.chain(set.signatures.iter().map(|rdata| (Rtype::RRSIG, rdata))) {
                    composer.record(Section::Answer, set.owner.wire(), rtype, CLASS_IN, set.ttl, rdata).expect("room");
                }
                composer.edns(1232, 0, true, &[]);
                composer.finish();
                engine.handle_response(now, key, &out);
            }
        }
    }
    (asked, replies)
}

fn states(followed: &Followed) -> Vec<(u16, KeyState)> {
    followed.rollover.keys().iter().map(|key| (key.tag(), key.state)).collect()
}

#[test]
fn the_keys_of_an_anchor_are_looked_at_when_it_is_time() {
    let (old, new) = (Key::new(13, 257), Key::new(13, 257));
    let mut engine = trusting(&old);
    let mut first = signed(Rtype::DNSKEY, vec![old.rdata.clone()], &old, [-1, 40]);
    first.ttl = 172_800;
    engine.follow(at(0), Rollover::new(seed(&old)));
    assert_eq!(carry(&mut engine, at(0), &[&first]).0, [Rtype::DNSKEY], "at once");
    let seen = engine.poll_followed().expect("a look");
    assert_eq!((states(&seen), engine.poll_followed()), (vec![(old.tag(), KeyState::Valid)], None));
    assert_eq!(seen.seen.expect("the keys").outcome, Ok(()));
    assert_eq!(seen.rollover.next_query().0, NOW.0 + DAY);

    let both = signed(Rtype::DNSKEY, vec![old.rdata.clone(), new.rdata.clone()], &old, [-1, 40]);
    let mut look = |now: Now, sets: &[&Set]| {
        engine.handle_timeout(now);
        let (asked, _) = carry(&mut engine, now, sets);
        (asked.len(), engine.poll_followed())
    };
    assert_eq!(look(at(DAY - 1), &[&both]), (0, None), "not before it is time");
    let (asked, seen) = look(at(DAY), &[&both]);
    assert_eq!((asked, states(&seen.expect("a look"))[1]), (1, (new.tag(), KeyState::AddPend)));

    // The wall clock alone moves on by 31 days: that is noticed within seconds.
    let moved = Now { unix: crate::clock::UnixTime(NOW.0 + 32 * DAY), ..at(DAY + 10) };
    let (asked, seen) = look(moved, &[&both]);
    assert_eq!((asked, states(&seen.expect("a look"))[1]), (1, (new.tag(), KeyState::Valid)));
}

#[test]
fn keys_that_cannot_be_fetched_are_asked_for_again_an_hour_later() {
    let key = Key::new(13, 257);
    let set = signed(Rtype::DNSKEY, vec![key.rdata.clone()], &key, [-1, 40]);
    let mut engine = trusting(&key);
    engine.follow(at(0), Rollover::new(seed(&key)));
    let mut second = 0;
    let seen = loop {
        carry(&mut engine, at(second), &[]);
        match engine.poll_followed() {
            Some(seen) => break seen,
            None => second += 1,
        }
        assert!(second < 10, "it is given up before a client would give up");
        engine.handle_timeout(at(second));
    };
    assert!(matches!(seen.seen, Err(Failure::Unreachable { .. })), "{seen:?}");
    for (later, asked) in [(3_599, 0), (3_600, 1)] {
        engine.handle_timeout(at(second + later));
        assert_eq!(carry(&mut engine, at(second + later), &[&set]).0.len(), asked, "after {later} s");
    }
    assert!(engine.poll_followed().expect("a look").seen.is_ok());
}

#[test]
fn a_wrong_clock_is_told_with_by_how_much() {
    let key = Key::new(13, 257);
    for (days, off, error) in [([-30, -10], 10 * DAY as i64, 7), ([2, 30], -2 * DAY as i64, 8)] {
        let keys = signed(Rtype::DNSKEY, vec![key.rdata.clone()], &key, days);
        let servers = signed(Rtype::NS, vec![b"\x01a\x04root\0".to_vec()], &key, [-1, 1]);
        let mut engine = trusting(&key);
        let notice = Notice::ClockOff { zone: Name::root(), seconds: off, at: NOW };
        engine.follow(at(0), Rollover::new(seed(&key)));
        carry(&mut engine, at(0), &[&keys]);
        assert_eq!((engine.poll_notice(), engine.poll_notice()), (Some(notice.clone()), None), "who follows keys");

        let packet = ask(".", Rtype::NS, Flags::RD);
        let mut out = Vec::new();
        assert_eq!(engine.handle_query(at(1), client(), &packet, &mut out), Disposition::Pending);
        let (_, replies) = carry(&mut engine, at(1), &[&keys, &servers]);
        assert_eq!(replies[0].rcode(), Rcode::SERVFAIL);
        let (code, _) = replies[0].edns.as_ref().and_then(|edns| edns.extended_error.clone()).expect("a reason");
        assert_eq!(code, error);
        // A second later it is off by another second.
        let told = engine.poll_notice();
        assert!(
            matches!(&told, Some(Notice::ClockOff { seconds, .. }) if *seconds == off + 1),
            "who validates: {told:?}"
        );
    }
}

fn ask(owner: &str, rtype: Rtype, flags: u16) -> Vec<u8> {
    let mut question = name(owner).wire().to_vec();
    question.extend_from_slice(&rtype.0.to_be_bytes());
    question.extend_from_slice(&CLASS_IN.to_be_bytes());
    let mut packet = Vec::new();
    let mut composer = Composer::new(&mut packet, 7, flags, 512);
    composer.question(&question);
    composer.edns(1232, 0, false, &[]);
    composer.finish();
    packet
}

#[test]
fn a_sentinel_tells_which_keys_are_trusted() {
    let shared = Shared::new(&crate::cache::Policy::default(), [5; 32]);
    let label = |is: &str, tag: u16| format!("root-key-sentinel-{is}-ta-{tag:05}.example.nl");
    let names: Vec<String> = [20_326, 1].into_iter().flat_map(|tag| [label("is", tag), label("not", tag)]).collect();
    let keep = |owner: &str, security, second| {
        let stored = at(second).age;
        let set = RrSet::new(name(owner), Rtype::A, 300, Rank::AuthoritativeAnswer, stored, [&[192, 0, 2, 1][..]]);
        shared.cache.keep(set.judged(security, 300), stored);
    };
    names.iter().for_each(|owner| keep(owner, Security::Secure, 0));
    let unsigned = "root-key-sentinel-not-ta-20326.example.com";
    keep(unsigned, Security::Insecure, 0);
    let mut policy = Policy::default();
    policy.resolve.prime = false;
    policy.resolve.dnssec.anchors = Anchors::built_in();
    let mut engine = Engine::new(Arc::new(policy.clone()), shared.clone(), [3; 32]);
    let rcode = |engine: &mut Engine, owner: &str, flags| {
        let mut out = Vec::new();
        // Twice: the second time it may come from among the hot answers.
        let mut one = || {
            let told = engine.handle_query(at(1), client(), &ask(owner, Rtype::A, flags), &mut out);
            assert_eq!(told, Disposition::Answered, "{owner}");
            Message::parse(&out).expect("a response").rcode()
        };
        let first = one();
        assert_eq!(one(), first);
        first
    };
    let [is_known, not_known, is_foreign, not_foreign] = &names[..] else { panic!("four names") };
    for (owner, expected) in [
        (is_known, Rcode::NOERROR),
        (not_known, Rcode::SERVFAIL),
        (is_foreign, Rcode::SERVFAIL),
        (not_foreign, Rcode::NOERROR),
    ] {
        assert_eq!(rcode(&mut engine, owner, Flags::RD), expected, "{owner}");
        assert_eq!(rcode(&mut engine, owner, Flags::RD | Flags::CD), Rcode::NOERROR, "{owner} with CD");
    }
    assert_eq!(rcode(&mut engine, unsigned, Flags::RD), Rcode::NOERROR, "only what is secure is touched");

    policy.resolve.dnssec.sentinel = false;
    engine.set_rules(Arc::new(policy.clone()));
    assert_eq!(rcode(&mut engine, not_known, Flags::RD), Rcode::NOERROR, "switched off");
    // Another key is trusted from now on.
    policy.resolve.dnssec.sentinel = true;
    policy.resolve.dnssec.anchors = Anchors::default();
    policy.resolve.dnssec.anchors.replace(Anchor {
        zone: Name::root(),
        ds: vec![vec![0, 1, 8, 2, 0]],
        dnskeys: vec![],
    });
    engine.set_rules(Arc::new(policy));
    names.iter().for_each(|owner| keep(owner, Security::Secure, 1));
    assert_eq!(rcode(&mut engine, is_foreign, Flags::RD), Rcode::NOERROR);
    assert_eq!(rcode(&mut engine, is_known, Flags::RD), Rcode::SERVFAIL);
}

#[test]
fn anchors_are_followed_to_the_end_whatever_others_have_spent_of_the_turn() {
    let key = Key::new(13, 257);
    let set = signed(Rtype::DNSKEY, vec![key.rdata.clone()], &key, [-1, 40]);
    let mut engine = trusting(&key);
    engine.follow(at(0), Rollover::new(seed(&key)));
    let other = crate::dnssec::Budget::in_turns(&crate::dnssec::Limits::default(), engine.cx.turn());
    while !other.must_rest() {
        let _ = other.nsec3_hash(&name(&format!("n{}.example.", other.hash_blocks_spent())), &[0xab; 40], 50);
    }
    carry(&mut engine, at(0), &[&set]);
    let followed = engine.poll_followed().expect("a look");
    assert!(followed.seen.is_ok_and(|seen| seen.outcome.is_ok()));
}

#[test]
fn what_was_validated_under_other_anchors_counts_no_more() {
    let (old, new) = (Key::new(13, 257), Key::new(13, 257));
    let mut engine = trusting(&old);
    let stored = at(0).age;
    let set =
        RrSet::new(name("www.example.nl"), Rtype::A, 3600, Rank::AuthoritativeAnswer, stored, [&[192, 0, 2, 1][..]]);
    engine.shared.cache.keep(set.judged(crate::cache::Security::Secure, 3600), stored);
    let ask_it = |engine: &mut Engine| {
        let mut out = Vec::new();
        engine.handle_query(at(1), client(), &ask("www.example.nl", Rtype::A, Flags::RD | Flags::AD), &mut out);
        Message::parse(&out).ok().map(|message| message.flags.has(Flags::AD))
    };
    assert_eq!(ask_it(&mut engine), Some(true));
    let mut policy = Policy::clone(&engine.policy);
    policy.resolve.dnssec.anchors.replace(seed(&new));
    engine.set_rules(Arc::new(policy));
    assert_eq!(ask_it(&mut engine), None, "it is asked for anew");
}

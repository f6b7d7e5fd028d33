//! The door as clients meet it: who is admitted, how often, and who pays for it.

mod abuse;
mod bars;
mod crowds;
mod floods;
mod levels;
mod networks;
mod passes;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::clock::{Moment, Now, UnixTime};

fn prefixes(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

fn policy(allow: &[&str]) -> Policy {
    Policy { allow: prefixes(allow), ..Policy::default() }
}

fn door(allow: &[&str], refused_per_second: u32) -> Door {
    Door::new(&Policy { refused_per_second, ..policy(allow) })
}

fn at(now: Moment) -> Now {
    Now { mono: now, age: now, unix: UnixTime(1_750_000_000) }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// A query by UDP without a cookie.
fn plain(address: IpAddr) -> Asking<'static> {
    Asking { address, stream: false, cookie: None, name: b"\x03www\x07example\0" }
}

fn judge(door: &mut Door, now: Moment, client: IpAddr) -> Verdict {
    door.judge(at(now), &plain(client)).0
}

/// Asks, and gets an answer hardly larger than the question: it is known from now on.
fn meet(door: &mut Door, now: Moment, client: IpAddr) {
    let Verdict::Admitted(proof) = judge(door, now, client) else { panic!("{client} was not admitted") };
    assert_eq!(door.part(now, &proof, &leaving(b"", 50, 51, true)), Parting::Send);
}

/// A client was told to come by TCP, and does: whether it is answered there.
fn comes(door: &mut Door, now: Moment, client: IpAddr, name: &[u8], level: Level) -> bool {
    let asking = Asking { address: client, stream: true, cookie: None, name };
    door.accept(now, client, level)
        && match door.judge(at(now), &asking).0 {
            Verdict::Admitted(proof) => door.part(now, &proof, &leaving(name, 50, 190, true)) == Parting::Send,
            Verdict::Turned(_) => false,
        }
}

/// An answer of `sent` octets to a question of `received` octets; whether it was known.
fn leaving(name: &[u8], received: usize, sent: usize, from_cache: bool) -> Departing<'_> {
    Departing { name, received, sent, from_cache }
}

fn ask(door: &mut Door, client: &str) -> Verdict {
    judge(door, Moment::ZERO, ip(client))
}

const REFUSED: Verdict = Verdict::Turned(Turned::Refuse(Reason::NotAllowed));
const SILENCE: Verdict = Verdict::Turned(Turned::Drop(Reason::RefusedRate));

fn counts(door: &Door) -> (u64, u64) {
    (door.tally().refused, door.tally().dropped)
}

fn is_admitted(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Admitted(_))
}

#[test]
fn by_default_only_this_machine_is_served() {
    let mut door = Door::new(&Policy::default());
    for client in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
        assert!(is_admitted(ask(&mut door, client)), "{client}");
    }
    for client in ["128.0.0.1", "192.0.2.1", "::2", "2001:db8::1", "::ffff:192.0.2.1"] {
        assert_eq!(ask(&mut door, client), REFUSED, "{client}");
    }
    assert_eq!(counts(&door), (5, 0));
}

#[test]
fn an_empty_list_serves_nobody_and_zero_refusals_are_silence() {
    let mut door = door(&[], 0);
    assert_eq!(ask(&mut door, "127.0.0.1"), SILENCE);
    assert_eq!(ask(&mut door, "::1"), SILENCE);
    assert_eq!(counts(&door), (0, 2));
}

#[test]
fn mapped_addresses_and_prefixes_mean_ipv4() {
    assert!(is_admitted(ask(&mut door(&["::ffff:10.0.0.0/104"], 1), "10.1.2.3")));
    assert!(is_admitted(ask(&mut door(&["10.0.0.0/8"], 1), "::ffff:10.1.2.3")));
    // All of IPv6 is not a way in for IPv4.
    assert!(!is_admitted(ask(&mut door(&["::/0"], 1), "::ffff:10.1.2.3")));
    assert!(!is_admitted(ask(&mut door(&["0.0.0.0/0"], 1), "::1")));
}

#[test]
fn host_bits_in_a_prefix_do_not_matter() {
    assert!(is_admitted(ask(&mut door(&["10.1.2.3/8"], 1), "10.9.9.9")));
    assert!(is_admitted(ask(&mut door(&["2001:db8::5/32"], 1), "2001:db8:ffff::1")));
}

#[test]
fn refusals_come_back_with_time_and_service_never_stops() {
    let mut door = door(&["10.0.0.0/8"], 10);
    let stranger = IpAddr::from([192, 0, 2, 1]);
    let start = Moment::from_nanos(5_000_000_000_000);
    let refused = (0..1000).filter(|_| judge(&mut door, start, stranger) == REFUSED).count();
    assert_eq!(refused, 10);
    assert!(is_admitted(judge(&mut door, start, IpAddr::from([10, 0, 0, 1]))));
    let later = start + Duration::from_millis(500);
    let refused = (0..1000).filter(|_| judge(&mut door, later, stranger) == REFUSED).count();
    assert_eq!(refused, 5);
    assert_eq!(counts(&door), (15, 1985));
}

#[test]
fn shards_share_one_rate() {
    let policy = Policy { refused_per_second: 10, ..policy(&[]) };
    let books = Books::new(&Sizes::small(), &[1; 32]);
    let mut doors = [Door::beside(&policy, &books), Door::beside(&policy, &books)];
    let now = Moment::from_nanos(1);
    for _ in 0..50 {
        for door in &mut doors {
            judge(door, now, IpAddr::from([192, 0, 2, 1]));
        }
    }
    assert_eq!(counts(&doors[0]).0 + counts(&doors[1]).0, 10);
}

#[test]
fn the_ends_of_time_are_harmless() {
    let mut door = door(&[], u32::MAX);
    for now in [Moment::NEVER, Moment::ZERO, Moment::NEVER, Moment::from_nanos(1)] {
        judge(&mut door, now, IpAddr::from([192, 0, 2, 1]));
    }
    assert_eq!(counts(&door).0 + counts(&door).1, 4);
}

/// Addresses close together, so that prefixes and clients meet.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u32..16, 0u32..4).prop_map(|(high, low)| IpAddr::from(Ipv4Addr::from((high << 28) | low))),
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits))),
        (0u128..16, 0u128..4).prop_map(|(high, low)| IpAddr::from(Ipv6Addr::from((high << 124) | low))),
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits).to_ipv6_mapped())),
    ]
}

fn prefix() -> impl Strategy<Value = IpNet> {
    (address(), 0u8..=128).prop_map(|(address, length)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, length.min(most)).expect("a length within the address")
    })
}

/// Bit by bit, without a trie or a library's notion of a prefix.
fn covers(prefix: IpNet, client: IpAddr) -> bool {
    let (mut bits, mut length, v4) = match prefix.addr() {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, prefix.prefix_len(), true),
        IpAddr::V6(address) => (u128::from(address), prefix.prefix_len(), false),
    };
    let mapped = !v4 && length >= 96 && (bits >> 32) == 0xffff;
    if mapped {
        (bits, length) = (bits << 96, length - 96);
    }
    let (client_bits, client_v4) = match client {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, true),
        IpAddr::V6(address) if u128::from(address) >> 32 == 0xffff => (u128::from(address) << 96, true),
        IpAddr::V6(address) => (u128::from(address), false),
    };
    let same = length == 0 || (bits ^ client_bits) >> (128 - length) == 0;
    (v4 || mapped) == client_v4 && same
}

proptest! {
    #[test]
    fn the_door_opens_exactly_for_covered_clients(
        allow in prop::collection::vec(prefix(), 0..12),
        clients in prop::collection::vec(address(), 1..20),
    ) {
        let mut door = Door::new(&Policy { allow: allow.clone(), ..Policy::default() });
        for client in clients {
            let expected = allow.iter().any(|prefix| covers(*prefix, client));
            prop_assert_eq!(is_admitted(judge(&mut door, Moment::ZERO, client)), expected, "{} {:?}", client, allow);
        }
    }

    /// Between any two refusals there are never more than the rate allows for that time, and a burst.
    #[test]
    fn refusals_never_exceed_rate_and_burst(
        rate in 1u32..50_000,
        gaps in prop::collection::vec((0u64..400_000_000, 1usize..40), 1..40),
    ) {
        let mut door = Door::new(&Policy { refused_per_second: rate, ..policy(&[]) });
        let mut now = Moment::from_nanos(7);
        let mut refusals: Vec<Moment> = Vec::new();
        for (gap, count) in gaps {
            now = now + Duration::from_nanos(gap);
            for _ in 0..count {
                if judge(&mut door, now, IpAddr::from([192, 0, 2, 1])) == REFUSED {
                    refusals.push(now);
                }
            }
        }
        prop_assert!(!refusals.is_empty());
        for (first, from) in refusals.iter().enumerate() {
            for (last, to) in refusals.iter().enumerate().skip(first) {
                let nanos = to.since(*from).as_nanos();
                let most = nanos * u128::from(rate) / 1_000_000_000 + u128::from(rate);
                prop_assert!((last - first + 1) as u128 <= most, "{} in {} ns at {}/s", last - first + 1, nanos, rate);
            }
        }
    }
}

/// The level of pressure that `door` is brought to.
fn pressed(door: &mut Door, now: Moment, level: Level) {
    let dropped = [0.0, 0.001, 0.05, 0.9][level as usize];
    assert_eq!(door.feel(now, &Pressure { dropped, ..Pressure::default() }), level);
}

/// How many of `count` questions, one each `gap`, are admitted.
fn admitted(door: &mut Door, start: Moment, gap: Duration, count: u32, client: IpAddr) -> u32 {
    (0..count).map(|turn| u32::from(is_admitted(judge(door, start + gap * turn, client)))).sum()
}

const START: Moment = Moment::from_nanos(3_600_000_000_000);
const MS: Duration = Duration::from_millis(1);

#[test]
fn with_room_to_spare_nobody_is_refused() {
    let mut door = door(&["10.0.0.0/8"], 0);
    assert_eq!(admitted(&mut door, START, Duration::from_micros(1), 100_000, ip("10.0.0.1")), 100_000);
    let Verdict::Admitted(proof) = judge(&mut door, START, ip("10.0.0.1")) else { panic!("not admitted") };
    assert!((0..1000).all(|_| door.recurse(START, &proof, b"").is_ok()));
    assert_eq!(door.tally().turned, [0; Reason::COUNT]);
    assert_eq!(door.tally().observed, [0; Reason::COUNT]);
}

#[test]
fn under_guard_everybody_has_his_share_and_neighbours_are_not_hurt() {
    let mut door = door(&["10.0.0.0/8"], 0);
    judge(&mut door, START, ip("10.0.0.2"));
    judge(&mut door, START, ip("10.0.0.1"));
    pressed(&mut door, START, Level::Guard);
    // 20 seconds of 10,000 a second: a burst of 2,000, then 1,000 a second.
    let served = admitted(&mut door, START, Duration::from_micros(100), 200_000, ip("10.0.0.1"));
    assert!((21_900..=22_001).contains(&served), "{served}");
    let now = START + 20 * Duration::from_secs(1);
    assert_eq!(admitted(&mut door, now, MS, 1000, ip("10.0.0.2")), 1000, "the neighbour in the same /24");
    assert!(door.tally().turned[Reason::ClientShare as usize] > 177_000);
}

#[test]
fn one_in_two_of_the_unproven_beyond_their_share_is_asked_to_prove_himself() {
    let mut door = door(&["10.0.0.0/8"], 0);
    judge(&mut door, START, ip("10.0.0.1"));
    pressed(&mut door, START, Level::Guard);
    let mut counts = [0u32; 3];
    for _ in 0..12_000 {
        match judge(&mut door, START, ip("10.0.0.1")) {
            Verdict::Admitted(_) => counts[0] += 1,
            Verdict::Turned(Turned::Slip(Slip::Truncated, Reason::ClientShare)) => counts[1] += 1,
            Verdict::Turned(Turned::Drop(Reason::ClientShare)) => counts[2] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((1_999..=2_000).contains(&counts[0]), "{counts:?}");
    assert!((4_700..5_300).contains(&counts[1]), "{counts:?}");
    // By TCP it has an account that nobody can use up by forging its address.
    let stream = Asking { stream: true, ..plain(ip("10.0.0.1")) };
    assert!((0..1000).all(|_| is_admitted(door.judge(at(START), &stream).0)));
}

#[test]
fn a_cookie_proves_an_address_and_is_given_to_who_asks() {
    let mut door = door(&["10.0.0.0/8", "2001:db8::/32"], 0);
    let address = ip("2001:db8::1");
    let (verdict, reply) = door.judge(at(START), &Asking { cookie: Some(&[9; 8]), ..plain(address) });
    let Verdict::Admitted(proof) = verdict else { panic!("{verdict:?}") };
    assert!(!proof.proven());
    let CookieReply::Give(cookie) = reply else { panic!("{reply:?}") };
    assert_eq!(cookie[..8], [9; 8]);
    let (verdict, reply) = door.judge(at(START), &Asking { cookie: Some(&cookie), ..plain(address) });
    assert!(matches!(verdict, Verdict::Admitted(proof) if proof.proven()), "{verdict:?}");
    assert_eq!(reply, CookieReply::Give(cookie));
    let (verdict, reply) = door.judge(at(START), &Asking { cookie: Some(&cookie), ..plain(ip("2001:db8::2")) });
    assert!(matches!(verdict, Verdict::Admitted(proof) if !proof.proven()), "{verdict:?}");
    assert!(matches!(reply, CookieReply::Give(other) if other != cookie));
    assert_eq!(door.judge(at(START), &Asking { cookie: Some(&[9; 7]), ..plain(address) }).1, CookieReply::Malformed);
    let tally = door.tally();
    assert_eq!((tally.proven, tally.unproven, tally.cookies, tally.bad_cookies), (1, 3, 1, 1));
}

fn class(prefix: &str, class: ClientClass) -> Policy {
    Policy { classes: vec![ClientClass { prefixes: prefixes(&[prefix]), ..class }], ..policy(&["10.0.0.0/8"]) }
}

#[test]
fn an_exempt_client_is_never_limited_and_never_counts_against_its_prefix() {
    let mut door = Door::new(&class("10.0.0.1/32", ClientClass { exempt: true, ..ClientClass::default() }));
    judge(&mut door, START, ip("10.0.0.2"));
    for level in Level::ALL {
        pressed(&mut door, START, level);
        for _ in 0..10_000 {
            let Verdict::Admitted(proof) = judge(&mut door, START, ip("10.0.0.1")) else { panic!("refused") };
            assert!(door.recurse(START, &proof, b"").is_ok());
            door.settle(START, &proof, 10_000);
            assert_eq!(door.part(START, &proof, &leaving(b"", 10, 4000, true)), Parting::Send);
        }
    }
    assert_eq!(admitted(&mut door, START, MS, 500, ip("10.0.0.2")), 500);
}

#[test]
fn a_weight_is_so_many_shares() {
    let mut door = Door::new(&class("10.0.0.1/32", ClientClass { weight: 10, ..ClientClass::default() }));
    for client in ["10.0.0.1", "10.0.0.2"] {
        meet(&mut door, START, ip(client));
    }
    let start = START + Duration::from_secs(3);
    pressed(&mut door, start, Level::Guard);
    assert_eq!(admitted(&mut door, start, Duration::ZERO, 30_000, ip("10.0.0.1")), 20_000);
    assert_eq!(admitted(&mut door, start, Duration::ZERO, 30_000, ip("10.0.0.2")), 2_000);
}

#[test]
fn a_class_can_be_made_to_show_cookies() {
    let showing = |mode| class("10.1.0.0/16", ClientClass { require_cookie: mode, ..ClientClass::default() });
    let mut door = Door::new(&showing(Mode::Enforce));
    let client = ip("10.1.0.1");
    let turned = |slip| Verdict::Turned(Turned::Slip(slip, Reason::CookieRequired));
    assert_eq!(judge(&mut door, START, client), turned(Slip::Truncated));
    let (verdict, reply) = door.judge(at(START), &Asking { cookie: Some(&[9; 8]), ..plain(client) });
    assert_eq!(verdict, turned(Slip::BadCookie));
    let CookieReply::Give(cookie) = reply else { panic!("{reply:?}") };
    assert!(is_admitted(door.judge(at(START), &Asking { cookie: Some(&cookie), ..plain(client) }).0));
    assert!(is_admitted(door.judge(at(START), &Asking { stream: true, ..plain(client) }).0));
    assert!(is_admitted(judge(&mut door, START, ip("10.2.0.1"))));
    let enforced = door.tally().turned[Reason::CookieRequired as usize];
    for (mode, observed) in [(Mode::Observe, enforced), (Mode::Off, 0)] {
        let mut door = Door::new(&showing(mode));
        assert!(is_admitted(judge(&mut door, START, client)));
        assert!(is_admitted(door.judge(at(START), &Asking { cookie: Some(&[9; 8]), ..plain(client) }).0));
        assert!(is_admitted(door.judge(at(START), &Asking { stream: true, ..plain(client) }).0));
        let tally = door.tally();
        assert_eq!((tally.observed[Reason::CookieRequired as usize], tally.slipped), (observed, 0), "{mode:?}");
    }
}

#[test]
fn who_has_spent_his_share_upstream_is_still_answered_from_the_cache() {
    let mut door = door(&["10.0.0.0/8"], 0);
    let client = ip("10.0.0.1");
    judge(&mut door, START, client);
    pressed(&mut door, START, Level::Guard);
    let (mut hits, mut misses) = (0, 0);
    // Ten seconds of 400 questions a second, all of them new.
    for turn in 0..4_000 {
        let now = START + turn * Duration::from_micros(2_500);
        let Verdict::Admitted(proof) = judge(&mut door, now, client) else { continue };
        hits += 1;
        match door.recurse(now, &proof, b"") {
            Ok(()) => misses += 1,
            Err(turned) => assert_eq!(turned, Turned::Slip(Slip::Truncated, Reason::Recursion)),
        }
    }
    assert_eq!(hits, 4_000);
    // A burst of 50 and 50 a second, however much comes from the cache.
    assert!((550..600).contains(&misses), "{misses}");
}

#[test]
fn what_was_dearer_than_thought_is_paid_later() {
    let mut door = door(&["10.0.0.0/8"], 0);
    let client = ip("10.0.0.1");
    let Verdict::Admitted(proof) = judge(&mut door, START, client) else { panic!("refused") };
    pressed(&mut door, START, Level::Guard);
    door.settle(START, &proof, 5_000);
    assert!(door.recurse(START + 3_900 * MS, &proof, b"").is_err());
    assert!((0..1_000).all(|_| is_admitted(judge(&mut door, START + MS, client))), "he is answered from the cache");
    assert!(door.recurse(START + 4_100 * MS, &proof, b"").is_ok());
    door.settle(START, &proof, usize::MAX);
    assert!(door.recurse(START + 9_000 * MS, &proof, b"").is_ok(), "no debt lasts for ever");
}

#[test]
fn a_question_is_paid_by_what_it_took_and_never_more_than_once_by_who_may_be_forged() {
    // How much of what may be used upstream at once is gone after one question, in units, as questions of 19 more tell it.
    let paid = |micros: u32, failed: bool, stream: bool| {
        let mut door = door(&["10.0.0.0/8"], 0);
        let client = Asking { stream, ..plain(ip("10.0.0.1")) };
        meet(&mut door, START, ip("10.0.0.1"));
        pressed(&mut door, START, Level::Guard);
        let Verdict::Admitted(proof) = door.judge(at(START), &client).0 else { panic!("refused") };
        door.settle_question(START, &proof, micros * 1_000, failed);
        1_000 - 19 * (0..60).filter(|_| door.recurse(START, &proof, b"").is_ok()).count()
    };
    let (usual, dear) = (paid(150, false, true), paid(4_000, false, true));
    assert!(usual < 19, "{usual}");
    assert!((380..400).contains(&dear), "400 less those paid at the beginning: {dear}");
    assert!((980..=1_000).contains(&paid(20_000, true, true)), "bounded");
    for (micros, failed) in [(20_000, false), (20_000, true), (0, true)] {
        let forged = paid(micros, failed, false);
        assert!((30..50).contains(&forged), "what a failure costs, and no more: {forged}");
    }
}

#[test]
fn forged_strangers_do_not_keep_out_who_was_here_before() {
    forged_strangers(door(&["0.0.0.0/0"], 0));
}

#[test]
fn strangers_have_their_rate_where_there_are_more_of_them_than_accounts() {
    let sizes = Sizes { accounts: 1 << 8, ..Sizes::default() };
    forged_strangers(Door::beside(&policy(&["0.0.0.0/0"]), &Books::new(&sizes, &[1; 32])));
}

fn forged_strangers(mut door: Door) {
    let regulars: Vec<IpAddr> = (0..1_000u32).map(|n| IpAddr::from((0x0a00_0000 | n << 8).to_be_bytes())).collect();
    // No faster than new customers come.
    for (number, client) in (0u32..).zip(&regulars) {
        meet(&mut door, START - Duration::from_secs(10) + number * Duration::from_millis(10), *client);
    }
    pressed(&mut door, START, Level::Closed);
    let (mut forged, mut served) = (0u32, 0u32);
    for turn in 0..100_000u32 {
        let now = START + turn * Duration::from_micros(10);
        let forger = IpAddr::from(turn.wrapping_mul(2_654_435_761).to_be_bytes());
        forged += u32::from(is_admitted(judge(&mut door, now, forger)));
        if turn % 50 == 0 {
            served += u32::from(is_admitted(judge(&mut door, now, regulars[turn as usize / 50 % 1000])));
        }
    }
    assert_eq!(served, 2_000, "all of those who are known");
    // A second's burst and a second's worth of 2,000 a second, and the few taken for somebody else.
    assert!(forged < 6_000, "{forged} of 100000");
    assert!(door.tally().turned[Reason::Stranger as usize] > 90_000);
}

#[test]
fn a_flood_in_a_victims_name_sends_it_less_than_it_costs_the_forger() {
    for level in Level::ALL {
        let mut door = door(&["0.0.0.0/0"], 0);
        let victim = ip("198.51.100.7");
        judge(&mut door, START, victim);
        pressed(&mut door, START, level);
        let (mut received, mut sent) = (0usize, 0usize);
        for turn in 0..60_000u32 {
            let now = START + turn * Duration::from_micros(50);
            received += 50;
            sent += match judge(&mut door, now, victim) {
                Verdict::Admitted(proof) => match door.part(now, &proof, &leaving(b"\x01x\0", 50, 200, true)) {
                    Parting::Send => 200,
                    Parting::Truncate(_) => 50,
                    Parting::Drop(_) => 0,
                },
                Verdict::Turned(Turned::Slip(..) | Turned::Refuse(_)) => 50,
                Verdict::Turned(Turned::Drop(_)) => 0,
            };
        }
        assert!(sent <= received, "{level:?}: {sent} octets for {received}");
    }
}

#[test]
fn the_same_large_answer_is_rationed() {
    let mut door = door(&["0.0.0.0/0"], 0);
    let Verdict::Admitted(proof) = judge(&mut door, START, ip("198.51.100.7")) else { panic!("refused") };
    let mut send = |name: &[u8], sent| door.part(START, &proof, &leaving(name, 50, sent, true)) == Parting::Send;
    assert_eq!((0..100).filter(|_| send(b"\x01a\0", 1074)).count(), 16);
    assert_eq!((0..100).filter(|_| send(b"\x01b\0", 1074)).count(), 16);
    assert_eq!((0..100).filter(|_| send(b"\x01a\0", 200)).count(), 100, "small ones do not count");
}

#[test]
fn observing_refuses_nobody_and_counts_what_it_would_have() {
    let run = |clients| {
        let limits = Limits { clients, ..Limits::default() };
        let mut door = Door::new(&Policy { limits, ..policy(&["10.0.0.0/8"]) });
        judge(&mut door, START, ip("10.0.0.1"));
        pressed(&mut door, START, Level::Guard);
        let served = admitted(&mut door, START, Duration::from_micros(100), 10_000, ip("10.0.0.1"));
        (served, door.tally())
    };
    let (served, enforced) = run(Mode::Enforce);
    let (all, observed) = run(Mode::Observe);
    assert!((2_999..=3_000).contains(&served) && all == 10_000, "{served} {all}");
    assert_eq!(observed.observed, enforced.turned);
    assert_eq!(observed.turned, [0; Reason::COUNT]);
    assert_eq!(run(Mode::Off).1.observed, [0; Reason::COUNT]);
}

#[test]
fn where_clients_are_only_observed_nobody_is_told_to_come_by_tcp_for_asking_much() {
    let run = |clients| {
        let limits = Limits { clients, ration: 1 << 30, client_rate: 20, client_burst: 40, ..Limits::default() };
        let mut door = Door::new(&Policy { limits, ..policy(&["10.0.0.0/8"]) });
        let client = ip("10.0.0.1");
        assert!(door.accept(START, client, Level::Open), "it was here before");
        pressed(&mut door, START, Level::Watch);
        let whole = (0..150).filter(|_| match judge(&mut door, START, client) {
            Verdict::Admitted(proof) => door.part(START, &proof, &leaving(b"\x01x\0", 50, 66, true)) == Parting::Send,
            Verdict::Turned(_) => false,
        });
        (whole.count(), door.tally())
    };
    let count = |counts: &[u64; Reason::COUNT]| counts[Reason::HalfShare as usize];
    let (enforced, observed) = (run(Mode::Enforce), run(Mode::Observe));
    assert!((70..=90).contains(&enforced.0), "who asks far too much has nothing in excess: {}", enforced.0);
    assert_eq!((observed.0, count(&observed.1.turned)), (150, 0));
    assert_eq!(count(&observed.1.observed), count(&enforced.1.turned), "what is observed is what would have been done");
}

#[test]
fn an_address_with_many_clients_behind_it_has_many_shares() {
    let mut door = door(&["10.0.0.0/8"], 0);
    let (crowd, single) = (ip("10.0.0.1"), ip("10.0.1.1"));
    // Two minutes in peace: two thousand clients with names of their own behind one address.
    for turn in 0..150_000u64 {
        let now = START + Duration::from_micros(800) * u32::try_from(turn).expect("few");
        let name = format!("{}", turn * 7919 % 12_000);
        if let Verdict::Admitted(proof) = judge(&mut door, now, crowd) {
            door.part(now, &proof, &leaving(name.as_bytes(), 50, 100, true));
        }
        if turn % 10 == 0 {
            judge(&mut door, now, single);
        }
    }
    let now = START + Duration::from_secs(120);
    pressed(&mut door, now, Level::Guard);
    let served = admitted(&mut door, now, Duration::from_micros(200), 50_000, crowd);
    assert!(served >= 47_500, "{served} of 50000: within 5 % of the same clients apart");
    let alone = admitted(&mut door, now, Duration::from_micros(200), 50_000, single);
    assert!(alone < 12_100, "{alone}");
}

#[test]
fn a_network_of_crowds_is_sent_the_small_answers_that_it_asks_for() {
    // Thirty-two addresses of one carrier, with a hundred and fifty questions a second each.
    let served = |names: u32| {
        let mut door = door(&["10.0.0.0/8"], 0);
        let mut sent = 0;
        for turn in 0..480_000u32 {
            let now = START + Duration::from_nanos(208_333) * turn;
            let client = ip(&format!("10.0.0.{}", turn % 32));
            let name = format!("{}", turn.wrapping_mul(7919) % names);
            let Verdict::Admitted(proof) = judge(&mut door, now, client) else { panic!("refused without pressure") };
            match door.part(now, &proof, &leaving(name.as_bytes(), 50, 150, true)) {
                Parting::Send => sent += u32::from(turn >= 240_000),
                // One of thousands comes back by TCP.
                _ => assert!(door.accept(now, client, Level::Open), "room to spare"),
            }
        }
        sent
    };
    let (many, one) = (served(12_000), served(1));
    assert!(many > 235_000, "{many} of 240000 answers to crowds are sent whole");
    assert!(one < 140_000, "{one} of 240000 answers to addresses that ask for one name, as forged ones do");
}

/// What became of a million questions of 10,000 clients within 200 seconds, the first half of them in peace: how many of
/// the second half were turned away or sent truncated. Nine tenths of the clients are households; fifty addresses are
/// offices with a hundred people each, five are forwarders with a thousand customers each.
fn refused_of_a_million(seed: u64, level: Level) -> u32 {
    let mut door = door(&["10.0.0.0/8"], 0);
    let mut state = seed;
    let mut random = |below: u64| {
        // splitmix64 (Steele et al. 2014)
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % below
    };
    let mut refused = 0;
    for number in 0..1_000_000u32 {
        let now = START + Duration::from_micros(200) * number;
        if number % 1000 == 0 && number >= 500_000 {
            pressed(&mut door, now, level);
        }
        // Everybody of the twenty thousand asks alike.
        let client = match random(20_000) {
            user @ 0..10_000 => ip(&format!("10.{}.{}.{}", user / 2500, user / 10 % 250, 1 + user % 10)),
            user @ 10_000..15_000 => ip(&format!("10.50.0.{}", 1 + (user - 10_000) / 100)),
            user => ip(&format!("10.60.0.{}", 1 + (user - 15_000) / 1000)),
        };
        // Names by Zipf's law, as near as a square comes to it; one in eight is not in the cache.
        let rank = random(400) * random(400);
        let name = format!("{rank}");
        let Verdict::Admitted(proof) = judge(&mut door, now, client) else {
            refused += 1;
            continue;
        };
        let cached = random(8) > 0;
        let served = (cached || door.recurse(now, &proof, name.as_bytes()).is_ok())
            && match door.part(now, &proof, &leaving(name.as_bytes(), 50, 70 + random(120) as usize, cached)) {
                Parting::Send => true,
                // On the first day a few are told to come by TCP, and under guard who asks much; they are served there.
                Parting::Truncate(Reason::StrangerRation | Reason::AddressRation) => {
                    comes(&mut door, now, client, name.as_bytes(), level)
                }
                _ => false,
            };
        refused += u32::from(!served);
    }
    refused
}

/// Octets in and out of a second's questions, each from an address of its own, of which none or all come by TCP when told
/// to, and whole answers to a regular's among them.
fn strangers(door: &mut Door, start: Moment, number: u32, real: bool, regular: IpAddr) -> [usize; 3] {
    let (mut received, mut sent, mut whole) = (0, 0, 0);
    for turn in 0..number {
        let now = start + Duration::from_secs(1) / number * turn;
        let unique = start.as_nanos() as u32 ^ turn;
        let address = IpAddr::from((0x0b00_0000 | unique.wrapping_mul(2_654_435_761) >> 8).to_be_bytes());
        let Verdict::Admitted(proof) = judge(door, now, address) else { panic!("refused without pressure") };
        received += 50;
        sent += match door.part(now, &proof, &leaving(b"\x01x\0", 50, 130, true)) {
            Parting::Send => 130,
            Parting::Truncate(_) => {
                assert!(!real || door.accept(now, address, Level::Open));
                50
            }
            Parting::Drop(_) => 0,
        };
        if turn % 100 == 0 {
            let Verdict::Admitted(proof) = judge(door, now, regular) else { panic!("refused without pressure") };
            whole += usize::from(door.part(now, &proof, &leaving(b"\x01x\0", 50, 130, true)) == Parting::Send);
        }
    }
    [received, sent, whole]
}

#[test]
fn forged_addresses_get_no_more_than_they_sent_without_any_pressure_and_regulars_do_not_notice() {
    let mut door = door(&["0.0.0.0/0"], 0);
    let regular = ip("192.0.2.77");
    let at = |second| START + Duration::from_secs(second);
    let [received, sent, whole] = strangers(&mut door, at(0), 500, false, regular);
    assert_eq!((sent, whole), (received / 50 * 130, 5), "few new clients are served whole");
    let mut all = [0, 0];
    for second in 1..11 {
        let [received, sent, whole] = strangers(&mut door, at(second), 15_000, false, regular);
        all = [all[0] + received, all[1] + sent];
        assert!(second == 1 || sent <= received, "{sent} octets for {received} in second {second}");
        assert_eq!(whole, 150);
    }
    assert!(all[1] <= all[0], "{} octets for {}", all[1], all[0]);
    assert!(door.tally().turned[Reason::StrangerRation as usize] > 130_000);
    // Who comes by TCP is nobody's forgery.
    let client = ip("198.51.100.9");
    assert!(door.accept(at(11), client, Level::Open));
    let Verdict::Admitted(proof) = judge(&mut door, at(11), client) else { panic!("refused without pressure") };
    assert_eq!(door.part(at(11), &proof, &leaving(b"\x01x\0", 50, 130, true)), Parting::Send);
}

#[test]
fn forged_addresses_that_are_admitted_under_pressure_get_no_more_than_they_sent() {
    let mut door = door(&["0.0.0.0/0"], 0);
    strangers(&mut door, START, 15_000, false, ip("192.0.2.77"));
    let (mut received, mut sent) = (0, 0);
    for turn in 0..15_000u32 {
        let now = START + Duration::from_secs(1) + Duration::from_micros(66) * turn;
        pressed(&mut door, now, Level::Guard);
        let address = IpAddr::from((0x0c00_0000 | turn.wrapping_mul(2_654_435_761) >> 8).to_be_bytes());
        received += 50;
        let Verdict::Admitted(proof) = judge(&mut door, now, address) else { continue };
        sent += match door.part(now, &proof, &leaving(b"\x01x\0", 50, 130, true)) {
            Parting::Send => 130,
            Parting::Truncate(_) => 50,
            Parting::Drop(_) => 0,
        };
    }
    assert!(sent > 0 && sent <= received, "{sent} octets for {received}");
}

/// Octets beyond their questions that go at one moment, and in the twenty seconds after it at twenty answers a second, to
/// a known address whose answers have so many in excess, under guard.
fn octets_sent(excess: usize) -> (usize, usize) {
    let mut door = door(&["10.0.0.0/8"], 0);
    let client = ip("10.0.0.1");
    meet(&mut door, START, client);
    pressed(&mut door, START, Level::Guard);
    let mut send = |now| {
        let Verdict::Admitted(proof) = judge(&mut door, now, client) else { panic!("he has his share") };
        if door.part(now, &proof, &leaving(b"\x01x\0", 50, 50 + excess, true)) == Parting::Send { excess } else { 0 }
    };
    let at_once = (0..400).map(|_| send(START)).sum();
    let later = (1..=400).map(|turn| send(START + turn * 50 * MS)).sum();
    (at_once, later)
}

#[test]
fn under_pressure_an_address_is_sent_sixteen_kib_at_once_and_one_a_second() {
    for excess in [60, 200, 300] {
        let (at_once, later) = octets_sent(excess);
        assert!((15 << 10..=17 << 10).contains(&at_once), "{at_once} octets at once, {excess} in each answer");
        let least = (20 * excess * 20).min(19 << 10);
        assert!((least..=21 << 10).contains(&later), "{later} octets in twenty seconds, {excess} in each answer");
    }
}

#[test]
fn new_customers_among_forged_addresses_are_told_to_come_by_tcp_and_hear_it() {
    let mut door = door(&["0.0.0.0/0"], 0);
    let at = |second| START + Duration::from_secs(second);
    let (mut silent, mut all) = (0, 0);
    for second in 0..20 {
        let [received, sent, _] = strangers(&mut door, at(second), 15_000, false, ip("192.0.2.77"));
        (silent, all) = (received - sent.min(received), received);
    }
    // What was sent in vain before the verdict has been saved; what goes to those taken for known is made up for all the time.
    assert!((1..all / 200).contains(&silent), "of {all} octets {silent} were left without a word");
}

/// Of two thousand new customers who ask between forged addresses for the first time, and those of them who hear nothing
/// again after `pause`: how many heard nothing at first, and in the end.
fn unheard(pause: Duration) -> (usize, usize) {
    let mut door = door(&["0.0.0.0/0"], 0);
    let at = |second| START + Duration::from_secs(second);
    strangers(&mut door, at(0), 15_000, false, ip("192.0.2.77"));
    let mut hears = |now, client: IpAddr| {
        let admitted = judge(&mut door, now, client);
        let Verdict::Admitted(proof) = admitted else { panic!("refused without pressure") };
        door.part(now, &proof, &leaving(b"\x01x\0", 50, 130, true)) != Parting::Drop(Reason::StrangerRation)
    };
    let customers = (0..2000u64)
        .map(|turn| (at(1) + Duration::from_micros(500 * turn), IpAddr::from([11, 0, (turn >> 8) as u8, turn as u8])));
    let silent: Vec<_> = customers.filter(|&(now, client)| !hears(now, client)).collect();
    let twice = silent.iter().filter(|&&(now, client)| !hears(now + pause, client)).count();
    (silent.len(), twice)
}

#[test]
fn a_new_customer_among_forged_addresses_who_hears_nothing_hears_something_when_he_asks_again() {
    for seconds in 1..=5 {
        let (silent, twice) = unheard(Duration::from_secs(seconds));
        assert!((150..400).contains(&silent), "{silent} of 2000 heard nothing at first");
        assert_eq!(twice, 0, "of {silent} who asked again after {seconds} s");
    }
}

#[test]
fn new_customers_are_served_whole_however_many_come_at_once() {
    let mut door = door(&["0.0.0.0/0"], 0);
    let [received, sent, _] = strangers(&mut door, START, 15_000, true, ip("192.0.2.77"));
    let truncated = (received / 50 * 130 - sent) / 80;
    assert!((10..=200).contains(&truncated), "{truncated} of 15000 had to come by TCP");
}

#[test]
fn of_a_million_ordinary_questions_hardly_one_in_ten_thousand_is_refused_at_any_level() {
    for (seed, level) in [(1, Level::Open), (2, Level::Watch), (3, Level::Guard)] {
        let refused = refused_of_a_million(seed, level);
        assert!(refused <= 100, "seed {seed}, {level:?}: {refused} of a million");
    }
}

#[test]
fn a_new_policy_keeps_the_accounts() {
    let mut door = door(&["10.0.0.0/8"], 0);
    meet(&mut door, START, ip("10.0.0.1"));
    pressed(&mut door, START, Level::Guard);
    assert!((1_990..=2_000).contains(&admitted(&mut door, START, Duration::ZERO, 10_000, ip("10.0.0.1"))));
    door.set_policy(&policy(&["10.0.0.0/8", "192.0.2.0/24"]));
    assert_eq!(admitted(&mut door, START, Duration::ZERO, 10_000, ip("10.0.0.1")), 0);
    assert!(is_admitted(judge(&mut door, START, ip("192.0.2.1"))));
    assert_eq!(door.level(), (Level::Guard, START));
}

#[test]
fn what_was_asked_without_pressure_counts_when_there_is_some() {
    let mut door = door(&["10.0.0.0/8"], 0);
    // Without pressure a client has four shares, so that 4,000 answers are the half of a burst; one in four is charged.
    for _ in 0..4_000 {
        judge(&mut door, START, ip("10.0.0.1"));
    }
    pressed(&mut door, START, Level::Guard);
    let left = admitted(&mut door, START, Duration::ZERO, 10_000, ip("10.0.0.1"));
    assert!((900..1_100).contains(&left), "{left} of 2000 left after a quarter of 4000 at a quarter of the price");
}

#[test]
fn every_refusal_can_be_explained() {
    let books = Books::new(&Sizes::small(), &[1; 32]);
    let policy = class("10.0.0.0/24", ClientClass { name: "offices".into(), ..ClientClass::default() });
    let mut door = Door::beside(&policy, &books);
    meet(&mut door, START, ip("10.0.0.1"));
    pressed(&mut door, START, Level::Guard);
    admitted(&mut door, START, Duration::ZERO, 3_000, ip("10.0.0.1"));
    let account = books.account_of(&policy, ip("10.0.0.1"), START);
    assert!(account.allowed && account.known);
    assert_eq!(account.class.as_deref(), Some("offices"));
    assert_eq!(account.unproven.iter().map(|(length, _)| *length).collect::<Vec<_>>(), [32, 24, 20, 18]);
    assert!(account.unproven[0].1.0 > 1_990_000_000 && account.proven[0].1.0 == 0, "{account:?}");
    let refusal = account.decisions.first().expect("a refusal");
    assert_eq!((refusal.reason.setting(), refusal.level), ("limits.client_rate", Level::Guard));
    assert!(!books.decisions().of_name(b"\x03WWW\x07example\0", 5).is_empty());
}

proptest! {
    /// Whoever asks whatever in whatever way: it is admitted or turned away for one counted reason.
    #[test]
    fn every_query_is_counted_once(
        steps in prop::collection::vec((0u64..50_000_000, address(), any::<bool>(), 0usize..30, 0usize..4), 1..300),
    ) {
        let mut door = Door::new(&policy(&["0.0.0.0/1", "::/0"]));
        let mut now = START;
        for (asked, (gap, client, stream, cookie, level)) in (1u64..).zip(steps) {
            now = now + Duration::from_nanos(gap);
            let dropped = [0.0, 0.001, 0.05, 0.9][level];
            door.feel(now, &Pressure { dropped, ..Pressure::default() });
            let cookie = (cookie > 0).then_some(&[7u8; 30][..cookie]);
            door.judge(at(now), &Asking { address: client, stream, cookie, name: b"\x01x\0" });
            let tally = door.tally();
            let turned = tally.turned.iter().sum::<u64>();
            prop_assert_eq!(tally.proven + tally.unproven + turned, asked);
            prop_assert_eq!(tally.slipped + tally.refused + tally.dropped, turned);
        }
    }
}

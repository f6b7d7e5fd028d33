//! Networks of addresses that one customer has, and floods that were hours ago.

use super::*;

fn rotated(number: u32) -> IpAddr {
    IpAddr::from((0x2001_0db8_0001_1200_u128 << 64 | 7 << 40 | u128::from(number)).to_be_bytes())
}

/// Hours of peace, in which others go on asking, so that accounts are swept.
fn peace(door: &mut Door, from: Moment, seconds: u64) -> Moment {
    for second in 1..=seconds {
        let now = from + Duration::from_secs(second);
        door.feel(now, &Pressure::default());
        judge(door, now, ip("10.0.0.2"));
    }
    from + Duration::from_secs(seconds)
}

/// Of floods at START and `hours` later: whether in the second one a client has its first answer, and a stranger is let in.
fn in_a_later_flood(minutes: u64) -> (bool, bool) {
    let mut door = door(&["10.0.0.0/8"], 0);
    let client = ip("10.0.0.1");
    door.accept(START, client, Level::Open);
    pressed(&mut door, START, Level::Guard);
    let Verdict::Admitted(proof) = judge(&mut door, START, client) else { panic!("a client") };
    assert_eq!(door.part(START, &proof, &leaving(b"\x01x\0", 50, 150, true)), Parting::Send);
    assert!(is_admitted(judge(&mut door, START, ip("10.9.9.9"))));
    let now = peace(&mut door, START, minutes * 60);
    door.accept(now, client, Level::Open);
    pressed(&mut door, now, Level::Guard);
    let Verdict::Admitted(proof) = judge(&mut door, now, client) else { panic!("a client") };
    let sent = door.part(now, &proof, &leaving(b"\x01x\0", 50, 150, true)) == Parting::Send;
    (sent, is_admitted(judge(&mut door, now, ip("10.8.8.8"))))
}

#[test]
fn a_flood_hours_ago_refuses_nobody() {
    let told: Vec<_> = [60, 240, 276, 283, 290, 300].map(|minutes| (minutes, in_a_later_flood(minutes))).to_vec();
    assert!(told.iter().all(|(_, told)| *told == (true, true)), "{told:?}");
}

#[test]
fn a_customer_of_ipv6_is_sent_no_more_by_naming_all_his_addresses() {
    let sent = |rotate: u32| {
        let mut door = door(&["2001:db8::/32"], 0);
        door.accept(START, rotated(0), Level::Open);
        pressed(&mut door, START, Level::Guard);
        let mut excess = 0;
        for number in 0..60 * 1_500u32 {
            let now = START + Duration::from_secs(1) / 1_500 * number;
            let Verdict::Admitted(proof) = judge(&mut door, now, rotated(number * rotate)) else { continue };
            let name = number.to_be_bytes();
            excess += if door.part(now, &proof, &leaving(&name, 50, 290, true)) == Parting::Send { 240 } else { 0 };
        }
        excess
    };
    let (one, all) = (sent(0), sent(1));
    assert!(one < 80_000 && all < 160_000, "{one} octets to one address, {all} to all of a /64, in a minute");
}

/// How many questions of one /64 are answered in sixteen seconds under guard, if its addresses are met at 1,900 a second and
/// asked for all that their passes have at the end.
#[test]
fn a_network_has_its_share_whatever_passes_its_addresses_have() {
    let books = Books::new(&Sizes::default(), &[3; 32]);
    let mut door = Door::beside(&policy(&["2001:db8::/32"]), &books);
    door.accept(START, rotated(0), Level::Open);
    pressed(&mut door, START, Level::Guard);
    let mut asks = |now: Moment, number: u32| {
        let Verdict::Admitted(proof) = judge(&mut door, now, rotated(number)) else { return 0 };
        u32::from(door.part(now, &proof, &leaving(b"\x01x\0", 50, 50, true)) == Parting::Send)
    };
    let mut met = 0;
    for number in 0..16 * 1_900u32 {
        met += asks(START + Duration::from_secs(1) / 1_900 * number, number);
    }
    let end = START + Duration::from_secs(16);
    let mut at_once = 0;
    for _ in 0..16 {
        at_once += (0..16 * 1_900).map(|number| asks(end, number)).sum::<u32>();
    }
    // 2,000 a second, and 4,000 at once.
    assert!(met + at_once < 16 * 2_000 + 4_000 + 2_000, "{met} while met, {at_once} at once");
}

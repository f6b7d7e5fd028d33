//! The levels of pressure as settings: what is set holds, and from the next moment on.

use super::*;
use crate::admission::Part;

fn with(change: impl FnOnce(&mut crate::admission::Levels)) -> Policy {
    let mut policy = policy(&["10.0.0.0/8"]);
    change(&mut policy.limits.levels);
    policy
}

#[test]
fn a_share_is_changed_while_it_serves_and_what_was_spent_stays_spent() {
    let mut door = Door::new(&with(|_| {}));
    judge(&mut door, START, ip("10.0.0.1"));
    pressed(&mut door, START, Level::Guard);
    let second = Duration::from_secs(1);
    let served = admitted(&mut door, START, Duration::from_micros(100), 100_000, ip("10.0.0.1"));
    assert!((11_900..=12_001).contains(&served), "a burst and ten seconds: {served}");
    door.set_policy(&with(|levels| levels.guard.share = Part::percent(250)));
    assert_eq!(door.level().0, Level::Guard);
    let served = admitted(&mut door, START + 10 * second, Duration::from_micros(100), 100_000, ip("10.0.0.1"));
    assert!((24_800..=25_100).contains(&served), "no second burst: {served}");
    // Weights and odd parts together.
    door.set_policy(&with(|levels| levels.guard.share = Part::percent(70)));
    let served = admitted(&mut door, START + 20 * second, Duration::from_micros(100), 100_000, ip("10.0.0.1"));
    assert!((6_800..=7_100).contains(&served), "{served}");
}

#[test]
fn marks_are_changed_while_it_serves() {
    let mut door = Door::new(&with(|_| {}));
    pressed(&mut door, START, Level::Guard);
    assert_eq!(door.cause().and_then(|cause| cause.key()), Some("dropped"));
    let never = with(|levels| {
        for level in [&mut levels.watch, &mut levels.guard, &mut levels.closed] {
            level.dropped = Part::NEVER;
        }
        levels.watch.busy = Part::percent(20);
    });
    door.set_policy(&never);
    let felt = |busy: f32| Pressure { dropped: 1.0, busy, ..Pressure::default() };
    let later = START + Duration::from_secs(60);
    assert_eq!(door.feel(later, &felt(0.1)), Level::Open);
    assert_eq!(
        (door.feel(later, &felt(0.25)), door.cause().and_then(|cause| cause.key())),
        (Level::Watch, Some("busy"))
    );
}

#[test]
fn each_measure_holds_at_its_level() {
    let policy = with(|levels| {
        levels.guard.strangers = Part::percent(5);
        levels.guard.tcp_idle = Part::percent(40);
        levels.watch.tcp_idle = Part::percent(80);
    });
    let mut door = Door::new(&policy);
    let idle = Level::ALL.map(|level| door.tcp_idle(level).of(1_000));
    assert_eq!(idle, [1_000, 800, 400, 62]);
    pressed(&mut door, START, Level::Guard);
    // 5 % of 20,000 a second, and a second's worth at once.
    let stranger = |turn: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + turn * 7));
    let micros = |turn: u32| START + Duration::from_micros(100) * turn;
    let served: u32 =
        (0..20_000).map(|turn| u32::from(is_admitted(judge(&mut door, micros(turn), stranger(turn))))).sum();
    assert!((2_900..=3_010).contains(&served), "{served}");
}

#[test]
fn the_strangers_of_a_network_have_the_part_of_its_ration_that_is_set() {
    let sent = |part: Part| {
        let mut door = Door::new(&with(|levels| levels.guard.ration = part));
        pressed(&mut door, START, Level::Guard);
        let mut octets = 0;
        for last in 1..=250u8 {
            let Verdict::Admitted(pass) = judge(&mut door, START, IpAddr::from([10, 0, 0, last])) else { continue };
            // 200 octets more than came: the sample of strangers is not asked for that little.
            if door.part(START, &pass, &leaving(b"\x01x\0", 40, 240, true)) == Parting::Send {
                octets += 200;
            }
        }
        octets
    };
    let (least, most) = (sent(Part(31_250)), sent(Part::WHOLE));
    assert!((7_800..=8_600).contains(&least), "{least}, 1/32 of 256 KiB");
    assert_eq!(most, 50_000);
}

//! What a flood is not to do to those beside it, nor to the address that it is sent in the name of.

use super::*;
use crate::admission::{Places, Standing};

const CROWD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));

/// `rate` questions a second from one address, each for one of many names that exist, with answers so much larger: octets
/// received, and sent.
fn ask_many(door: &mut Door, from: Moment, seconds: u32, rate: u32, names: u32, excess: usize) -> [usize; 2] {
    let (mut received, mut sent) = (0, 0);
    for turn in 0..seconds * rate {
        let now = from + Duration::from_secs(1) / rate * turn;
        let name = format!("{}", turn.wrapping_mul(7_919) % names);
        received += 50;
        sent += match door.judge(at(now), &Asking { name: name.as_bytes(), ..plain(CROWD) }).0 {
            Verdict::Admitted(proof) => {
                match door.part(now, &proof, &leaving(name.as_bytes(), 50, 50 + excess, true)) {
                    Parting::Send => 50 + excess,
                    Parting::Truncate(_) => 50,
                    Parting::Drop(_) => 0,
                }
            }
            Verdict::Turned(Turned::Drop(_)) => 0,
            Verdict::Turned(_) => 50,
        };
    }
    [received, sent]
}

#[test]
fn a_crowd_keeps_its_shares_when_a_flood_takes_a_break() {
    for (minutes, pause) in [(4u32, 0u32), (4, 1), (4, 4), (40, 0)] {
        let policy = policy(&["10.0.0.0/8"]);
        let books = Books::new(&Sizes::small(), &[1; 32]);
        let mut door = Door::beside(&policy, &books);
        ask_many(&mut door, START, 130, 1_000, 60_000, 0);
        let mut now = START + Duration::from_secs(130);
        let before = books.account_of(&policy, CROWD, now).crowd;
        for _ in 0..minutes * 60 {
            pressed(&mut door, now, Level::Guard);
            now = now + Duration::from_secs(1);
        }
        while pause > 0 && door.level().0 > Level::Watch {
            door.feel(now, &Pressure::default());
            now = now + MS * 50;
        }
        ask_many(&mut door, now, pause, 1_000, 60_000, 0);
        now = now + Duration::from_secs(u64::from(pause));
        pressed(&mut door, now, Level::Guard);
        let after = books.account_of(&policy, CROWD, now).crowd;
        assert!(before > 10 && after * 2 >= before, "{after} of {before} after {minutes} min and a break of {pause} s");
    }
}

#[test]
fn what_is_forged_for_many_names_buys_its_victim_no_octets() {
    for level in [Level::Open, Level::Watch] {
        let mut door = door(&["10.0.0.0/8"], 0);
        ask_many(&mut door, START, 150, 1_000, 12_000, 40);
        let now = START + Duration::from_secs(150);
        pressed(&mut door, now, level);
        let [received, sent] = ask_many(&mut door, now, 4, 20_000, 1, 255);
        let part = sent as f64 / received as f64;
        // As many as came, and its network's ration.
        assert!(part < 1.4, "{level:?}: {part:.2} octets for each");
    }
}

#[test]
fn a_burst_that_is_small_is_kept_to_under_pressure() {
    for burst in [10u32, 15, 40, 76] {
        let mut policy = policy(&["10.0.0.0/8"]);
        (policy.limits.client_rate, policy.limits.client_burst) = (burst, burst as usize);
        policy.limits.prefixes_v4.truncate(1);
        let mut door = Door::new(&policy);
        assert!(door.accept(START, CROWD, Level::Open), "was here");
        let mut answers = 0;
        for turn in 0..50_000u32 {
            let now = START + MS * turn;
            if turn % 100 == 0 {
                pressed(&mut door, now, Level::Guard);
            }
            if let Verdict::Admitted(proof) = judge(&mut door, now, CROWD) {
                door.part(now, &proof, &leaving(b"\x01x\0", 50, 50, true));
                answers += 1;
            }
        }
        assert!(answers <= burst * 52, "{answers} in 50 s at {burst}/s");
    }
}

#[test]
fn who_is_proven_has_places_that_no_forged_address_takes() {
    let mut door = door(&["10.0.0.0/8"], 0);
    let places = Places { all: 10_000, taken: 4_000, clients: 4_000, own: 0 };
    for stream in [false, true] {
        let asking = Asking { stream, ..plain(CROWD) };
        let Verdict::Admitted(proof) = door.judge(at(START), &asking).0 else { panic!("without pressure") };
        assert_eq!(door.take_place(START, &proof, b"\x01x\0", Standing::Unknown, &places), stream);
    }
}

#[test]
fn new_customers_are_served_again_once_hardly_anything_is_forged() {
    let mut door = door(&["0.0.0.0/0"], 0);
    strangers(&mut door, START, 15_000, false, ip("192.0.2.77"));
    let mut now = START + Duration::from_secs(2);
    let mut whole = [0, 0];
    for turn in 0..30 * 25u32 {
        now = now + MS * 40;
        let forged = IpAddr::from((0x0b00_0000 | turn).to_be_bytes());
        for (client, customer) in [(forged, false), (IpAddr::from((0x0c00_0000 | turn).to_be_bytes()), turn % 25 == 0)]
        {
            if customer || client == forged {
                let Verdict::Admitted(proof) = judge(&mut door, now, client) else { panic!("without pressure") };
                let sent = door.part(now, &proof, &leaving(b"\x01x\0", 50, 130, true)) == Parting::Send;
                whole[usize::from(turn >= 15 * 25)] += u32::from(customer && sent);
            }
        }
    }
    assert_eq!(whole[1], 15, "of 15 after some seconds; {} of 15 before", whole[0]);
}

#[test]
fn strangers_may_be_given_nothing() {
    let mut policy = policy(&["0.0.0.0/0"]);
    policy.limits.stranger_rate = 0;
    let mut door = Door::new(&policy);
    assert!(door.accept(START, CROWD, Level::Open), "was here");
    pressed(&mut door, START, Level::Guard);
    for number in 0..20_000u32 {
        let stranger = IpAddr::from((0x3000_0000 | number).to_be_bytes());
        assert!(!is_admitted(judge(&mut door, START + MS * number, stranger)), "after {number} ms");
    }
    assert!(is_admitted(judge(&mut door, START + MS * 20_000, CROWD)));
}

#[test]
fn customers_stay_known_however_long_a_flood_lasts() {
    let mut policy = policy(&["0.0.0.0/0"]);
    policy.limits.stranger_rate = 100;
    let mut door = Door::new(&policy);
    let customers: Vec<IpAddr> =
        (0..200u32).map(|number| IpAddr::from((0x0a00_0000 | number << 8).to_be_bytes())).collect();
    for (number, customer) in (0u32..).zip(&customers) {
        meet(&mut door, START + MS * 20 * number, *customer);
    }
    // Four hours, in which twice as many strangers ask as may.
    let mut lost = 0;
    for second in 10..4 * 3_600u32 {
        let now = START + Duration::from_secs(1) * second;
        pressed(&mut door, now, Level::Guard);
        for turn in 0..200u32 {
            let number = (second * 200 + turn).wrapping_mul(2_654_435_761);
            judge(&mut door, now + MS * 5 * turn, IpAddr::from((0x3000_0000 | number >> 6).to_be_bytes()));
            if turn == 100 {
                // Each of them asks every three minutes or so.
                let customer = customers[second as usize % customers.len()];
                lost += u32::from(!is_admitted(judge(&mut door, now + MS * 5 * turn, customer)));
            }
        }
    }
    assert!(lost < 15, "{lost} of {} of customers' questions were turned away", 4 * 3_600);
}

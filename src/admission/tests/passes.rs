//! Clients that ask again and again, and pay for it in rounds.

use super::*;

/// What a /20 has used after `each` answers to each of `clients` addresses in it, all at one moment under `level`; and how many
/// were admitted.
fn used(clients: u32, each: u32, level: Level, seed: u8) -> (f64, u64) {
    let books = Books::new(&Sizes::default(), &[seed; 32]);
    let policy = policy(&["10.0.0.0/8"]);
    let mut door = Door::beside(&policy, &books);
    let now = Moment::from_nanos(100_000_000_000);
    let address = |number: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 | number));
    // Strangers would come by TCP first, and pay for that.
    (0..clients).for_each(|number| books.0.known.note(door.key(address(number)), now));
    pressed(&mut door, now, level);
    for query in 0..clients * each {
        meet(&mut door, now, address(query % clients));
    }
    let account = books.account_of(&policy, ip("10.0.0.1"), now);
    let (_, load) = account.unproven.iter().find(|(length, _)| *length == 20).expect("a /20 has an account");
    (load.0 as f64, door.tally().unproven)
}

#[test]
fn who_asks_again_and_again_pays_as_much_as_many_who_ask_once() {
    for (seed, level) in (1..=3).zip([Level::Open, Level::Watch, Level::Guard]) {
        let (once, all) = used(4_000, 1, level, seed);
        for each in [4, 16, 20] {
            let (again, admitted) = used(4_000 / each, each, level, seed);
            assert_eq!(all, admitted);
            assert!((again / once - 1.0).abs() < 0.2, "{level:?}: {once} by one each, {again} by {each} each");
        }
    }
}

#[test]
fn a_network_of_clients_that_are_each_nowhere_near_a_limit_has_its_share_and_no_more() {
    let mut door = door(&["10.0.0.0/8"], 0);
    let client = |number: u32| IpAddr::from((0x0a00_0000 | (number % 250)).to_be_bytes());
    // They are real: by TCP they come as well.
    assert!((0..250).all(|number| door.accept(START, client(number), Level::Open)));
    (0..250).for_each(|number| meet(&mut door, START, client(number)));
    pressed(&mut door, START, Level::Guard);
    let mut served = 0;
    // 50,000 a second for eight seconds; a /24 has 32,000, and twice that at once.
    for turn in 0..400_000u32 {
        let now = START + Duration::from_micros(20) * turn;
        let Verdict::Admitted(proof) = judge(&mut door, now, client(turn)) else { continue };
        door.part(now, &proof, &leaving(b"\x01x\0", 50, 50, true));
        served += 1;
    }
    assert!((310_000..=322_000).contains(&served), "{served}");
}

#[test]
fn a_pass_buys_nothing_beyond_a_share_and_ends_with_the_rules() {
    let mut door = door(&["10.0.0.0/8"], 0);
    let (now, client) = (Moment::from_nanos(100_000_000_000), ip("10.0.0.1"));
    (0..8).for_each(|_| meet(&mut door, now, client));
    // Under guard he is turned away beyond his share.
    door.feel(now, &Pressure { dropped: 0.05, ..Pressure::default() });
    let served = (0..20_000).filter(|_| is_admitted(judge(&mut door, now, client))).count();
    assert!(served < 5_000, "{served} of 20,000 at one moment");
    // And who may not ask any more is refused though he had one.
    let client = ip("10.0.0.2");
    door.feel(now + Duration::from_secs(60), &Pressure::default());
    let later = now + Duration::from_secs(120);
    for second in 60..120 {
        door.feel(now + Duration::from_secs(second), &Pressure::default());
    }
    assert_eq!(door.level().0, Level::Open);
    (0..8).for_each(|_| meet(&mut door, later, client));
    door.set_policy(&policy(&["192.0.2.0/24"]));
    assert!(!is_admitted(judge(&mut door, later, client)));
}

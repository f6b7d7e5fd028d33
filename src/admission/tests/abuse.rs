//! What attackers try at the door: to be taken for somebody else, for many, or for known.

use super::*;
use crate::wire::{Name, Rtype};

const START: Moment = Moment::from_nanos(1_000_000_000_000);

fn admitted(door: &mut Door, now: Moment, asking: &Asking<'_>) -> Admitted {
    match door.judge(at(now), asking).0 {
        Verdict::Admitted(admitted) => admitted,
        turned @ Verdict::Turned(_) => panic!("{turned:?}"),
    }
}

#[test]
fn an_answer_that_costs_nobody_an_octet_makes_nobody_known() {
    let mut policy = policy(&["10.0.0.0/8"]);
    // A tenth of that once nothing is left.
    policy.limits.stranger_rate = 1_000;
    let mut door = Door::new(&policy);
    let forged = |number: u32| IpAddr::from((0x0a00_0000 | number).to_be_bytes());
    // Questions whose answers are no larger, such as those for a transfer.
    for number in 0..2_000 {
        let proof = admitted(&mut door, START, &plain(forged(number)));
        assert_eq!(door.part(START, &proof, &leaving(b"\x01x\0", 50, 50, true)), Parting::Send);
    }
    let later = START + Duration::from_secs(1);
    let pressure = Pressure { dropped: 0.9, ..Pressure::default() };
    assert_eq!(door.feel(later, &pressure), Level::Closed);
    let served = (0..2_000).filter(|number| is_admitted(judge(&mut door, later, forged(*number)))).count();
    assert!(served < 400, "{served} of 2,000 forged addresses were served as if known");
}

#[test]
fn random_case_is_the_same_name() {
    let name = |number: u32| -> Vec<u8> {
        let letter =
            |(place, letter): (u32, &u8)| if number >> place & 1 == 1 { letter.to_ascii_uppercase() } else { *letter };
        (0..).zip(b"\x03www\x07example\x03com\0").map(letter).collect()
    };
    let victim = ip("10.0.0.1");
    // The same large answer to the same network, 100 a second for ten seconds.
    let sent = |cased: bool| {
        let mut door = door(&["10.0.0.0/8"], 1);
        meet(&mut door, START, victim);
        let answers = (0..1_000u32).filter(|number| {
            let now = START + Duration::from_millis(u64::from(*number) * 10);
            let proof = admitted(&mut door, now, &plain(victim));
            let name = name(if cased { *number << 3 } else { 0 });
            door.part(now, &proof, &leaving(&name, 40, 900, true)) == Parting::Send
        });
        answers.count()
    };
    let (plain, cased) = (sent(false), sent(true));
    assert!(plain < 500 && cased <= plain + 5, "{cased} answers with random case, {plain} without");
}

#[test]
fn who_may_not_ask_has_no_connection_and_is_not_known() {
    let mut door = door(&["10.0.0.0/8"], 1);
    assert!(!door.accept(START, ip("192.0.2.1"), Level::Open));
    assert!(door.accept(START, ip("10.0.0.1"), Level::Open));
}

#[test]
fn a_customer_who_changes_his_address_proves_himself_once_and_a_neighbour_for_himself() {
    let mut policy = policy(&["2001:db8::/32"]);
    policy.limits.stranger_rate = 1;
    let mut door = Door::new(&policy);
    pressed(&mut door, START, Level::Guard);
    let device = |network: u16, number: u16| IpAddr::from([0x2001, 0xdb8, 1, network, 0, 0, 7, number]);
    let asks = |door: &mut Door, network: u16, now: Moment| {
        (0..500).filter(|number| is_admitted(judge(door, now, device(network, *number)))).count()
    };
    assert!(asks(&mut door, 0x1200, START) <= 2, "strangers in a flood of strangers");
    assert!(door.accept(START, device(0x1200, 9_999), Level::Guard));
    let later = START + Duration::from_secs(600);
    pressed(&mut door, later, Level::Guard);
    assert_eq!(asks(&mut door, 0x1200, later), 500);
    // The same /56, another customer's network: whoever forges it has to come himself.
    assert!(asks(&mut door, 0x1201, later) <= 2);
    // What was only forged there since does not keep it known.
    let late = START + Duration::from_secs(3 * 3_600);
    pressed(&mut door, late, Level::Guard);
    assert!(asks(&mut door, 0x1200, late) <= 2);
}

#[test]
fn a_connection_that_would_be_refused_is_observed() {
    let policy = |clients| {
        let mut policy = policy(&["10.0.0.0/8"]);
        policy.limits.clients = clients;
        policy
    };
    for (mode, turned) in [(Mode::Enforce, true), (Mode::Observe, false)] {
        let books = Books::new(&Sizes::small(), &[1; 32]);
        let mut door = Door::beside(&policy(mode), &books);
        let open = (0..2_000).filter(|_| door.accept(START, ip("10.0.0.1"), Level::Guard)).count();
        assert_eq!(open < 2_000, turned, "{mode:?}: {open}");
        assert!(!books.decisions().of_address(ip("10.0.0.1"), 10).is_empty(), "{mode:?}");
    }
}

#[test]
fn of_a_sender_who_is_refused_several_names_each_is_explained() {
    let books = Books::new(&Sizes::small(), &[1; 32]);
    let mut door = Door::beside(&policy(&["10.0.0.0/8"]), &books);
    for name in [b"\x05first\x04test\0", b"\x06other1\x03foo\0", b"\x05third\x04test\0"] {
        door.judge(at(START), &Asking { name, ..plain(ip("192.0.2.1")) });
        assert_eq!(books.decisions().of_name(name, 10).len(), 1, "{name:?}");
    }
}

/// A client asks a flooded zone for names that do not exist, from an address of its own or one that is forged.
#[test]
fn nobody_pays_for_names_that_were_asked_in_his_name_if_he_has_proven_himself() {
    let books = Books::new(&Sizes::small(), &[1; 32]);
    let mut door = Door::beside(&policy(&["10.0.0.0/8"]), &books);
    let customer = ip("10.0.0.1");
    let mut now = START;
    let mut random = 0u32;
    let mut flood = |door: &mut Door, from: IpAddr, now: Moment| {
        random += 1;
        let name = format!("\x08{random:08x}\x04bank\x03com\0");
        let proof = admitted(door, now, &plain(from));
        if let Ok(ticket) = door.ask_zone(now, &proof, name.as_bytes(), Rtype::A) {
            books.zones().begin(&ticket);
            door.end(now, &ticket, name.as_bytes(), End::Absent(None), std::iter::empty());
        }
    };
    for number in 0..6_000u32 {
        now = START + Duration::from_millis(u64::from(number));
        flood(&mut door, IpAddr::from((0x0a40_0000 | (number % 3_000)).to_be_bytes()), now);
    }
    assert_eq!(books.zones().list(10, now).len(), 1, "it is flooded");
    (0..20).for_each(|_| flood(&mut door, customer, now));
    // He has a history.
    for site in 0..4u32 {
        let name = format!("\x05site{site}\x03com\0");
        let proof = admitted(&mut door, now, &plain(customer));
        let ticket = door.ask_zone(now, &proof, name.as_bytes(), Rtype::A).expect("no flood there");
        books.zones().begin(&ticket);
        door.end(now, &ticket, name.as_bytes(), End::Found, std::iter::once(&proof));
    }
    let mut ask = |stream: bool| {
        let proof = admitted(&mut door, now, &Asking { stream, ..plain(customer) });
        door.ask_zone(now, &proof, b"\x03new\x04bank\x03com\0", Rtype::A).map(|ticket| ticket.standing)
    };
    assert_ne!(ask(false), Ok(Standing::Trusted), "by UDP it may be he");
    assert_eq!(ask(true), Ok(Standing::Trusted), "by TCP he is who he is");
}

#[test]
fn what_strangers_would_be_refused_is_observed_as_if_they_were_real() {
    let count = |mode: Mode| {
        let mut policy = policy(&["10.0.0.0/8"]);
        (policy.limits.rations, policy.limits.stranger_ration) = (mode, 1 << 10);
        let books = Books::new(&Sizes::small(), &[1; 32]);
        let mut door = Door::beside(&policy, &books);
        // A hundred new customers a second, each with three questions, who come by TCP if they are told to.
        for number in 0..3_000u32 {
            let now = START + Duration::from_millis(u64::from(number) * 10);
            let customer = IpAddr::from((0x0a00_0000 | number).to_be_bytes());
            for _ in 0..3 {
                let proof = admitted(&mut door, now, &plain(customer));
                if door.part(now, &proof, &leaving(b"\x01x\0", 40, 140, true)) != Parting::Send {
                    door.accept(now, customer, Level::Open);
                }
            }
        }
        let tally = door.tally();
        let of = |counts: &[u64; Reason::COUNT]| counts[Reason::StrangerRation as usize];
        of(&tally.turned) + of(&tally.observed)
    };
    let (enforced, observed) = (count(Mode::Enforce), count(Mode::Observe));
    assert!(enforced > 20 && observed.abs_diff(enforced) <= enforced / 4, "{observed} observed, {enforced} enforced");
}

/// Addresses forged slowly in peace, and then fast from the same ones; and customers who were met by UDP and come by TCP when
/// they are told to. The parts of each that were served from the third second of the flood on.
fn slow_forgery(forged: u32, level: Level) -> [f64; 2] {
    let mut door = door(&["10.0.0.0/8"], 0);
    let forger = |number: u32| IpAddr::from((0x0a80_0000 | (number % 10_000)).to_be_bytes());
    let customer = |number: u32| IpAddr::from((0x0a00_0000 | ((number % 1_000) << 8)).to_be_bytes());
    for number in 0..1_000 {
        meet(&mut door, START + Duration::from_millis(10) * number, customer(number));
    }
    for number in 0..10_000 {
        let now = START + Duration::from_secs(10) + Duration::from_millis(2) * number;
        let proof = admitted(&mut door, now, &plain(forger(number)));
        // An ordinary answer, such as nobody minds.
        assert_eq!(door.part(now, &proof, &leaving(b"\x01x\0", 50, 130, true)), Parting::Send);
    }
    let flood = START + Duration::from_secs(40);
    let (mut asked, mut served) = ([0u32; 2], [0u32; 2]);
    for step in 0..5_000u32 {
        let now = flood + Duration::from_millis(1) * step;
        if step % 50 == 0 {
            pressed(&mut door, now, level);
        }
        let late = u32::from(step >= 3_000);
        for turn in 0..forged / 1_000 {
            asked[0] += late;
            served[0] += late * u32::from(is_admitted(judge(&mut door, now, forger(step * (forged / 1_000) + turn))));
        }
        asked[1] += late;
        // Whoever hears nothing asks again.
        let came = (0..3).any(|_| match judge(&mut door, now, customer(step)) {
            Verdict::Turned(Turned::Slip(Slip::Truncated, _)) => door.accept(now, customer(step), level),
            verdict => is_admitted(verdict),
        });
        served[1] += late * u32::from(came);
    }
    [0, 1].map(|which: usize| f64::from(served[which]) / f64::from(asked[which].max(1)))
}

#[test]
fn addresses_that_were_forged_slowly_in_peace_are_no_acquaintances_in_a_flood() {
    for level in [Level::Guard, Level::Closed] {
        let [forged, customers] = slow_forgery(80_000, level);
        let most = if level == Level::Guard { 0.27 } else { 0.05 };
        assert!(forged < most && customers > 0.98, "{level:?}: {forged} of the forged, {customers} of the customers");
        let [_, undisturbed] = slow_forgery(0, level);
        assert_eq!(undisturbed, 1.0, "{level:?}: nobody is asked to prove himself where nothing is forged");
    }
}

#[test]
fn padded_questions_make_no_more_addresses_known_than_ordinary_ones() {
    let run = |received: usize| {
        let policy = policy(&["10.0.0.0/8"]);
        let books = Books::new(&Sizes::small(), &[1; 32]);
        let mut door = Door::beside(&policy, &books);
        let known = (0..5_000u32).filter(|number| {
            let now = START + Duration::from_micros(200) * *number;
            let forged = IpAddr::from((0x0a80_0000 | number).to_be_bytes());
            let proof = admitted(&mut door, now, &plain(forged));
            let _ = door.part(now, &proof, &leaving(b"\x01x\0", received, 130, true));
            books.account_of(&policy, forged, now).known
        });
        known.count()
    };
    let (ordinary, padded) = (run(30), run(129));
    assert!(padded <= ordinary + 5, "{padded} known by padded questions, {ordinary} by ordinary ones");
}

#[test]
fn who_floods_from_all_addresses_of_his_ipv6_network_is_loud() {
    let mut policy = policy(&["2001:db8::/32"]);
    policy.limits.strangers = Mode::Off;
    let mut door = Door::new(&policy);
    let loud = ip("2001:db8:0:1::");
    door.feel(START, &Pressure { dropped: 0.2, ..Pressure::default() });
    for number in 0..40_000u64 {
        let now = START + Duration::from_micros(number * 2);
        // Half from one network, a new address each time, and as many from networks of their own.
        let address = 0x2001_0db8_u128 << 96;
        let address = match number % 2 {
            0 => address | 1 << 64 | u128::from(number),
            _ => address | u128::from(number) << 64,
        };
        judge(&mut door, now, IpAddr::from(address.to_be_bytes()));
    }
    let taken = door.take_loud();
    let times: Vec<u32> = taken.iter().filter(|(source, _)| *source == loud).map(|(_, times)| *times).collect();
    assert!(times.len() == 1 && times[0] > 10_000, "{times:?} of {} places", taken.len());
}

#[test]
fn who_is_told_to_show_a_cookie_is_sent_no_more_than_his_ration() {
    let strict = |prefix: &str| {
        let mut policy = policy(&[prefix]);
        policy.classes = vec![ClientClass {
            name: "strict".to_owned(),
            prefixes: vec![prefix.parse().expect("a prefix")],
            require_cookie: Mode::Enforce,
            ..ClientClass::default()
        }];
        policy
    };
    // BADCOOKIE has so many octets more than a question with a client's part, or with a short cookie of another server.
    for (shown, excess) in [(&b"clientck"[..], 16), (b"clientckserverck", 8)] {
        for (one_network, limit) in [(false, Limits::default().stranger_ration), (true, Limits::default().ration)] {
            let mut door = Door::new(&strict("10.0.0.0/8"));
            let mut sent = 0;
            for number in 0..200_000u32 {
                let address = IpAddr::from((0x0a00_0000 | if one_network { number % 8 } else { number }).to_be_bytes());
                if one_network && number < 8 {
                    // They were served before, by TCP.
                    door.accept(START, address, Level::Open);
                }
                let now = START + Duration::from_micros(u64::from(number) * 5);
                let asking = Asking { cookie: Some(shown), ..plain(address) };
                match door.judge(at(now), &asking).0 {
                    Verdict::Turned(Turned::Slip(Slip::BadCookie, Reason::CookieRequired)) => sent += excess,
                    Verdict::Turned(Turned::Slip(Slip::Truncated, Reason::CookieRequired)) => {}
                    other => panic!("{other:?}"),
                }
            }
            // A second's worth at once, and what a second more brings; one in four is charged for all up to half of it.
            assert!(sent > limit && sent < limit * 9 / 4, "{sent} octets beyond what came, of a ration of {limit}");
        }
    }
    // Whoever has a whole one, which is no longer ours, hears so always.
    let mut door = Door::new(&strict("10.0.0.0/8"));
    let old = Asking { cookie: Some(&[7; 24]), ..plain(ip("10.0.0.1")) };
    let told = (0..100_000).filter(|_| {
        door.judge(at(START), &old).0 == Verdict::Turned(Turned::Slip(Slip::BadCookie, Reason::CookieRequired))
    });
    assert_eq!(told.count(), 100_000);
}

/// Octets beyond what came from there that an address is sent in so many seconds, asked for so often a second in its name by UDP
/// with answers of so many octets more, and how many answers were sent whole.
fn excess(door: &mut Door, from: Moment, victim: IpAddr, seconds: u32, rate: u32, answer: usize) -> (i64, u32) {
    let (mut excess, mut whole) = (0, 0);
    for number in 0..seconds * rate {
        let now = from + Duration::from_secs(1) / rate * number;
        let sent = match door.judge(at(now), &plain(victim)).0 {
            Verdict::Admitted(proof) => match door.part(now, &proof, &leaving(b"\x01x\0", 50, 50 + answer, true)) {
                Parting::Send => 50 + answer as i64,
                Parting::Truncate(_) => 50,
                Parting::Drop(_) => 0,
            },
            Verdict::Turned(Turned::Drop(_)) => 0,
            Verdict::Turned(_) => 50,
        };
        excess += sent - 50;
        whole += u32::from(sent > 50);
    }
    (excess, whole)
}

#[test]
fn under_guard_an_address_that_was_served_before_is_not_sent_more_than_came_in_its_name() {
    let victim = ip("10.0.0.1");
    let sent = |level: Level, rate: u32, answer: usize| {
        let mut door = door(&["10.0.0.0/8"], 0);
        assert!(door.accept(START, victim, Level::Open), "it was here before");
        pressed(&mut door, START, level);
        excess(&mut door, START, victim, 60, rate, answer)
    };
    for rate in [60, 200] {
        let (octets, _) = sent(Level::Guard, rate, 80);
        assert!(octets <= 78_500, "{octets} octets beyond what came in a minute at {rate} questions a second");
    }
    assert_eq!(sent(Level::Guard, 10, 90).1, 600, "a busy household does not notice");
    assert_eq!(sent(Level::Open, 20, 350).1, 1_200, "nor does anybody with room to spare");
}

#[test]
fn with_room_to_spare_what_is_asked_in_a_victims_name_brings_it_no_more_octets() {
    // As in A21: from one address, with an answer half as long again as its question, for 14 seconds.
    for rate in [5_000u32, 8_000, 12_000] {
        let mut door = door(&["10.0.0.0/8"], 0);
        meet(&mut door, START, ip("10.0.0.1"));
        let (mut received, mut sent) = (0, 0);
        for number in 0..rate * 14 {
            let now = START + Duration::from_secs(1) / rate * number;
            let Verdict::Admitted(proof) = judge(&mut door, now, ip("10.0.0.1")) else { panic!("refused") };
            received += 45;
            sent += match door.part(now, &proof, &leaving(b"\x01x\0", 45, 70, true)) {
                Parting::Send => 70,
                Parting::Truncate(_) => 45,
                Parting::Drop(_) => 0,
            };
        }
        // Below that rate nothing of it is beyond half a share for seconds.
        let most = if rate < 12_000 { received + received / 4 } else { received };
        assert!(sent <= most, "{sent} octets for {received} at {rate} a second");
    }
}

#[test]
fn with_room_to_spare_nobody_is_told_to_come_by_tcp_for_asking_much() {
    let books = Books::new(&Sizes::small(), &[1; 32]);
    let policy = policy(&["10.0.0.0/8"]);
    let mut door = Door::beside(&policy, &books);
    let client = ip("10.0.0.1");
    assert!(door.accept(START, client, Level::Open));
    // So many a second for ten seconds, each with a few octets more than it asked with.
    let mut whole = |from: Moment, rate: u32, excess: usize| {
        let answers = (0..rate * 10).filter(|number| {
            let now = from + Duration::from_secs(10) / (rate * 10) * *number;
            let Verdict::Admitted(proof) = judge(&mut door, now, client) else { panic!("refused with room to spare") };
            door.part(now, &proof, &leaving(b"\x01x\0", 50, 50 + excess, true)) == Parting::Send
        });
        (answers.count() as u32, books.decisions().of_address(client, 1).first().map(|refusal| refusal.reason))
    };
    assert_eq!(whole(START, 6_000, 10), (60_000, None), "six times its share, and some octets each");
    let (sent, reason) = whole(START + Duration::from_secs(20), 10_000, 150);
    assert!(sent < 5_000, "{sent}: more octets than any client has");
    assert_eq!(reason.map(Reason::setting), Some("limits.ration"), "which is not for its share");
}

#[test]
fn addresses_of_an_ipv6_network_do_not_vouch_for_forged_ones_of_ipv4() {
    let mut door = door(&["10.0.0.0/8", "2001:db8::/32"], 1);
    let (mut whole, mut own) = (0, 0);
    for number in 0..100_000u32 {
        let now = START + Duration::from_micros(100) * number;
        // Somebody has a network of his own, comes by TCP from it when he is told to, and forges as many others.
        let address = match number % 2 {
            0 => IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(number) << 72).to_be_bytes()),
            _ => IpAddr::from((0x0a00_0000 | number << 4).to_be_bytes()),
        };
        let proof = admitted(&mut door, now, &plain(address));
        let sent = door.part(now, &proof, &leaving(b"\x01x\0", 50, 400, true)) == Parting::Send;
        match address {
            IpAddr::V4(_) => whole += u32::from(sent),
            IpAddr::V6(_) if sent => own += 1,
            IpAddr::V6(_) => drop(door.accept(now, address, Level::Open)),
        }
    }
    assert!(own > 49_000, "{own} of 50,000 of his own");
    assert!(whole < 6_000, "{whole} of 50,000 forged ones got a whole answer");
}

#[test]
fn whoever_comes_from_a_whole_ipv6_network_leaves_room_to_know_others() {
    let policy = policy(&["10.0.0.0/8", "2001:db8::/32"]);
    let books = Books::new(&Sizes { known: 1 << 18, ..Sizes::small() }, &[1; 32]);
    let mut door = Door::beside(&policy, &books);
    // A new /64 three milliseconds after the other, for a quarter of an hour.
    for number in 0..300_000u32 {
        let address = IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(number) << 64).to_be_bytes());
        door.accept(START + Duration::from_millis(3) * number, address, Level::Open);
    }
    let later = START + Duration::from_secs(901);
    let customers = (0..1_000u32).map(|number| match number % 2 {
        0 => IpAddr::from((0x0a00_0000 | number).to_be_bytes()),
        // Of another /48 each.
        _ => IpAddr::from((0x2001_0db8_u128 << 96 | (0x8000 | u128::from(number)) << 80).to_be_bytes()),
    });
    let known = customers.zip(0u32..).filter(|(customer, number)| {
        let now = later + Duration::from_millis(10) * *number;
        door.accept(now, *customer, Level::Open);
        books.account_of(&policy, *customer, now).known
    });
    assert_eq!(known.count(), 1_000);
}

/// Everybody has names for the asking below a company's public suffix, and all of them exist.
#[test]
fn names_made_up_below_a_companys_suffix_make_none_forgotten() {
    for zones in [Mode::Enforce, Mode::Off] {
        let mut policy = policy(&["10.0.0.0/8"]);
        policy.limits.zones = zones;
        let mut sizes = Sizes::small();
        sizes.zones.learned = 1 << 17;
        let books = Books::new(&sizes, &[1; 32]);
        let mut door = Door::beside(&policy, &books);
        let mut now = START;
        let mut find = |name: &str| {
            now = now + Duration::from_millis(1);
            let name = Name::parse(name).expect("a name");
            let proof = admitted(&mut door, now, &plain(ip("10.0.0.1")));
            let ticket = door.ask_zone(now, &proof, name.wire(), Rtype::A).expect("no flood");
            books.zones().begin(&ticket);
            door.end(now, &ticket, name.wire(), End::Found, std::iter::empty());
            now
        };
        let real = |number: u32| format!("host{number}.site{}.com", number % 1_000);
        (0..5_000).for_each(|number| _ = find(&real(number)));
        let mut now = START;
        (0..150_000u32)
            .for_each(|number| now = find(&format!("www.{:x}.vercel.app", number.wrapping_mul(0x9e37_79b9))));
        let is_learned = |number: &u32| {
            let name = Name::parse(&real(*number)).expect("a name");
            books.zones().is_learned(name.wire(), now)
        };
        let kept = (0..5_000).filter(is_learned).count();
        assert_eq!(kept, 5_000, "with `zones` {zones:?}");
    }
}

#[test]
fn who_has_a_wildcard_is_no_ordinary_client_for_that() {
    let mut policy = policy(&["10.0.0.0/8"]);
    policy.limits.rations = Mode::Off;
    let books = Books::new(&Sizes::small(), &[1; 32]);
    let mut door = Door::beside(&policy, &books);
    let mut is_ordinary = |client: &str, domains: u32| {
        let client = ip(client);
        let mut now = START;
        for number in 0..600u32 {
            now = now + Duration::from_millis(100);
            let name = Name::parse(&format!("n{number}.site{}.com", number % domains)).expect("a name");
            let proof = admitted(&mut door, now, &plain(client));
            assert_eq!(door.part(now, &proof, &leaving(name.wire(), 50, 80, true)), Parting::Send);
        }
        books.account_of(&policy, client, now).ordinary
    };
    assert!(!is_ordinary("10.0.0.1", 1));
    assert!(is_ordinary("10.0.0.2", 100));
}

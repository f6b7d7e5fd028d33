//! Many clients behind one address: served as well as each by himself, and nothing there for one who plays many.

use super::*;
use crate::admission::cookie::FULL;

/// Users behind one address, and as many on addresses of their own.
const USERS: u32 = 2_000;
const CROWD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));

fn dice(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        // splitmix64 (Steele et al. 2014)
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % below
    }
}

/// The parts of their questions that the crowd and the users apart have answered under guard, after two minutes in peace;
/// everybody asks the same, out of so many names, with a cookie of his own or without.
fn served(names: u64, cookies: bool, seed: u64) -> [f64; 2] {
    let mut door = door(&["10.0.0.0/8"], 0);
    let mut random = dice(seed);
    let mut jar: Vec<Option<[u8; FULL]>> = vec![None; 2 * USERS as usize];
    let (mut asked, mut answered) = ([0u32; 2], [0u32; 2]);
    let mut now = START;
    let peace = START + Duration::from_secs(120);
    while now < peace + Duration::from_secs(15) {
        let guarded = now >= peace;
        // A question a second each in peace, four then.
        now = now + Duration::from_secs(1) / (2 * USERS) / if guarded { 4 } else { 1 };
        if guarded {
            pressed(&mut door, now, Level::Guard);
        }
        let user = random(2 * u64::from(USERS)) as u32;
        let apart = user >= USERS;
        let address = if apart { IpAddr::from((0x0a01_0000 + (user - USERS) * 7).to_be_bytes()) } else { CROWD };
        let fresh = [u64::from(user).to_be_bytes(), [0; 8]].concat();
        let cookie = jar[user as usize].map_or_else(|| fresh[..8].to_vec(), |full| full.to_vec());
        let name = format!("{}", if names < 400 { random(names) } else { random(400) * random(names / 400) });
        let asking = Asking { address, stream: false, cookie: cookies.then_some(&cookie), name: name.as_bytes() };
        asked[usize::from(apart)] += u32::from(guarded);
        let (verdict, reply) = door.judge(at(now), &asking);
        if let CookieReply::Give(full) = reply {
            jar[user as usize] = Some(full);
        }
        let Verdict::Admitted(proof) = verdict else { continue };
        // Of few names none goes upstream.
        let cached = names < 400 || random(8) > 0;
        let sent = (cached || door.recurse(now, &proof, name.as_bytes()).is_ok())
            && match door.part(now, &proof, &leaving(name.as_bytes(), 50, 70 + random(120) as usize, cached)) {
                Parting::Send => true,
                // In the first minute some are told to come by TCP, and under guard who asks much; they are served there.
                Parting::Truncate(Reason::StrangerRation | Reason::AddressRation | Reason::Ration) => {
                    let level = door.level().0;
                    comes(&mut door, now, address, name.as_bytes(), level)
                }
                _ => false,
            };
        answered[usize::from(apart)] += u32::from(sent && guarded);
    }
    [0, 1].map(|which: usize| f64::from(answered[which]) / f64::from(asked[which]))
}

#[test]
fn two_thousand_users_behind_one_address_are_served_as_well_as_apart() {
    for (names, cookies) in [(160_000, false), (160_000, true), (60, true)] {
        let seed = 7;
        let [crowd, apart] = served(names, cookies, seed);
        assert!(
            crowd >= apart - 0.05 && apart > 0.98,
            "{names} names, cookies {cookies}, seed {seed}: {crowd} of the crowd's questions, {apart} of the others'"
        );
    }
}

/// Shares for what could be forged and for what could not, of one client that asks `questions` times in two minutes: each time
/// for another name, with another cookie, or with a cookie that it made up whole.
fn bought(questions: u32, another: &str, level: Level) -> [u32; 2] {
    let policy = policy(&["10.0.0.0/8"]);
    let books = Books::new(&Sizes::small(), &[1; 32]);
    let mut door = Door::beside(&policy, &books);
    let gap = Duration::from_secs(120) / questions;
    for turn in 0..questions {
        let now = START + gap * turn;
        pressed(&mut door, now, level);
        let client = u64::from(turn).to_be_bytes();
        let label = format!("r{turn}");
        let name = match another {
            "name" => format!("{turn}"),
            "own name" => format!("{}{label}\x03own\x07example\0", char::from(label.len() as u8)),
            "hosted name" => format!("{}{label}\x06vercel\x03app\0", char::from(label.len() as u8)),
            _ => "one".to_owned(),
        };
        let ask = |cookie: Option<&[u8]>, door: &mut Door| {
            let asking = Asking { address: CROWD, stream: false, cookie, name: name.as_bytes() };
            let (verdict, reply) = door.judge(at(now), &asking);
            if let Verdict::Admitted(proof) = verdict {
                door.part(now, &proof, &leaving(name.as_bytes(), 50, 50, true));
            }
            reply
        };
        match another {
            "name" | "own name" | "hosted name" => drop(ask(None, &mut door)),
            "cookie" => {
                // Two questions for each: the first has none that counts.
                let CookieReply::Give(full) = ask(Some(&client), &mut door) else { panic!("no cookie") };
                ask(Some(&full), &mut door);
            }
            _ => drop(ask(Some(&[client, [9; 8], [9; 8]].concat()), &mut door)),
        }
    }
    let account = books.account_of(&policy, CROWD, START + Duration::from_secs(120));
    [account.crowd, account.crowd_proven]
}

#[test]
fn cookies_that_somebody_makes_up_buy_no_more_than_names() {
    const MANY: u32 = 60_000;
    assert_eq!(bought(MANY, "forged cookie", Level::Open), [1, 1]);
    let [by_names, also] = bought(MANY, "name", Level::Open);
    assert!(by_names > 10 && also == by_names, "{by_names} {also}");
    let [unproven, proven] = bought(MANY / 2, "cookie", Level::Open);
    assert_eq!(unproven, 1, "what can be forged has nothing of it");
    assert!(proven <= by_names * 6 / 10 + 2, "{proven} shares by as many questions, {by_names} by names");
    for another in ["name", "cookie"] {
        assert_eq!(bought(MANY / 2, another, Level::Guard), [1, 1], "nothing is learned under pressure");
    }
}

#[test]
fn under_guard_an_address_is_sent_no_more_for_the_many_who_seem_to_be_behind_it() {
    let excess = |names: u32| {
        let mut policy = policy(&["10.0.0.0/8"]);
        // What the network around it may be sent is meant here.
        (policy.limits.address_ration, policy.limits.ration) = (1 << 30, 16 << 10);
        let mut door = Door::new(&policy);
        for turn in 0..60_000u32 {
            let now = START + Duration::from_millis(2) * turn;
            let name = format!("{}", turn.wrapping_mul(7919) % names);
            let asking = Asking { name: name.as_bytes(), ..plain(CROWD) };
            let Verdict::Admitted(proof) = door.judge(at(now), &asking).0 else { panic!("refused without pressure") };
            door.part(now, &proof, &leaving(name.as_bytes(), 50, 60, true));
        }
        let flood = START + Duration::from_secs(121);
        pressed(&mut door, flood, Level::Guard);
        let mut sent = 0;
        for turn in 0..5_000u32 {
            let now = flood + Duration::from_millis(1) * turn;
            let Verdict::Admitted(proof) = judge(&mut door, now, CROWD) else { continue };
            sent += 100 * u64::from(door.part(now, &proof, &leaving(b"\x01x\0", 50, 150, true)) == Parting::Send);
        }
        sent
    };
    let (crowd, single) = (excess(30_000), excess(1));
    assert!(single > 50_000 && crowd <= single + single / 10, "{crowd} octets to a crowd, {single} to somebody else");
}

#[test]
fn names_that_cost_their_owner_nothing_buy_no_shares() {
    for another in ["own name", "hosted name"] {
        assert_eq!(bought(60_000, another, Level::Open), [1, 1], "{another}");
    }
}

#[test]
fn a_forwarder_is_served_under_pressure_from_its_first_question_on() {
    let mut door = door(&["10.0.0.0/8"], 0);
    let client = ip("10.0.0.1");
    meet(&mut door, START, client);
    pressed(&mut door, START, Level::Guard);
    let (mut whole, mut by_tcp, mut lost) = (0, 0, 0);
    // Ten seconds of 500 questions a second for names of which a third are not in the cache at first.
    for turn in 0..5_000u32 {
        let now = START + turn * 2 * MS;
        let miss = turn < 1_000 && turn % 3 == 0;
        let answered = match judge(&mut door, now, client) {
            Verdict::Admitted(proof) if !miss || door.recurse(now, &proof, b"").is_ok() => {
                match door.part(now, &proof, &leaving(b"\x01x\0", 50, 130, !miss)) {
                    Parting::Send => Some(true),
                    Parting::Truncate(_) => Some(false),
                    Parting::Drop(_) => None,
                }
            }
            Verdict::Admitted(_) => Some(false),
            Verdict::Turned(turned) => matches!(turned, Turned::Slip(..)).then_some(false),
        };
        match answered {
            Some(true) => whole += 1,
            Some(false) if comes(&mut door, now + MS, client, b"\x01x\0", Level::Guard) => by_tcp += 1,
            _ => lost += 1,
        }
    }
    assert!(lost == 0 && by_tcp < 1_000, "{whole} by UDP, {by_tcp} by TCP, {lost} lost");
}

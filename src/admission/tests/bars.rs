//! Who was turned away a moment ago, and asks again at once.

use super::*;

/// A door at guard before which `client` has used up his share and was turned away.
fn beyond(client: IpAddr) -> Door {
    beyond_beside(client, &Books::new(&Sizes::small(), &[0; 32]))
}

fn beyond_beside(client: IpAddr, books: &Books) -> Door {
    let mut door = Door::beside(&policy(&["10.0.0.0/8"]), books);
    meet(&mut door, START, client);
    pressed(&mut door, START, Level::Guard);
    assert!((1_999..=2_000).contains(&admitted(&mut door, START, Duration::ZERO, 2_100, client)));
    door
}

#[test]
fn whoever_is_turned_away_is_served_as_soon_as_he_has_earned_an_answer() {
    let client = ip("10.0.0.1");
    let mut door = beyond(client);
    // 1,000 a second: one each millisecond, however often he asks between.
    for turn in 1..500 {
        assert_eq!(admitted(&mut door, START + MS * turn, Duration::from_nanos(9_000), 100, client), 1, "ms {turn}");
    }
}

#[test]
fn proof_helps_at_once_and_only_who_has_it() {
    let client = ip("10.0.0.1");
    let mut door = beyond(client);
    let (_, CookieReply::Give(cookie)) = door.judge(at(START), &Asking { cookie: Some(&[9; 8]), ..plain(client) })
    else {
        panic!("no cookie although it has one itself")
    };
    assert!(!is_admitted(judge(&mut door, START, client)));
    assert!(is_admitted(door.judge(at(START), &Asking { cookie: Some(&cookie), ..plain(client) }).0));
    assert!(is_admitted(door.judge(at(START), &Asking { stream: true, ..plain(client) }).0));
    assert!(!is_admitted(judge(&mut door, START, client)));
    let malformed = Asking { cookie: Some(&[9; 7]), ..plain(client) };
    assert_eq!(door.judge(at(START), &malformed).1, CookieReply::Malformed, "a client is told so at any time");
}

#[test]
fn with_room_again_he_is_served_and_a_new_policy_forgets_what_was_said_under_the_old() {
    let client = ip("10.0.0.1");
    let mut door = beyond(client);
    let mut relaxed = policy(&["10.0.0.0/8"]);
    relaxed.limits.client_burst *= 2;
    door.set_policy(&relaxed);
    assert!(is_admitted(judge(&mut door, START, client)));
    let mut door = beyond(client);
    let calm = Pressure::default();
    let later =
        (1..).map(|second| START + Duration::from_secs(second)).find(|now| door.feel(*now, &calm) == Level::Open);
    let now = later.expect("it calms down");
    assert_eq!(admitted(&mut door, now, Duration::ZERO, 10_000, client), 10_000);
    pressed(&mut door, now, Level::Guard);
    assert!(!is_admitted(judge(&mut door, now, client)), "what was asked meanwhile counts");
}

#[test]
fn each_refusal_is_counted_and_explained_and_the_source_is_told_as_loud() {
    let client = ip("10.0.0.1");
    let books = Books::new(&Sizes::default(), &[0; 32]);
    let mut door = beyond_beside(client, &books);
    let (before, of) = (door.tally(), Reason::ClientShare as usize);
    door.take_loud();
    assert_eq!(admitted(&mut door, START, Duration::ZERO, 1_000, client), 0);
    let tally = door.tally();
    assert_eq!(tally.turned[of] - before.turned[of], 1_000);
    assert_eq!(tally.slipped + tally.dropped - before.slipped - before.dropped, 1_000);
    assert_eq!(door.take_loud(), [(client, 1_000)]);
    let account = books.account_of(&policy(&["10.0.0.0/8"]), client, START);
    let written: u32 =
        account.decisions.iter().filter(|one| one.reason == Reason::ClientShare).map(|one| one.times).sum();
    assert!(written >= 1_000, "{:?}", account.decisions);
}

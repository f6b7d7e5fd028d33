//! Who is given an answer whose time is over, and what it says.

use super::*;
use crate::admission::{Level, Mode, Pressure, Reason};

const WWW: usize = 0;

fn at(second: u64) -> Now {
    Now::simulated(second * SECOND)
}

fn ask(engine: &mut Engine, now: Now, packet: &[u8]) -> Result<Vec<u8>, Disposition> {
    let mut out = Vec::new();
    // By TCP, so that no octets are rationed.
    let client = Client { transport: Transport::Tcp, ..client() };
    match engine.handle_query(now, client, packet, &mut out) {
        Disposition::Answered => Ok(out),
        other => Err(other),
    }
}

fn www() -> Vec<u8> {
    let edns = Some((1232, false));
    query(&Asked { which: WWW, flags: Flags::RD, edns, upper: 0, cookie: None, at: 0, failing: false }, 1)
}

/// A question for a name that nobody knows.
fn unknown(number: u32) -> Vec<u8> {
    let mut packet = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    packet.extend_from_slice(name(&format!("unknown{number}.example.nl")).wire());
    packet.extend_from_slice(b"\0\x01\0\x01");
    packet
}

fn says(packet: &[u8], text: &str) -> bool {
    packet.windows(text.len()).any(|window| window == text.as_bytes())
}

fn told(packet: &[u8]) -> (Rcode, Option<u32>) {
    let message = Message::parse(packet).expect("a response");
    (message.rcode(), message.answers().first().map(|record| record.ttl))
}

fn change(engine: &mut Engine, change: impl FnOnce(&mut Policy)) {
    let mut policy = (*engine.policy).clone();
    change(&mut policy);
    engine.set_rules(Arc::new(policy));
}

/// What the operator is told became of the last one who was turned away, and how many such there were.
fn last_turned(engine: &Engine) -> (Reason, &'static str, u64) {
    let tally = engine.counters().door;
    let ways = [tally.slipped, tally.refused, tally.dropped, tally.failed, tally.closed, tally.stale];
    assert_eq!(ways.iter().sum::<u64>(), tally.turned.iter().sum::<u64>(), "each went one way: {tally:?}");
    let last = engine.shared.books.decisions().latest(4096).into_iter().next().expect("a decision");
    (last.reason, last.action.name(), tally.stale)
}

#[test]
fn who_has_used_up_his_work_upstream_is_given_what_is_there_fresh_or_not() {
    let mut engine = engine(&filled());
    change(&mut engine, |policy| policy.access.limits.exempt.clear());
    let felt = engine.feel(at(400), Pressure { dropped: 0.05, ..Pressure::default() });
    assert_eq!(felt, Level::Guard);
    let turned = |result: &Result<Vec<u8>, Disposition>| !matches!(result, Err(Disposition::Pending));
    let spent = (0..2_000).any(|number| turned(&ask(&mut engine, at(400), &unknown(number))));
    assert!(spent, "the share of work has an end");
    let answer = ask(&mut engine, at(400), &www()).expect("an answer");
    assert_eq!(told(&answer), (Rcode::NOERROR, Some(30)));
    assert!(says(&answer, StaleWhy::Limited.text()));
    assert_eq!(engine.counters().stale[StaleWhy::Limited as usize], 1);
    assert_eq!(engine.counters().waiting, engine.in_flight() as u64, "nothing is asked for him");
    assert_eq!(last_turned(&engine), (Reason::Recursion, "answered with expired data", 1));
    change(&mut engine, |policy| policy.resolve.stale.serve = Mode::Observe);
    let answer = ask(&mut engine, at(400), &www()).map(|answer| told(&answer));
    assert_ne!(answer, Ok((Rcode::NOERROR, Some(30))));
    assert_eq!(engine.counters().stale_observed, 1);
    assert_eq!(last_turned(&engine), (Reason::Recursion, "refused", 1));
}

#[test]
fn where_too_many_questions_are_in_flight_what_is_there_is_given() {
    let mut engine = engine(&filled());
    for number in 0..MAX_QUESTIONS as u32 {
        assert_eq!(ask(&mut engine, at(400), &unknown(number)), Err(Disposition::Pending));
    }
    let shed = ask(&mut engine, at(400), &unknown(u32::MAX)).expect("SERVFAIL");
    assert_eq!(told(&shed), (Rcode::SERVFAIL, None));
    assert_eq!(last_turned(&engine), (Reason::Places, "SERVFAIL", 0));
    let answer = ask(&mut engine, at(400), &www()).expect("an answer");
    assert_eq!(told(&answer), (Rcode::NOERROR, Some(30)));
    assert!(says(&answer, StaleWhy::Crowded.text()));
    assert_eq!(last_turned(&engine), (Reason::Places, "answered with expired data", 1));
}

#[test]
fn everybody_who_waits_is_given_it_when_the_first_has_waited_long_enough() {
    let mut engine = engine(&filled());
    assert_eq!(ask(&mut engine, at(400), &www()), Err(Disposition::Pending));
    assert_eq!(ask(&mut engine, at(401), &www()), Err(Disposition::Pending));
    let due = Now::simulated(401_800_000_000);
    let mut replies = Vec::new();
    while let Some(next) = engine.poll_timeout().filter(|next| *next <= due.mono) {
        engine.handle_timeout(Now::simulated(next.as_nanos()));
        while let Some(transmit) = engine.poll_transmit(Now::simulated(next.as_nanos())) {
            if let Transmit::Reply { packet, .. } = transmit {
                replies.push((next, told(&packet)));
            }
        }
    }
    assert_eq!(replies, [(due.mono, (Rcode::NOERROR, Some(30))); 2]);
    assert_eq!((engine.counters().waiting, engine.in_flight()), (0, 1), "asking goes on");
    // A question nobody knows anything of is waited for.
    assert_eq!(ask(&mut engine, due, &unknown(1)), Err(Disposition::Pending));
}

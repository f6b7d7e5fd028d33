//! Who waits for an answer, who gives way, and what makes a client ordinary.

use super::*;
use crate::admission::{Asking, Level, Pressure, Verdict};
use crate::meter::Hash;

fn open_to_all(shared: &Shared) -> Engine {
    let mut policy = Policy::default();
    policy.access.allow = vec!["10.0.0.0/8".parse().expect("a prefix"), "127.0.0.0/8".parse().expect("a prefix")];
    policy.resolve.prime = false;
    policy.resolve.root_hints =
        vec![crate::resolve::Hint { name: "a.root.".to_owned(), addresses: vec![Ipv4Addr::new(192, 0, 2, 53).into()] }];
    Engine::new(Arc::new(policy), shared.clone(), [3; 32])
}

fn from(address: Ipv4Addr, transport: Transport) -> Client {
    Client { addr: SocketAddr::from((address, 4000)), transport, route: Route { socket: 0, local: None } }
}

#[test]
fn whoever_is_proven_waits_where_forged_addresses_have_taken_all_places() {
    let shared = filled();
    let mut engine = open_to_all(&shared);
    let forged = |number: u32| from(Ipv4Addr::from(0x0a40_0000 | number), Transport::Udp);
    for number in 0..MAX_WAITERS as u32 {
        let asked = ask_from(&mut engine, forged(number), &name("slow.example.be"), Rtype::A, SECOND);
        assert_eq!(asked, Disposition::Pending, "{number}");
    }
    let mut next = |client: Client| ask_from(&mut engine, client, &name("slow.example.be"), Rtype::A, SECOND);
    let one_more = Ipv4Addr::new(10, 0, 0, 9);
    assert_eq!(next(from(one_more, Transport::Udp)), Disposition::Dropped(DropReason::Overload));
    assert_eq!(next(from(Ipv4Addr::new(10, 0, 0, 1), Transport::Tcp)), Disposition::Pending);
    assert_eq!(next(from(Ipv4Addr::LOCALHOST, Transport::Udp)), Disposition::Pending, "exempt");
    let told = shared.books.decisions().of_address(one_more.into(), 10);
    assert_eq!(told.iter().map(|told| told.reason).collect::<Vec<_>>(), [crate::admission::Reason::Places]);
    let counters = engine.counters();
    assert_eq!((counters.waiting, counters.dropped[DropReason::Overload as usize]), (MAX_WAITERS as u64, 3));
}

#[test]
fn what_is_answered_without_looking_makes_nobody_ordinary() {
    let shared = filled();
    let mut engine = open_to_all(&shared);
    let points = |engine: &mut Engine, client: Ipv4Addr| {
        let asking = Asking { address: client.into(), stream: false, cookie: None, name: b"\x01x\0" };
        match engine.door.judge(Now::simulated(SECOND), &asking).0 {
            Verdict::Admitted(admitted) => {
                shared.books.zones().points(Hash(engine.door.holder(&admitted)), Moment::from_nanos(20 * SECOND))
            }
            turned @ Verdict::Turned(_) => panic!("{turned:?}"),
        }
    };
    let (bot, household) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    for turn in 0..400u64 {
        let at = SECOND + turn * 20_000_000;
        let udp = |client| from(client, Transport::Udp);
        ask_from(&mut engine, udp(bot), &name(&format!("random{turn}.example{turn}.com")), Rtype::ANY, at);
        ask_from(&mut engine, udp(bot), &name(&format!("random{turn}.localhost")), Rtype::A, at);
        ask_from(&mut engine, udp(household), &name("www.example.nl"), Rtype::A, at);
    }
    assert_eq!(points(&mut engine, bot), 0);
    assert!(points(&mut engine, household) > 0);
}

#[test]
fn those_who_wait_are_memory_and_close_nothing() {
    let mut engine = open_to_all(&filled());
    for (waiting, level) in [
        (MAX_WAITING / 2, Level::Open),
        (MAX_WAITING * 95 / 100, Level::Watch),
        (MAX_WAITING, Level::Guard),
        (2 * MAX_WAITING, Level::Guard),
    ] {
        engine.counters.waiting = waiting;
        assert_eq!(engine.feel(Now::simulated(SECOND), Pressure::default()), level, "{waiting}");
    }
}

#[test]
fn whoever_goes_pays_for_what_was_begun_for_him() {
    let paid = |goes: bool| {
        let shared = filled();
        let mut engine = open_to_all(&shared);
        let client = from(Ipv4Addr::new(10, 0, 0, 5), Transport::Tcp);
        let asked = ask_from(&mut engine, client, &name("slow.example.be"), Rtype::A, SECOND);
        assert_eq!(asked, Disposition::Pending);
        if goes {
            engine.handle_gone(client.route);
        }
        let mut at = SECOND;
        for _ in 0..1_000 {
            while engine.poll_transmit(Now::simulated(at)).is_some() {}
            let Some(due) = engine.poll_timeout().filter(|_| engine.in_flight() > 0) else { break };
            at = due.as_nanos();
            engine.handle_timeout(Now::simulated(at));
        }
        assert_eq!(engine.in_flight(), 0, "nobody answers, and it ends");
        let account = shared.books.account_of(&engine.policy.access, client.addr.ip(), Moment::from_nanos(at));
        account.work[1][0].1
    };
    assert!(paid(false) > crate::meter::Load(0), "a failure costs more than has come back meanwhile");
    assert_eq!(paid(true), paid(false));
}

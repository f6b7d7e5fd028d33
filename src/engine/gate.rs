//! The door in the way of a query: before anything is looked up, before anything is asked, before anything is sent.

use std::net::IpAddr;

use super::arrived::Arrived;
use super::respond::{self, Asker, Extended};
use super::types::{Client, Disposition, Transport};
use super::{Engine, LOOK_AGAIN, MAX_QUESTIONS, MAX_WAITING, Pending, Waiter, Wanted};
use crate::admission::{
    Admitted, Asking, CookieReply, Departing, End, Got, Leave, Level, Mode, Over, Parting, Payer, Places, Pressure,
    Reason, Signal, Slip, Standing, Ticket, Turned,
};
use crate::clock::{Moment, Now};
use crate::resolve::{Failure, Outcome, StaleWhy};
use crate::wire::{Name, Question, Rcode, Rtype, ede};

/// What is kept of an admission until the response is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub admitted: Admitted,
    /// Octets of the query.
    pub received: usize,
}

/// What somebody is told whose question is not resolved.
pub(super) enum Denied {
    /// That he asks too much.
    Turned(Turned),
    /// SERVFAIL and why, as the zone is flooded.
    Flooded(Over, Extended),
    /// The same, as there is no place for more questions.
    Full(Extended),
}

impl Engine {
    /// What nearly all queries are answered by: a pass, and a hot answer. `Err`: both are needed; with leave where there is a
    /// pass.
    pub(super) fn answer_quickly(
        &mut self,
        now: Now,
        arrived: &Arrived<'_>,
        asking: &Asking<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Disposition, Option<Leave>> {
        let Arrived { client, packet, view: Ok(view), origin, sought: Some(sought) } = arrived else {
            return Err(None);
        };
        if self.counters.cache_hits.is_multiple_of(LOOK_AGAIN) {
            return Err(None);
        }
        let leave = self.door.take_pass(now.mono, origin, asking).ok_or(None)?;
        if !self.answer_hot(now, view, *sought, client.transport, &CookieReply::None, out) {
            return Err(Some(leave));
        }
        self.counters.cache_hits += 1;
        let departing = departing(view.name(), packet.len(), true, out);
        match self.door.part_with_leave(now.mono, origin, leave, &departing) {
            Parting::Send => Ok(Disposition::Answered),
            parting => {
                let asker = Asker::new(view, client.transport, CookieReply::None);
                Ok(self.carry_out(parting, &asker, out))
            }
        }
    }

    /// Carries out what the door wants done with a client that is not served, whose question had `received` octets.
    pub(super) fn turn(
        &self,
        turned: Turned,
        client: &Client,
        asker: &Asker,
        received: usize,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let policy = &self.policy.respond;
        match turned {
            Turned::Drop(reason) => return Disposition::Dropped(reason.into()),
            Turned::Slip(slip, _) => respond::slip(out, asker, policy, slip),
            Turned::Refuse(Reason::NotAllowed) => {
                let text = format!("{} may not ask here", client.addr.ip().to_canonical());
                // Cookies are only looked at of those who may ask: whoever this is may be forged.
                let room = if client.transport == Transport::Udp { received } else { usize::MAX };
                respond::refuse(out, asker, policy, &text, room);
            }
            // Said to nobody who has not proven his address.
            Turned::Refuse(reason) => respond::refuse(out, asker, policy, reason.text(), usize::MAX),
        }
        Disposition::Answered
    }

    /// Answers a query without a question, for a cookie alone (RFC 7873 §5.4).
    pub(super) fn give_cookie(&mut self, now: Moment, asker: &Asker, pass: &Pass, out: &mut Vec<u8>) -> Disposition {
        let rcode = match asker.edns {
            Some(edns) if edns.cookie.is_some() => match edns.cookie_shown && !pass.admitted.proven() {
                true => Rcode::BADCOOKIE,
                false => Rcode::NOERROR,
            },
            // Cookies are switched off: without a question it is no query.
            _ => Rcode::FORMERR,
        };
        self.note_rejected(rcode);
        respond::bare(out, asker, &self.policy.respond, rcode, &Extended::none());
        let parting = self.parting(now, pass, asker.name(), true, out);
        self.carry_out(parting, asker, out)
    }

    /// The end has come: everybody who still waits is told so, and nothing is resolved for them any more.
    pub fn give_up(&mut self, now: Now) {
        self.set_now(now);
        let waiters: Vec<_> = self.pending.values_mut().flat_map(|pending| pending.waiters.drain(..)).collect();
        let why = Extended::new(ede::NOT_READY, "the server ends, and this took longer than it waits");
        for waiter in waiters {
            let mut packet = Vec::new();
            respond::bare(&mut packet, &waiter.asker, &self.policy.respond, Rcode::SERVFAIL, &why);
            self.release(now, waiter, packet);
        }
        self.send_due(now, true);
    }

    /// Whether the response in `out` may go to who asked for `name`.
    pub(super) fn parting(&mut self, now: Moment, pass: &Pass, name: &[u8], from_cache: bool, out: &[u8]) -> Parting {
        self.door.part(now, &pass.admitted, &departing(name, pass.received, from_cache, out))
    }

    /// Lets a response go that is in `out`, or something smaller, or nothing.
    pub(super) fn carry_out(&self, parting: Parting, asker: &Asker, out: &mut Vec<u8>) -> Disposition {
        match parting {
            Parting::Send => {}
            Parting::Truncate(_) => respond::slip(out, asker, &self.policy.respond, Slip::Truncated),
            Parting::Drop(reason) => return Disposition::Dropped(reason.into()),
        }
        Disposition::Answered
    }

    /// Asks all leave that a question needs before it is resolved for a client; what became of one that is denied, whoever asks
    /// says by [`note_denied`](Self::note_denied). What the client may not have asked at all
    /// is no question to the zone, and takes nothing of its quota.
    pub(super) fn may_resolve(
        &mut self,
        now: Now,
        pass: &Pass,
        question: &Question,
    ) -> Result<Ticket, (StaleWhy, Denied)> {
        let name = question.name.wire();
        let limited = |turned| (StaleWhy::Limited, Denied::Turned(turned));
        let spent = self.door.has_spent(now.mono, &pass.admitted);
        if spent {
            self.door.recurse(now.mono, &pass.admitted, name).map_err(limited)?;
        }
        let ticket = self.may_ask_zone(now, pass, question).map_err(|denied| (StaleWhy::Flooded, denied))?;
        self.may_be_in_flight(now, pass, question, &ticket).map_err(|denied| (StaleWhy::Crowded, denied))?;
        if !spent {
            self.door.recurse(now.mono, &pass.admitted, name).map_err(limited)?;
        }
        Ok(ticket)
    }

    /// Asks leave to refresh what a client asked for. He has his answer: where there is none, nothing was refused to him.
    pub(super) fn may_refresh(
        &mut self,
        now: Now,
        pass: &Pass,
        question: &Question,
    ) -> Option<(Ticket, Option<Payer>)> {
        let admitted = &pass.admitted;
        if self.door.has_spent(now.mono, admitted) {
            return None;
        }
        let name = question.name.wire();
        let payer = self.door.payer(now.mono, admitted);
        let ticket = match &payer {
            None => self.door.uncounted(now.mono, admitted, name, question.rtype),
            Some(payer) => {
                let (ticket, verdict) = self.shared.books.zones().judge_for(now.mono, payer, name, question.rtype);
                (verdict.is_ok() || payer.observe).then_some(ticket)?
            }
        };
        self.door.recurse(now.mono, admitted, name).ok()?;
        Some((ticket, payer))
    }

    /// Asks leave to ask the zone of a question. `Err`: what the client is told.
    fn may_ask_zone(&mut self, now: Now, pass: &Pass, question: &Question) -> Result<Ticket, Denied> {
        let name = question.name.wire();
        let refused = match self.door.ask_zone(now.mono, &pass.admitted, name, question.rtype) {
            Ok(ticket) => return Ok(ticket),
            Err(refused) => refused,
        };
        let zone = name.get(refused.left..).and_then(Name::from_wire).unwrap_or_else(Name::root);
        let text = match (refused.over, refused.standing) {
            (Over::InFlight, _) => format!("too many questions wait for the servers of {zone}"),
            (Over::Client, _) => {
                format!("{zone} is flooded, and names were asked for here that such zones do not have")
            }
            (Over::Zone, Standing::Learned) => format!("{zone} is flooded, and its servers bear no more questions"),
            (Over::Zone, _) => format!("{zone} is flooded: names known to exist come first"),
        };
        Err(Denied::Flooded(refused.over, Extended::new(ede::OTHER, text)))
    }

    /// Asks leave for a question to take a place among those in flight. `Err`: what the client is told.
    fn may_be_in_flight(&mut self, now: Now, pass: &Pass, question: &Question, ticket: &Ticket) -> Result<(), Denied> {
        let own = self.holding.get(&self.door.holder(&pass.admitted)).map_or(0, |own| *own as usize);
        let places = Places { all: MAX_QUESTIONS, taken: self.pending.len(), clients: self.holding.len(), own };
        if self.door.take_place(now.mono, &pass.admitted, question.name.wire(), ticket.standing, &places) {
            return Ok(());
        }
        let text = "too many questions in flight; names known to exist come first";
        Err(Denied::Full(Extended::new(ede::NOT_READY, text)))
    }

    /// Counts and keeps that a question was not resolved for a client, who got a stale answer or was told so.
    pub(super) fn note_denied(&mut self, now: Now, pass: &Pass, question: &Question, denied: &Denied, stale: bool) {
        let (now, admitted, name, got) = (now.mono, &pass.admitted, question.name.wire(), Got::instead(stale));
        match denied {
            Denied::Turned(turned) => self.door.note_declined(now, admitted, name, *turned, stale),
            Denied::Flooded(over, _) => self.door.note_not_asked(now, admitted, name, *over, got),
            Denied::Full(_) => self.door.note_full(now, admitted, name, got),
        }
    }

    /// Answers a client whose question is not asked.
    pub(super) fn deny(&mut self, waiter: &Waiter, why: &Extended, out: &mut Vec<u8>) -> Disposition {
        respond::bare(out, &waiter.asker, &self.policy.respond, Rcode::SERVFAIL, why);
        Disposition::Answered
    }

    /// Notes who has taken a place, or has left it.
    pub(super) fn hold(&mut self, holder: Option<u64>, left: bool) {
        let Some(holder) = holder else { return };
        if !left {
            *self.holding.entry(holder).or_default() += 1;
        } else if let std::collections::hash_map::Entry::Occupied(mut own) = self.holding.entry(holder) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }

    /// Tells the accounts of a question what became of it; with `stale` there was an answer instead.
    pub(super) fn settle(&mut self, wanted: &Wanted, pending: &Pending, outcome: &Outcome, stale: bool) {
        let now = self.cx.now().mono;
        let admitted = pending.waiters.iter().map(|waiter| &waiter.pass.admitted);
        self.door.end(
            now,
            &pending.ticket,
            wanted.question.name.wire(),
            end_of(outcome, wanted.question.rtype),
            admitted,
        );
        let busy = matches!(outcome.failure, Some(Failure::Busy { .. }));
        if busy || outcome.busy {
            let got = if busy { Got::instead(stale) } else { Got::Answer };
            for waiter in &pending.waiters {
                self.door.note_busy(now, &waiter.pass.admitted, wanted.question.name.wire(), got);
            }
        }
        // Where the flooded zone was not needed after all, nothing was refused to anybody.
        let flooded = outcome.flooded.filter(|(_, observed)| *observed || outcome.failure.is_some());
        if let Some((over, observed)) = flooded {
            let got = if observed { Got::Answer } else { Got::instead(stale) };
            for waiter in &pending.waiters {
                self.door.note_flooded(now, &waiter.pass.admitted, wanted.question.name.wire(), over, got);
            }
        }
        let failed = outcome.failure.is_some();
        self.counters.failed += u64::from(failed);
        if let Some(payer) = &pending.payer {
            // Of a flooded zone a client pays in the account that it has with it, not here.
            if flooded.is_none() && !self.shared.books.zones().is_flooded(&pending.ticket) {
                self.door.settle_question(now, payer, outcome.cost, failed);
            }
        }
    }

    /// Takes what the shell feels of the load on this shard; the level of pressure that follows.
    pub fn feel(&mut self, now: Now, pressure: Pressure) -> Level {
        let in_flight = self.pending.len() as f32 / MAX_QUESTIONS as f32;
        let waiting = Pressure::of_a_pool(self.counters.waiting as f32 / MAX_WAITING as f32);
        self.door.feel(now.mono, &Pressure { in_flight, memory: pressure.memory.max(waiting), ..pressure })
    }

    /// The sources that asked far beyond their share since the last call, and how often they were turned away.
    pub fn take_loud(&mut self) -> Vec<(IpAddr, u32)> {
        self.door.take_loud()
    }

    /// What the good cookies ended with that such sources have shown since the last call: those of whom they are to be told.
    pub fn take_good_cookies(&mut self) -> Vec<(IpAddr, u32)> {
        self.door.good_cookies().take()
    }

    /// Of whom they are to be told from now on, as [`take_loud`](Self::take_loud) names them.
    pub fn tell_good_cookies_of(&mut self, sources: Vec<IpAddr>) {
        self.door.good_cookies().watch(sources);
    }

    /// Whether the policy lets the kernel thin out such sources: it carries out what is decided here, and where that only
    /// observes there is nothing to carry out.
    pub fn may_filter(&self) -> bool {
        let limits = &self.policy.access.limits;
        limits.kernel_filter && limits.clients == Mode::Enforce
    }

    /// How hard this shard is pressed, and since when.
    pub fn level(&self) -> (Level, Moment) {
        self.door.level()
    }

    /// What called for that level last.
    pub fn cause(&self) -> Option<Signal> {
        self.door.cause()
    }
}

/// What the door is to know of the response in `out`.
fn departing<'a>(name: &'a [u8], received: usize, from_cache: bool, out: &[u8]) -> Departing<'a> {
    // A refusal says nothing of who asked, nor does a name that has nothing.
    let positive =
        out.get(3).is_some_and(|flags| flags & 0xf == 0) && out.get(6..8).is_some_and(|count| count != [0, 0]);
    Departing { name, received, sent: out.len(), from_cache: from_cache && positive }
}

/// What an outcome says of the name that was asked for.
fn end_of(outcome: &Outcome, rtype: Rtype) -> End<'_> {
    match &outcome.failure {
        Some(failure) => failure.end(),
        None => {
            let fault = outcome.soa.as_ref().map(|soa| soa.set.owner.wire());
            match rtype {
                // Also where an alias leads there.
                _ if outcome.rcode == Rcode::NXDOMAIN => End::Absent(fault),
                _ if !outcome.answer.is_empty() => End::Found,
                Rtype::AAAA | Rtype::HTTPS | Rtype::SVCB => End::Lacking,
                _ => End::Empty(fault),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::{Policy, Route, Shared, Transmit};
    use super::*;
    use crate::admission::ClientClass;
    use crate::wire::{Flags, Message, option};

    fn engine(change: impl FnOnce(&mut Policy)) -> Engine {
        let mut policy = Policy::default();
        policy.resolve.prime = false;
        policy.access.allow = vec!["10.0.0.0/8".parse().expect("a prefix")];
        policy.local.records = Arc::new(vec!["here.test. 60 IN A 192.0.2.1".to_owned()]);
        change(&mut policy);
        let shared = Shared::new(&crate::cache::Policy::default(), [5; 32]);
        Engine::new(Arc::new(policy), shared, [3; 32])
    }

    fn client(last: u8, transport: Transport) -> Client {
        let addr = SocketAddr::from(([10, 0, 0, last], 4000));
        Client { addr, transport, route: Route { socket: 0, local: None } }
    }

    /// `name` A with RD, and a cookie option where one is given.
    fn query(name: &[u8], cookie: Option<&[u8]>) -> Vec<u8> {
        let mut packet = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        packet.extend_from_slice(name);
        packet.extend_from_slice(b"\0\x01\0\x01");
        if let Some(cookie) = cookie {
            packet[11] = 1;
            let length = u8::try_from(cookie.len()).expect("short");
            packet.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, length + 4, 0, 10, 0, length]);
            packet.extend_from_slice(cookie);
        }
        packet
    }

    const HERE: &[u8] = b"\x04here\x04test\0";

    /// Octets of the cookie in a response.
    fn cookie(packet: &[u8]) -> Option<Vec<u8>> {
        let start = packet.windows(4).position(|window| window == [0, 10, 0, 24])?;
        assert_eq!(option::COOKIE, 10);
        packet.get(start + 4..start + 28).map(<[u8]>::to_vec)
    }

    fn ask(engine: &mut Engine, client: Client, packet: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match engine.handle_query(Now::simulated(5_000_000_000), client, packet, &mut out) {
            Disposition::Answered => Some(out),
            Disposition::Dropped(_) | Disposition::Pending => None,
        }
    }

    fn pressed(engine: &mut Engine, level: Level) {
        let dropped = [0.0, 0.001, 0.05, 0.9][level as usize];
        let felt = engine.feel(Now::simulated(5_000_000_000), Pressure { dropped, ..Pressure::default() });
        assert_eq!(felt, level);
    }

    #[test]
    fn what_becomes_of_a_name_is_told_by_the_end_of_its_aliases() {
        use crate::cache::{Rank, RrSet};
        let alias =
            RrSet::new(Name::root(), Rtype::CNAME, 60, Rank::AuthoritativeAnswer, Moment::ZERO, [&b"\x01x\0"[..]]);
        let of = |rcode: Rcode, aliases: usize, rtype: Rtype| {
            let outcome = Outcome {
                rcode,
                answer: vec![alias.clone(); aliases],
                soa: None,
                failure: None,
                ripe: false,
                secure: false,
                deduced: false,
                busy: false,
                flooded: None,
                cost: 0,
                stale: None,
                proof: Default::default(),
            };
            format!("{:?}", end_of(&outcome, rtype))
        };
        assert_eq!(of(Rcode::NXDOMAIN, 1, Rtype::A), "Absent(None)", "an alias of a random name is no name");
        assert_eq!(of(Rcode::NXDOMAIN, 0, Rtype::AAAA), "Absent(None)");
        assert_eq!(of(Rcode::NOERROR, 1, Rtype::A), "Found");
        assert_eq!(of(Rcode::NOERROR, 0, Rtype::A), "Empty(None)");
        assert_eq!(of(Rcode::NOERROR, 0, Rtype::HTTPS), "Lacking");
    }

    #[test]
    fn a_client_that_sends_its_cookie_gets_ours_and_is_believed_with_it() {
        let mut engine = engine(|_| {});
        let asker = client(1, Transport::Udp);
        let first = ask(&mut engine, asker, &query(HERE, Some(b"clientck"))).expect("an answer");
        let whole = cookie(&first).expect("a cookie");
        assert_eq!(whole[..8], *b"clientck");
        let second = ask(&mut engine, asker, &query(HERE, Some(&whole))).expect("an answer");
        assert_eq!(cookie(&second), Some(whole.clone()));
        assert_eq!(cookie(&ask(&mut engine, asker, &query(HERE, None)).expect("an answer")), None);
        let odd = ask(&mut engine, asker, &query(HERE, Some(b"odd"))).expect("an answer");
        assert_eq!(Message::parse(&odd).expect("a message").rcode(), Rcode::FORMERR);
        assert_eq!(engine.counters().door.cookies, 1);
        let mut off = self::engine(|policy| policy.access.cookies.enabled = false);
        assert_eq!(cookie(&ask(&mut off, asker, &query(HERE, Some(b"clientck"))).expect("an answer")), None);
    }

    #[test]
    fn a_query_without_a_question_gets_a_cookie_and_nothing_else() {
        let mut engine = engine(|_| {});
        let asker = client(1, Transport::Udp);
        let mut bare = |cookie: &[u8]| {
            let mut packet = query(&[], Some(cookie));
            packet.drain(12..16);
            packet[5] = 0;
            ask(&mut engine, asker, &packet).expect("an answer")
        };
        let first = bare(b"clientck");
        let whole = cookie(&first).expect("a cookie");
        assert_eq!((first[3] & 15, &first[4..12]), (0, &[0, 0, 0, 0, 0, 0, 0, 1][..]));
        let again = bare(&whole);
        assert_eq!((again[3] & 15, cookie(&again).is_some()), (0, true));
        let forged = bare(&[7; 24]);
        assert_eq!((forged[3] & 15, forged[17], cookie(&forged).is_some()), (7, 1, true), "BADCOOKIE is 23");
    }

    #[test]
    fn who_waits_at_the_end_is_told_so() {
        let mut engine = engine(|_| {});
        assert_eq!(ask(&mut engine, client(1, Transport::Udp), &query(b"\x04gone\0", None)), None);
        let now = Now::simulated(6_000_000_000);
        engine.give_up(now);
        let mut replies = Vec::new();
        while let Some(transmit) = engine.poll_transmit(now) {
            if let Transmit::Reply { packet, .. } = transmit {
                replies.push(Message::parse(&packet).expect("a message").rcode());
            }
        }
        assert_eq!((replies, engine.counters().waiting), (vec![Rcode::SERVFAIL], 0));
    }

    #[test]
    fn where_cookies_are_required_others_are_told_how_to_go_on() {
        let mut engine = engine(|policy| {
            policy.access.classes = vec![ClientClass {
                name: "strict".to_owned(),
                prefixes: vec!["10.0.0.0/24".parse().expect("a prefix")],
                require_cookie: Mode::Enforce,
                ..ClientClass::default()
            }];
        });
        let asker = client(1, Transport::Udp);
        let told = ask(&mut engine, asker, &query(HERE, None)).expect("TC");
        assert!(Message::parse(&told).expect("a message").flags.has(Flags::TC));
        assert_eq!(told.len(), query(HERE, None).len());
        let told = ask(&mut engine, asker, &query(HERE, Some(b"clientck"))).expect("BADCOOKIE");
        assert_eq!(Message::parse(&told).expect("a message").rcode(), Rcode::BADCOOKIE);
        let whole = cookie(&told).expect("a cookie");
        let answer = ask(&mut engine, asker, &query(HERE, Some(&whole))).expect("an answer");
        assert_eq!(Message::parse(&answer).expect("a message").rcode(), Rcode::NOERROR);
        assert!(answer.len() > told.len());
        let stream = ask(&mut engine, client(1, Transport::Tcp), &query(HERE, None)).expect("an answer");
        assert_eq!(Message::parse(&stream).expect("a message").rcode(), Rcode::NOERROR);
    }

    #[test]
    fn a_cookie_that_is_none_is_a_malformed_query_where_one_is_required_too() {
        for mode in [Mode::Enforce, Mode::Observe, Mode::Off] {
            let mut engine = engine(|policy| {
                policy.access.classes = vec![ClientClass {
                    name: "strict".to_owned(),
                    prefixes: vec!["10.0.0.0/24".parse().expect("a prefix")],
                    require_cookie: mode,
                    ..ClientClass::default()
                }];
            });
            // RFC 7873 §4: 8 octets, or 16 to 40.
            for length in [0, 1, 7, 9, 15, 41] {
                let packet = query(HERE, Some(&vec![7; length]));
                for transport in [Transport::Udp, Transport::Tcp] {
                    let told = ask(&mut engine, client(1, transport), &packet).expect("FORMERR");
                    let message = Message::parse(&told).expect("a message");
                    assert_eq!(
                        (message.rcode(), told[7]),
                        (Rcode::FORMERR, 0),
                        "{mode:?}, {length} octets, {transport:?}"
                    );
                    assert!(cookie(&told).is_none() && told.len() <= packet.len(), "{told:?} for {packet:?}");
                }
            }
            let counters = engine.counters();
            let required = Reason::CookieRequired as usize;
            let told = (counters.formerr, counters.door.turned[required], counters.door.observed[required]);
            assert_eq!(told, (12, 0, 0), "{mode:?}");
        }
    }

    #[test]
    fn in_a_flood_every_query_is_accounted_for_and_nobody_is_sent_more_than_he_sent() {
        for (transport, packet) in [
            (Transport::Udp, query(HERE, None)),
            (Transport::Udp, query(HERE, Some(&[7; 24]))),
            (Transport::Udp, query(b"\x04gone\0", None)),
            (Transport::Tcp, query(HERE, None)),
        ] {
            let mut engine = engine(|_| {});
            ask(&mut engine, client(1, transport), &packet);
            pressed(&mut engine, Level::Guard);
            let (mut received, mut sent) = (0, 0);
            for _ in 0..20_000 {
                received += packet.len();
                sent += ask(&mut engine, client(1, transport), &packet).map_or(0, |answer| answer.len());
                let counted = engine.counters();
                let dropped: u64 = counted.dropped.iter().sum();
                assert_eq!(counted.queries, counted.answered + dropped + counted.gone + counted.waiting);
            }
            let counted = engine.counters();
            assert!(counted.door.turned.iter().sum::<u64>() > 10_000, "{transport:?}: {counted:?}");
            assert!(transport == Transport::Tcp || sent <= received, "{sent} octets for {received}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever somebody asks in the name of an address that may not ask, that is sent no more than he sent.
        #[test]
        fn a_refusal_to_who_may_not_ask_is_no_larger_than_the_question(
            labels in prop::collection::vec(1usize..=63, 0..4),
            options in prop::option::of(prop::collection::vec((prop::sample::select(vec![3u16, 10, 11, 12]), 0usize..200), 0..4)),
        ) {
            let mut engine = engine(|policy| {
                policy.access.refused_per_second = 1_000_000;
                policy.respond.nsid = Some(vec![b'n'; 60]);
            });
            let mut name: Vec<u8> = labels.iter().flat_map(|length| [vec![*length as u8], vec![b'x'; *length]].concat()).collect();
            name.push(0);
            let mut packet = query(&name, None);
            let mut padding = 0;
            if let Some(options) = &options {
                packet[11] = 1;
                let written: Vec<u8> = options.iter().flat_map(|(code, length)| {
                    // A cookie has its own lengths, and an identifier is asked for with nothing.
                    let length = match code { 3 => 0, 10 => 8 + length % 2 * 16, _ => *length };
                    padding += length + 4;
                    [&code.to_be_bytes()[..], &(length as u16).to_be_bytes(), &vec![0; length]].concat()
                }).collect();
                packet.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0]);
                packet.extend_from_slice(&(written.len() as u16).to_be_bytes());
                packet.extend_from_slice(&written);
            }
            let told = |engine: &mut Engine, transport| {
                let mut outsider = client(1, transport);
                outsider.addr.set_ip(IpAddr::from([192, 0, 2, 1]));
                ask(engine, outsider, &packet)
            };
            let Some(refused) = told(&mut engine, Transport::Udp) else { return Ok(()) };
            prop_assert!(refused.len() <= packet.len(), "{} octets for {}", refused.len(), packet.len());
            let why = b"192.0.2.1 may not ask here";
            let says = |packet: &[u8]| packet.windows(why.len()).any(|window| window == why);
            prop_assert!(says(&refused) || padding < 64 + 6 + why.len(), "there was room for the reason");
            let proven = told(&mut engine, Transport::Tcp);
            prop_assert!(options.is_none() || proven.is_some_and(|packet| says(&packet) || packet.len() == 12));
        }
    }

    #[test]
    fn what_cannot_be_understood_is_counted_by_what_is_said_of_it() {
        let mut engine = engine(|_| {});
        let asker = client(1, Transport::Udp);
        let mut told = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = query(HERE, None);
            change(&mut packet);
            ask(&mut engine, asker, &packet).map(|answer| answer[3] & 15)
        };
        let two_questions: &dyn Fn(&mut Vec<u8>) = &|packet| packet[5] = 2;
        let no_end: &dyn Fn(&mut Vec<u8>) = &|packet| packet.truncate(packet.len() - 3);
        let notify: &dyn Fn(&mut Vec<u8>) = &|packet| packet[2] = 0x20;
        let odd_cookie: &dyn Fn(&mut Vec<u8>) = &|packet| *packet = query(HERE, Some(b"odd"));
        let answers = [two_questions, no_end, odd_cookie, notify, &|_| {}].map(|change| told(change));
        assert_eq!(answers, [1, 1, 1, 4, 0].map(Some));
        let counted = engine.counters();
        assert_eq!((counted.formerr, counted.notimp, counted.answered), (3, 1, 5));
    }

    #[test]
    fn what_a_client_may_not_have_asked_is_no_question_to_the_zone() {
        let mut engine = engine(|_| {});
        let (busy, other) = (client(1, Transport::Tcp), client(2, Transport::Tcp));
        let random = |number: u32| query(format!("\x06{number:06}\x06victim\x03com\0").as_bytes(), None);
        // Names elsewhere, until nothing is left for more.
        pressed(&mut engine, Level::Guard);
        for number in 0..200u32 {
            ask(&mut engine, busy, &query(format!("\x06{number:06}\x04else\0").as_bytes(), None));
        }
        let refused = |engine: &Engine| engine.counters().door.turned[Reason::Recursion as usize];
        // The zone and what is above it.
        let asked = |engine: &Engine| engine.shared.books.zones().around(b"\x06victim\x03com\0", Moment::ZERO).len();
        let before = refused(&engine);
        assert!(before > 100, "{before}");
        (0..50).for_each(|number| drop(ask(&mut engine, busy, &random(number))));
        assert_eq!((refused(&engine) - before, asked(&engine)), (50, 0), "no account is kept for it");
        ask(&mut engine, other, &random(99));
        assert!(asked(&engine) > 0, "who may ask is counted");
    }

    #[test]
    fn the_kernel_drops_nothing_on_our_word_where_clients_are_only_observed() {
        let loud = |clients: Mode, strangers: Mode| {
            let mut engine = engine(|policy| {
                policy.access.limits.clients = clients;
                policy.access.limits.strangers = strangers;
            });
            ask(&mut engine, client(1, Transport::Udp), &query(HERE, None));
            pressed(&mut engine, Level::Guard);
            // One that was served before asks far too much, and others were never seen.
            for number in 0..30_000u32 {
                let mut asker = client(1, Transport::Udp);
                if number % 2 == 0 {
                    let [_, b, c, d] = number.to_be_bytes();
                    asker.addr.set_ip(IpAddr::from([10, 1 + b, c, d]));
                }
                ask(&mut engine, asker, &query(HERE, None));
            }
            let loud: Vec<_> = engine.take_loud().into_iter().map(|(source, _)| source).collect();
            (loud, engine.may_filter())
        };
        let one = vec![IpAddr::from([10, 0, 0, 1])];
        assert_eq!(loud(Mode::Enforce, Mode::Enforce), (one.clone(), true));
        assert_eq!(loud(Mode::Enforce, Mode::Observe), (one, true), "never for being a stranger");
        assert_eq!(loud(Mode::Observe, Mode::Enforce), (Vec::new(), false));
        assert_eq!(loud(Mode::Off, Mode::Enforce), (Vec::new(), false));
    }

    #[test]
    fn good_cookies_of_whom_the_kernel_thins_out_are_told() {
        let mut engine = engine(|_| {});
        let (one, other) = (client(1, Transport::Udp), client(2, Transport::Udp));
        let cookie = |engine: &mut Engine, asker| {
            let answer = ask(engine, asker, &query(HERE, Some(b"clientck"))).expect("an answer");
            let at = answer.windows(8).position(|window| window == b"clientck").expect("a cookie");
            answer[at..at + 24].to_vec()
        };
        let (good, bad) = (cookie(&mut engine, one), [&b"clientck"[..], &[1, 0, 0, 0], &[9; 12]].concat());
        ask(&mut engine, one, &query(HERE, Some(&good)));
        assert_eq!(engine.take_good_cookies(), [], "nobody asks for them");
        engine.tell_good_cookies_of(vec![one.addr.ip()]);
        for _ in 0..3 {
            ask(&mut engine, one, &query(HERE, Some(&good)));
            ask(&mut engine, one, &query(HERE, Some(&bad)));
            ask(&mut engine, other, &query(HERE, Some(&good)));
        }
        let end = good.last_chunk().map(|end| u32::from_be_bytes(*end)).expect("24 octets");
        assert_eq!(engine.take_good_cookies(), [(one.addr.ip(), end)]);
        assert_eq!(engine.take_good_cookies(), []);
    }

    #[test]
    fn who_is_proven_hears_why_he_is_refused() {
        let mut engine = engine(|policy| policy.access.limits.slip = 1);
        let asker = client(1, Transport::Tcp);
        pressed(&mut engine, Level::Guard);
        let answers: Vec<Vec<u8>> =
            (0..2_100).filter_map(|_| ask(&mut engine, asker, &query(HERE, Some(b"clientck")))).collect();
        let refused = answers.last().expect("answers");
        assert_eq!(Message::parse(refused).expect("a message").rcode(), Rcode::REFUSED);
        let why = Reason::ClientShare.text().as_bytes();
        assert!(refused.windows(why.len()).any(|window| window == why), "the extended error says it");
    }
}

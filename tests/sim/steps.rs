//! Plays a scenario and compares.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, Record, RecordType};
use maeslant::engine::{AskKey, Disposition, Transport};

use super::client;
use super::scenario::{Expectation, Place, Scenario, Step};
use super::text::{self, Wanted};
use super::world::{World, summary};

/// Plays the scenario once a seed; panics with the whole story where it fails.
pub fn play(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(file);
    play_all(Scenario::load(&path));
}

/// The same for a scenario that a test has made.
pub fn play_text(text: &str) {
    play_all(Scenario::parse(text));
}

fn play_all(scenario: Result<Scenario, String>) {
    let scenario = scenario.unwrap_or_else(|what| panic!("\n{what}\n"));
    for seed in 1..=scenario.seeds {
        if let Err(story) = run(&scenario, seed) {
            panic!("\n{story}\n(seed {seed})\n");
        }
    }
}

/// A scenario on its way.
struct Run {
    world: World,
    /// Numbers of questions whose end nobody expected yet, oldest first.
    open: std::collections::VecDeque<usize>,
    start: u64,
    clients: u16,
    /// The packet counts to subtract: those at the last `reset`.
    asks_before: usize,
}

fn run(scenario: &Scenario, seed: u64) -> Result<(), String> {
    let mut world = World::new(scenario.policy.clone(), &scenario.cache, scenario.servers.clone(), seed);
    world.network = scenario.network.clone();
    let start = world.now;
    let mut run = Run { world, open: std::collections::VecDeque::new(), start, clients: 0, asks_before: 0 };
    run.world.start();
    let mut last = Place { file: String::new(), line: 0 };
    for (place, step) in &scenario.steps {
        last = place.clone();
        let done = run.step(step).and_then(|()| match run.world.broken.first() {
            Some(what) => Err(what.clone()),
            None => Ok(()),
        });
        done.map_err(|what| run.story(place, &what))?;
    }
    run.finish().map_err(|what| run.story(&last, &format!("after the last step: {what}")))
}

impl Run {
    fn story(&self, place: &Place, what: &str) -> String {
        format!("{}:{}: {what}\npackets:\n{}", place.file, place.line, self.world.log.join("\n"))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::At(time) => {
                let end = self.start + time.as_nanos() as u64;
                if end < self.world.now {
                    return Err(format!("it is later than {time:?} already"));
                }
                self.world.advance(end);
            }
            Step::Wait(time) => self.world.advance(self.world.now + time.as_nanos() as u64),
            Step::Settle(patience) => self.world.settle(*patience)?,
            Step::Ask { query, from, transport, times } => {
                for _ in 0..*times {
                    let (from, id) = self.sender(*from);
                    let mut query = query.clone();
                    query.id = id;
                    let number = self.world.ask(from, *transport, query.to_bytes());
                    self.open.push_back(number);
                }
            }
            Step::Raw { packet, from, transport } => self.raw(packet, *from, *transport),
            Step::Expect(wanted) => {
                for _ in 0..wanted.times {
                    self.expect(wanted)?;
                }
            }
            Step::Dropped => self.dropped()?,
            Step::Silence(time) => self.silence(*time)?,
            Step::Sent { server, least, most } => self.sent(server, *least, *most)?,
            Step::Saw { server, questions } => self.saw(server, questions)?,
            Step::Unseen { server, name } => {
                if self.world.server(server)?.seen.iter().any(|seen| seen.qname == *name) {
                    return Err(format!("{server} was asked for {name}"));
                }
            }
            Step::Reset => self.reset(),
            Step::Set { server, setting } => self.world.server(server)?.set(setting)?,
            Step::Forge(count) => self.forge(*count),
            Step::Gone => {
                let number = self.open.pop_back().ok_or("no question is open")?;
                self.world.gone(number);
            }
            Step::Notice(wanted) => {
                let found = self.world.notices.iter().any(|notice| format!("{notice:?}").starts_with(wanted));
                if !found {
                    return Err(format!("no notice {wanted}, but {:?}", self.world.notices));
                }
            }
        }
        Ok(())
    }

    /// A client address of its own for each question, loopback unless said otherwise, and an ID.
    fn sender(&mut self, from: Option<SocketAddr>) -> (SocketAddr, u16) {
        self.clients = self.clients.wrapping_add(1);
        let own = SocketAddr::from(([127, 0, 0, 1], 20_000 + self.clients % 30_000));
        (from.unwrap_or(own), self.clients.wrapping_mul(0x9e37))
    }

    fn raw(&mut self, packet: &[u8], from: Option<SocketAddr>, transport: Transport) {
        let (from, _) = self.sender(from);
        let number = self.world.ask(from, transport, packet.to_vec());
        self.open.push_back(number);
    }

    fn expect(&mut self, wanted: &Expectation) -> Result<(), String> {
        let number = self.open.pop_front().ok_or("`expect` without an `ask`")?;
        let asked_at = self.world.asked[number].at;
        let question = summary(&self.world.asked[number].packet);
        let patience = wanted.within.unwrap_or(self.world.policy.resolve.deadline);
        let end = asked_at + patience.as_nanos() as u64;
        let end = end.max(self.world.now);
        let answered = |world: &World| world.asked[number].reply.is_some();
        if let Disposition::Dropped(reason) = self.world.asked[number].disposition {
            return Err(format!("`{question}`: expected {}, got silence ({reason:?})", wanted.rcode));
        }
        self.world.advance_until(end, answered);
        let Some((at, packet)) = self.world.asked[number].reply.clone() else {
            return Err(format!("`{question}`: expected {} within {patience:?}, got nothing", wanted.rcode));
        };
        let took = Duration::from_nanos(at - asked_at);
        if took > patience {
            return Err(format!("`{question}`: expected within {patience:?}, came after {took:?}"));
        }
        if wanted.after.is_some_and(|least| took < least) {
            return Err(format!("`{question}`: expected after {:?}, came after {took:?}", wanted.after));
        }
        let message = Message::from_vec(&packet).map_err(|error| format!("the reply does not parse: {error}"))?;
        compare(wanted, &message, packet.len())
            .map_err(|what| format!("`{question}`: {what}\ngot: {}", summary(&packet)))
    }

    fn dropped(&mut self) -> Result<(), String> {
        let number = self.open.pop_front().ok_or("`expect` without an `ask`")?;
        match self.world.asked[number].disposition {
            Disposition::Dropped(_) => Ok(()),
            other => Err(format!("expected silence, got {other:?}")),
        }
    }

    fn silence(&mut self, time: Duration) -> Result<(), String> {
        let number = self.open.pop_front().ok_or("`expect` without an `ask`")?;
        self.world.advance_until(self.world.now + time.as_nanos() as u64, |world| world.asked[number].reply.is_some());
        match &self.world.asked[number].reply {
            Some((_, packet)) => Err(format!("expected silence, got {}", summary(packet))),
            None => Ok(()),
        }
    }

    fn sent(&mut self, server: &str, least: usize, most: usize) -> Result<(), String> {
        let count = match server {
            "total" => self.world.asks - self.asks_before,
            name => self.world.server(name)?.seen.len(),
        };
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let most = if most == usize::MAX { "any number".to_string() } else { most.to_string() };
        Err(format!("{server} received {count} packets, expected {least} to {most}"))
    }

    fn saw(&mut self, server: &str, questions: &[(Name, Option<RecordType>)]) -> Result<(), String> {
        let seen = &self.world.server(server)?.seen;
        let same = seen.len() == questions.len()
            && seen
                .iter()
                .zip(questions)
                .all(|(seen, (name, rtype))| seen.qname == *name && rtype.is_none_or(|rtype| rtype == seen.qtype));
        if same {
            return Ok(());
        }
        let line = |name: &Name, rtype: Option<RecordType>| {
            format!("{} {}", name.to_lowercase(), rtype.map_or("*".to_string(), text::show_type))
        };
        let seen: Vec<String> = seen.iter().map(|seen| line(&seen.qname, Some(seen.qtype))).collect();
        let wanted: Vec<String> = questions.iter().map(|(name, rtype)| line(name, *rtype)).collect();
        Err(format!("{server} was asked\n  {}\nexpected\n  {}", seen.join("\n  "), wanted.join("\n  ")))
    }

    fn reset(&mut self) {
        self.asks_before = self.world.asks;
        for server in &mut self.world.servers {
            server.seen.clear();
        }
    }

    /// Someone off the path guesses IDs for every open ask.
    fn forge(&mut self, count: u32) {
        let mut open: Vec<(AskKey, Vec<u8>)> =
            self.world.open.iter().map(|(key, ask)| (*key, ask.packet.clone())).collect();
        open.sort();
        for (key, query) in open {
            let Ok(query) = Message::from_vec(&query) else { continue };
            for _ in 0..count {
                let mut forged = query.clone();
                forged.metadata.message_type = hickory_proto::op::MessageType::Response;
                forged.metadata.authoritative = true;
                forged.metadata.id ^= 1 + (self.world.dice.next() as u16 >> 1);
                if let Some(question) = query.queries.first() {
                    let line = format!("{} 86400 A 203.0.113.66", question.name.to_ascii());
                    forged.answers.extend(text::record(&line));
                }
                self.world.inject(key, &super::server::encode(&forged));
            }
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.world.settle(Duration::from_secs(120))?;
        if let Some(number) = self.world.unanswered().first() {
            return Err(format!("`{}` never ended", summary(&self.world.asked[*number].packet)));
        }
        self.world.broken.first().map_or(Ok(()), |what| Err(what.clone()))
    }
}

fn compare(wanted: &Expectation, message: &Message, size: usize) -> Result<(), String> {
    let header = &message.metadata;
    let rcode = text::show_response_code(header.response_code);
    if rcode != wanted.rcode {
        return Err(format!("expected {}, got {rcode}", wanted.rcode));
    }
    for (flag, on) in &wanted.flags {
        let got = match flag.as_str() {
            "aa" => header.authoritative,
            "tc" => header.truncation,
            "rd" => header.recursion_desired,
            "ra" => header.recursion_available,
            "ad" => header.authentic_data,
            "cd" => header.checking_disabled,
            _ => message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
        };
        if got != *on {
            return Err(format!("expected {flag} {on}, got {got}"));
        }
    }
    if wanted.edns.is_some_and(|edns| edns != message.edns.is_some()) {
        return Err(format!("expected an OPT record: {:?}, got {}", wanted.edns, message.edns.is_some()));
    }
    if wanted.largest.is_some_and(|limit| size > limit) {
        return Err(format!("the response has {size} octets"));
    }
    if !wanted.any {
        same("answer", &wanted.answers, &message.answers, wanted.in_order)?;
    }
    if let Some(list) = &wanted.authorities {
        same("authority", list, &message.authorities, false)?;
    }
    if let Some(list) = &wanted.additionals {
        same("additional", list, &message.additionals, false)?;
    }
    compare_options(wanted, message)
}

fn compare_options(wanted: &Expectation, message: &Message) -> Result<(), String> {
    let codes = client::extended_errors(message);
    let expected = &wanted.extended_errors;
    if !expected.is_empty() && !expected.iter().any(|code| codes.contains(code)) {
        return Err(format!("expected an extended error {expected:?}, got {codes:?}"));
    }
    if wanted.no_extended_error && !codes.is_empty() {
        return Err(format!("expected no extended error, got {codes:?}"));
    }
    for (code, data) in &wanted.options {
        let got = client::option(message, *code);
        if got.is_none() || data.is_some() && got != *data {
            return Err(format!("expected option {code} {data:?}, got {got:?}"));
        }
    }
    Ok(())
}

fn same(section: &str, wanted: &[Wanted], got: &[Record], in_order: bool) -> Result<(), String> {
    let mut rest: Vec<&Record> = got.iter().collect();
    for one in wanted {
        let found = if in_order {
            rest.first().filter(|record| one.matches(record)).map(|_| 0)
        } else {
            rest.iter().position(|record| one.matches(record))
        };
        let Some(at) = found else {
            let data = one.data.as_ref().map_or("*".to_string(), ToString::to_string);
            return Err(format!(
                "expected in the {section} section: {} {:?} {} {data}",
                one.name,
                one.ttl,
                text::show_type(one.rtype)
            ));
        };
        rest.remove(at);
    }
    match rest.first() {
        None => Ok(()),
        Some(record) => Err(format!("not expected in the {section} section: {}", text::show_record(record))),
    }
}

//! One question, resolved once with the engine that serves, in sight: `maeslant resolve`.

use std::fmt;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::LocalSet;

use super::{Error, anchors};
use crate::clock::{Moment, Now};
use crate::config::{CacheClock, Settings};
use crate::engine::{Client, Disposition, Engine, Route, Shared, Transmit, Transport};
use crate::net::clock;
use crate::resolve::Traced;
use crate::upstream::Upstream;
use crate::wire::{CLASS_IN, Composer, Flags, Message, Question, Rcode};

/// Sockets toward servers: one question has a budget of 50 packets.
const SOCKETS: usize = 128;
/// What came from servers is handed over in portions of this size.
const PORTION: usize = 64;

/// What validation came to (RFC 4035 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Secure,
    Insecure,
    Bogus,
    Indeterminate,
    /// There was no answer to judge.
    Nothing,
    /// Validation is off, or no key is trusted.
    Off,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Secure => "secure",
            Verdict::Insecure => "insecure",
            Verdict::Bogus => "bogus",
            Verdict::Indeterminate => "indeterminate",
            Verdict::Nothing => "not judged",
            Verdict::Off => "not validated",
        })
    }
}

impl Verdict {
    /// As the response tells it, to whom asks for it with AD.
    fn of(response: &Message) -> Verdict {
        if response.flags.has(Flags::AD) {
            return Verdict::Secure;
        }
        if response.rcode() != Rcode::SERVFAIL {
            return Verdict::Insecure;
        }
        match response.edns.as_ref().and_then(|edns| edns.extended_error.as_ref()).map(|(code, _)| *code) {
            // INFO-CODEs of RFC 8914 §4 and its registry: the budget was spent; validation failed.
            Some(5) => Verdict::Indeterminate,
            Some(1 | 2 | 6..=12 | 25 | 27) => Verdict::Bogus,
            _ => Verdict::Nothing,
        }
    }
}

/// A question resolved.
pub struct Resolved {
    pub response: Message,
    pub verdict: Verdict,
    pub took: Duration,
    /// Packets sent to servers.
    pub asked: u64,
}

/// Resolves one question from an empty cache; `step` is told each step with the time since the start.
pub fn resolve_once(
    settings: &Settings,
    question: &Question,
    mut step: impl FnMut(Duration, &Traced),
) -> Result<Resolved, Error> {
    let failed = |source| Error::System { doing: "starting to resolve", source };
    let mut settings = settings.clone();
    // By the keys that a server with these settings would trust.
    anchors::load(&mut settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    LocalSet::new().block_on(&runtime, async {
        let mut seeds = [[0u8; 32]; 3];
        for seed in &mut seeds {
            getrandom::fill(seed).map_err(|error| failed(error.into()))?;
        }
        let wall = settings.cache_clock == CacheClock::Wall;
        let mut policy = settings.engine.clone();
        // Whoever may run the program may ask; a single question needs no priming.
        policy.access.allow = vec![ipnet::IpNet::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST))];
        policy.resolve.prime = false;
        // The reason is what the asker wants to see.
        policy.respond.extended_errors = true;
        let validates = policy.resolve.dnssec.validation && policy.resolve.dnssec.anchors.iter().next().is_some();
        let mut engine = Engine::new(Arc::new(policy), Shared::new(&settings.cache, seeds[0]), seeds[1]);
        let mut upstream = Upstream::new(&settings.upstream, SOCKETS, seeds[2]).map_err(failed)?;
        engine.set_tracing();
        let began = clock::read(wall);
        let mut response = Vec::new();
        let answered = engine.handle_query(began, asker(), &query(question), &mut response);
        if answered == Disposition::Pending {
            response = drive(&mut engine, &mut upstream, began, wall, &mut step).await;
        }
        let now = clock::read(wall);
        show_steps(&mut engine, began, &mut step);
        let response = Message::parse(&response)
            .map_err(|error| Error::System { doing: "reading the response", source: std::io::Error::other(error) })?;
        let upstream = engine.counters().upstream;
        let verdict = if validates { Verdict::of(&response) } else { Verdict::Off };
        let asked = upstream.sent_udp + upstream.sent_tcp;
        Ok(Resolved { response, verdict, took: now.mono.since(began.mono), asked })
    })
}

fn asker() -> Client {
    Client {
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        // By TCP, so that the answer is whole.
        transport: Transport::Tcp,
        route: Route { socket: 0, local: None },
    }
}

fn query(question: &Question) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut composer = Composer::new(&mut packet, 0, Flags::RD | Flags::AD, 512);
    let mut wire = question.name.wire().to_vec();
    wire.extend_from_slice(&question.rtype.0.to_be_bytes());
    wire.extend_from_slice(&CLASS_IN.to_be_bytes());
    composer.question(&wire);
    composer.edns(1232, 0, false, &[]);
    composer.finish();
    packet
}

fn show_steps(engine: &mut Engine, began: Now, step: &mut impl FnMut(Duration, &Traced)) {
    for traced in engine.take_trace() {
        step(traced.at.since(began.mono), &traced);
    }
}

/// Carries packets until the response is there; the engine gives one before its deadline.
async fn drive(
    engine: &mut Engine,
    upstream: &mut Upstream,
    began: Now,
    wall: bool,
    step: &mut impl FnMut(Duration, &Traced),
) -> Vec<u8> {
    loop {
        let now = clock::read(wall);
        while let Some(transmit) = engine.poll_transmit(now) {
            match transmit {
                Transmit::Reply { packet, .. } => return packet,
                Transmit::Close { key } => upstream.close(now.mono, key),
                Transmit::Ask { key, server, transport, packet } => {
                    if let Err(error) = upstream.ask(now.mono, key, server, transport, &packet) {
                        engine.handle_link_error(now, key, error);
                    }
                }
            }
        }
        show_steps(engine, began, step);
        let due = [engine.poll_timeout(), upstream.poll_timeout()].into_iter().flatten().min();
        let pause = due.unwrap_or(Moment::NEVER).since(clock::read(wall).mono).min(Duration::from_secs(1));
        tokio::select! {
            () = poll_fn(|context| upstream.poll_ready(context)) => {}
            () = tokio::time::sleep(pause) => {}
        }
        let now = clock::read(wall);
        upstream.receive(now.mono, false, PORTION, |key, arrival| match arrival {
            Ok(packet) => engine.handle_response(now, key, packet),
            Err(error) => engine.handle_link_error(now, key, error),
        });
        upstream.handle_timeout(now.mono);
        engine.handle_timeout(now);
    }
}

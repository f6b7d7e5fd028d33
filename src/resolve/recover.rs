//! How long a failure stands: it is remembered, so that asking again is cheap (RFC 9520), and forgotten as soon as there
//! is a sign that its cause is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Failed, Failing};
use crate::clock::Moment;
use crate::servers::{Claim, State};
use crate::wire::{Name, Question, Rtype};

use super::Cx;
use super::ask::{Cut, Who};
use super::budget::Work;
use super::classify::addresses;
use super::descend::{start, start_at};
use super::failure::{Failure, Limit};

/// Where nobody answers at all, a failure stands no longer than it must (RFC 9520 §3.2).
const IN_AN_OUTAGE: Duration = Duration::from_secs(1);

impl Cx {
    /// The failure that still stands for a question.
    pub fn failed(&self, question: &Question) -> Option<Arc<Failed>> {
        let failed = self.cache.failed(question, self.now().age)?;
        self.stands(&failed).then_some(failed)
    }

    /// Has a question failed lately, after something was heard of it at `since`, and is there no sign of a change?
    pub fn has_failed_since(&self, question: &Question, since: Moment) -> bool {
        self.cache.failed_since(question, since, self.now().age).is_some_and(|failed| self.stands(&failed))
    }

    /// Keeps what a question failed from.
    pub(super) fn keep_failed(&self, work: &Work, question: &Question, failure: &Failure) {
        self.cache.keep_failed(question, failing(work, failure), self.now());
    }

    /// Keeps that a zone's name servers were looked for in vain.
    pub(super) fn keep_barren(&self, work: &Work, zone: &Name, silent: bool) {
        let what = Failing { silent, ..failing(work, &Failure::NoAddress { zone: zone.clone() }) };
        self.cache.keep_barren(zone, what, self.now());
    }

    /// Were a zone's name servers looked for in vain a moment ago?
    pub(super) fn is_barren(&self, zone: &Name) -> bool {
        self.cache.barren(zone, self.now().age).is_some_and(|failed| self.stands(&failed))
    }

    /// Silence ends when somebody is heard.
    fn stands(&self, failed: &Failed) -> bool {
        if !failed.what.silent {
            return true;
        }
        let (now, outage) = (self.now(), self.servers.outage());
        let heard = |zone| any_server(self, &start_at(self, zone, false), |s| self.servers.heard_since(s, failed.at));
        let in_an_outage = outage.is_on(now.mono) && now.mono.since(failed.at) >= IN_AN_OUTAGE;
        // What was begun before the end of an outage fails after it.
        outage.restored() <= failed.what.begun && !in_an_outage && !failed.what.zone.as_ref().is_some_and(heard)
    }
}

fn failing(work: &Work, failure: &Failure) -> Failing {
    let zone = match failure {
        Failure::Unreachable { zone } => Some(zone.clone()),
        _ => None,
    };
    Failing {
        unproven: work.is_unproven() || matches!(failure, Failure::Bogus(_)),
        silent: zone.is_some() || *failure == Failure::Limit(Limit::Deadline),
        begun: work.begun,
        zone,
        error: failure.error(),
        text: failure.to_string().into(),
    }
}

/// Are all servers of the closest zone known to be silent, as far as their addresses are known?
pub fn is_failing(cx: &Cx, question: &Question) -> bool {
    let cut = start(cx, question, false);
    let zone = cx.zone_hash(&cut.zone, cut.is_forward());
    let now = cx.now().mono;
    let mut known = false;
    let usable = any_server(cx, &cut, |server| {
        known = true;
        cx.servers.report(server, zone, Claim::First, now).state == State::Usable
    });
    known && !usable
}

/// Is there one among the servers of a zone, as far as their addresses are known?
fn any_server(cx: &Cx, cut: &Cut, mut test: impl FnMut(SocketAddr) -> bool) -> bool {
    let mut of = |address| test(SocketAddr::new(address, cx.plan.server_port));
    match &cut.who {
        Who::Fixed(servers, _) => servers.iter().any(|&server| test(server)),
        Who::Hints(servers) => servers.iter().flat_map(|server| &server.glue).any(|&address| of(address)),
        Who::Named(first, _) => first.iter().any(|server| {
            if !server.glue.is_empty() {
                return server.glue.iter().any(|&address| of(address));
            }
            [Rtype::A, Rtype::AAAA].into_iter().any(|rtype| {
                let set = cx.cache.rrset(&server.name, rtype, cx.now().age);
                set.is_some_and(|set| addresses(&set).any(&mut of))
            })
        }),
    }
}

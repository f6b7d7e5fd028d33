//! Down the tree: from the closest known zone cut to the server that knows (RFC 1034 §5.3.3).

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Delegation, Negative, RrSet, Security};
use crate::wire::{Message, Name, Question, Rcode, Rtype};

use super::aggressive::{Deduced, deduce};
use super::ask::{Cut, Heard, Silence, Who, ask_zone};
use super::budget::{MAX_REFERRALS, Work};
use super::chain::floor;
use super::classify::{Asked, NegativeReading, Reading, own_servers, proofs};
use super::failure::{Failure, Limit};
use super::minimise::{Minimiser, SHORTENED_TYPE};
use super::{Cx, UpstreamKind};

/// A zone cut whose servers all fail is fetched anew from its parent once it is this old: the zone
/// may have moved. Younger ones are not, so that a dead zone costs its parent nothing.
const RECHECK_CUT_AFTER: Duration = Duration::from_secs(60);

/// What a server said in the end, before it is judged and kept.
pub(super) struct Raw {
    pub reading: Reading,
    /// The zone whose server said it, the name and type it was asked for.
    pub zone: Name,
    pub name: Name,
    pub rtype: Rtype,
    /// The signed proofs of what does not exist that came along.
    pub proof: Vec<RrSet>,
    /// Who said it, if others could be asked too.
    pub one_of: Option<SocketAddr>,
}

/// What was found of a question.
pub(super) enum Found {
    Answer(Vec<RrSet>),
    Alias { sets: Vec<RrSet>, target: Name },
    TooLong(Vec<RrSet>),
    Negative(Arc<Negative>),
}

/// The addresses of a name server, as a question within the question.
pub(super) fn addresses_of<'a>(
    cx: &'a Cx,
    work: &'a Work,
    question: Question,
) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Failure>> + 'a>> {
    Box::pin(async move {
        // A name server with a special-use name has no address for us, and its name does not leak.
        if cx.zones.lookup(&question.name, question.rtype).is_some() {
            return Ok(Vec::new());
        }
        let age = cx.now().age;
        let found = |set: &RrSet| super::classify::addresses(set).collect::<Vec<_>>();
        if let Some(set) = cx.cache.rrset(&question.name, question.rtype, age) {
            return Ok(found(&set));
        }
        let reach = cx.reach(&question.name, question.rtype);
        if cx.cache.negative(&question.name, question.rtype, Security::Unchecked, reach, age).is_some()
            || cx.cache.rrset(&question.name, Rtype::CNAME, age).is_some()
            || matches!(deduce(cx, &question.name, question.rtype, age, &work.crypto), Some(Deduced::Denied(_)))
        {
            return Ok(Vec::new());
        }
        if let Some(failed) = cx.failed(&question) {
            return Err(Failure::remembered(&failed));
        }
        let _within = work.enter(question.clone())?;
        cx.begin(work, &question);
        let step = cx.ask_leave(work, &question)?;
        let kept = descend(cx, work, &question).await.map(|raw| keep(cx, raw));
        step.end(kept.as_ref());
        match kept {
            Ok(Found::Answer(sets)) => {
                Ok(sets.iter().filter(|set| set.rtype == question.rtype).flat_map(found).collect())
            }
            // The name of a name server is not an alias (RFC 2181 §10.3).
            Ok(_) => Ok(Vec::new()),
            Err(failure) => {
                if !failure.is_limit() && failure.is_remembered() {
                    cx.keep_failed(work, &question, &failure);
                }
                Err(failure)
            }
        }
    })
}

/// Finds out about a question, without following aliases out of what one server knows.
pub(super) async fn descend(cx: &Cx, work: &Work, question: &Question) -> Result<Raw, Failure> {
    let mut iterate_only = false;
    let mut cut = start(cx, question, iterate_only);
    let mut minimiser = Minimiser::new(cx.plan.minimisation);
    let mut rechecked = false;
    for _ in 0..MAX_REFERRALS * 2 {
        if work.leaves_whole(cx.zone_hash(&cut.zone, false)) {
            minimiser.give_up();
        }
        let (name, rtype, shortened) = next_to_ask(cx, &mut minimiser, &cut, question);
        let heard = match ask_zone(cx, work, &cut, &name, rtype, shortened).await {
            Ok(heard) => heard,
            Err(Silence::Stumbled) => {
                minimiser.give_up();
                continue;
            }
            Err(Silence::Failed(failure)) => {
                let fallback = matches!(&cut.who, Who::Fixed(..))
                    && cx.plan.fixed(&question.name).is_some_and(|fixed| fixed.fallback);
                if fallback && !iterate_only {
                    iterate_only = true;
                    cut = start(cx, question, true);
                } else if !rechecked && !failure.is_limit() && is_old(cx, &cut) {
                    rechecked = true;
                    cut = above(cx, &cut, question);
                } else {
                    return Err(failure);
                }
                minimiser = Minimiser::new(cx.plan.minimisation);
                continue;
            }
        };
        let asked = Asked { zone: &cut.zone, name: &name, rtype, forwarded: cut.is_forward(), age: cx.now().age };
        learn_servers(cx, &heard, asked, &cut);
        if shortened {
            match after_shortened(cx, &mut minimiser, heard, asked, question) {
                Some(Shortened::Cut(next)) => cut = next,
                Some(Shortened::Found(raw)) => return Ok(*raw),
                None if minimiser.has_ended() => work.leave_whole(cx.zone_hash(asked.zone, false)),
                None => {}
            }
            continue;
        }
        match heard.reading {
            Reading::Referral(servers) => cut = keep_cut(cx, servers),
            reading => return Ok(raw_of(cx, reading, &heard.message, heard.one_of, asked)),
        }
    }
    Err(Failure::limit(Limit::Referrals))
}

/// What to ask next: labels of which the cache knows that no cut is there are stepped over.
fn next_to_ask(cx: &Cx, minimiser: &mut Minimiser, cut: &Cut, question: &Question) -> (Name, Rtype, bool) {
    if cut.is_forward() {
        return (question.name.clone(), question.rtype, false);
    }
    let age = cx.now().age;
    while let Some(name) = minimiser.next(&cut.zone, question) {
        let known =
            cx.cache.rrset(&name, SHORTENED_TYPE, age).is_some() || cx.cache.has_no_data(&name, SHORTENED_TYPE, age);
        if !known {
            return (name, SHORTENED_TYPE, true);
        }
        minimiser.no_cut(&cut.zone, &name, false);
    }
    (question.name.clone(), question.rtype, false)
}

enum Shortened {
    Cut(Cut),
    Found(Box<Raw>),
}

/// What a response to a shortened name leads to; `None`: show more labels.
fn after_shortened(
    cx: &Cx,
    minimiser: &mut Minimiser,
    heard: Heard,
    asked: Asked<'_>,
    question: &Question,
) -> Option<Shortened> {
    match heard.reading {
        Reading::Referral(servers) => return Some(Shortened::Cut(keep_cut(cx, servers))),
        Reading::Negative(negative) if negative.rcode == Rcode::NXDOMAIN => {
            let is_other = floor(cx, &question.name, question.rtype).is_below(asked.name);
            if !is_other && (minimiser.is_strict() || asked.zone.is_root()) {
                // RFC 8020: nothing is below a name that does not exist. The root's servers are sound,
                // and names under top-level domains that do not exist are most of what they are asked.
                let raw = raw_of(cx, Reading::Negative(negative), &heard.message, heard.one_of, asked);
                return Some(Shortened::Found(Box::new(raw)));
            }
            // Servers that deny empty non-terminals are still met: ask for the whole name. And it is not for the zones
            // above a trust anchor to deny what is below it.
            minimiser.give_up();
        }
        reading => {
            debug_assert!(question.name.is_below(asked.name));
            keep(cx, raw_of(cx, reading, &heard.message, heard.one_of, asked));
            minimiser.no_cut(asked.zone, asked.name, true);
        }
    }
    None
}

/// The place to start from: a forwarder, a stub, the closest known zone cut, the hints.
pub(super) fn start(cx: &Cx, question: &Question, iterate_only: bool) -> Cut {
    // A DS record stands on the parent's side of the cut (RFC 4035 §2.4).
    let name = match question.rtype {
        Rtype::DS => question.name.parent().unwrap_or_else(Name::root),
        _ => question.name.clone(),
    };
    start_at(cx, &name, iterate_only)
}

pub(super) fn start_at(cx: &Cx, name: &Name, iterate_only: bool) -> Cut {
    let fixed = cx.plan.fixed(name).filter(|_| !iterate_only);
    let known = cx.cache.closest_delegation(name, cx.now().age);
    match (fixed, known) {
        (Some(fixed), known) => match known {
            Some(known) if fixed.kind == UpstreamKind::Stub && known.zone.is_below(&fixed.zone) => cut_of(cx, &known),
            _ => {
                Cut { zone: fixed.zone.clone(), who: Who::Fixed(Arc::clone(&fixed.servers), fixed.kind), cached: false }
            }
        },
        (None, Some(known)) => cut_of(cx, &known),
        (None, None) => hints(cx),
    }
}

/// The root, as the hints have it.
pub(super) fn hints(cx: &Cx) -> Cut {
    Cut { zone: Name::root(), who: Who::Hints(Arc::clone(&cx.plan.hints)), cached: false }
}

fn cut_of(cx: &Cx, known: &Delegation) -> Cut {
    let age = cx.now().age;
    Cut {
        zone: known.zone.clone(),
        who: Who::Named(Arc::clone(known.servers(age)), known.fallback(age).map(Arc::clone)),
        cached: true,
    }
}

fn is_old(cx: &Cx, cut: &Cut) -> bool {
    let age = cx.now().age;
    cut.cached && cx.cache.delegation(&cut.zone, age).is_some_and(|known| age.since(known.stored) >= RECHECK_CUT_AFTER)
}

fn above(cx: &Cx, cut: &Cut, question: &Question) -> Cut {
    match cut.zone.parent() {
        Some(parent) => start_at(cx, &parent, false),
        None => {
            debug_assert!(question.name.is_at_or_below(&cut.zone));
            hints(cx)
        }
    }
}

fn keep_cut(cx: &Cx, servers: super::classify::ServersReading) -> Cut {
    let age = cx.now().age;
    let known = cx.cache.keep_delegation(servers.zone, servers.servers, servers.ds, servers.ttl, age);
    Cut { cached: false, ..cut_of(cx, &known) }
}

/// Notes what a zone says of its own servers, where that differs from what is known.
fn learn_servers(cx: &Cx, heard: &Heard, asked: Asked<'_>, cut: &Cut) {
    let age = cx.now().age;
    if !matches!(cut.who, Who::Named(..)) || matches!(heard.reading, Reading::Referral(_)) {
        return;
    }
    let Some(own) = own_servers(&heard.message, asked) else { return };
    let Some(known) = cx.cache.delegation(&cut.zone, age) else { return };
    let same = |servers: &[crate::cache::NameServer]| {
        servers.len() == own.servers.len() && own.servers.iter().all(|s| servers.iter().any(|k| k.name == s.name))
    };
    if !same(known.servers(age)) {
        cx.cache.keep_child_servers(&known, own.servers, own.ttl, age);
    }
}

fn keep_sets(cx: &Cx, sets: Vec<RrSet>) -> Vec<RrSet> {
    let age = cx.now().age;
    sets.into_iter()
        .map(|mut set| {
            set.ttl = cx.cache.clamp_ttl(set.ttl);
            // What a DNAME makes is made again when it is needed.
            if set.rank == crate::cache::Rank::Local { set } else { cx.cache.keep(set, age) }
        })
        .collect()
}

fn keep_negative(cx: &Cx, name: &Name, rtype: Rtype, negative: NegativeReading) -> Arc<Negative> {
    let ttl = cx.cache.clamp_negative_ttl(negative.ttl);
    let soa = negative.soa.map(|mut soa| {
        soa.ttl = ttl;
        soa
    });
    let kept = Negative {
        rcode: negative.rcode,
        soa,
        proof: negative.proof.into(),
        security: negative.security,
        ttl,
        stored: cx.now().age,
    };
    cx.cache.keep_negative(name, rtype, kept)
}

fn raw_of(cx: &Cx, reading: Reading, message: &Message, one_of: Option<SocketAddr>, asked: Asked<'_>) -> Raw {
    let wanted = cx.plan.validates && !message.authorities().is_empty();
    Raw {
        reading,
        zone: asked.zone.clone(),
        name: asked.name.clone(),
        rtype: asked.rtype,
        proof: if wanted { proofs(message, asked) } else { Vec::new() },
        one_of,
    }
}

/// Puts what was learned into the cache.
pub(super) fn keep(cx: &Cx, raw: Raw) -> Found {
    match raw.reading {
        Reading::Answer(sets) => Found::Answer(keep_sets(cx, sets)),
        Reading::TooLong(sets) => Found::TooLong(keep_sets(cx, sets)),
        Reading::Alias { sets, target, negative } => {
            if let Some(negative) = negative {
                keep_negative(cx, &target, raw.rtype, negative);
            }
            Found::Alias { sets: keep_sets(cx, sets), target }
        }
        Reading::Negative(negative) => Found::Negative(keep_negative(cx, &raw.name, raw.rtype, negative)),
        // Asking a zone never ends with one of these.
        Reading::Recursive(_) | Reading::Referral(_) | Reading::Lame | Reading::Error(_) | Reading::Excessive => {
            Found::Negative(Arc::new(Negative {
                rcode: Rcode::NOERROR,
                soa: None,
                proof: Arc::default(),
                security: Security::Unchecked,
                ttl: 0,
                stored: cx.now().age,
            }))
        }
    }
}

//! The whole answer to a client's question: from the cache where it can be, along its aliases.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::admission::Over;
use crate::cache::{Negative, Rank, RrSet, Security};
use crate::clock::Moment;
use crate::dnssec::{Budget, Sentinel};
use crate::local::{self, LocalRecord};
use crate::wire::{Name, Question, Rcode, Rtype, leading_name};

use super::Cx;
use super::aggressive::{Absent, Deduced, deduce, small_budget};
use super::budget::{MAX_ALIASES, Work};
use super::chain::judge;
use super::classify::synthesise;
use super::descend::{Found, descend, keep};
use super::failure::{Failure, Limit};
use super::stale::StaleNote;

/// A TTL that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    pub stored: Moment,
    /// In seconds, when it was stored.
    pub ttl: u32,
}

impl Life {
    /// When it ends.
    pub fn end(self) -> Moment {
        self.stored + Duration::from_secs(u64::from(self.ttl))
    }

    /// Seconds left; zero once it has ended.
    pub fn left(self, age: Moment) -> u32 {
        self.ttl.saturating_sub(u32::try_from(age.seconds_since(self.stored)).unwrap_or(u32::MAX))
    }
}

impl From<&RrSet> for Life {
    fn from(set: &RrSet) -> Life {
        Life { stored: set.stored(), ttl: set.ttl }
    }
}

/// The SOA of a negative answer, which lives as long as the answer does.
#[derive(Clone, Debug)]
pub struct Soa {
    pub set: RrSet,
    pub life: Life,
}

/// What a question came to. Negative answers are outcomes like any other.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub rcode: Rcode,
    /// The aliases in order, then the records asked for.
    pub answer: Vec<RrSet>,
    /// The SOA of a negative answer.
    pub soa: Option<Box<Soa>>,
    /// Why there is none: with SERVFAIL.
    pub failure: Option<Failure>,
    /// Some of it has come near its end: worth refreshing.
    pub ripe: bool,
    /// All of it has been validated: AD (RFC 4035 §3.2.3).
    pub secure: bool,
    /// Some of it was said by nobody, but follows from what was (RFC 8198).
    pub deduced: bool,
    /// A server was asked that bears no more, since its quota is only observed.
    pub busy: bool,
    /// Something that it led to was not asked, since its zone is flooded, or would not have been if that were not only
    /// observed (true).
    pub flooded: Option<(Over, bool)>,
    /// Time of the processor that it took, as the question's account counted it, in nanoseconds.
    pub cost: u32,
    /// Its time is over, and why it is given all the same.
    pub stale: Option<Box<StaleNote>>,
    /// The records that prove a negative answer, or that nothing closer than a wildcard exists.
    pub proof: SmallVec<[Arc<[RrSet]>; 1]>,
}

impl Outcome {
    pub(super) fn new() -> Outcome {
        Outcome {
            rcode: Rcode::NOERROR,
            answer: Vec::new(),
            soa: None,
            failure: None,
            ripe: false,
            secure: true,
            deduced: false,
            busy: false,
            flooded: None,
            cost: 0,
            stale: None,
            proof: SmallVec::new(),
        }
    }

    /// The answer to a question that failed a moment ago.
    pub fn remembered(failed: &crate::cache::Failed) -> Outcome {
        Outcome::new().failed(Failure::remembered(failed))
    }

    /// The same question's outcome where the answer itself would say something else (RFC 8509).
    pub fn refused_by(self, sentinel: Sentinel) -> Outcome {
        Outcome { proof: SmallVec::new(), soa: None, ripe: false, ..self.failed(Failure::Sentinel(sentinel)) }
    }

    fn failed(mut self, failure: Failure) -> Outcome {
        self.rcode = Rcode::SERVFAIL;
        self.secure = false;
        self.answer.clear();
        self.failure = Some(failure);
        self
    }

    fn negative(mut self, negative: &Negative) -> Outcome {
        self.rcode = negative.rcode;
        self.secure &= negative.security == Security::Secure;
        if !negative.proof.is_empty() {
            self.proof.push(Arc::clone(&negative.proof));
        }
        self.soa = negative
            .soa
            .as_ref()
            .map(|soa| Box::new(Soa { set: soa.clone(), life: Life { stored: negative.stored, ttl: negative.ttl } }));
        self
    }

    fn absent(mut self, absent: Absent) -> Outcome {
        self.rcode = absent.rcode;
        self.deduced = true;
        self.proof.extend(absent.proof);
        self.soa = Some(absent.soa);
        self
    }

    /// Takes what is known beforehand. Returns where it leads, if it is an alias.
    fn local(&mut self, answer: local::Answer, rtype: Rtype, age: Moment) -> Option<Name> {
        let set = |records: &[LocalRecord]| {
            let first = records.first()?;
            let data = records.iter().map(|record| &*record.rdata);
            Some(RrSet::new(first.owner.clone(), first.rtype, first.ttl, Rank::Local, age, data))
        };
        self.rcode = answer.rcode;
        self.secure = false;
        self.soa = set(&answer.authority)
            .filter(|soa| soa.rtype == Rtype::SOA)
            .map(|soa| Box::new(Soa { life: Life { stored: age, ttl: soa.ttl }, set: soa }));
        let found = set(&answer.answer)?;
        let alias = found.rtype == Rtype::CNAME && rtype != Rtype::CNAME;
        let target = found.rdatas().next().and_then(leading_name).filter(|_| alias);
        self.answer.push(found);
        target
    }

    fn push(&mut self, set: RrSet, age: Moment) {
        // Only what a wildcard was found to make has both.
        let deduced = set.rank == Rank::Local && set.proof.is_some();
        self.deduced |= deduced;
        // Nobody is asked ahead of time for what nobody was asked for.
        self.ripe |= !deduced && set.is_ripe(age);
        self.secure &= set.security == Security::Secure;
        self.proof.extend(set.proof.iter().map(Arc::clone));
        // A chain may come by the same DNAME twice.
        if !self.answer.iter().any(|have| have.rtype == set.rtype && have.owner == set.owner) {
            self.answer.push(set);
        }
    }
}

/// One step along the aliases of the cache.
pub(super) enum Known {
    Answer(RrSet),
    Alias(Vec<RrSet>, Name),
    Negative(Arc<Negative>),
    Absent(Absent),
}

impl Known {
    fn is_ripe(&self, age: Moment) -> bool {
        match self {
            Known::Answer(set) => set.is_ripe(age),
            Known::Alias(sets, _) => sets.iter().any(|set| set.is_ripe(age)),
            Known::Negative(_) | Known::Absent(_) => false,
        }
    }
}

pub(super) fn look_up(
    cx: &Cx,
    name: &Name,
    rtype: Rtype,
    wanted: Security,
    crypto: &Budget,
    age: Moment,
) -> Option<Known> {
    said(cx, name, rtype, wanted, age).or_else(|| {
        Some(match deduce(cx, name, rtype, age, crypto)? {
            Deduced::Denied(absent) => Known::Absent(absent),
            Deduced::Answer(set) => Known::Answer(set),
            Deduced::Alias(set, target) => Known::Alias(vec![set], target),
        })
    })
}

/// What somebody has said of this very name and type.
fn said(cx: &Cx, name: &Name, rtype: Rtype, wanted: Security, age: Moment) -> Option<Known> {
    let cache = &cx.cache;
    if let Some(set) = cache.rrset_of(name, rtype, wanted, age) {
        return Some(Known::Answer(set));
    }
    if rtype != Rtype::CNAME
        && let Some(set) = cache.rrset_of(name, Rtype::CNAME, wanted, age)
        && let Some(target) = set.first().and_then(leading_name)
    {
        return Some(Known::Alias(vec![set], target));
    }
    let reach = cx.reach(name, rtype);
    if let Some(negative) = cache.negative(name, rtype, wanted, reach, age) {
        return Some(Known::Negative(negative));
    }
    // A DNAME above makes an alias of every name below it (RFC 6672 §3.3).
    alias_by(cache.dname_above(name, wanted, reach, age)?, name)
}

/// The alias that a DNAME makes of a name below it.
pub(super) fn alias_by(dname: RrSet, name: &Name) -> Option<Known> {
    let (mut cname, target) = synthesise(&dname, name)?;
    cname.security = dname.security;
    Some(Known::Alias(vec![dname, cname], target))
}

/// What the cache has of an answer.
pub enum Cached {
    Whole(Outcome),
    /// Aliases, but not what they lead to.
    Part,
    Nothing,
}

/// Looks a question up. `ANY` is not looked up here.
pub fn from_cache(cx: &Cx, question: &Question, wanted: Security, age: Moment) -> Cached {
    let mut outcome = Outcome::new();
    let crypto = small_budget();
    match whole(question, age, &mut outcome, |name| look_up(cx, name, question.rtype, wanted, &crypto, age)) {
        Some(()) => Cached::Whole(outcome),
        None if outcome.answer.is_empty() => Cached::Nothing,
        None => Cached::Part,
    }
}

/// Puts an answer together from what `find` knows of each name along the aliases.
pub(super) fn whole(
    question: &Question,
    age: Moment,
    outcome: &mut Outcome,
    mut find: impl FnMut(&Name) -> Option<Known>,
) -> Option<()> {
    let mut name = question.name.clone();
    for _ in 0..=MAX_ALIASES {
        match find(&name)? {
            Known::Answer(set) => {
                outcome.push(set, age);
                return Some(());
            }
            Known::Negative(negative) => {
                *outcome = std::mem::replace(outcome, Outcome::new()).negative(&negative);
                return Some(());
            }
            Known::Absent(absent) => {
                *outcome = std::mem::replace(outcome, Outcome::new()).absent(absent);
                return Some(());
            }
            Known::Alias(sets, target) => {
                if is_loop(outcome, &name, &target) {
                    return None;
                }
                sets.into_iter().for_each(|set| outcome.push(set, age));
                // What a DNAME makes is an answer to a question for CNAME.
                if question.rtype == Rtype::CNAME {
                    return Some(());
                }
                name = target;
            }
        }
    }
    None
}

fn is_loop(outcome: &Outcome, name: &Name, target: &Name) -> bool {
    target == name || outcome.answer.iter().any(|set| set.rtype == Rtype::CNAME && set.owner == *target)
}

/// Why a question is resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Nothing is known of it.
    Unknown,
    /// Something is: it is used.
    Part,
    /// It is known, and comes near its end: what does is asked for again.
    Refresh,
}

/// Resolves a question.
pub async fn resolve(cx: Cx, work: Work, question: Question, why: Why) -> Outcome {
    let Ok(_within) = work.enter(question.clone()) else {
        return Outcome::new().failed(Failure::limit(Limit::Depth));
    };
    cx.begin(&work, &question);
    let mut outcome = follow(&cx, &work, &question, why).await;
    outcome.busy = work.was_busy();
    outcome.flooded = work.was_flooded();
    outcome.cost = work.crypto.nanos();
    if let Some(failure) = outcome.failure.as_ref().filter(|failure| failure.is_remembered()) {
        cx.keep_failed(&work, &question, failure);
    }
    let limit = match &outcome.failure {
        Some(Failure::Limit(limit)) => Some(*limit),
        Some(Failure::Bogus(cause)) => cause.overrun().map(|_| Limit::Cpu),
        _ => None,
    };
    if let Some(limit) = limit {
        cx.board.borrow_mut().counters.over_budget[limit as usize] += 1;
    }
    cx.conclude(&work, || match &outcome.failure {
        Some(failure) => format!("SERVFAIL: {failure}"),
        None => format!("{}, {} RRset(s), {} packets", outcome.rcode, outcome.answer.len(), work.packets_sent()),
    });
    outcome
}

/// Asks, judges what is said, and keeps it. What is bogus is asked for again elsewhere.
async fn ask(cx: &Cx, work: &Work, question: &Question) -> Result<Found, Failure> {
    let mut bogus: Option<Failure> = None;
    loop {
        let mut raw = match descend(cx, work, question).await {
            Ok(raw) => raw,
            Err(failure) => return Err(bogus.unwrap_or(failure)),
        };
        let judged = if work.checking { judge(cx, work, &mut raw).await } else { Ok(()) };
        let Err(failure) = judged else { return Ok(keep(cx, raw)) };
        if !failure.may_be_one_servers() || !work.avoid(raw.one_of) {
            work.set_unproven();
            return Err(bogus.unwrap_or(failure));
        }
        cx.conclude(work, || format!("{failure}: asking another server"));
        bogus = bogus.or(Some(failure));
    }
}

/// The same for a step along the aliases: for where one leads, that zone is asked for leave as well.
async fn ask_along(cx: &Cx, work: &Work, question: &Question, is_target: bool) -> Result<Found, Failure> {
    if !is_target {
        return ask(cx, work, question).await;
    }
    let step = cx.ask_leave(work, question)?;
    let found = ask(cx, work, question).await;
    step.end(found.as_ref());
    found
}

async fn follow(cx: &Cx, work: &Work, question: &Question, why: Why) -> Outcome {
    let mut outcome = Outcome::new();
    let mut name = question.name.clone();
    for _ in 0..=MAX_ALIASES {
        let age = cx.now().age;
        let step = Question::new(name.clone(), question.rtype);
        if let Some(answer) = cx.zones.lookup(&name, question.rtype) {
            match outcome.local(answer, question.rtype, age) {
                Some(target) if !is_loop(&outcome, &name, &target) => name = target,
                Some(_) => return outcome.failed(Failure::AliasLoop { name }),
                None => return outcome,
            }
            continue;
        }
        // The caller has looked for the first name already.
        let skip = why == Why::Unknown && name == question.name || question.rtype == Rtype::ANY;
        let known = if skip { None } else { look_up(cx, &name, question.rtype, work.wanted(), &work.crypto, age) };
        let known = known.filter(|known| why != Why::Refresh || !known.is_ripe(age));
        let found = match known {
            Some(Known::Answer(set)) => Found::Answer(vec![set]),
            Some(Known::Alias(sets, _)) if question.rtype == Rtype::CNAME => Found::Answer(sets),
            Some(Known::Alias(sets, target)) => Found::Alias { sets, target },
            Some(Known::Negative(negative)) => Found::Negative(negative),
            Some(Known::Absent(absent)) => {
                cx.conclude(work, || format!("{step}: {} follows from validated proofs (RFC 8198)", absent.rcode));
                return outcome.absent(absent);
            }
            None => {
                if name != question.name
                    && let Some(failed) = cx.failed(&step).filter(|failed| work.checking || !failed.what.unproven)
                {
                    return outcome.failed(Failure::remembered(&failed));
                }
                match ask_along(cx, work, &step, name != question.name).await {
                    Ok(found) => found,
                    Err(failure) => return outcome.failed(failure),
                }
            }
        };
        let age = cx.now().age;
        match found {
            Found::Answer(sets) => {
                sets.into_iter().for_each(|set| outcome.push(set, age));
                return outcome;
            }
            Found::Negative(negative) => return outcome.negative(&negative),
            Found::TooLong(sets) => {
                sets.into_iter().for_each(|set| outcome.push(set, age));
                outcome.rcode = Rcode::YXDOMAIN;
                return outcome;
            }
            Found::Alias { sets, target } => {
                if is_loop(&outcome, &name, &target)
                    || sets.iter().any(|set| set.owner == target && set.rtype == Rtype::CNAME)
                {
                    // The chain shows the client what is wrong.
                    sets.into_iter().for_each(|set| outcome.push(set, age));
                    let chain = std::mem::take(&mut outcome.answer);
                    return Outcome { answer: chain, ..outcome.failed(Failure::AliasLoop { name }) };
                }
                sets.into_iter().for_each(|set| outcome.push(set, age));
                name = target;
            }
        }
    }
    outcome.failed(Failure::limit(Limit::Aliases))
}
